//! Any bytes as the reply of an S3M service to each call of the client, and as a client's request to the local one.
//!
//! The first byte chooses the call, the second the status of the reply.

use s3m::{Backing, Client, PREFIX, Provision, Service, Settings};
use std::{
    io::{BufRead, BufReader, Read, Result, Write},
    net::{TcpListener, TcpStream},
    sync::{LazyLock, Mutex},
    thread,
    time::Duration,
};
use transport_amqp::Endpoint;

/// Those that the client neither repeats after a pause nor follows elsewhere.
const STATUSES: [u16; 8] = [200, 201, 302, 400, 401, 404, 409, 418];
const TOKEN: &str = "token";

/// What the service replies next.
static REPLY: Mutex<(u16, Vec<u8>)> = Mutex::new((200, Vec::new()));

static CLIENT: LazyLock<Client> = LazyLock::new(|| {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
    let address = listener.local_addr().expect("it is bound");
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            thread::spawn(move || serve(&stream));
        }
    });
    Client::new(&format!("http://{address}"), PREFIX, TOKEN, None).expect("it trusts the usual authorities")
});

pub fn run(data: &[u8]) {
    let [call, status, body @ ..] = data else { return };
    if call & 0x80 != 0 {
        return ask(*call, body);
    }
    *REPLY.lock().expect("nobody panics with it") = (STATUSES[usize::from(*status) % STATUSES.len()], body.to_vec());
    let provisioned = match call % 6 {
        0 => CLIENT.provision(&Provision { name: "name".to_owned(), ..Provision::default() }, true).ok(),
        1 => CLIENT.get("name").ok().and_then(|cluster| cluster.access),
        2 => CLIENT.healthy("name", Duration::ZERO, || false).ok().and_then(|cluster| cluster.access),
        3 => {
            let _ = (CLIENT.backends(), CLIENT.list());
            None
        }
        4 => {
            let _ = (CLIENT.extend("name"), CLIENT.delete("name"));
            None
        }
        _ => {
            let _ = CLIENT.introspect();
            None
        }
    };
    if let Some(access) = provisioned {
        let _ = Endpoint::parse(&access.amqps_url);
    }
}

/// Replies to the calls of one connection until it ends.
fn serve(stream: &TcpStream) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut lines = BufReader::new(stream);
    loop {
        let mut length = 0;
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line)? == 0 {
                return Ok(());
            }
            if let Some(bytes) = line.to_ascii_lowercase().strip_prefix("content-length:") {
                length = bytes.trim().parse().unwrap_or_default();
            }
            if line.trim().is_empty() {
                break;
            }
        }
        lines.read_exact(&mut vec![0; length])?;
        let (status, body) = REPLY.lock().expect("nobody panics with it").clone();
        let mut reply = format!("HTTP/1.1 {status} X\r\ncontent-length: {}\r\n\r\n", body.len()).into_bytes();
        reply.extend(body);
        (&mut &*stream).write_all(&reply)?;
    }
}

/// Calls of the local service: the body is a path up to a line feed, then JSON.
fn ask(call: u8, text: &[u8]) {
    let service = Service::new(settings(), Box::new(Nothing));
    let mut parts = text.splitn(2, |byte| *byte == b'\n');
    let path = String::from_utf8_lossy(parts.next().unwrap_or_default());
    let body = parts.next().unwrap_or_default();
    let method = ["GET", "POST", "DELETE"][usize::from(call) % 3];
    for path in [format!("{PREFIX}{path}"), format!("{PREFIX}/rabbitmq/provision_cluster"), path.into_owned()] {
        let (status, _) = service.reply(method, &path, TOKEN, body);
        assert!((200..600).contains(&status), "{status}");
        let (status, _) = service.reply("POST", &path, TOKEN, body);
        assert!((200..600).contains(&status), "{status}");
    }
}

fn settings() -> Settings {
    Settings {
        tokens: vec![TOKEN.to_owned()],
        domain: "mss.test".to_owned(),
        port: 443,
        nodes: 3,
        management: "http://127.0.0.1:1".to_owned(),
        project: "project".to_owned(),
        lifetime: Duration::from_secs(60),
        ready_after: Duration::ZERO,
        fail_first: 0,
        lose_first: 0,
    }
}

struct Nothing;

impl Backing for Nothing {
    fn add(&self, _: &str, _: &str, _: &str) -> s3m::Result<()> {
        Ok(())
    }

    fn remove(&self, _: &str, _: &str) -> s3m::Result<()> {
        Ok(())
    }
}
