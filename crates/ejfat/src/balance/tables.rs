//! What becomes of a packet at the load balancer, by tables that are replaced as a whole. Pure.

use crate::wire::{HeaderError, LbHeader, SLOTS};
use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

/// In a calendar: nobody takes this slot.
pub const NO_MEMBER: u16 = u16::MAX;

/// A member for each slot.
pub type Calendar = Arc<[u16; SLOTS as usize]>;

/// A calendar, and the first tick that it is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Epoch {
    /// The first tick.
    pub first_tick: u64,
    /// The receivers.
    pub calendar: Calendar,
}

/// A receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Member {
    /// Its address.
    pub ip: IpAddr,
    /// Its first port.
    pub port: u16,
    /// It has two to the power of this many ports.
    pub port_bits: u8,
    /// Whether it gets the load balancer's header too.
    pub keep_lb_header: bool,
    /// Whether it has left: its packets are dropped.
    pub left: bool,
}

/// Where a packet goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Route {
    /// The receiver's address and port.
    pub to: SocketAddr,
    /// How many bytes of the packet are left out at its start.
    pub skip: usize,
}

/// Why a packet goes nowhere.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dropped {
    /// Its source may not send.
    Source,
    /// It has no load balancer's header.
    Header,
    /// Its header has an unknown version.
    Version,
    /// There is no epoch yet.
    Epoch,
    /// Nobody has its slot.
    Slot,
    /// The calendar names a receiver that is not known, or has no address of the packet's family.
    Member,
    /// The receiver has left.
    Left,
    /// It is longer than a jumbo frame.
    TooLong,
    /// The system did not take it.
    Unsent,
}

impl Dropped {
    /// All reasons.
    pub const ALL: [Self; 9] = [
        Self::Source,
        Self::Header,
        Self::Version,
        Self::Epoch,
        Self::Slot,
        Self::Member,
        Self::Left,
        Self::TooLong,
        Self::Unsent,
    ];

    /// Its name in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source_not_allowed",
            Self::Header => "no_header",
            Self::Version => "unknown_version",
            Self::Epoch => "no_epoch",
            Self::Slot => "empty_slot",
            Self::Member => "unknown_member",
            Self::Left => "member_left",
            Self::TooLong => "too_long",
            Self::Unsent => "not_sent",
        }
    }
}

/// All that a load balancer knows at one time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tables {
    /// Changes with every change; 0 for the empty ones.
    pub version: u64,
    /// Who may send.
    pub senders: HashSet<IpAddr>,
    /// The live epochs, in ascending order of their first ticks.
    pub epochs: Vec<Epoch>,
    /// The receivers, by their id in calendars.
    pub members: HashMap<u16, Member>,
}

impl Tables {
    /// Where a packet from `source` goes.
    ///
    /// # Errors
    ///
    /// The reason why it goes nowhere.
    pub fn route(&self, source: IpAddr, packet: &[u8]) -> Result<Route, Dropped> {
        if !self.senders.contains(&source.to_canonical()) {
            return Err(Dropped::Source);
        }
        let header = LbHeader::decode(packet).map_err(|error| match error {
            HeaderError::Version(_) => Dropped::Version,
            HeaderError::Short(_) | HeaderError::Mark => Dropped::Header,
        })?;
        let epoch = self.epoch(header.tick).ok_or(Dropped::Epoch)?;
        let id = epoch.calendar[usize::from(header.calendar_slot())];
        if id == NO_MEMBER {
            return Err(Dropped::Slot);
        }
        let member = self.members.get(&id).ok_or(Dropped::Member)?;
        if member.left {
            return Err(Dropped::Left);
        }
        if member.ip.is_ipv4() != source.to_canonical().is_ipv4() {
            return Err(Dropped::Member);
        }
        let mask = (1u32 << member.port_bits.min(14)) - 1;
        let port = u32::from(member.port) + (u32::from(header.entropy) & mask);
        let port = u16::try_from(port).map_err(|_| Dropped::Member)?;
        let skip = if member.keep_lb_header { 0 } else { LbHeader::BYTES };
        Ok(Route { to: SocketAddr::new(member.ip, port), skip })
    }

    /// The epoch of a tick. Ticks before all epochs are of the oldest, so that a new epoch changes nothing for events
    /// that are under way; ESnet's gives them to the newest.
    fn epoch(&self, tick: u64) -> Option<&Epoch> {
        let after = self.epochs.partition_point(|epoch| epoch.first_tick <= tick);
        self.epochs.get(after.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::Version;
    use std::net::Ipv4Addr;

    const SENDER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1));
    const WORKER: IpAddr = IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2));

    fn tables() -> Tables {
        let member = Member { ip: WORKER, port: 20_000, port_bits: 1, keep_lb_header: false, left: false };
        let epoch = |first_tick, id| Epoch { first_tick, calendar: Arc::new([id; SLOTS as usize]) };
        let mut second = epoch(2000, 8);
        Arc::get_mut(&mut second.calendar).unwrap()[3] = NO_MEMBER;
        Tables {
            version: 1,
            senders: HashSet::from([SENDER]),
            epochs: vec![epoch(1000, 7), second, epoch(3000, 9), epoch(4000, 10)],
            members: HashMap::from([
                (7, member),
                (8, Member { port: 30_000, port_bits: 0, keep_lb_header: true, ..member }),
                (9, Member { left: true, ..member }),
            ]),
        }
    }

    fn packet(version: Version, tick: u64, slot: u16) -> [u8; 16] {
        LbHeader { version, next: 1, slot, entropy: 0xBEEF, tick }.encode()
    }

    #[test]
    fn a_packet_goes_to_the_member_of_its_epoch_and_slot_at_the_port_of_its_entropy() {
        let tables = tables();
        let to = |tick| tables.route(SENDER, &packet(Version::V3, tick, 0)).unwrap();
        assert_eq!(to(1999), Route { to: SocketAddr::new(WORKER, 20_001), skip: 16 });
        assert_eq!(to(2000), Route { to: SocketAddr::new(WORKER, 30_000), skip: 0 });
        assert_eq!(to(5), to(1999), "a tick before all epochs is of the oldest");
    }

    #[test]
    fn each_reason_of_a_drop_is_told_apart() {
        let tables = tables();
        let why = |source, packet: &[u8]| tables.route(source, packet).unwrap_err();
        let good = packet(Version::V3, 2500, 3);
        assert_eq!(why(WORKER, &good), Dropped::Source);
        assert_eq!(why(SENDER, b"LC\x03"), Dropped::Header);
        assert_eq!(why(SENDER, &[b"LB\x04", &good[3..]].concat()), Dropped::Version);
        assert_eq!(why(SENDER, &good), Dropped::Slot);
        assert_eq!(why(SENDER, &packet(Version::V2, 2048 + 3, 9)), Dropped::Slot, "version 2 has it in the tick");
        assert_eq!(why(SENDER, &packet(Version::V3, 3000, 0)), Dropped::Left);
        assert_eq!(why(SENDER, &packet(Version::V3, 4000, 0)), Dropped::Member);
        let none = Tables { epochs: Vec::new(), ..tables.clone() };
        assert_eq!(none.route(SENDER, &good), Err(Dropped::Epoch));
        let six: IpAddr = "2001:db8::1".parse().unwrap();
        let both = Tables { senders: HashSet::from([six]), ..tables.clone() };
        assert_eq!(both.route(six, &packet(Version::V3, 1000, 0)), Err(Dropped::Member));
    }
}
