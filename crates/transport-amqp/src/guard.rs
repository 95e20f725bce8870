//! Checks frames before lapin: what its parser cannot read is made harmless, or ends the connection with the true
//! reason (docs/decisions/foreign-headers.md).
//!
//! Properties of a message come from its publisher; services forward them unchanged. lapin's parser recurses over
//! nested tables to the end of its stack, and treats a property that it cannot read, or a header larger than the
//! negotiated frame size, as an error of the whole connection. So the guard strips the properties of such a header: the
//! message arrives, and counts as foreign. Bodies pass unread.

use crate::tables::{NESTING_MAX, Reader, Unreadable};
use std::str::from_utf8;

pub(crate) const METHOD: u8 = 1;
pub(crate) const HEADER: u8 = 2;
pub(crate) const BODY: u8 = 3;
pub(crate) const HEARTBEAT: u8 = 8;
pub(crate) const FRAME_END: u8 = 0xce;
/// Type, channel and size.
pub(crate) const FRAME_HEAD_BYTES: usize = 7;
/// Class, weight and size of the body, then the flags of the properties.
const BARE_PAYLOAD_BYTES: usize = 14;
const BARE_FRAME_BYTES: usize = FRAME_HEAD_BYTES + BARE_PAYLOAD_BYTES + 1;

/// Bytes that no AMQP service sends.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    #[error("bytes that are no AMQP frame")]
    NoFrame,
    #[error("a frame of {bytes} B where at most {limit} B were agreed")]
    TooLarge { bytes: u64, limit: u32 },
    #[error("tables that nest more than {NESTING_MAX} deep")]
    TooDeep,
    #[error("method {0}.{1}, which only clients send")]
    OfClients(u16, u16),
}

/// Checks the frames of one connection.
#[derive(Debug)]
pub(crate) struct Guard {
    /// The largest requested frame, later the largest negotiated frame.
    frame_max: u32,
    within: Within,
    /// Bytes of a frame that is not complete yet.
    held: Vec<u8>,
    first: bool,
    /// Reasons why the service closed something, until they are taken: code and text.
    closed: Vec<(u16, String)>,
}

/// The position of the next byte in the stream.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// At the beginning of a frame.
    Boundary,
    /// In a frame that is passed to lapin, with this many bytes left.
    Passing(u64),
    /// In a frame that was replaced by a bare one, with this many bytes left to drop.
    Dropping(u64),
    /// After the greeting of another AMQP version; lapin reports it.
    Other,
}

/// The verdict on a frame.
enum Verdict {
    /// More of it must arrive first.
    Wait,
    /// It passes; it has this many bytes.
    Pass(u64),
    /// A bare one passes instead.
    Bare(u64),
}

impl Guard {
    /// A guard for frames of at most `frame_max` bytes, until the service lowers that limit.
    pub(crate) fn new(frame_max: u32) -> Self {
        Self { frame_max, within: Within::Boundary, held: Vec::new(), first: true, closed: Vec::new() }
    }

    /// Reasons why the service closed the connection or its channels, since the last call. lapin does not report a
    /// channel that both sides close at once.
    pub(crate) fn closed(&mut self) -> impl Iterator<Item = (u16, String)> {
        self.closed.drain(..)
    }

    /// Bytes that were held back and precede the next ones.
    pub(crate) fn held(&self) -> &[u8] {
        &self.held
    }

    /// Whether the next byte begins a frame, or continues one that is held back.
    pub(crate) fn is_between_frames(&self) -> bool {
        matches!(self.within, Within::Boundary)
    }

    /// The largest frame that was agreed.
    pub(crate) fn frame_max(&self) -> u32 {
        self.frame_max
    }

