//! Many packets to one system call, in a loop until all have left.

use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::socket::{ControlMessage, MsgFlags, MultiHeaders, SockaddrStorage, sendmmsg, sendmsg},
};
use std::{
    io::IoSlice,
    net::UdpSocket,
    ops::AddAssign,
    os::fd::{AsFd, AsRawFd},
    time::{Duration, Instant},
};

/// The kernel takes at most 1,024 packets from a call and reports no error for more.
const BATCH: usize = 64;
/// Bytes of a run, which is one datagram to the kernel.
const RUN_BYTES_MAX: usize = 65_000;
/// How long a packet waits for room in the socket before it counts as not sent.
const WAIT_LIMIT: Duration = Duration::from_secs(1);
const LOOK_MS: u8 = 20;

/// What became of packets that were sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Sent {
    /// The kernel took them.
    pub packets: u64,
    /// The kernel did not.
    pub failed: u64,
    /// Earlier packets that nobody received, as the other host reported.
    pub refused: u64,
    /// How often the socket had no room.
    pub full: u64,
}

impl AddAssign for Sent {
    fn add_assign(&mut self, other: Self) {
        self.packets += other.packets;
        self.failed += other.failed;
        self.refused += other.refused;
        self.full += other.full;
    }
}

/// Sends batches.
pub struct Outbox {
    /// Whether the kernel cuts runs of packets to one receiver (UDP GSO). Ends at the first refusal.
    offload: bool,
}

impl Outbox {
    /// A good length for a batch.
    pub const RUN: usize = BATCH;

    /// One that lets the kernel cut runs, if that is wanted and it can.
    pub fn new(offload: bool) -> Self {
        Self { offload }
    }

