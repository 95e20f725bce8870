//! The packet by which a sender tells the control plane the time of its ticks.

use super::{HeaderError, head};

const MARK: [u8; 2] = *b"LC";
const VERSION: u8 = 2;

/// A synchronization packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Sync {
    /// The sender; the control plane ignores it.
    pub source: u32,
    /// The tick now.
    pub tick: u64,
    /// Ticks per second.
    pub hertz: u32,
    /// The sender's time now, in Unix time.
    pub unix_ns: u64,
}

impl Sync {
    /// Its length.
    pub const BYTES: usize = 28;

    /// Its bytes.
    pub fn encode(&self) -> [u8; Self::BYTES] {
        let mut bytes = [0; Self::BYTES];
        bytes[..2].copy_from_slice(&MARK);
        bytes[2] = VERSION;
        bytes[4..8].copy_from_slice(&self.source.to_be_bytes());
        bytes[8..16].copy_from_slice(&self.tick.to_be_bytes());
        bytes[16..20].copy_from_slice(&self.hertz.to_be_bytes());
        bytes[20..].copy_from_slice(&self.unix_ns.to_be_bytes());
        bytes
    }

    /// The synchronization that a packet begins with.
    ///
    /// # Errors
    ///
    /// [`HeaderError`] if it is none.
    pub fn decode(packet: &[u8]) -> Result<Self, HeaderError> {
        let bytes = head::<{ Self::BYTES }>(packet)?;
        if bytes[..2] != MARK {
            return Err(HeaderError::Mark);
        }
        if bytes[2] != VERSION {
            return Err(HeaderError::Version(bytes[2]));
        }
        let eight = |from: usize| u64::from_be_bytes(bytes[from..from + 8].try_into().expect("they are eight"));
        let four = |from: usize| u32::from_be_bytes(bytes[from..from + 4].try_into().expect("they are four"));
        Ok(Self { source: four(4), tick: eight(8), hertz: four(16), unix_ns: eight(20) })
    }
}
