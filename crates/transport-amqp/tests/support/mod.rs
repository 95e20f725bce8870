//! A service in this process, which speaks AMQP 0-9-1 as far as is needed to refuse something.

use std::sync::{Arc, Mutex};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

/// Its differences from a service that accepts everything.
#[derive(Debug, Clone, Default)]
pub struct Manners {
    /// Ends the connection for a queue that is neither durable nor exclusive, with these words.
    pub transient_refusal: Option<&'static str>,
    /// Takes a prefetch per channel for one per consumer.
    pub ignores_channel_prefetch: bool,
    /// Closes the channel of whoever publishes, with these words.
    pub publish_refusal: Option<&'static str>,
    /// Closes the channel of whoever closes it, with these words.
    pub goodbye_refusal: Option<&'static str>,
}

/// The service.
#[derive(Clone, Default)]
pub struct Fake {
    manners: Manners,
    /// Each declared queue, and whether it is durable.
    declared: Arc<Mutex<Vec<(String, bool)>>>,
    /// Queues whose deletion was requested and gets no reply.
    to_delete: Arc<Mutex<Vec<String>>>,
}

impl Fake {
    pub fn new(manners: Manners) -> Self {
        Self { manners, ..Self::default() }
    }

    /// The queues that were declared, each with whether it is durable.
    pub fn declared(&self) -> Vec<(String, bool)> {
        self.declared.lock().unwrap().clone()
    }

    /// The queues whose deletion was requested.
    pub fn to_delete(&self) -> Vec<String> {
        self.to_delete.lock().unwrap().clone()
    }

    /// Serves every connection. Returns the port.
    pub async fn serve(&self) -> u16 {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let fake = self.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let fake = fake.clone();
                tokio::spawn(async move { fake.converse(stream).await });
            }
        });
        port
    }

    /// Ends with the connection.
    async fn converse(&self, mut stream: TcpStream) -> Option<()> {
        stream.read_exact(&mut [0; 8]).await.ok()?;
        let property = |key: &str, value: &str| [&short(key)[..], b"S", &long(value.as_bytes())].concat();
        let properties = [property("product", "RabbitMQ"), property("version", "4.2.1")].concat();
        let start = [&[0, 9][..], &long(&properties), &long(b"PLAIN"), &long(b"en_US")].concat();
        stream.write_all(&method(0, 10, 10, &start)).await.ok()?;
        loop {
            let mut head = [0; 7];
            stream.read_exact(&mut head).await.ok()?;
            let mut payload = vec![0; u32::from_be_bytes(head[3..].try_into().unwrap()) as usize + 1];
            stream.read_exact(&mut payload).await.ok()?;
            if head[0] == 1 {
                let reply = self.reply(head[2], &payload);
                stream.write_all(&reply).await.ok()?;
            }
        }
    }

    fn reply(&self, channel: u8, payload: &[u8]) -> Vec<u8> {
        let number = |at: usize| u16::from_be_bytes(payload[at..at + 2].try_into().unwrap());
        let text = |at: usize| &payload[at + 1..at + 1 + usize::from(payload[at])];
        let reply = |class, number, arguments: &[u8]| method(channel, class, number, arguments);
        match (number(0), number(2)) {
            (10, 11) => reply(10, 30, b"\x07\xff\0\x02\0\0\0\0"),
            (10, 40) => reply(10, 41, b"\0"),
            (10, 50) => reply(10, 51, b""),
            (20, 10) => reply(20, 11, &long(b"")),
            (20, 40) => {
                let refusal = self.manners.goodbye_refusal.map(|words| reply(20, 40, &close(403, words)));
                [refusal.unwrap_or_default(), reply(20, 41, b"")].concat()
            }
            (40, 10) => reply(40, 11, b""),
            (50, 10) => {
                let name = text(6);
                let [passive, durable, exclusive] = [0, 1, 2].map(|bit| payload[7 + name.len()] & (1 << bit) != 0);
                match self.manners.transient_refusal {
                    Some(words) if !passive && !durable && !exclusive => method(0, 10, 50, &close(541, words)),
                    _ => {
                        let name = std::str::from_utf8(name).unwrap();
                        self.declared.lock().unwrap().push((name.into(), durable));
                        let waiting = u32::from(passive && !self.manners.ignores_channel_prefetch);
                        reply(50, 11, &[&short(name)[..], &waiting.to_be_bytes(), &[0; 4]].concat())
                    }
                }
            }
            (50, 20) => reply(50, 21, b""),
            (50, 40) => {
                self.to_delete.lock().unwrap().push(String::from_utf8(text(6).to_vec()).unwrap());
                Vec::new()
            }
            (60, 10) => reply(60, 11, b""),
            (60, 20) => {
                let tag = text(7 + usize::from(payload[6]));
                reply(60, 21, &[&[tag.len() as u8][..], tag].concat())
            }
            (60, 40) => match self.manners.publish_refusal {
                Some(words) => reply(20, 40, &close(406, words)),
                None if self.manners.ignores_channel_prefetch => {
                    let deliver = [&short("prefetch")[..], &[0, 0, 0, 0, 0, 0, 0, 1], &[0], &short(""), &short("q")];
                    [reply(60, 60, &deliver.concat()), frame(2, channel, b"\0\x3c\0\0\0\0\0\0\0\0\0\0\0\0")].concat()
                }
                None => Vec::new(),
            },
            (85, 10) => reply(85, 11, b""),
            _ => Vec::new(),
        }
    }
}

fn close(code: u16, words: &str) -> Vec<u8> {
    [&code.to_be_bytes()[..], &short(words), &[0; 4]].concat()
}

fn short(text: &str) -> Vec<u8> {
    [&[text.len() as u8][..], text.as_bytes()].concat()
}

fn long(bytes: &[u8]) -> Vec<u8> {
    [&(bytes.len() as u32).to_be_bytes()[..], bytes].concat()
}

fn method(channel: u8, class: u16, number: u16, arguments: &[u8]) -> Vec<u8> {
    frame(1, channel, &[&class.to_be_bytes()[..], &number.to_be_bytes(), arguments].concat())
}

fn frame(kind: u8, channel: u8, payload: &[u8]) -> Vec<u8> {
    [&[kind, 0, channel][..], &(payload.len() as u32).to_be_bytes(), payload, &[0xce]].concat()
}
