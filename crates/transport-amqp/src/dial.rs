//! One TCP connection to the service: to the first of its addresses that responds, with the configured socket buffers.

use crate::fault::{Peer, Phase};
use engine::ports::Fault;
use futures_util::{StreamExt, stream::FuturesUnordered};
use std::{io, net::SocketAddr, time::Duration};
use tokio::{
    net::{TcpSocket, TcpStream, lookup_host},
    time::{Instant, sleep_until, timeout_at},
};

/// How long an address may be silent before the next one is tried in parallel (RFC 8305).
const ATTEMPT_DELAY: Duration = Duration::from_millis(250);

/// Configured sizes of socket buffers, in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Buffers {
    pub send_bytes: Option<u32>,
    pub receive_bytes: Option<u32>,
}

/// An unreachable address, and the reason.
pub(crate) type Failed = (SocketAddr, io::Error);

/// Resolves `host` and connects to one of its addresses, before `deadline`, which is after `limit`.
pub(crate) async fn reach(
    peer: &Peer,
    host: &str,
    port: u16,
    buffers: Buffers,
    (limit, deadline): (Duration, Instant),
) -> Result<TcpStream, Fault> {
    let found = timeout_at(deadline, lookup_host((host, port))).await;
    let found = found.map_err(|_| peer.too_slow(Phase::Resolve, limit, b""))?;
    let addresses = in_turn(found.map_err(|error| peer.unresolved(&error))?.collect());
    first(&addresses, |address| dial(address, buffers), deadline)
        .await
        .map_err(|failed| peer.unreachable(&failed, limit))
}

/// IPv6 and IPv4 alternate, each in the resolver's order, beginning with the family of its first address.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let preferred = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (these, those): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|address| address.is_ipv6() == preferred);
    let mut others = those.into_iter();
    let mut mixed = Vec::new();
    for address in these {
        mixed.push(address);
        mixed.extend(others.next());
    }
    mixed.extend(others);
    mixed
}

/// The first of `addresses` that connects. Each is tried when the previous one has failed or been silent for
/// [`ATTEMPT_DELAY`], and all attempts continue in parallel. Addresses that are silent until `deadline` have timed out.
async fn first<T, Attempt: Future<Output = io::Result<T>>>(
    addresses: &[SocketAddr],
    attempt: impl Fn(SocketAddr) -> Attempt,
    deadline: Instant,
) -> Result<T, Vec<Failed>> {
    let mut rest = addresses.iter().copied();
    let mut tries = FuturesUnordered::new();
    let mut failed = Vec::new();
    let mut next = Instant::now();
    loop {
        if Instant::now() >= next
            && let Some(address) = rest.next()
        {
            let attempt = attempt(address);
            tries.push(async move { (address, attempt.await) });
            next = Instant::now() + ATTEMPT_DELAY;
        }
        if tries.is_empty() {
            return Err(failed);
        }
        tokio::select! {
            biased;
            Some((address, result)) = tries.next() => match result {
                Ok(connected) => return Ok(connected),
                Err(error) => {
                    failed.push((address, error));
                    next = Instant::now();
                }
            },
            () = sleep_until(deadline) => {
                let silent = addresses.iter().filter(|address| failed.iter().all(|(known, _)| known != *address));
                let silent: Vec<_> = silent.map(|&address| (address, io::ErrorKind::TimedOut.into())).collect();
                failed.extend(silent);
                return Err(failed);
            }
            () = sleep_until(next), if rest.len() > 0 => {}
        }
    }
}

/// Buffers are sized before connecting, because they determine the window that TCP offers.
async fn dial(address: SocketAddr, buffers: Buffers) -> io::Result<TcpStream> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use socket2::{Domain, Socket, Type};
    use std::{cell::RefCell, net::TcpListener};

    const BUFFERS: Buffers = Buffers { send_bytes: None, receive_bytes: None };

    fn address(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    /// A listener whose queue is full: the kernel drops new connections. It lasts as long as the sockets.
    fn silent() -> (SocketAddr, Vec<Socket>) {
        let socket = || Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        let listener = socket();
        listener.bind(&address("127.0.0.2:0").into()).unwrap();
        listener.listen(0).unwrap();
        let here = listener.local_addr().unwrap();
        let mut sockets = vec![listener];
        for _ in 0..3 {
            let client = socket();
            client.set_nonblocking(true).unwrap();
            let _ = client.connect(&here);
            sockets.push(client);
        }
        (here.as_socket().unwrap(), sockets)
    }

    fn closed() -> SocketAddr {
        TcpListener::bind("127.0.0.3:0").unwrap().local_addr().unwrap()
    }

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(3)
    }

    #[tokio::test]
    async fn an_address_that_accepts_is_found_behind_one_that_drops_packets_and_one_that_refuses() {
        let (silent, _sockets) = silent();
        let listener = TcpListener::bind("127.0.0.4:0").unwrap();
        let there = listener.local_addr().unwrap();
        let limit = Instant::now() + Duration::from_secs(60);
        let found = first(&[silent, closed(), there], |address| dial(address, BUFFERS), limit).await.unwrap();
        assert_eq!(found.peer_addr().unwrap(), there);
    }

    #[tokio::test]
    async fn if_no_address_accepts_each_has_its_reason() {
        let (silent, _sockets) = silent();
        let closed = closed();
        let failed = first(&[silent, closed], |address| dial(address, BUFFERS), soon()).await.unwrap_err();
        let reasons: Vec<_> = failed.iter().map(|(address, error)| (*address, error.kind())).collect();
        assert_eq!(reasons, [(closed, io::ErrorKind::ConnectionRefused), (silent, io::ErrorKind::TimedOut)]);
        assert!(first(&[], |address| dial(address, BUFFERS), soon()).await.unwrap_err().is_empty());
    }

    #[tokio::test]
    async fn addresses_are_tried_in_order_until_one_connects_and_silent_ones_hold_up_none() {
        let addresses = ["10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"].map(address);
        let tried = RefCell::new(Vec::new());
        let attempt = async |at: SocketAddr| {
            tried.borrow_mut().push(at);
            match addresses.iter().position(|address| *address == at) {
                Some(0) => Err(io::ErrorKind::ConnectionRefused.into()),
                Some(1) => std::future::pending().await,
                _ => Ok(at),
            }
        };
        let found = first(&addresses, attempt, Instant::now() + Duration::from_secs(60)).await.unwrap();
        assert_eq!((found, tried.take()), (addresses[2], addresses[..3].to_vec()));
    }

    #[test]
    fn families_take_turns() {
        let addresses = ["[::1]:1", "[::2]:1", "[::3]:1", "1.0.0.1:1", "1.0.0.2:1"].map(address);
        let order = ["[::1]:1", "1.0.0.1:1", "[::2]:1", "1.0.0.2:1", "[::3]:1"].map(address);
        assert_eq!(in_turn(addresses.into()), order);
        let addresses = ["1.0.0.1:1", "[::1]:1", "[::2]:1"].map(address);
        assert_eq!(in_turn(addresses.into()), addresses);
    }
}
