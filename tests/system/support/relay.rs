//! Wires between a client and a broker of this machine: one that damages, one that is long, one that is narrow, and one whose
//! broker goes and comes back.

use nix::sys::prctl;
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

/// Relays to a broker's port; its threads end with their connections.
pub struct Relay {
    port: u16,
}

impl Relay {
    /// Relays one connection, and flips the lowest bit of the client's byte `flipped`, counted from 0.
    pub fn flipping(port: u16, flipped: u64) -> Self {
        let (relay, listener) = Self::listen();
        thread::spawn(move || {
            let (client, broker) = accept(&listener, port);
            let (from, to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
            thread::spawn(move || hand_on(from, to, u64::MAX));
            hand_on(client, broker, flipped);
        });
        relay
    }

    /// Relays every connection; in every other `period` it hands on each byte `delay` after it came, in both directions.
    pub fn delaying(port: u16, delay: Duration, period: Duration) -> Self {
        let (relay, listener) = Self::listen();
        let start = Instant::now();
        let delay = move |now: Instant| {
            let turn = (now - start).as_nanos() / period.as_nanos();
            if turn.is_multiple_of(2) { Duration::ZERO } else { delay }
        };
        thread::spawn(move || {
            loop {
                let (client, broker) = accept(&listener, port);
                let (from, to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || hand_on_late(from, to, delay));
                thread::spawn(move || hand_on_late(client, broker, delay));
            }
        });
        relay
    }

    /// Relays every connection, each at `rate` bytes a second from the client to the broker.
    pub fn narrow(port: u16, rate: f64) -> Self {
        let (relay, listener) = Self::listen();
        thread::spawn(move || {
            loop {
                let (client, broker) = accept(&listener, port);
                let (from, to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || hand_on(from, to, u64::MAX));
                thread::spawn(move || hand_on_slowly(client, broker, rate));
            }
        });
        relay
    }

    /// Relays every connection that begins while the broker is not `away`; it ends the others at once.
    pub fn to_a_broker_that_goes(port: u16, away: Arc<AtomicBool>) -> Self {
        let (relay, listener) = Self::listen();
        thread::spawn(move || {
            loop {
                let (client, broker) = accept(&listener, port);
                if away.load(Ordering::Relaxed) {
                    continue;
                }
                let (from, to) = (broker.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || hand_on(from, to, u64::MAX));
                thread::spawn(move || hand_on(client, broker, u64::MAX));
            }
        });
        relay
    }

    fn listen() -> (Self, TcpListener) {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        (Self { port: listener.local_addr().unwrap().port() }, listener)
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }
}

fn accept(listener: &TcpListener, port: u16) -> (TcpStream, TcpStream) {
    let (client, _) = listener.accept().unwrap();
    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    for side in [&client, &broker] {
        side.set_nodelay(true).unwrap();
    }
    (client, broker)
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

/// Reads at once whatever the delay, so that a long wire is not a narrow one.
fn hand_on_late(mut from: TcpStream, mut to: TcpStream, delay: impl Fn(Instant) -> Duration + Send + 'static) {
    let (on_its_way, arriving) = mpsc::channel::<(Instant, Vec<u8>)>();
    thread::spawn(move || {
        let mut buffer = vec![0; 1 << 16];
        while let Ok(read @ 1..) = from.read(&mut buffer) {
            let now = Instant::now();
            if on_its_way.send((now + delay(now), buffer[..read].to_vec())).is_err() {
                break;
            }
        }
    });
    // The kernel may else let a thread sleep for 50 us more than it asks for.
    prctl::set_timerslack(1).unwrap();
    for (due, bytes) in arriving {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&bytes).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Reads no more than it hands on, so that the client is held back as by a link.
fn hand_on_slowly(mut from: TcpStream, mut to: TcpStream, rate: f64) {
    let mut buffer = vec![0; 1 << 14];
    let mut due = Instant::now();
    while let Ok(read @ 1..) = from.read(&mut buffer) {
        // What a busy machine delays is made up for, what the client does not use is not.
        due = due.max(Instant::now() - Duration::from_millis(100)) + Duration::from_secs_f64(read as f64 / rate);
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}
