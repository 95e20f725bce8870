//! The reassembly header, before the bytes of each segment.

use super::{HeaderError, head};

/// Version 1 in the upper half of the first byte; the rest of the first two bytes is reserved.
const MARK: [u8; 2] = [0x10, 0];

/// The reassembly header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReHeader {
    /// The source. Event number and source together name an event.
    pub data_id: u16,
    /// Where the segment's bytes begin in the event.
    pub offset: u32,
    /// Length of the whole event, the same in all its segments.
    pub event_bytes: u32,
    /// The event's number.
    pub number: u64,
}

impl ReHeader {
    /// Its length.
    pub const BYTES: usize = 20;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&MARK);
        bytes[2..4].copy_from_slice(&self.data_id.to_be_bytes());
        bytes[4..8].copy_from_slice(&self.offset.to_be_bytes());
        bytes[8..12].copy_from_slice(&self.event_bytes.to_be_bytes());
        bytes[12..].copy_from_slice(&self.number.to_be_bytes());
        bytes
    }

    /// The header at the start of a packet.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] if there is none.
    pub fn decode(packet: &[u8]) -> Result<Self, HeaderError> {
        let &[first, reserved, id_high, id_low, o0, o1, o2, o3, l0, l1, l2, l3, ref number @ ..] =
            head::<{ Self::BYTES }>(packet)?;
        if [first, reserved] != MARK {
            let version = first >> 4;
            return Err(if version < 2 { HeaderError::Mark } else { HeaderError::Version(version) });
        }
        Ok(Self {
            data_id: u16::from_be_bytes([id_high, id_low]),
            offset: u32::from_be_bytes([o0, o1, o2, o3]),
            event_bytes: u32::from_be_bytes([l0, l1, l2, l3]),
            number: u64::from_be_bytes(*number),
        })
    }
}
