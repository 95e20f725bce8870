//! Sizes that the formats fix, in bytes and in numbers: plans and the code that builds bodies both take them from here.

/// Largest body: RabbitMQ 3's default limit (RabbitMQ 4 accepts 16 MiB by default).
pub const BODY_BYTES_MAX: u64 = 128 << 20;

/// The header in front of every GEB event.
pub const GEB_HEADER_BYTES: usize = 16;
/// A decomposed crystal, without its GEB header.
pub const GEB_CRYSTAL_BYTES: usize = 464;

/// An ADARA packet in front of its banks: header, pulse and one source.
pub const ADARA_HEAD_BYTES: usize = 48;
/// Banks of an ADARA packet.
pub const ADARA_BANKS: usize = 4;
/// The header of an ADARA bank.
pub const ADARA_BANK_BYTES: usize = 8;
/// A neutron: time of flight and pixel.
pub const ADARA_EVENT_BYTES: usize = 8;

/// Most peaks of a frame.
pub const FRAME_PEAKS: usize = 16;
/// A peak: row, column and height.
pub const PEAK_BYTES: usize = 6;