    /// Checks and possibly rewrites `bytes`, which begin with those that were held back. Returns how many of them may
    /// pass; those of an incomplete frame are held back.
    pub(crate) fn look(&mut self, bytes: &mut [u8]) -> Result<usize, Violation> {
        self.held.clear();
        let (mut from, mut to) = (0, 0);
        while from < bytes.len() {
            let rest = bytes.len() - from;
            match self.within {
                Within::Passing(left) | Within::Dropping(left) => {
                    let n = usize::try_from(left).unwrap_or(usize::MAX).min(rest);
                    let left = left - n as u64;
                    if left == 0 && bytes[from + n - 1] != FRAME_END {
                        return Err(Violation::NoFrame);
                    }
                    let passing = matches!(self.within, Within::Passing(_));
                    if passing {
                        bytes.copy_within(from..from + n, to);
                        to += n;
                    }
                    from += n;
                    self.within = match (left, passing) {
                        (0, _) => Within::Boundary,
                        (left, true) => Within::Passing(left),
                        (left, false) => Within::Dropping(left),
                    };
                }
                Within::Other => {
                    bytes.copy_within(from.., to);
                    to += rest;
                    from += rest;
                }
                Within::Boundary if self.first && bytes[from] == b'A' => self.within = Within::Other,
                Within::Boundary => match self.judge(&mut bytes[from..])? {
                    Verdict::Wait => {
                        self.held.extend_from_slice(&bytes[from..]);
                        break;
                    }
                    Verdict::Pass(total) => self.within = Within::Passing(total),
                    Verdict::Bare(total) => {
                        let last = bytes[from + BARE_FRAME_BYTES - 1];
                        bytes.copy_within(from..from + BARE_FRAME_BYTES, to);
                        bare(&mut bytes[to..to + BARE_FRAME_BYTES]);
                        to += BARE_FRAME_BYTES;
                        from += BARE_FRAME_BYTES;
                        self.within = match total - BARE_FRAME_BYTES as u64 {
                            // The bare frame may extend over the end of the original frame.
                            0 if last != FRAME_END => return Err(Violation::NoFrame),
                            0 => Within::Boundary,
                            left => Within::Dropping(left),
                        };
                    }
                },
            }
            self.first = false;
        }
        Ok(to)
    }

    /// The verdict on the frame at the start of `bytes`.
    fn judge(&mut self, bytes: &mut [u8]) -> Result<Verdict, Violation> {
        let kind = bytes[0];
        if ![METHOD, HEADER, BODY, HEARTBEAT].contains(&kind) {
            return Err(Violation::NoFrame);
        }
        let Some(size) = bytes.get(3..FRAME_HEAD_BYTES) else { return Ok(Verdict::Wait) };
        let size = u32::from_be_bytes(size.try_into().expect("four bytes were taken"));
        let total = FRAME_HEAD_BYTES as u64 + u64::from(size) + 1;
        let too_large = total > u64::from(self.frame_max);
        match kind {
            HEADER if (size as usize) < BARE_PAYLOAD_BYTES => return Err(Violation::NoFrame),
            // None of our properties is that large, and no service can split a header.
            HEADER if bytes.len() < BARE_FRAME_BYTES => return Ok(Verdict::Wait),
            HEADER if too_large => return Ok(Verdict::Bare(total)),
            _ if too_large => return Err(Violation::TooLarge { bytes: total, limit: self.frame_max }),
            BODY | HEARTBEAT => return Ok(Verdict::Pass(total)),
            _ => {}
        }
        let Some(payload) = bytes.get_mut(FRAME_HEAD_BYTES..FRAME_HEAD_BYTES + size as usize) else {
            return Ok(Verdict::Wait);
        };
        if kind == HEADER {
            let readable = Reader(&payload[BARE_PAYLOAD_BYTES - 2..]).properties().is_ok();
            return Ok(if readable { Verdict::Pass(total) } else { Verdict::Bare(total) });
        }
        self.judge_method(payload)?;
        Ok(Verdict::Pass(total))
    }

