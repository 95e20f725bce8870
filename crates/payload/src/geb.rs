//! Dstream: events of a gamma-ray tracking array, in the format of GRETINA's global event builder (GEB).
//!
//! Deleria's own wire layout is not public; GRETINA's published file formats are the nearest public stand-in. A body is
//! events back to back, each a GEB header and a payload.
//!
//! # GEB header, 16 bytes, little-endian
//! Source: GRETINA's definition of the global event builder header.
//!
//! | offset | type | field | here |
//! |---|---|---|---|
//! | 0 | i32 | type | 1 decomposed, 2 raw |
//! | 4 | i32 | payload length, header not counted | |
//! | 8 | i64 | timestamp in ticks of 10 ns | **stamped** |
//!
//! # The stamp
//! The sequence number is in the timestamp of every event and of all that is inside it, for a reader that sorts by time
//! would otherwise see each slot's first turn for ever. Timestamps increase strictly with the sequence, so no two
//! messages of a producer are equal even when a slot recurs (48 bits start anew after 32 days of beam, 2^37 messages of
//! eight events; the GEB header's 63 bits do not); producers differ in crystal, jitter and contents. Nothing in the
//! body belongs to the harness.

pub mod decomposed;
mod pulse;
pub mod raw;
mod shape;
mod ticks;

use profile::sizes::GEB_HEADER_BYTES;

/// A producer is one crystal of the array; module numbers have 12 bits, of which two are the board.
const CRYSTALS: u32 = 1024;

/// Type and payload length of a header, as one little-endian number.
fn opening(kind: u32, payload_bytes: usize) -> u64 {
    (payload_bytes as u64) << 32 | u64::from(kind)
}

/// The events of a body: (index, header, payload). Stops at the end of the body.
fn events(body: &[u8], event_bytes: usize) -> impl Iterator<Item = (u32, &[u8], &[u8])> {
    (0u32..).zip(body.chunks_exact(event_bytes)).map(|(index, event)| {
        let (header, payload) = event.split_at(GEB_HEADER_BYTES);
        (index, header, payload)
    })
}
