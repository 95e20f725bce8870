//! Makes a stream that a service could send, and what is to come out of it, from any bytes.

use super::{CHANNELS, PUBLISHED, Taken, envelope};
use crate::{
    guard::{BODY, FRAME_END, HEADER, HEARTBEAT, METHOD},
    native::frames::frame,
};
use engine::ports::Outcome;
use std::collections::VecDeque;

/// None of ours: what it carries goes to lapin.
const OTHER_CHANNEL: u16 = 5;
const OPERATION_BYTES: usize = 4;
const STREAM_BYTES_MAX: usize = 1 << 18;
/// Type, channel, size and end of a frame.
const FRAME_OVERHEAD_BYTES: usize = 8;
const FRAMES_OF_BODY_MAX: usize = 64;

/// `basic.deliver` up to its tag, and what follows its flags.
const DELIVER: (&[u8], &[u8]) = (b"\0\x3c\0\x3c\x01t", b"\0\x01q");
const RETURN: &[u8] = b"\0\x3c\0\x32\x01\x38\x08NO_ROUTE\0\x01q";
const ACK: &[u8] = b"\0\x3c\0\x50";
const NACK: &[u8] = b"\0\x3c\0\x78";
/// `basic.consume-ok`.
const OTHER: &[u8] = b"\0\x3c\0\x15\x01t";
const NO_PROPERTIES: &[u8] = b"\0\0";
/// Flags of a correlation id alone, and of a table of headers alone.
const CORRELATION_ID: &[u8] = b"\x04\0";
const HEADERS: &[u8] = b"\x20\0";

#[derive(Default)]
struct Script {
    frame_max: usize,
    stream: Vec<u8>,
    expected: Taken,
    /// Of each channel: frames in their order, and whether they are for lapin. Those of several channels mix in the stream.
    waiting: [VecDeque<(Vec<u8>, bool)>; CHANNELS.len()],
    waiting_bytes: usize,
    returned: [[bool; PUBLISHED]; CHANNELS.len()],
}

/// The stream, and what is to come out of it.
pub(super) fn run(operations: &[u8], frame_max: usize) -> (Vec<u8>, Taken) {
    let mut script = Script { frame_max, ..Script::default() };
    for operation in operations.chunks_exact(OPERATION_BYTES) {
        let [what, a, b, c] = [0, 1, 2, 3].map(|at| usize::from(operation[at]));
        let lane = what % CHANNELS.len();
        match what / CHANNELS.len() % 6 {
            0 | 1 => script.deliver(lane, a, b << 8 | c),
            2 => script.send(lane, a),
            3 => script.rare(lane, a, c),
            4 => script.confirm(lane, a % (PUBLISHED + 2), b & 1 != 0, b & 2 == 0),
            _ => script.give_back(lane, a % PUBLISHED, c),
        }
        if script.stream.len() + script.waiting_bytes > STREAM_BYTES_MAX {
            break;
        }
    }
    (0..CHANNELS.len()).for_each(|lane| script.send(lane, usize::MAX));
    (script.stream, script.expected)
}

impl Script {
    fn push(&mut self, lane: usize, kind: u8, payload: &[&[u8]]) {
        self.push_to(lane, CHANNELS[lane], kind, payload, false);
    }

    fn push_to(&mut self, lane: usize, channel: u16, kind: u8, payload: &[&[u8]], rare: bool) {
        let mut bytes = Vec::new();
        frame(&mut bytes, kind, channel, |into| payload.iter().for_each(|part| into.extend_from_slice(part)));
        self.waiting_bytes += bytes.len();
        self.waiting[lane].push_back((bytes, rare));
    }

    /// Puts so many frames of a channel into the stream.
    fn send(&mut self, lane: usize, frames: usize) {
        let frames = frames.min(self.waiting[lane].len());
        for (frame, rare) in self.waiting[lane].drain(..frames) {
            self.waiting_bytes -= frame.len();
            self.stream.extend_from_slice(&frame);
            if rare {
                self.expected.rare.extend(frame);
            }
        }
    }

    /// A header and a body of `bytes`, in pieces of at most `piece`; returns the body.
    fn content(&mut self, lane: usize, properties: &[&[u8]], bytes: usize, piece: usize) -> Vec<u8> {
        let sizes = [&b"\0\x3c\0\0"[..], &(bytes as u64).to_be_bytes()].concat();
        self.push(lane, HEADER, &[&[&sizes[..]], properties].concat());
        let first = self.expected.deliveries[lane].len();
        let body: Vec<u8> = (0..bytes).map(|at| (first * 31 + at * 7) as u8).collect();
        let piece = piece.max(bytes / FRAMES_OF_BODY_MAX + 1).min(self.frame_max - FRAME_OVERHEAD_BYTES);
        body.chunks(piece).for_each(|piece| self.push(lane, BODY, &[piece]));
        body
    }

    fn deliver(&mut self, lane: usize, shape: usize, size: usize) {
        let tag = self.expected.deliveries[lane].len() as u64 + 1;
        let redelivered = shape & 1 != 0;
        self.push(lane, METHOD, &[DELIVER.0, &tag.to_be_bytes(), &[u8::from(redelivered)], DELIVER.1]);
        // Some larger than a frame may be: the message is somebody else's.
        let table = vec![FRAME_END; (shape >> 5) * 1500];
        let length = (table.len() as u32).to_be_bytes();
        let properties: &[&[u8]] =
            if table.is_empty() { &[NO_PROPERTIES] } else { &[HEADERS, &length, table.as_slice()] };
        let body = self.content(lane, properties, size << (shape & 2), 1 << (shape >> 1 & 14));
        self.expected.deliveries[lane].push((tag, redelivered, body));
    }

    /// A frame that nobody here wants.
    fn rare(&mut self, lane: usize, what: usize, bytes: usize) {
        let filler = vec![FRAME_END; bytes];
        let own = CHANNELS[lane];
        match what % 5 {
            0 => self.push_to(lane, 0, HEARTBEAT, &[], true),
            1 => self.push_to(lane, own, METHOD, &[OTHER, &filler], true),
            2 => self.push_to(lane, OTHER_CHANNEL, METHOD, &[DELIVER.0, &filler], true),
            3 => self.push_to(lane, OTHER_CHANNEL, HEADER, &[&filler], true),
            _ => self.push_to(lane, own, BODY, &[&filler], true),
        }
    }

    /// Tag 0 is every message; a tag too high is none.
    fn confirm(&mut self, lane: usize, tag: usize, multiple: bool, accepted: bool) {
        let method = if accepted { ACK } else { NACK };
        self.push(lane, METHOD, &[method, &(tag as u64).to_be_bytes(), &[u8::from(multiple)]]);
        let outcomes = self.expected.outcomes[lane].iter_mut().zip(self.returned[lane]);
        for (own, (outcome, returned)) in (1..).zip(outcomes) {
            if outcome.is_none() && (tag == 0 || tag == own || multiple && tag > own) {
                *outcome = Some(match (returned, accepted) {
                    (true, _) => Outcome::Returned,
                    (false, true) => Outcome::Accepted,
                    (false, false) => Outcome::Rejected,
                });
            }
        }
    }

    fn give_back(&mut self, lane: usize, at: usize, bytes: usize) {
        self.push(lane, METHOD, &[RETURN]);
        let id = envelope(at);
        let id = id.as_str().as_bytes();
        self.content(lane, &[CORRELATION_ID, &[id.len() as u8], id], bytes, 100);
        self.returned[lane][at] |= self.expected.outcomes[lane][at].is_none();
    }
}
