//! One TCP connection to the service, with the buffers that were asked for.

use crate::fault::Peer;
use engine::ports::Fault;
use std::{io, net::SocketAddr};
use tokio::net::{TcpSocket, TcpStream};

/// Sizes of socket buffers that were asked for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    pub send_bytes: Option<u32>,
    pub receive_bytes: Option<u32>,
}

pub(crate) async fn reach(peer: &Peer, host: &str, port: u16, buffers: Buffers) -> Result<TcpStream, Fault> {
    let addresses = tokio::net::lookup_host((host, port)).await.map_err(|error| peer.unresolved(&error))?;
    let mut last = io::Error::from(io::ErrorKind::NotFound);
    for address in addresses {
        match dial(address, buffers).await {
            Ok(stream) => return Ok(stream),
            Err(error) => last = error,
        }
    }
    Err(peer.unreachable(&last))
}

/// Buffers are sized first: the window that TCP offers follows from them.
pub(crate) async fn dial(address: SocketAddr, buffers: Buffers) -> io::Result<TcpStream> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    if let Some(bytes) = buffers.send_bytes {
        socket.set_send_buffer_size(bytes)?;
    }
    if let Some(bytes) = buffers.receive_bytes {
        socket.set_recv_buffer_size(bytes)?;
    }
    socket.connect(address).await
}

/// Sets TCP_NODELAY, reads it back, and returns a second handle on the socket.
pub(crate) fn nodelay(tcp: &TcpStream) -> io::Result<socket2::Socket> {
    tcp.set_nodelay(true)?;
    if !tcp.nodelay()? {
        return Err(io::Error::other("TCP_NODELAY cannot be set"));
    }
    socket2::SockRef::from(tcp).try_clone()
}
