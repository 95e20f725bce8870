//! The ports that a control server may assign to its data servers.

use std::{
    collections::BTreeSet,
    net::{IpAddr, TcpListener},
    ops::RangeInclusive,
};

/// The ports, and which of them are assigned.
#[derive(Debug)]
pub struct Ports {
    bind: IpAddr,
    range: RangeInclusive<u16>,
    taken: BTreeSet<u16>,
}

impl Ports {
    pub fn new(bind: IpAddr, range: RangeInclusive<u16>) -> Self {
        Self { bind, range, taken: BTreeSet::new() }
    }

    /// Number of ports, assigned or not.
    pub fn len(&self) -> usize {
        self.range.len()
    }

    /// Assigns `count` ports that are neither assigned nor in use. `None`, and nothing is assigned, if there are too
    /// few.
    pub fn take(&mut self, count: usize) -> Option<Vec<u16>> {
        let bind = self.bind;
        let free = |port: &u16| !self.taken.contains(port) && TcpListener::bind((bind, *port)).is_ok();
        let ports: Vec<u16> = self.range.clone().filter(free).take(count).collect();
        if ports.len() < count {
            return None;
        }
        self.taken.extend(&ports);
        Some(ports)
    }

    pub fn give_back(&mut self, ports: &[u16]) {
        self.taken.retain(|port| !ports.contains(port));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    /// Ports that were free a moment ago, below the system's ephemeral ports.
    fn range() -> RangeInclusive<u16> {
        let free = |first: &u16| (*first..first + 3).all(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok());
        let first = (8300..9900).step_by(3).find(free).unwrap();
        first..=first + 2
    }

    #[test]
    fn too_many_are_refused_whole_and_what_is_given_back_can_be_had_again() {
        let mut ports = Ports::new(Ipv4Addr::LOCALHOST.into(), range());
        let two = ports.take(2).unwrap();
        assert_eq!(ports.take(2), None);
        let third = ports.take(1).unwrap();
        ports.give_back(&two);
        assert_eq!(ports.take(2), Some(two));
        ports.give_back(&third);
        let stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, third[0])).unwrap();
        assert_eq!(ports.take(1), None, "somebody else listens there");
        drop(stranger);
        assert_eq!(ports.take(1), Some(third));
    }
}
