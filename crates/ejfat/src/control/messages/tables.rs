//! What a software load balancer balances by, from our control plane to our balancer.

use crate::{
    balance::{Epoch, Member},
    wire::SLOTS,
};
use std::{net::IpAddr, sync::Arc};

/// Asks for the tables of a load balancer, unless they are known.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct TablesRequest {
    /// The load balancer, from 0.
    #[prost(uint32, tag = "1")]
    pub balancer: u32,
    /// The version that the balancer has; 0 for none.
    #[prost(uint64, tag = "2")]
    pub known: u64,
    /// What the balancer counted since its start.
    #[prost(message, repeated, tag = "3")]
    pub packets: Vec<Count>,
}

/// Packets of which one thing became.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Count {
    /// What became of them.
    #[prost(string, tag = "1")]
    pub name: String,
    /// How many.
    #[prost(uint64, tag = "2")]
    pub value: u64,
}

/// The tables, all that there are at one time.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Tables {
    /// Their version. If it is the known one the rest is empty.
    #[prost(uint64, tag = "1")]
    pub version: u64,
    /// Addresses that may send: 4 or 16 bytes each.
    #[prost(bytes = "vec", repeated, tag = "2")]
    pub senders: Vec<Vec<u8>>,
    /// The live epochs, the oldest first.
    #[prost(message, repeated, tag = "3")]
    pub epochs: Vec<EpochTable>,
    /// The receivers.
    #[prost(message, repeated, tag = "4")]
    pub members: Vec<MemberTable>,
}

/// One epoch.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct EpochTable {
    /// Its first tick.
    #[prost(uint64, tag = "1")]
    pub first_tick: u64,
    /// A member for each slot; 65535 for none.
    #[prost(uint32, repeated, tag = "2")]
    pub calendar: Vec<u32>,
}

/// One receiver.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MemberTable {
    /// Its id in calendars.
    #[prost(uint32, tag = "1")]
    pub id: u32,
    /// Its address: 4 or 16 bytes.
    #[prost(bytes = "vec", tag = "2")]
    pub ip: Vec<u8>,
    /// Its first port.
    #[prost(uint32, tag = "3")]
    pub port: u32,
    /// It has two to the power of this many ports.
    #[prost(uint32, tag = "4")]
    pub port_bits: u32,
    /// Whether it gets the load balancer's header too.
    #[prost(bool, tag = "5")]
    pub keep_lb_header: bool,
    /// Whether it has left, so that its packets are dropped.
    #[prost(bool, tag = "6")]
    pub left: bool,
}

impl From<&crate::balance::Tables> for Tables {
    fn from(tables: &crate::balance::Tables) -> Self {
        let epoch = |epoch: &Epoch| EpochTable {
            first_tick: epoch.first_tick,
            calendar: epoch.calendar.iter().copied().map(u32::from).collect(),
        };
        let member = |(id, member): (&u16, &Member)| MemberTable {
            id: u32::from(*id),
            ip: octets(member.ip),
            port: u32::from(member.port),
            port_bits: u32::from(member.port_bits),
            keep_lb_header: member.keep_lb_header,
            left: member.left,
        };
        Self {
            version: tables.version,
            senders: tables.senders.iter().copied().map(octets).collect(),
            epochs: tables.epochs.iter().map(epoch).collect(),
            members: tables.members.iter().map(member).collect(),
        }
    }
}

impl Tables {
    /// What to balance by; `None` if something has no meaning.
    pub fn read(&self) -> Option<crate::balance::Tables> {
        let epoch = |epoch: &EpochTable| {
            let members: Option<Vec<u16>> = epoch.calendar.iter().map(|id| u16::try_from(*id).ok()).collect();
            let calendar: [u16; SLOTS as usize] = members?.try_into().ok()?;
            Some(Epoch { first_tick: epoch.first_tick, calendar: Arc::new(calendar) })
        };
        let member = |member: &MemberTable| {
            let read = Member {
                ip: address(&member.ip)?,
                port: u16::try_from(member.port).ok()?,
                port_bits: u8::try_from(member.port_bits).ok().filter(|bits| *bits <= 14)?,
                keep_lb_header: member.keep_lb_header,
                left: member.left,
            };
            Some((u16::try_from(member.id).ok()?, read))
        };
        let epochs: Vec<Epoch> = self.epochs.iter().map(epoch).collect::<Option<_>>()?;
        let ascend = epochs.windows(2).all(|pair| pair[0].first_tick < pair[1].first_tick);
        ascend.then_some(crate::balance::Tables {
            version: self.version,
            senders: self.senders.iter().map(|bytes| address(bytes)).collect::<Option<_>>()?,
            epochs,
            members: self.members.iter().map(member).collect::<Option<_>>()?,
        })
    }
}

fn octets(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => ip.octets().to_vec(),
        IpAddr::V6(ip) => ip.octets().to_vec(),
    }
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    <[u8; 4]>::try_from(bytes).map(IpAddr::from).or_else(|_| <[u8; 16]>::try_from(bytes).map(IpAddr::from)).ok()
}