    /// Checks a method, and replaces unreadable characters in names that others chose.
    fn judge_method(&mut self, payload: &mut [u8]) -> Result<(), Violation> {
        let mut reader = Reader(payload);
        let unreadable = |why| match why {
            Unreadable::TooDeep => Violation::TooDeep,
            Unreadable::Malformed => Violation::NoFrame,
        };
        let (class, method) = (reader.u16().map_err(unreadable)?, reader.u16().map_err(unreadable)?);
        match (class, method) {
            // connection.start: the version, then the service's properties.
            (10, 10) => reader.take(2).and_then(|_| reader.table(0)).map_err(unreadable)?,
            // connection.tune; 0 means unlimited.
            (10, 30) => {
                let agreed = reader.take(2).and_then(|_| reader.u32()).map_err(unreadable)?;
                if agreed != 0 {
                    self.frame_max = self.frame_max.min(agreed.max(lapin::protocol::constants::FRAME_MIN_SIZE));
                }
            }
            // connection.start-ok, then declarations, bindings and basic.consume: methods with tables.
            (10, 11) | (40, 10 | 30 | 40) | (50, 10 | 20 | 50) | (60, 20) => {
                return Err(Violation::OfClients(class, method));
            }
            // connection.close and channel.close: a code and the reason, cut at 255 bytes.
            (10, 50) | (20, 40) => {
                legible(payload, 6, 1);
                let mut reason = Reader(&payload[4..]);
                if let (Ok(code), Ok(words)) = (reason.u16(), reason.short()) {
                    self.closed.push((code, String::from_utf8_lossy(words).into_owned()));
                }
            }
            // connection.blocked: the reason.
            (10, 60) => legible(payload, 4, 1),
            // basic.return: a code, the reason, the exchange, and the routing key.
            (60, 50) => legible(payload, 6, 3),
            // basic.deliver: the consumer's tag; the delivery's and a flag; the exchange, and the routing key.
            (60, 60) => {
                let tag = payload.get(4).map_or(0, |length| usize::from(*length));
                legible(payload, 4 + 1 + tag + 9, 2);
            }
            _ => {}
        }
        Ok(())
    }
}

/// Turns a header frame into one without properties, for the same message.
fn bare(frame: &mut [u8]) {
    frame[3..FRAME_HEAD_BYTES].copy_from_slice(&(BARE_PAYLOAD_BYTES as u32).to_be_bytes());
    frame[BARE_FRAME_BYTES - 3..].copy_from_slice(&[0, 0, FRAME_END]);
}

