//! The three headers on the wire, as bytes and back. Pure.

mod lb;
mod re;
mod sync;

pub use lb::{LbHeader, SLOTS, Version};
pub use re::ReHeader;
pub use sync::Sync;

/// Why bytes are not the expected header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// Fewer bytes than the header has.
    #[error("{0} bytes are too few for the header")]
    Short(usize),
    /// The first bytes are others.
    #[error("the packet does not begin with the header's mark")]
    Mark,
    /// The mark is right and the version is not known.
    #[error("version {0} of the header is not known")]
    Version(u8),
}

/// The first `N` bytes of a packet.
fn head<const N: usize>(packet: &[u8]) -> Result<&[u8; N], HeaderError> {
    packet.first_chunk().ok_or(HeaderError::Short(packet.len()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1_790_000_000_123_456;

    #[test]
    fn the_headers_have_the_documented_bytes() {
        let v2 = LbHeader { version: Version::V2, next: 1, slot: 64, entropy: 0xBEEF, tick: TICK };
        assert_eq!(v2.encode(), *b"\x4c\x42\x02\x01\x00\x00\xbe\xef\x00\x06\x5b\xfe\xda\x27\xc2\x40");
        let v3 = LbHeader { version: Version::V3, slot: 0xC240, ..v2 };
        assert_eq!(v3.encode(), *b"\x4c\x42\x03\x01\xc2\x40\xbe\xef\x00\x06\x5b\xfe\xda\x27\xc2\x40");
        let re = ReHeader { data_id: 0x0501, offset: 1436, event_bytes: 16_000, number: 42 };
        let bytes = *b"\x10\x00\x05\x01\x00\x00\x05\x9c\x00\x00\x3e\x80\x00\x00\x00\x00\x00\x00\x00\x2a";
        assert_eq!(re.encode(), bytes);
        assert_eq!(ReHeader::decode(&bytes), Ok(re));
        let sync = Sync { source: 0x1000_0001, tick: TICK, hertz: 1_000_000, unix_ns: TICK * 1000 };
        let bytes = *b"\x4c\x43\x02\x00\x10\x00\x00\x01\x00\x06\x5b\xfe\xda\x27\xc2\x40\x00\x0f\x42\x40\x18\xd7\x5b\x84\x2b\x4e\xca\x00";
        assert_eq!(sync.encode(), bytes);
        assert_eq!(Sync::decode(&bytes), Ok(sync));
    }

    #[test]
    fn both_versions_of_the_balancers_header_are_read_and_say_their_slot() {
        let v2 = LbHeader { version: Version::V2, next: 1, slot: 64, entropy: 7, tick: TICK };
        assert_eq!(LbHeader::decode(&v2.encode()), Ok(v2));
        let v3 = LbHeader { version: Version::V3, slot: 513, ..v2 };
        assert_eq!(LbHeader::decode(&v3.encode()), Ok(v3));
        assert_eq!((v2.calendar_slot(), v3.calendar_slot()), (64, 1));
    }

    #[test]
    fn what_is_no_header_is_named() {
        let right = LbHeader { version: Version::V2, next: 1, slot: 0, entropy: 7, tick: 0 }.encode();
        let with = |index: usize, byte: u8| {
            let mut bytes = right;
            bytes[index] = byte;
            LbHeader::decode(&bytes)
        };
        assert_eq!(LbHeader::decode(&right[..15]), Err(HeaderError::Short(15)));
        assert_eq!(with(1, b'C'), Err(HeaderError::Mark));
        assert_eq!(with(2, 4), Err(HeaderError::Version(4)));
        // As the sender of ESnet's control plane leaves it; E2SAR refuses it too.
        assert_eq!(ReHeader::decode(&[0; 20]), Err(HeaderError::Mark));
        assert_eq!(ReHeader::decode(&[0x20; 20]), Err(HeaderError::Version(2)));
        assert_eq!(Sync::decode(&right), Err(HeaderError::Short(16)));
    }
}
