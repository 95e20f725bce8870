//! The threads that pass packets on: one for each ingress socket, all by the same tables.

use crate::{
    balance::{
        counts::{BalancerCounts, Counters},
        tables::{Dropped, Tables},
    },
    error::{Error, Result},
    socket::{Bound, Inbox, Outbox, bind, kernel_drops},
};
use nix::sys::socket::SockaddrStorage;
use std::{
    io::IoSlice,
    net::SocketAddr,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{
            AtomicBool, AtomicU64,
            Ordering::{Acquire, Relaxed, Release},
        },
    },
    thread::{self, JoinHandle},
    time::Duration,
};

/// How often a thread without packets looks for its end.
const PATIENCE: Duration = Duration::from_millis(100);
/// Batches that a thread takes after its end, if senders do not stop.
const LAST_BATCHES_MAX: u32 = 10_000;

/// What all threads share.
#[derive(Default)]
struct Shared {
    /// Replaced as a whole, so that no packet meets half of a new calendar.
    tables: Mutex<Arc<Tables>>,
    /// How often they were replaced: a thread takes the lock only then.
    replaced: AtomicU64,
    ended: AtomicBool,
    counters: Counters,
}

/// A load balancer that passes packets on until it is dropped.
pub struct Balancing {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
    bounds: Vec<Arc<Bound>>,
    addresses: Vec<SocketAddr>,
}

impl Balancing {
    /// Binds each address, with `threads` sockets and threads for each. The kernel spreads senders over them.
    ///
    /// # Errors
    ///
    /// [`Error`] if an address cannot be bound or a thread not be started.
    pub fn start(addresses: &[SocketAddr], threads: usize, buffer_bytes: usize) -> Result<Self> {
        let shared = Arc::default();
        let mut balancing = Self { shared, threads: Vec::new(), bounds: Vec::new(), addresses: Vec::new() };
        for address in addresses {
            let mut address = *address;
            for _ in 0..threads.max(1) {
                let bound = Arc::new(bind(address, buffer_bytes, true, PATIENCE)?);
                // A port that was chosen is the same for the next ones.
                let failed = |source| Error::Socket { action: "use", address: address.to_string(), source };
                address = bound.socket.local_addr().map_err(failed)?;
                balancing.bounds.push(Arc::clone(&bound));
                let shared = Arc::clone(&balancing.shared);
                let started = thread::Builder::new().name("balance".to_owned()).spawn(move || pass_on(&bound, &shared));
                let short = |reason| Error::Short { action: "start a thread of the load balancer", reason };
                balancing.threads.push(started.map_err(short)?);
            }
            balancing.addresses.push(address);
        }
        Ok(balancing)
    }

    /// Its addresses.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// The receive buffer that the kernel granted each socket.
    pub fn receive_bytes(&self) -> usize {
        self.bounds.iter().map(|bound| bound.receive_bytes).min().unwrap_or_default()
    }

    /// Balances by these tables from the next batch of packets on.
    pub fn replace(&self, tables: Arc<Tables>) {
        *self.shared.tables.lock().unwrap_or_else(PoisonError::into_inner) = tables;
        self.shared.replaced.fetch_add(1, Release);
    }

    /// What it counted so far.
    pub fn counts(&self) -> BalancerCounts {
        let sockets: Vec<_> = self.bounds.iter().map(|bound| &bound.socket).collect();
        BalancerCounts { kernel_drops: kernel_drops(&sockets), ..self.shared.counters.read() }
    }

    /// Ends it after what has arrived, and returns what it counted.
    pub fn finish(mut self) -> BalancerCounts {
        self.end();
        self.counts()
    }

    fn end(&mut self) {
        self.shared.ended.store(true, Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

impl Drop for Balancing {
    fn drop(&mut self) {
        self.end();
    }
}

/// The loop of a thread. At the end it still passes on what has arrived.
fn pass_on(bound: &Bound, shared: &Shared) {
    let (mut inbox, mut outbox) = (Inbox::default(), Outbox::new(false));
    let (mut tables, mut known) = (Arc::<Tables>::default(), 0);
    let mut left = LAST_BATCHES_MAX;
    loop {
        let ended = shared.ended.load(Relaxed);
        if inbox.receive(&bound.socket).is_err() {
            // Not in a circle at full speed.
            thread::sleep(PATIENCE);
        }
        let replaced = shared.replaced.load(Acquire);
        if replaced != known {
            known = replaced;
            tables = Arc::clone(&shared.tables.lock().unwrap_or_else(PoisonError::into_inner));
        }
        let counts = one_batch(bound, &tables, &inbox, &mut outbox);
        if counts.received > 0 {
            shared.counters.add(&counts);
        }
        left -= u32::from(ended);
        if ended && (counts.received == 0 || left == 0) {
            return;
        }
    }
}

fn one_batch(bound: &Bound, tables: &Tables, inbox: &Inbox, outbox: &mut Outbox) -> BalancerCounts {
    let mut counts = BalancerCounts::default();
    let (mut packets, mut to) = (Vec::new(), Vec::new());
    for (source, packet) in inbox.packets() {
        counts.received += 1;
        let route = packet.ok_or(Dropped::TooLong).and_then(|packet| Ok((packet, tables.route(source, packet)?)));
        match route {
            Ok((packet, route)) => {
                counts.passed_bytes += packet.len() as u64;
                packets.push([IoSlice::new(&packet[route.skip..])]);
                to.push(Some(SockaddrStorage::from(route.to)));
            }
            Err(reason) => counts.dropped[reason as usize] += 1,
        }
    }
    let sent = outbox.send(&bound.socket, &packets, &to);
    counts.passed = sent.packets;
    counts.dropped[Dropped::Unsent as usize] += sent.failed;
    counts
}
