//! The load balancer's header, before all else in a packet to it.

use super::{HeaderError, head};

/// Entries of a calendar.
pub const SLOTS: u16 = 512;

const MARK: [u8; 2] = *b"LB";

/// The version of the load balancer's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// The slot is in the tick.
    V2,
    /// The slot is a field of its own.
    V3,
}

/// The load balancer's header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LbHeader {
    /// Its version.
    pub version: Version,
    /// What follows; 1 is the reassembly header. The balancer ignores it.
    pub next: u8,
    /// The slot selector. In version 2 it is the low bits of the tick, whatever is written here.
    pub slot: u16,
    /// The selector of the receiver's port, the same for all segments of an event.
    pub entropy: u16,
    /// The event's tick.
    pub tick: u64,
}

impl LbHeader {
    /// Its length.
    pub const BYTES: usize = 16;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let (version, slot) = match self.version {
            Version::V2 => (2, 0),
            Version::V3 => (3, self.slot),
        };
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&MARK);
        bytes[2] = version;
        bytes[3] = self.next;
        bytes[4..6].copy_from_slice(&slot.to_be_bytes());
        bytes[6..8].copy_from_slice(&self.entropy.to_be_bytes());
        bytes[8..].copy_from_slice(&self.tick.to_be_bytes());
        bytes
    }

    /// The header at the start of a packet.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] if there is none.
    pub fn decode(packet: &[u8]) -> Result<Self, HeaderError> {
        let &[l, b, version, next, slot_high, slot_low, entropy_high, entropy_low, ref tick @ ..] =
            head::<{ Self::BYTES }>(packet)?;
        if [l, b] != MARK {
            return Err(HeaderError::Mark);
        }
        let tick = u64::from_be_bytes(*tick);
        let (version, slot) = match version {
            2 => (Version::V2, low_bits(tick)),
            3 => (Version::V3, u16::from_be_bytes([slot_high, slot_low])),
            other => return Err(HeaderError::Version(other)),
        };
        Ok(Self { version, next, slot, entropy: u16::from_be_bytes([entropy_high, entropy_low]), tick })
    }

    /// The entry of the calendar that this packet selects.
    pub fn calendar_slot(&self) -> u16 {
        match self.version {
            Version::V2 => low_bits(self.tick),
            Version::V3 => self.slot % SLOTS,
        }
    }
}

fn low_bits(tick: u64) -> u16 {
    u16::try_from(tick % u64::from(SLOTS)).expect("it is below 512")
}
