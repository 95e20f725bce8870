//! A wire that damages: hands bytes on in both directions and flips one bit of what the client sends.

use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    thread,
};

/// A relay of one connection to a broker on this machine; ends with that connection.
pub struct Relay {
    port: u16,
}

impl Relay {
    /// Relays to `port`, and flips the lowest bit of the client's byte `flipped`, counted from 0.
    pub fn start(port: u16, flipped: u64) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let relay = Self { port: listener.local_addr().unwrap().port() };
        thread::spawn(move || {
            let (client, _) = listener.accept().unwrap();
            let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
            let (from, to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || hand_on(from, to, u64::MAX));
            hand_on(client, broker, flipped);
        });
        relay
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, flipped: u64) {
    let mut buffer = vec![0; 1 << 16];
    let mut passed = 0u64;
    // Either side may go when it is done.
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        if (passed..passed + read as u64).contains(&flipped) {
            buffer[(flipped - passed) as usize] ^= 1;
        }
        passed += read as u64;
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