/// Turns `strings` short strings from `at` on into valid text: AMQP allows any bytes, lapin does not.
fn legible(payload: &mut [u8], mut at: usize, strings: usize) {
    for _ in 0..strings {
        let Some(length) = payload.get(at) else { return };
        let (from, to) = (at + 1, at + 1 + usize::from(*length));
        let Some(text) = payload.get_mut(from..to) else { return };
        if from_utf8(text).is_err() {
            text.iter_mut().filter(|byte| !byte.is_ascii()).for_each(|byte| *byte = b'?');
        }
        at = to;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tables::tests::nested;

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 1][..], &(payload.len() as u32).to_be_bytes(), payload, &[FRAME_END]].concat()
    }

    fn header(properties: &[u8]) -> Vec<u8> {
        frame(HEADER, &[b"\0\x3c\0\0\0\0\0\0\0\0\0\x05", properties].concat())
    }

    fn body(bytes: usize) -> Vec<u8> {
        frame(BODY, &vec![7; bytes])
    }

    const BARE: &[u8] = b"\x02\0\x01\0\0\0\x0e\0\x3c\0\0\0\0\0\0\0\0\0\x05\0\0\xce";

    /// The bytes of a stream that pass if it arrives in chunks of `chunk` bytes.
    fn through(stream: &[u8], chunk: usize, frame_max: u32) -> Result<Vec<u8>, Violation> {
        let mut guard = Guard::new(frame_max);
        let mut on = Vec::new();
        for chunk in stream.chunks(chunk) {
            let mut bytes = [guard.held(), chunk].concat();
            let n = guard.look(&mut bytes)?;
            on.extend_from_slice(&bytes[..n]);
        }
        assert!(guard.held().is_empty(), "a whole stream leaves nothing");
        Ok(on)
    }

    /// Checks that the result does not depend on the chunks.
    #[track_caller]
    fn check(stream: &[u8], frame_max: u32, expected: Result<&[u8], Violation>) {
        for chunk in [1, 2, 3, 5, 7, 8, 21, 22, 23, 64, 1000, stream.len()] {
            let found = through(stream, chunk, frame_max);
            assert!(found.as_deref() == expected.as_ref().map(|bytes| *bytes), "in chunks of {chunk}: {found:?}");
        }
    }

    #[test]
    fn what_lapin_can_read_passes_as_it_is() {
        let deliver = frame(METHOD, b"\0\x3c\0\x3c\x01t\0\0\0\0\0\0\0\x01\0\0\x01q");
        let ours = header(b"\x84\x00\x01x\x03abc");
        let stream = [deliver, ours, body(5), frame(HEARTBEAT, b""), header(b"\0\0"), body(3000)].concat();
        check(&stream, 4096, Ok(&stream));
    }

    #[test]
    fn a_header_that_lapin_cannot_read_goes_on_without_properties() {
        for properties in [
            [b"\x20\0", nested(3000, b'A').as_slice()].concat(),
            [b"\x20\0", nested(3000, b'F').as_slice()].concat(),
            // A correlation id that is no text, a value of no known type, a table that is longer than its header.
            b"\x04\0\x02\xff\xfe".to_vec(),
            b"\x20\0\0\0\0\x03\x01kZ".to_vec(),
            b"\x20\0\0\0\0\xff\x01kV".to_vec(),
            b"\x80\0".to_vec(),
        ] {
            let stream = [header(b"\0\0"), header(&properties), body(5), body(9)].concat();
            let expected = [header(b"\0\0"), BARE.to_vec(), body(5), body(9)].concat();
            check(&stream, 1 << 17, Ok(&expected));
        }
    }

    #[test]
    fn a_header_larger_than_the_agreed_frame_goes_on_without_properties() {
        let long = [&b"\x20\0\0\0\x27\x17\x01kS\0\0\x27\x10"[..], &[0xce; 10_000]].concat();
        let tune = frame(METHOD, b"\0\x0a\0\x1e\0\0\0\0\x10\0\0\0");
        let stream = [tune.clone(), header(&long), body(5)].concat();
        check(&stream, 1 << 17, Ok(&[tune, BARE.to_vec(), body(5)].concat()));
        let stream = [header(&long), body(5)].concat();
        check(&stream, 1 << 17, Ok(&stream));
    }

    #[test]
    fn what_no_service_sends_is_named() {
        let start = |table: &[u8]| frame(METHOD, &[b"\0\x0a\0\x0a\0\x09", table].concat());
        check(&start(&nested(2000, b'F')), 1 << 17, Err(Violation::TooDeep));
        check(&start(&nested(20_000, b'F')), 1 << 18, Err(Violation::TooDeep));
        let large = start(&nested(20_000, b'F'));
        check(&large, 1 << 14, Err(Violation::TooLarge { bytes: large.len() as u64, limit: 1 << 14 }));
        check(&body(5000), 4096, Err(Violation::TooLarge { bytes: 5008, limit: 4096 }));
        let declare = [b"\0\x32\0\x0a\0\0\0\0", nested(2000, b'F').as_slice()].concat();
        check(&frame(METHOD, &declare), 1 << 17, Err(Violation::OfClients(50, 10)));
        let mut open_ended = body(5);
        *open_ended.last_mut().unwrap() = 0;
        // No longer than the bare one that it becomes.
        let mut open_header = header(b"\x04\0");
        *open_header.last_mut().unwrap() = 0;
        let headers = [header(b"\x20\0\0\0\0\x03\x01kZ"), open_header.clone()].concat();
        for stream in [
            &b"HTTP/1.1 400"[..],
            &[body(5), b"noise".to_vec()].concat(),
            &open_ended,
            &open_header,
            &headers,
            &frame(HEADER, b"x"),
        ] {
            check(stream, 4096, Err(Violation::NoFrame));
        }
    }

    #[test]
    fn another_version_of_amqp_is_left_to_lapin() {
        check(b"AMQP\0\x01\0\0", 4096, Ok(b"AMQP\0\x01\0\0"));
    }

    #[test]
    fn names_that_are_no_text_become_text() {
        let deliver = |key: &[u8]| {
            let rest = [b"\0\x3c\0\x3c\x01t\0\0\0\0\0\0\0\x01\0\x01e\x04", key].concat();
            frame(METHOD, &rest)
        };
        check(&deliver(b"a\xffb\xc3"), 4096, Ok(&deliver(b"a?b?")));
        check(&deliver("n\u{e4}m".as_bytes()), 4096, Ok(&deliver("n\u{e4}m".as_bytes())));
        let close = |reason: &[u8]| frame(METHOD, &[b"\0\x14\0\x28\x01\x94\x03", reason, b"\0\0\0\0"].concat());
        check(&close(b"no\xc3"), 4096, Ok(&close(b"no?")));
    }
}
