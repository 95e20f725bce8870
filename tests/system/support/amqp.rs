//! AMQP 0-9-1 by hand: a client that publishes what no library would, and services that say what none should.

use super::Broker;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, TcpListener, TcpStream},
    thread,
    time::Duration,
};

const METHOD: u8 = 1;
const HEADER: u8 = 2;
const BODY: u8 = 3;
const PROTOCOL: &[u8] = b"AMQP\0\0\x09\x01";
const FRAME_MAX: u32 = 128 << 10;
const LIMIT: Duration = Duration::from_secs(30);

/// A frame of channel 0 or 1.
pub fn frame(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, channel][..], &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
}

/// A method by class and number.
pub fn method(channel: u8, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(METHOD, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

fn short(text: &[u8]) -> Vec<u8> {
    [&[text.len() as u8][..], text].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

/// A table with one entry: `depth` arrays (`A`) or tables (`F`) inside of each other.
pub fn nested(depth: usize, kind: u8) -> Vec<u8> {
    let mut inside = Vec::new();
    for level in 0..depth {
        // Built from the inside out, and so from the back to the front; an entry of a table has a key.
        if kind == b'F' && level > 0 {
            inside.extend(b"k\x01");
        }
        let length = inside.len() as u32;
        inside.extend(length.to_le_bytes());
        inside.push(kind);
    }
    inside.extend(b"k\x01");
    let length = inside.len() as u32;
    inside.extend(length.to_le_bytes());
    inside.reverse();
    inside
}

/// Somebody else on the same service.
pub struct Client(TcpStream);

impl Client {
    /// Logs in without TLS, and has each message confirmed.
    pub fn connect(broker: &Broker) -> Self {
        let url = broker.plain_url();
        let port = url.rsplit(':').next().unwrap().parse::<u16>().unwrap();
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
        stream.set_read_timeout(Some(LIMIT)).unwrap();
        stream.write_all(PROTOCOL).unwrap();
        let mut client = Self(stream);
        client.hears(10, 10);
        let login = format!("\0bench\0{}", broker.password().trim());
        let start_ok = [long(b""), short(b"PLAIN"), long(login.as_bytes()), short(b"en_US")].concat();
        client.says(&method(0, 10, 11, &start_ok));
        client.hears(10, 30);
        client.says(&method(0, 10, 31, &[&[0, 1][..], &FRAME_MAX.to_be_bytes(), &[0, 0]].concat()));
        client.says(&method(0, 10, 40, b"\x01/\0\0"));
        client.hears(10, 41);
        client.says(&method(1, 20, 10, b"\0"));
        client.hears(20, 11);
        client.says(&method(1, 85, 10, b"\0"));
        client.hears(85, 11);
        client
    }

    /// Publishes a message with properties as they are on the wire; returns when the service has it.
    pub fn publish(&mut self, exchange: &str, key: &[u8], properties: &[u8], body: &[u8]) {
        let publish = [&[0, 0][..], &short(exchange.as_bytes()), &short(key), &[0]].concat();
        let header = [b"\0\x3c\0\0", &(body.len() as u64).to_be_bytes()[..], properties].concat();
        self.says(&[method(1, 60, 40, &publish), frame(HEADER, 1, &header), frame(BODY, 1, body)].concat());
        self.hears(60, 80);
    }

    fn says(&mut self, frames: &[u8]) {
        self.0.write_all(frames).unwrap();
    }

    /// Reads a method, which must be this one.
    fn hears(&mut self, class: u16, number: u16) {
        let mut head = [0; 7];
        self.0.read_exact(&mut head).unwrap();
        let mut rest = vec![0; u32::from_be_bytes(head[3..].try_into().unwrap()) as usize + 1];
        self.0.read_exact(&mut rest).unwrap();
        let expected = [class.to_be_bytes(), number.to_be_bytes()].concat();
        assert_eq!(rest[..4], expected, "the service says {:?}", rest.escape_ascii().to_string());
    }
}

/// Answers each connection's greeting with `bytes` and says no more. Returns its port.
pub fn service_that_says(bytes: Vec<u8>) -> u16 {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let (mut stream, bytes) = (stream.unwrap(), bytes.clone());
            thread::spawn(move || {
                let mut greeting = [0; PROTOCOL.len()];
                // Whoever connects may give up, and is then waited for no longer.
                let _ = stream.read_exact(&mut greeting).and_then(|()| stream.write_all(&bytes));
                let _ = stream.read_exact(&mut [0]);
            });
        }
    });
    port
}
