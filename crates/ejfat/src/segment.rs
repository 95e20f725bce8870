//! An event as segments: where it is cut, and the headers of each piece. Pure.

mod spread;

pub use spread::Spread;

use crate::wire::{LbHeader, ReHeader, Version};
use std::{net::IpAddr, ops::Range};

/// `next` of the load balancer's header: a reassembly header follows.
const NEXT_RE: u8 = 1;
const HEADERS: usize = LbHeader::BYTES + ReHeader::BYTES;
const UDP: u16 = 8;
const IPV4: u16 = 20;
const IPV6: u16 = 40;

/// How many bytes of an event fit into a packet.
#[derive(Debug)]
pub struct BodyMax;

impl BodyMax {
    /// For packets to `address` over links of this MTU; `None` if the headers alone fill it.
    pub fn of_mtu(mtu: u16, address: IpAddr) -> Option<u16> {
        let ip = if address.is_ipv4() { IPV4 } else { IPV6 };
        let headers = ip + UDP + u16::try_from(HEADERS).expect("36 bytes");
        mtu.checked_sub(headers).filter(|bytes| *bytes > 0)
    }
}

/// What the segments of an event share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Event {
    /// Its tick.
    pub tick: u64,
    /// Its slot selector, for version 3.
    pub slot: u16,
    /// Its selector of the receiver's port.
    pub entropy: u16,
    /// Its source.
    pub data_id: u16,
    /// Its number.
    pub number: u64,
    /// Its length.
    pub bytes: u32,
}

/// Cuts events.
#[derive(Debug, Clone, Copy)]
pub struct Segmenter {
    /// The version of the load balancer's header.
    pub version: Version,
    /// Bytes of an event in each packet but the last; see [`BodyMax`].
    pub body_max: u16,
}

impl Segmenter {
    /// How many packets an event of this length takes. An event without bytes takes one, so that it can arrive.
    pub fn segments(&self, event_bytes: u32) -> u32 {
        event_bytes.div_ceil(u32::from(self.body_max)).max(1)
    }

    /// The segments of an event, in the order of its bytes.
    pub fn cut(&self, event: &Event) -> impl ExactSizeIterator<Item = Segment> + use<> {
        let (event, step) = (*event, u32::from(self.body_max));
        let lb = LbHeader {
            version: self.version,
            next: NEXT_RE,
            slot: event.slot,
            entropy: event.entropy,
            tick: event.tick,
        }
        .encode();
        let count = usize::try_from(self.segments(event.bytes)).expect("addresses have at least 32 bits");
        (0..count).map(move |index| {
            let offset = u32::try_from(index).expect("there are at most 2^32 segments") * step;
            let re = ReHeader { data_id: event.data_id, offset, event_bytes: event.bytes, number: event.number };
            let mut headers = [0; HEADERS];
            headers[..LbHeader::BYTES].copy_from_slice(&lb);
            headers[LbHeader::BYTES..].copy_from_slice(&re.encode());
            Segment { headers, offset, end: offset.saturating_add(step).min(event.bytes) }
        })
    }
}

/// One packet of an event: its headers, and which bytes follow them.
#[derive(Debug, Clone, Copy)]
pub struct Segment {
    headers: [u8; HEADERS],
    offset: u32,
    end: u32,
}

impl Segment {
    /// Both headers, for a packet to a load balancer.
    pub fn headers(&self) -> &[u8] {
        &self.headers
    }

    /// The reassembly header, as a receiver behind a load balancer gets it.
    pub fn re_header(&self) -> &[u8] {
        &self.headers[LbHeader::BYTES..]
    }

    /// The bytes of the event.
    pub fn range(&self) -> Range<usize> {
        let index = |at: u32| usize::try_from(at).expect("addresses have at least 32 bits");
        index(self.offset)..index(self.end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, Ipv6Addr};

    const EVENT: Event = Event { tick: 5, slot: 3, entropy: 9, data_id: 2, number: 42, bytes: 16_000 };

    #[test]
    fn a_packet_holds_what_the_mtu_leaves_after_the_headers() {
        let (v4, v6) = (IpAddr::V4(Ipv4Addr::LOCALHOST), IpAddr::V6(Ipv6Addr::LOCALHOST));
        assert_eq!(BodyMax::of_mtu(1500, v4), Some(1436));
        assert_eq!(BodyMax::of_mtu(1500, v6), Some(1416));
        assert_eq!(BodyMax::of_mtu(9000, v4), Some(8936));
        assert_eq!(BodyMax::of_mtu(9000, v6), Some(8916));
        assert_eq!((BodyMax::of_mtu(65, v4), BodyMax::of_mtu(64, v4)), (Some(1), None));
    }

    #[test]
    fn an_event_is_cut_into_full_segments_and_a_last_one() {
        let segmenter = Segmenter { version: Version::V3, body_max: 1436 };
        let segments: Vec<Segment> = segmenter.cut(&EVENT).collect();
        assert_eq!((segments.len(), segmenter.segments(EVENT.bytes)), (12, 12));
        assert_eq!((segments[0].range(), segments[11].range()), (0..1436, 15_796..16_000));
        assert!(segments.windows(2).all(|pair| pair[0].range().end == pair[1].range().start));
        for segment in &segments {
            let lb = LbHeader::decode(segment.headers()).unwrap();
            assert_eq!((lb.slot, lb.entropy, lb.tick, lb.next), (3, 9, 5, 1));
            let re = ReHeader::decode(segment.re_header()).unwrap();
            assert_eq!((re.offset as usize, re.event_bytes, re.number), (segment.range().start, 16_000, 42));
        }
    }

    #[test]
    fn the_smallest_and_the_largest_events_are_cut() {
        let segmenter = Segmenter { version: Version::V2, body_max: 8936 };
        let mut empty = segmenter.cut(&Event { bytes: 0, ..EVENT }).map(|segment| segment.range());
        assert_eq!((empty.next(), empty.next()), (Some(0..0), None));
        let largest = segmenter.cut(&Event { bytes: u32::MAX, ..EVENT });
        let (count, last) = (largest.len(), largest.last().unwrap().range());
        assert_eq!((count, last.end), (480_637, u32::MAX as usize));
    }
}
