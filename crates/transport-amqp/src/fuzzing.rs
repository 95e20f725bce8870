//! Checks that lapin's parser can read everything that the guard passes. For tests/fuzz, which may not name the client
//! library.

pub use crate::native::fuzzing::take_messages;

use crate::guard::{Guard, Violation};
use lapin::protocol::{basic::parse_properties, parse_class};

/// Small, so that short inputs can be too large for a frame.
const FRAME_MAX: u32 = 4096;
/// The first byte of a frame.
const METHOD: u8 = 1;
const HEADER: u8 = 2;
/// Type, channel and size.
const HEAD_BYTES: usize = 7;
/// Class, weight and size of the body come before them.
const PROPERTIES_AT: usize = 12;

/// Handles `stream` as a connection does, in chunks of `chunk` bytes.
///
/// # Panics
///
/// If the result depends on the chunks, or if a header passes that the client library cannot read.
pub fn take_frames(stream: &[u8], chunk: usize) {
    let whole = through(stream, stream.len().max(1));
    assert_eq!(through(stream, chunk.max(1)), whole, "in chunks of {chunk}");
    let Ok(passed) = whole else { return };
    // The greeting of another AMQP version: lapin reads no further, and neither does the guard.
    let mut rest = if passed.starts_with(b"A") { &[] } else { passed.as_slice() };
    while let Some((kind, payload, after)) = frame(rest) {
        match kind {
            METHOD => drop(parse_class(payload)),
            HEADER => assert!(matches!(parse_properties(&payload[PROPERTIES_AT..]), Ok(([], _))), "{payload:?}"),
            _ => {}
        }
        rest = after;
    }
}

/// The first frame's type and payload, if it is complete, and the remaining bytes.
fn frame(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD_BYTES)?;
    let size = u32::from_be_bytes(head[3..].try_into().expect("four bytes are left"));
    let (payload, rest) = rest.split_at_checked(size as usize)?;
    Some((head[0], payload, rest.get(1..)?))
}

fn through(stream: &[u8], chunk: usize) -> Result<Vec<u8>, Violation> {
    let mut guard = Guard::new(FRAME_MAX);
    let mut passed = Vec::new();
    for chunk in stream.chunks(chunk) {
        let mut bytes = [guard.held(), chunk].concat();
        let n = guard.look(&mut bytes)?;
        passed.extend_from_slice(&bytes[..n]);
    }
    Ok(passed)
}
