//! The address at which other hosts of the launch reach this one.

use nix::{ifaddrs::getifaddrs, net::if_::InterfaceFlags};
use serde::{Deserialize, Serialize};
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

/// An address of a host, and the network that it is in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Address {
    interface: String,
    address: Ipv4Addr,
    mask: Ipv4Addr,
}

impl Address {
    fn shares_its_network_with(&self, other: &Self) -> bool {
        self.mask == other.mask && self.address & self.mask == other.address & self.mask
    }
}

/// The IPv4 addresses of this host's interfaces that are up, without loopback.
pub fn addresses() -> Vec<Address> {
    let up = getifaddrs().into_iter().flatten().filter(|found| {
        found.flags.contains(InterfaceFlags::IFF_UP) && !found.flags.contains(InterfaceFlags::IFF_LOOPBACK)
    });
    up.filter_map(|found| {
        let address = found.address?.as_sockaddr_in()?.ip();
        let mask = found.netmask?.as_sockaddr_in()?.ip();
        Some(Address { interface: found.interface_name, address, mask })
    })
    .collect()
}

/// The address of `own` that `others` reach: the one that is `wanted`, by its interface or itself; else the first in a
/// network that every other host has an address in; else the one from which this host sends to them.
///
/// # Errors
///
/// A sentence, if none is known to be.
pub fn choose(own: &[Address], others: &[Vec<Address>], wanted: Option<&str>) -> Result<Ipv4Addr, String> {
    let listed = || own.iter().map(|own| format!("{} ({})", own.interface, own.address)).collect::<Vec<_>>().join(", ");
    if let Some(wanted) = wanted {
        let named = own.iter().find(|own| own.interface == wanted || own.address.to_string() == wanted);
        return named
            .map(|own| own.address)
            .ok_or_else(|| format!("there is no interface `{wanted}`: choose one of {} for --interface", listed()));
    }
    let shared =
        |own: &&Address| others.iter().all(|other| other.iter().any(|other| own.shares_its_network_with(other)));
    let sent_from = || others.iter().flatten().find_map(|other| sends_to(other.address));
    own.iter().find(shared).map(|own| own.address).or_else(sent_from).ok_or_else(|| {
        format!(
            "it shares no network with the other hosts (it has {}): choose one with --interface, or give \
             the service's address with --url",
            listed()
        )
    })
}

/// The address from which this host would send to another. Sends nothing.
fn sends_to(other: Ipv4Addr) -> Option<Ipv4Addr> {
    const DISCARD: u16 = 9;
    let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).ok()?;
    socket.connect((other, DISCARD)).ok()?;
    match socket.local_addr().ok()?.ip() {
        IpAddr::V4(own) if !own.is_loopback() => Some(own),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(addresses: &[(&str, [u8; 4])]) -> Vec<Address> {
        let address = |&(interface, address): &(&str, [u8; 4])| Address {
            interface: interface.to_owned(),
            address: address.into(),
            mask: [255, 255, 255, 0].into(),
        };
        addresses.iter().map(address).collect()
    }

    #[test]
    fn a_network_that_all_hosts_share_goes_before_one_that_some_share() {
        let own = host(&[("eth0", [192, 0, 2, 1]), ("ib0", [198, 51, 100, 1])]);
        let second = host(&[("eth0", [192, 0, 2, 2]), ("ib0", [198, 51, 100, 2])]);
        let third = host(&[("ib0", [198, 51, 100, 3])]);
        assert_eq!(choose(&own, &[second.clone(), third], None), Ok([198, 51, 100, 1].into()));
        assert_eq!(choose(&own, std::slice::from_ref(&second), None), Ok([192, 0, 2, 1].into()), "the first of two");
        for wanted in ["ib0", "198.51.100.1"] {
            let chosen = choose(&own, std::slice::from_ref(&second), Some(wanted));
            assert_eq!(chosen, Ok([198, 51, 100, 1].into()));
        }
    }

    #[test]
    fn an_interface_that_is_not_there_is_refused_with_those_that_are() {
        let own = host(&[("eth0", [192, 0, 2, 1]), ("ib0", [198, 51, 100, 1])]);
        let sentence = choose(&own, &[], Some("ib1")).unwrap_err();
        assert!(sentence.contains("eth0 (192.0.2.1), ib0 (198.51.100.1)"), "{sentence}");
    }

    #[test]
    fn a_launch_without_any_network_is_refused_with_what_to_give() {
        let sentence = choose(&[], &[Vec::new()], None).unwrap_err();
        assert!(sentence.contains("--url"), "{sentence}");
    }
}