    /// Sends each packet to its address or, without addresses, to the one that the socket is connected to. Waits for room.
    pub fn send<const PARTS: usize>(
        &mut self,
        socket: &UdpSocket,
        packets: &[[IoSlice<'_>; PARTS]],
        to: &[Option<SockaddrStorage>],
    ) -> Sent {
        let mut sent = Sent::default();
        let (mut next, mut patience) = (0, Patience::default());
        loop {
            let (now, done) = self.send_now(socket, &packets[next..], to.get(next..).unwrap_or_default());
            sent += now;
            next += done;
            if next == packets.len() {
                return sent;
            }
            sent.full += 1;
            if patience.ends(done > 0, Instant::now()) {
                next += 1;
                sent.failed += 1;
            } else {
                let mut room = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                // Whatever it says, the next call tells.
                let _ = poll(&mut room, PollTimeout::from(LOOK_MS));
            }
        }
    }

    /// The same without waiting: ends where the socket has no room. Returns how many packets have left or never will.
    pub fn send_now<const PARTS: usize>(
        &mut self,
        socket: &UdpSocket,
        packets: &[[IoSlice<'_>; PARTS]],
        to: &[Option<SockaddrStorage>],
    ) -> (Sent, usize) {
        let mut sent = Sent::default();
        let mut headers = MultiHeaders::preallocate(packets.len().min(BATCH), None);
        let mut next = 0;
        while next < packets.len() {
            let batch = &packets[next..packets.len().min(next + BATCH)];
            let run = if self.offload && to.is_empty() { run(batch) } else { 1 };
            let result = if run > 1 {
                send_run(socket, &batch[..run])
            } else {
                send_batch(socket, &mut headers, batch, to.get(next..))
            };
            match result {
                Ok(taken) => {
                    next += taken;
                    sent.packets += taken as u64;
                }
                Err(Errno::EINTR) => {}
                // It is about an earlier packet; this one was not tried.
                Err(Errno::ECONNREFUSED) => sent.refused += 1,
                Err(Errno::EAGAIN | Errno::ENOBUFS) => break,
                // The kernel or the device cannot; packet by packet they leave all the same.
                Err(_) if run > 1 => self.offload = false,
                Err(_) => {
                    next += 1;
                    sent.failed += 1;
                }
            }
        }
        (sent, next)
    }
}

/// How long a packet has waited for room.
#[derive(Debug, Default)]
pub struct Patience(Option<Instant>);

impl Patience {
    /// Whether a packet that has no room at `now` has waited long enough; `moved`: others have left since the last time.
    pub fn ends(&mut self, moved: bool, now: Instant) -> bool {
        let since = self.0.filter(|_| !moved).unwrap_or(now);
        let ended = now.saturating_duration_since(since) >= WAIT_LIMIT;
        self.0 = (!ended).then_some(since);
        ended
    }
}

/// How many of the packets the kernel took.
fn send_batch<const PARTS: usize>(
    socket: &UdpSocket,
    headers: &mut MultiHeaders<SockaddrStorage>,
    packets: &[[IoSlice<'_>; PARTS]],
    to: Option<&[Option<SockaddrStorage>]>,
) -> nix::Result<usize> {
    let connected = [None; BATCH];
    let to = to.filter(|to| !to.is_empty()).unwrap_or(&connected);
    let no_control: [ControlMessage<'_>; 0] = [];
    Ok(sendmmsg(socket.as_raw_fd(), headers, packets, to, no_control, MsgFlags::MSG_DONTWAIT)?.count())
}

fn bytes<const PARTS: usize>(packet: &[IoSlice<'_>; PARTS]) -> usize {
    packet.iter().map(|part| part.len()).sum()
}

/// How many packets from the first on the kernel can cut from one: of one length, and only the last one shorter.
fn run<const PARTS: usize>(packets: &[[IoSlice<'_>; PARTS]]) -> usize {
    let length = bytes(&packets[0]);
    let most = (RUN_BYTES_MAX / length.max(1)).min(packets.len());
    let equal = packets[..most].iter().take_while(|packet| bytes(packet) == length).count();
    let shorter = packets[..most].get(equal).is_some_and(|packet| bytes(packet) < length);
    equal + usize::from(shorter)
}

/// Sends packets as one that the kernel cuts.
fn send_run<const PARTS: usize>(socket: &UdpSocket, packets: &[[IoSlice<'_>; PARTS]]) -> nix::Result<usize> {
    let length = u16::try_from(bytes(&packets[0])).map_err(|_| Errno::EMSGSIZE)?;
    let control = [ControlMessage::UdpGsoSegments(&length)];
    sendmsg::<()>(socket.as_raw_fd(), packets.as_flattened(), &control, MsgFlags::MSG_DONTWAIT, None)?;
    Ok(packets.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::{fd::OwnedFd, unix::net::UnixDatagram};

    #[test]
    fn a_socket_without_room_ends_a_batch_and_takes_the_rest_later_in_order() {
        // It has room for few packets until somebody takes them, unlike UDP over loopback.
        let (ours, theirs) = UnixDatagram::pair().unwrap();
        let socket = UdpSocket::from(OwnedFd::from(ours));
        theirs.set_nonblocking(true).unwrap();
        let bodies: Vec<[u8; 4]> = (0..5_000_u32).map(u32::to_be_bytes).collect();
        let packets: Vec<[IoSlice<'_>; 1]> = bodies.iter().map(|body| [IoSlice::new(body)]).collect();
        let (mut outbox, mut next, mut stops, mut arrived) = (Outbox::new(false), 0, 0, Vec::new());
        while next < packets.len() {
            let (sent, done) = outbox.send_now(&socket, &packets[next..], &[]);
            assert_eq!((sent.packets, sent.failed), (done as u64, 0));
            next += done;
            stops += u32::from(next < packets.len());
            let mut body = [0; 4];
            while theirs.recv(&mut body).is_ok() {
                arrived.push(body);
            }
        }
        assert!(stops > 0 && arrived == bodies, "{stops} stops, {} packets", arrived.len());
    }

    #[test]
    fn patience_ends_after_a_second_without_progress() {
        let (mut patience, start) = (Patience::default(), Instant::now());
        let mut ends = |moved, ms| patience.ends(moved, start + Duration::from_millis(ms));
        assert!(!ends(false, 0) && !ends(false, 999) && ends(false, 1000));
        assert!(!ends(false, 1001) && !ends(true, 2500) && !ends(false, 3400), "progress begins it anew");
        assert!(ends(false, 3500));
    }
}
