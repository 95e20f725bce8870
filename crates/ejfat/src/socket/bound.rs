//! A UDP socket, bound, with the buffers that the kernel grants.

use crate::error::{Error, Result};
use nix::sys::socket::{
    AddressFamily, SockFlag, SockType, SockaddrStorage, bind as bind_to, setsockopt, socket,
    sockopt::{RcvBuf, ReceiveTimeout, ReusePort, SndBuf},
};
use nix::sys::{socket::getsockopt, time::TimeVal};
use std::{
    io,
    net::{SocketAddr, UdpSocket},
    time::Duration,
};

/// A bound socket. The kernel caps buffers in silence, so they are read back; it reports twice what it grants.
#[derive(Debug)]
pub struct Bound {
    /// The socket.
    pub socket: UdpSocket,
    /// Its receive buffer in bytes.
    pub receive_bytes: usize,
    /// Its send buffer in bytes.
    pub send_bytes: usize,
}

/// Binds a socket. With `shared`, several sockets may have one address, and the kernel spreads senders over them. A
/// receive ends after `patience`, so that a thread can look for its end.
///
/// # Errors
///
/// [`Error::Socket`] if the address cannot be bound.
pub fn bind(address: SocketAddr, buffer_bytes: usize, shared: bool, patience: Duration) -> Result<Bound> {
    let failed = |error: nix::Error| Error::Socket {
        action: "bind",
        address: address.to_string(),
        source: io::Error::from(error),
    };
    let family = if address.is_ipv4() { AddressFamily::Inet } else { AddressFamily::Inet6 };
    let descriptor = socket(family, SockType::Datagram, SockFlag::SOCK_CLOEXEC, None).map_err(failed)?;
    let socket = UdpSocket::from(descriptor);
    if shared {
        setsockopt(&socket, ReusePort, &true).map_err(failed)?;
    }
    setsockopt(&socket, RcvBuf, &buffer_bytes).map_err(failed)?;
    setsockopt(&socket, SndBuf, &buffer_bytes).map_err(failed)?;
    let micros = i64::try_from(patience.as_micros()).unwrap_or(i64::MAX);
    setsockopt(&socket, ReceiveTimeout, &TimeVal::new(micros / 1_000_000, micros % 1_000_000)).map_err(failed)?;
    bind_to(std::os::fd::AsRawFd::as_raw_fd(&socket), &SockaddrStorage::from(address)).map_err(failed)?;
    let receive_bytes = getsockopt(&socket, RcvBuf).map_err(failed)? / 2;
    let send_bytes = getsockopt(&socket, SndBuf).map_err(failed)? / 2;
    Ok(Bound { socket, receive_bytes, send_bytes })
}
