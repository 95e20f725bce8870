//! Many packets from one system call.

use nix::{
    errno::Errno,
    sys::socket::{MsgFlags, MultiHeaders, SockaddrStorage, recvmmsg},
};
use std::{
    io::{self, IoSliceMut},
    net::{IpAddr, UdpSocket},
    os::fd::AsRawFd,
};

/// The longest packet that is taken whole: what a link with jumbo frames carries, and some.
pub const PACKET_MAX: usize = 9216;
const BATCH: usize = 64;

/// Room for a batch of packets.
pub struct Inbox {
    bytes: Vec<u8>,
    headers: MultiHeaders<SockaddrStorage>,
    arrived: Vec<Arrived>,
}

#[derive(Clone, Copy)]
struct Arrived {
    source: Option<IpAddr>,
    length: usize,
}

impl Default for Inbox {
    fn default() -> Self {
        Self {
            bytes: vec![0; BATCH * PACKET_MAX],
            headers: MultiHeaders::preallocate(BATCH, None),
            arrived: Vec::with_capacity(BATCH),
        }
    }
}

impl Inbox {
    /// Waits for packets, and takes those that are there. Nothing within the socket's patience is no error. Use one inbox
    /// for sockets of one family.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn receive(&mut self, socket: &UdpSocket) -> io::Result<()> {
        self.arrived.clear();
        let mut slices: Vec<[IoSliceMut<'_>; 1]> =
            self.bytes.chunks_mut(PACKET_MAX).map(|chunk| [IoSliceMut::new(chunk)]).collect();
        // The first packet is waited for.
        let flags = MsgFlags::MSG_WAITFORONE;
        match recvmmsg(socket.as_raw_fd(), &mut self.headers, slices.iter_mut(), flags, None) {
            Ok(packets) => self.arrived.extend(packets.map(|packet| Arrived {
                source: packet.address.as_ref().and_then(ip),
                // Longer than any packet means that the rest of it is gone.
                length: if packet.flags.contains(MsgFlags::MSG_TRUNC) { usize::MAX } else { packet.bytes },
            })),
            // A refusal is of a packet that was sent.
            Err(Errno::EAGAIN | Errno::EINTR | Errno::ECONNREFUSED) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// The packets, each with its source; without bytes if it was too long.
    pub fn packets(&self) -> impl Iterator<Item = (IpAddr, Option<&[u8]>)> {
        let chunks = self.bytes.chunks(PACKET_MAX);
        self.arrived
            .iter()
            .zip(chunks)
            .filter_map(|(arrived, chunk)| Some((arrived.source?, chunk.get(..arrived.length))))
    }
}

fn ip(address: &SockaddrStorage) -> Option<IpAddr> {
    let four = address.as_sockaddr_in().map(|address| IpAddr::V4(address.ip()));
    four.or_else(|| address.as_sockaddr_in6().map(|address| IpAddr::V6(address.ip())))
}
