//! One producer's sockets.

use crate::{
    error::{Error, Result},
    segment::{BodyMax, Event, Segment, Segmenter, Spread},
    send::pacing::{Pacer, Pacing},
    socket::{Bound, Outbox, Patience, Sent, bind, check_mtu},
    wire::Version,
};
use std::{
    io::{self, IoSlice},
    net::SocketAddr,
    thread,
    time::{Duration, Instant},
};

/// UDP ports of senders: several, so that what balances by flow before the load balancer spreads them.
#[derive(Debug, Clone, Copy)]
pub struct SenderOptions {
    /// The load balancer, or a receiver that keeps its header.
    pub to: SocketAddr,
    /// Number of sockets; events take them in turn.
    pub sockets: usize,
    /// The largest packet that the links carry.
    pub mtu: u16,
    /// Version of the load balancer's header.
    pub version: Version,
    /// The producer: its events have this source.
    pub data_id: u16,
    /// Send buffer of each socket.
    pub buffer_bytes: usize,
    /// How packets are spread over time.
    pub pacing: Pacing,
    /// Whether the kernel may cut a run of packets itself (UDP GSO).
    pub offload: bool,
}

/// An event of which some packets may not have left yet.
pub struct Sending {
    segments: Vec<Segment>,
    socket: usize,
    next: usize,
    patience: Patience,
}

impl Sending {
    /// From one try to the next.
    pub const WAIT: Duration = Duration::from_millis(1);
}

/// Sends events. One thread uses it.
pub struct Sender {
    sockets: Vec<Bound>,
    outbox: Outbox,
    segmenter: Segmenter,
    spread: Spread,
    pacing: Pacing,
    pacer: Pacer,
    started: Instant,
    sent: Sent,
}

impl Sender {
    /// Opens the sockets.
    ///
    /// # Errors
    ///
    /// [`Error`] if the MTU leaves no room, or a socket cannot be used.
    pub fn open(options: &SenderOptions) -> Result<Self> {
        let SenderOptions { to, mtu, version, data_id, pacing, .. } = *options;
        let body_max = BodyMax::of_mtu(mtu, to.ip()).ok_or(Error::Mtu(mtu))?;
        check_mtu(to, mtu)?;
        let any: SocketAddr = if to.is_ipv4() { ([0; 4], 0).into() } else { ([0; 16], 0).into() };
        let open = |_| {
            let bound = bind(any, options.buffer_bytes, false, Duration::from_millis(1))?;
            let failed = |source| Error::Socket { action: "send to", address: to.to_string(), source };
            bound.socket.connect(to).map_err(failed)?;
            Ok(bound)
        };
        let bits_per_s = match pacing {
            Pacing::None => u64::MAX,
            Pacing::Event(rate) | Pacing::Packet(rate) => rate,
        };
        Ok(Self {
            sockets: (0..options.sockets.max(1)).map(open).collect::<Result<_>>()?,
            outbox: Outbox::new(options.offload),
            segmenter: Segmenter { version, body_max },
            spread: Spread { version, producer: data_id },
            pacing,
            pacer: Pacer::new(bits_per_s),
            started: Instant::now(),
            sent: Sent::default(),
        })
    }

    /// Begins to send event `sequence` of so many bytes, without a pause.
    ///
    /// # Errors
    ///
    /// If the event is longer than 4 GiB.
    pub fn begin(&mut self, sequence: u64, clock_us: u64, bytes: usize) -> io::Result<Sending> {
        let selected = self.spread.select(sequence, clock_us);
        self.cut(sequence, selected, bytes)
    }

    /// The same for an event that goes to the receiver of one slot.
    ///
    /// # Errors
    ///
    /// As [`Self::begin`].
    pub fn begin_within(&mut self, slot: u16, sequence: u64, clock_us: u64, bytes: usize) -> io::Result<Sending> {
        let (tick, entropy) = self.spread.within(slot, sequence, clock_us);
        self.cut(sequence, (tick, slot, entropy), bytes)
    }

