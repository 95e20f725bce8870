//! The largest packet that the way to another host carries.

use crate::error::{Error, Result};
use nix::sys::socket::{getsockopt, sockopt::IpMtu};
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};

/// Refuses packets of `mtu` bytes if the way to `to` is known to carry less: the kernel would cut them, and a load balancer drops
/// pieces. It knows its own link, and what routers have reported; of IPv6 it reports nothing. Sends nothing.
///
/// # Errors
///
/// [`Error::LinkMtu`] with what the way carries.
pub fn check_mtu(to: SocketAddr, mtu: u16) -> Result<()> {
    let carried = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))
        .ok()
        .filter(|socket| to.is_ipv4() && socket.connect(to).is_ok())
        .and_then(|socket| u32::try_from(getsockopt(&socket, IpMtu).ok()?).ok());
    match carried {
        Some(carried) if carried < u32::from(mtu) => Err(Error::LinkMtu { to: to.to_string(), mtu, carried }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loopback_carries_jumbo_frames_and_nothing_is_known_of_nowhere() {
        check_mtu(([127, 0, 0, 1], 9).into(), 9000).unwrap();
        check_mtu("[::1]:9".parse().unwrap(), 9000).unwrap();
    }
}
