//! One port: its thread, its reassembler, and the way back of its buffers.

use crate::{
    reassemble::{Counts, Limits, Reassembler, Whole},
    receive::ReceiverCounts,
    socket::{Bound, Inbox},
    wire::LbHeader,
};
use std::{
    mem,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, Sender, channel},
    },
    time::Instant,
};

/// A whole event. Its buffer goes back to the port when it is dropped.
pub struct Arrival {
    /// The event.
    pub whole: Whole,
    back: Sender<Vec<u8>>,
}

impl Drop for Arrival {
    fn drop(&mut self) {
        // The port may have ended.
        let _ = self.back.send(mem::take(&mut self.whole.bytes));
    }
}

/// What the ports of a receiver share.
pub struct State {
    ended: AtomicBool,
    queue_full: AtomicU64,
    unreadable: AtomicU64,
    /// Of each port, as of its last batch.
    counts: Vec<Mutex<Counts>>,
}

impl State {
    pub fn new(ports: usize) -> Self {
        let counts = (0..ports).map(|_| Mutex::default()).collect();
        Self { ended: AtomicBool::new(false), queue_full: AtomicU64::new(0), unreadable: AtomicU64::new(0), counts }
    }

    pub fn end(&self) {
        self.ended.store(true, Relaxed);
    }

    pub fn counts(&self) -> ReceiverCounts {
        let ports = self.counts.iter().map(|counts| *counts.lock().unwrap_or_else(PoisonError::into_inner));
        ReceiverCounts {
            packets: ports.sum(),
            queue_full: self.queue_full.load(Relaxed),
            unreadable: self.unreadable.load(Relaxed),
            kernel_drops: None,
        }
    }
}

/// What the thread of a port needs.
pub struct Port<D> {
    pub number: usize,
    pub bound: Arc<Bound>,
    pub state: Arc<State>,
    pub deliver: D,
    pub lb_header: bool,
}

impl<D: Fn(Arrival) -> bool> Port<D> {
    /// The loop of the thread.
    pub fn run(self, limits: Limits) {
        let (mut inbox, mut reassembler) = (Inbox::default(), Reassembler::new(limits));
        let (back, returned) = channel();
        let started = Instant::now();
        while !self.state.ended.load(Relaxed) {
            if inbox.receive(&self.bound.socket).is_err() {
                // Not in a circle at full speed.
                std::thread::sleep(super::PATIENCE);
            }
            let now_ns = u64::try_from(started.elapsed().as_nanos()).unwrap_or(u64::MAX);
            self.batch(&inbox, &mut reassembler, &back, now_ns);
            reassembler.expire(now_ns);
            recycle(&returned, &mut reassembler);
            *self.state.counts[self.number].lock().unwrap_or_else(PoisonError::into_inner) = reassembler.counts();
        }
    }

    fn batch(&self, inbox: &Inbox, reassembler: &mut Reassembler, back: &Sender<Vec<u8>>, now_ns: u64) {
        for (_, packet) in inbox.packets() {
            let Some(packet) = packet.and_then(|packet| self.segment(packet)) else {
                self.state.unreadable.fetch_add(1, Relaxed);
                continue;
            };
            let Some(whole) = reassembler.accept(packet, now_ns) else { continue };
            if !(self.deliver)(Arrival { whole, back: back.clone() }) {
                self.state.queue_full.fetch_add(1, Relaxed);
            }
        }
    }

    /// A packet from its reassembly header on.
    fn segment<'a>(&self, packet: &'a [u8]) -> Option<&'a [u8]> {
        if !self.lb_header {
            return Some(packet);
        }
        LbHeader::decode(packet).ok().map(|_| &packet[LbHeader::BYTES..])
    }
}

fn recycle(returned: &Receiver<Vec<u8>>, reassembler: &mut Reassembler) {
    returned.try_iter().for_each(|bytes| reassembler.recycle(bytes));
}