    fn cut(&self, sequence: u64, (tick, slot, entropy): (u64, u16, u16), bytes: usize) -> io::Result<Sending> {
        let bytes = u32::try_from(bytes).map_err(|_| io::ErrorKind::FileTooLarge)?;
        let event = Event { tick, slot, entropy, data_id: self.spread.producer, number: sequence, bytes };
        let socket = usize::try_from(sequence % self.sockets.len() as u64).expect("it is below their number");
        Ok(Sending { segments: self.segmenter.cut(&event).collect(), socket, next: 0, patience: Patience::default() })
    }

    /// Sends what the socket takes now; returns whether nothing is left. If something is, call it again after
    /// [`Sending::WAIT`]: packets that find no room for a second count as not sent.
    pub fn go_on(&mut self, sending: &mut Sending, envelope: &[u8], body: &[u8]) -> bool {
        let mut moved = false;
        while sending.next < sending.segments.len() {
            let run = &sending.segments[sending.next..sending.segments.len().min(sending.next + Outbox::RUN)];
            let packets: Vec<[IoSlice<'_>; 3]> = run.iter().map(|segment| parts(segment, envelope, body)).collect();
            let (sent, done) = self.outbox.send_now(&self.sockets[sending.socket].socket, &packets, &[]);
            self.sent += sent;
            moved |= done > 0;
            let all = done == run.len();
            sending.next += done;
            if !all {
                self.sent.full += 1;
                if !sending.patience.ends(moved, Instant::now()) {
                    return false;
                }
                sending.next += 1;
                self.sent.failed += 1;
            }
        }
        true
    }

    /// Sends event `sequence`, whose bytes are those of `envelope` and `body`, and returns when the kernel has its last
    /// packet and the next event is due.
    ///
    /// # Errors
    ///
    /// If the event is longer than 4 GiB.
    pub fn send(&mut self, sequence: u64, clock_us: u64, envelope: &[u8], body: &[u8]) -> io::Result<Sent> {
        let Sending { segments, socket, .. } = self.begin(sequence, clock_us, envelope.len() + body.len())?;
        let run = match self.pacing {
            Pacing::Packet(_) => 1,
            _ => Outbox::RUN,
        };
        let mut sent = Sent::default();
        for run in segments.chunks(run) {
            let packets: Vec<[IoSlice<'_>; 3]> = run.iter().map(|segment| parts(segment, envelope, body)).collect();
            sent += self.outbox.send(&self.sockets[socket].socket, &packets, &[]);
            if let Pacing::Packet(_) = self.pacing {
                self.pause(packets.iter().flatten().map(|part| part.len()).sum());
            }
        }
        if let Pacing::Event(_) = self.pacing {
            self.pause(envelope.len() + body.len());
        }
        self.sent += sent;
        Ok(sent)
    }

    /// What became of all packets so far.
    pub fn sent(&self) -> Sent {
        self.sent
    }

    /// The smallest send buffer that the kernel granted a socket.
    pub fn send_bytes(&self) -> usize {
        self.sockets.iter().map(|bound| bound.send_bytes).min().unwrap_or_default()
    }

    /// Bytes of an event in each packet but the last.
    pub fn body_max(&self) -> u16 {
        self.segmenter.body_max
    }

    fn pause(&mut self, bytes: usize) {
        let now_ns = u64::try_from(self.started.elapsed().as_nanos()).unwrap_or(u64::MAX);
        let due_ns = self.pacer.after(bytes, now_ns);
        if due_ns > now_ns {
            thread::sleep(Duration::from_nanos(due_ns - now_ns));
        }
    }
}

/// The headers of a segment and its bytes, of which those of the envelope come first.
fn parts<'a>(segment: &'a Segment, envelope: &'a [u8], body: &'a [u8]) -> [IoSlice<'a>; 3] {
    let range = segment.range();
    let within = |at: usize| at.min(envelope.len());
    let of_envelope = &envelope[within(range.start)..within(range.end)];
    let of_body = &body[range.start.saturating_sub(envelope.len())..range.end.saturating_sub(envelope.len())];
    [IoSlice::new(segment.headers()), IoSlice::new(of_envelope), IoSlice::new(of_body)]
}
