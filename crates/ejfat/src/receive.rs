//! The receiving side: 2^k ports, a thread and a reassembler for each.

mod port;

use crate::{
    error::{Error, Result},
    reassemble::{Counts, Limits},
    socket::{Bound, bind, kernel_drops},
};
use port::{Port, State};
use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    thread::JoinHandle,
    time::Duration,
};

pub use port::Arrival;

/// How often a port without packets looks for events to give up, and for its end.
const PATIENCE: Duration = Duration::from_millis(50);
/// Tries to find ports in a row.
const TRIES: u32 = 50;

/// What a receiver is started with.
#[derive(Debug, Clone, Copy)]
pub struct ReceiverOptions {
    /// Its address.
    pub ip: IpAddr,
    /// Its first port; 0 to look for free ones.
    pub first_port: u16,
    /// It has two to the power of this many ports.
    pub port_bits: u8,
    /// Receive buffer of each socket.
    pub buffer_bytes: usize,
    /// Limits of the reassembly at each port.
    pub limits: Limits,
    /// Whether packets come with the load balancer's header: without a load balancer, or from one that keeps it.
    pub lb_header: bool,
}

/// What a receiver counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReceiverCounts {
    /// Of all ports.
    pub packets: Counts,
    /// Whole events for which the receiving program had no room.
    pub queue_full: u64,
    /// Packets longer than a jumbo frame, or without the load balancer's header where it is expected.
    pub unreadable: u64,
    /// Packets that the kernel dropped since a socket's buffer was full; `None` if it does not report them.
    pub kernel_drops: Option<u64>,
}

/// Receives until it is dropped.
pub struct Receiver {
    state: Arc<State>,
    threads: Vec<JoinHandle<()>>,
    bounds: Vec<Arc<Bound>>,
    first: SocketAddr,
}

impl Receiver {
    /// Binds all its ports, then starts their threads. Register only after that. `deliver` gets each whole event, on the
    /// thread of its port, and says whether there was room for it; it must not wait.
    ///
    /// # Errors
    ///
    /// [`Error`] if a port cannot be bound or a thread not be started.
    pub fn start(
        options: &ReceiverOptions,
        deliver: impl Fn(Arrival) -> bool + Clone + Send + 'static,
    ) -> Result<Self> {
        let bounds: Vec<Arc<Bound>> = in_a_row(options)?.into_iter().map(Arc::new).collect();
        let failed = |source| Error::Socket { action: "use", address: options.ip.to_string(), source };
        let first = bounds[0].socket.local_addr().map_err(failed)?;
        let state = Arc::new(State::new(bounds.len()));
        let mut receiver = Self { state, threads: Vec::new(), bounds, first };
        for (number, bound) in receiver.bounds.iter().enumerate() {
            let port = Port {
                number,
                bound: Arc::clone(bound),
                state: Arc::clone(&receiver.state),
                deliver: deliver.clone(),
                lb_header: options.lb_header,
            };
            let limits = options.limits;
            let thread = std::thread::Builder::new().name("ejfat-port".to_owned()).spawn(move || port.run(limits));
            let short = |reason| Error::Short { action: "start a thread of the receiver", reason };
            receiver.threads.push(thread.map_err(short)?);
        }
        Ok(receiver)
    }

    /// Its first address, to register.
    pub fn address(&self) -> SocketAddr {
        self.first
    }

    /// What it counted so far.
    pub fn counts(&self) -> ReceiverCounts {
        let sockets: Vec<_> = self.bounds.iter().map(|bound| &bound.socket).collect();
        ReceiverCounts { kernel_drops: kernel_drops(&sockets), ..self.state.counts() }
    }

    /// The smallest receive buffer that the kernel granted a socket.
    pub fn receive_bytes(&self) -> usize {
        self.bounds.iter().map(|bound| bound.receive_bytes).min().unwrap_or_default()
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        self.state.end();
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// All ports, one after another.
fn in_a_row(options: &ReceiverOptions) -> Result<Vec<Bound>> {
    let count = 1u16 << options.port_bits.min(14);
    let none = || Error::Ports { address: options.ip.to_string(), count };
    let bound = |port| bind(SocketAddr::new(options.ip, port), options.buffer_bytes, false, PATIENCE);
    let from = |first: Bound| {
        let failed = |source| Error::Socket { action: "use", address: options.ip.to_string(), source };
        let port = first.socket.local_addr().map_err(failed)?.port();
        let mut row = vec![first];
        for more in 1..count {
            row.push(bound(port.checked_add(more).ok_or_else(none)?)?);
        }
        Ok(row)
    };
    if options.first_port > 0 {
        return from(bound(options.first_port)?);
    }
    for _ in 0..TRIES {
        if let Ok(row) = from(bound(0)?) {
            return Ok(row);
        }
    }
    Err(none())
}
