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
};

/// The kernel takes at most 1,024 packets from a call and reports no error for more.
const BATCH: usize = 64;
/// Bytes of a run, which is one datagram to the kernel.
const RUN_BYTES_MAX: usize = 65_000;
/// Waits for room in the socket, in turn, before a packet counts as not sent.
const WAITS_MAX: u32 = 50;
const WAIT_MS: u16 = 20;

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

    /// Sends each packet to its address or, without addresses, to the one that the socket is connected to.
    pub fn send<const PARTS: usize>(
        &mut self,
        socket: &UdpSocket,
        packets: &[[IoSlice<'_>; PARTS]],
        to: &[Option<SockaddrStorage>],
    ) -> Sent {
        let mut sent = Sent::default();
        let mut headers = MultiHeaders::preallocate(packets.len().min(BATCH), None);
        let (mut next, mut waits) = (0, 0);
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
                    waits = 0;
                }
                Err(Errno::EINTR) => {}
                // It is about an earlier packet; this one was not tried.
                Err(Errno::ECONNREFUSED) => sent.refused += 1,
                Err(Errno::EAGAIN | Errno::ENOBUFS) if waits < WAITS_MAX => {
                    waits += 1;
                    sent.full += 1;
                    let mut room = [PollFd::new(socket.as_fd(), PollFlags::POLLOUT)];
                    // Whatever it says, the next call tells.
                    let _ = poll(&mut room, PollTimeout::from(WAIT_MS));
                }
                // The kernel or the device cannot; packet by packet they leave all the same.
                Err(_) if run > 1 => self.offload = false,
                Err(_) => {
                    next += 1;
                    sent.failed += 1;
                    waits = 0;
                }
            }
        }
        sent
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
