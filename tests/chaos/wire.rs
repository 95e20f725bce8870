//! A wire between the clients and a broker, which can be damaged, long, narrow, torn or dead at any time.

use nix::{
    libc::linger,
    sys::socket::{setsockopt, sockopt},
};
use std::{
    io::{Read, Write},
    net::{Ipv4Addr, Shutdown, TcpListener, TcpStream},
    sync::{Arc, Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// What the wire does to bytes, in both directions of all connections.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Mode {
    Passes,
    /// The next piece has this bit of it flipped; then all passes again.
    Damages(u64),
    /// Each piece waits.
    Delays(Duration),
    /// So many bytes a second in each direction of each connection.
    Narrow(f64),
    /// Connections are torn.
    Resets,
    /// Bytes are taken and go nowhere.
    Swallows,
}

/// A wire to a port of this machine. Ends with this value, and so do its connections.
pub struct Wire {
    mode: Arc<Mutex<Option<Mode>>>,
    port: u16,
}

/// How often a connection on which nothing comes looks whether it is torn.
const LOOK_EVERY: Duration = Duration::from_millis(50);

impl Wire {
    /// Lays it.
    pub fn to(port: u16) -> std::io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let wire = Self { mode: Arc::new(Mutex::new(Some(Mode::Passes))), port: listener.local_addr()?.port() };
        let mode = wire.mode.clone();
        listener.set_nonblocking(true)?;
        thread::spawn(move || {
            while let Some(now) = current(&mode) {
                match listener.accept() {
                    Ok((client, _)) if now != Mode::Resets => drop(connect(client, port, &mode)),
                    Ok((client, _)) => tear(&client),
                    Err(_) => thread::sleep(Duration::from_millis(5)),
                }
            }
        });
        Ok(wire)
    }

    /// Where clients connect.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// From now on.
    pub fn set(&self, mode: Mode) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = Some(mode);
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        *self.mode.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

type Shared = Arc<Mutex<Option<Mode>>>;

fn current(mode: &Shared) -> Option<Mode> {
    *mode.lock().unwrap_or_else(PoisonError::into_inner)
}

fn connect(client: TcpStream, port: u16, mode: &Shared) -> std::io::Result<()> {
    let broker = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    for side in [&client, &broker] {
        side.set_nonblocking(false)?;
        side.set_nodelay(true)?;
        side.set_read_timeout(Some(LOOK_EVERY))?;
    }
    for (from, to) in [(client.try_clone()?, broker.try_clone()?), (broker, client)] {
        let mode = mode.clone();
        thread::spawn(move || hand_on(from, to, &mode));
    }
    Ok(())
}

fn hand_on(mut from: TcpStream, mut to: TcpStream, mode: &Shared) {
    let mut buffer = vec![0; 1 << 14];
    let mut due = Instant::now();
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => read,
            Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => 0,
            Err(_) => break,
        };
        match current(mode) {
            None | Some(Mode::Resets) => {
                tear(&from);
                tear(&to);
                return;
            }
            Some(Mode::Passes) => {}
            Some(Mode::Swallows) => continue,
            Some(Mode::Delays(delay)) => thread::sleep(if read > 0 { delay } else { Duration::ZERO }),
            Some(Mode::Narrow(rate)) => {
                due = due.max(Instant::now()) + Duration::from_secs_f64(read as f64 / rate);
                thread::sleep(due.saturating_duration_since(Instant::now()));
            }
            Some(Mode::Damages(bit)) if read > 0 => {
                *mode.lock().unwrap_or_else(PoisonError::into_inner) = Some(Mode::Passes);
                buffer[(bit / 8) as usize % read] ^= 1 << (bit % 8);
            }
            Some(Mode::Damages(_)) => {}
        }
        if to.write_all(&buffer[..read]).is_err() {
            break;
        }
    }
    let _ = to.shutdown(Shutdown::Write);
}

/// Its end, once both directions have let go of it, is a reset.
fn tear(side: &TcpStream) {
    let _ = setsockopt(side, sockopt::Linger, &linger { l_onoff: 1, l_linger: 0 });
}
