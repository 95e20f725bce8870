//! What arrives: messages and confirms go to their channels, all other frames to lapin.

use super::{
    frames::{Method, Properties},
    lane::Lane,
};
use crate::guard::{BODY, FRAME_END, FRAME_HEAD_BYTES, HEADER, HEARTBEAT, METHOD, Violation};
use futures_io::AsyncRead;
use std::{
    io::{self, IoSliceMut},
    pin::Pin,
    task::{Context, Poll, ready},
};

/// Enough for several small messages.
const BUFFER_BYTES_MIN: usize = 64 << 10;
/// A shorter rest of a body is read together with what follows it.
const DIRECT_BYTES_MIN: usize = 4 << 10;
/// Behind a longer rest of a body only the head of the next frame is read: its payload goes to the body, too.
const LONG_BYTES: usize = 32 << 10;
/// Class, weight and size of the body, in a header.
const SIZES_BYTES: usize = 12;

/// The position of the next byte in the stream.
#[derive(Debug, Clone, Copy)]
enum Within {
    /// At the beginning of a frame.
    Boundary,
    /// In a body of this lane, with this many bytes left in its frame.
    Content(usize, usize),
    /// In a frame that nobody wants, with this many bytes left.
    Unwanted(usize),
    /// Before the last byte of a frame.
    End,
}

/// The bytes of a connection that are read and not handled.
#[derive(Debug)]
pub(super) struct Incoming {
    buffer: Box<[u8]>,
    from: usize,
    to: usize,
    within: Within,
    frame_max: usize,
}

impl Incoming {
    /// At the beginning of a frame, of which `held` has been read.
    pub(super) fn new(held: &[u8], frame_max: usize) -> Self {
        let mut buffer = vec![0; frame_max.max(BUFFER_BYTES_MIN)].into_boxed_slice();
        buffer[..held.len()].copy_from_slice(held);
        Self { buffer, from: 0, to: held.len(), within: Within::Boundary, frame_max }
    }

    /// Reads once, the rest of a body to where it belongs; returns the number of bytes, 0 at the end.
    pub(super) fn poll_read(
        &mut self,
        mut stream: impl AsyncRead + Unpin,
        lanes: &mut [Lane],
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.buffer.copy_within(self.from..self.to, 0);
        (self.from, self.to) = (0, self.to - self.from);
        if let Within::Content(lane, left) = self.within
            && left >= DIRECT_BYTES_MIN
            && self.to == 0
            && let Some(room) = lanes[lane].room(left)
        {
            let direct = room.len();
            let ahead = if left >= LONG_BYTES { 1 + FRAME_HEAD_BYTES } else { self.buffer.len() };
            let mut slices = [IoSliceMut::new(room), IoSliceMut::new(&mut self.buffer[..ahead])];
            let bytes = ready!(Pin::new(&mut stream).poll_read_vectored(cx, &mut slices))?;
            let filled = bytes.min(direct);
            self.to = bytes - filled;
            self.fill(lanes, lane, left, filled);
            return Poll::Ready(Ok(bytes));
        }
        let bytes = ready!(Pin::new(&mut stream).poll_read(cx, &mut self.buffer[self.to..]))?;
        self.to += bytes;
        Poll::Ready(Ok(bytes))
    }

    fn fill(&mut self, lanes: &mut [Lane], lane: usize, left: usize, bytes: usize) {
        lanes[lane].fill(bytes);
        self.within = if bytes == left { Within::End } else { Within::Content(lane, left - bytes) };
    }

    /// Handles what was read, up to an incomplete frame; whole frames of other kinds go to `rare`.
    pub(super) fn handle(
        &mut self,
        lanes: &mut [Lane],
        mut rare: impl FnMut(&mut [Lane], &mut [u8]) -> Result<(), Violation>,
    ) -> Result<(), Violation> {
        while self.from < self.to {
            let bytes = &mut self.buffer[self.from..self.to];
            match self.within {
                Within::End if bytes[0] != FRAME_END => return Err(Violation::NoFrame),
                Within::End => {
                    self.from += 1;
                    self.within = Within::Boundary;
                }
                Within::Content(lane, left) => {
                    let mut n = bytes.len().min(left);
                    if let Some(room) = lanes[lane].room(n) {
                        n = room.len();
                        room.copy_from_slice(&bytes[..n]);
                    }
                    self.from += n;
                    self.fill(lanes, lane, left, n);
                }
                Within::Unwanted(left) => {
                    let n = bytes.len().min(left);
                    self.from += n;
                    self.within = if n == left { Within::End } else { Within::Unwanted(left - n) };
                }
                Within::Boundary => {
                    let Some((handled, within)) = frame(bytes, self.frame_max, lanes, &mut rare)? else {
                        return Ok(());
                    };
                    self.from += handled;
                    self.within = within;
                }
            }
        }
        Ok(())
    }
}

/// Handles the frame at the beginning of `bytes`, or its head: returns how many bytes that was, and what follows. `None`
/// if more of it has to arrive first.
fn frame(
    bytes: &mut [u8],
    frame_max: usize,
    lanes: &mut [Lane],
    rare: &mut impl FnMut(&mut [Lane], &mut [u8]) -> Result<(), Violation>,
) -> Result<Option<(usize, Within)>, Violation> {
    if ![METHOD, HEADER, BODY, HEARTBEAT].contains(&bytes[0]) {
        return Err(Violation::NoFrame);
    }
    let Some((head, rest)) = bytes.split_first_chunk::<FRAME_HEAD_BYTES>() else { return Ok(None) };
    let [kind, c0, c1, s0, s1, s2, s3] = *head;
    let (channel, size) = (u16::from_be_bytes([c0, c1]), u32::from_be_bytes([s0, s1, s2, s3]) as usize);
    let total = FRAME_HEAD_BYTES + size + 1;
    let lane = lanes.iter().position(|lane| lane.channel == channel);
    let expecting = lane.filter(|lane| lanes[*lane].expects_content());
    match (kind, expecting) {
        // Before the buffer grows by as much as the head of a frame claims.
        (BODY, Some(lane)) if total <= frame_max => {
            if size as u64 > lanes[lane].due() || size == 0 {
                return Err(Violation::NoFrame);
            }
            return Ok(Some((FRAME_HEAD_BYTES, Within::Content(lane, size))));
        }
        // The message is somebody else's: no header of ours is that large.
        (HEADER, Some(lane)) if total > frame_max => {
            let Some(sizes) = rest.get(..SIZES_BYTES) else { return Ok(None) };
            header(&mut lanes[lane], sizes, &Properties::default())?;
            return Ok(Some((FRAME_HEAD_BYTES + SIZES_BYTES, Within::Unwanted(size - SIZES_BYTES))));
        }
        _ if total > frame_max => return Err(Violation::TooLarge { bytes: total as u64, limit: frame_max as u32 }),
        _ => {}
    }
    let Some(whole) = bytes.get_mut(..total) else { return Ok(None) };
    if whole[total - 1] != FRAME_END {
        return Err(Violation::NoFrame);
    }
    let payload = &whole[FRAME_HEAD_BYTES..total - 1];
    match (kind, expecting, lane) {
        (HEADER, Some(lane), _) => {
            let sizes = payload.get(..SIZES_BYTES).ok_or(Violation::NoFrame)?;
            let properties = Properties::read(&payload[SIZES_BYTES..], lanes[lane].wanted());
            header(&mut lanes[lane], sizes, &properties)?;
        }
        (METHOD, _, Some(lane)) => match Method::read(payload)? {
            // In the middle of another message.
            Method::Deliver { .. } | Method::Return if expecting.is_some() => return Err(Violation::NoFrame),
            Method::Deliver { tag, redelivered } => lanes[lane].deliver(tag, redelivered),
            Method::Return => lanes[lane].give_back(),
            Method::Confirm { tag, multiple, accepted } => lanes[lane].confirm(tag, multiple, accepted),
            Method::Other => rare(lanes, whole)?,
        },
        _ => rare(lanes, whole)?,
    }
    Ok(Some((total, Within::Boundary)))
}

fn header(lane: &mut Lane, sizes: &[u8], properties: &Properties<'_>) -> Result<(), Violation> {
    let bytes = sizes.last_chunk::<8>().map(|bytes| u64::from_be_bytes(*bytes)).ok_or(Violation::NoFrame)?;
    if lane.header(bytes, properties) { Ok(()) } else { Err(Violation::NoFrame) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::native::fuzzing::Pieces;
    use engine::{envelope::Envelope, ports::Outcome};
    use std::task::Waker;

    fn frame(kind: u8, channel: u16, payload: &[u8]) -> Vec<u8> {
        let ([c0, c1], bytes) = (channel.to_be_bytes(), (payload.len() as u32).to_be_bytes());
        [&[kind, c0, c1][..], &bytes, payload, &[FRAME_END]].concat()
    }

    fn header(bytes: usize, properties: &[u8]) -> Vec<u8> {
        let sizes = [&b"\0\x3c\0\0"[..], &(bytes as u64).to_be_bytes()].concat();
        frame(HEADER, 1, &[&sizes, properties].concat())
    }

    /// A message to channel 1, its body in frames of at most `piece` bytes.
    fn delivered(tag: u8, body: &[u8], properties: &[u8], piece: usize) -> Vec<u8> {
        let method = [&b"\0\x3c\0\x3c\x01t\0\0\0\0\0\0\0"[..], &[tag], b"\0\0\x01q"].concat();
        let pieces = body.chunks(piece).flat_map(|piece| frame(BODY, 1, piece));
        [frame(METHOD, 1, &method), header(body.len(), properties)].concat().into_iter().chain(pieces).collect()
    }

    /// What a stream comes to: the lane of channel 1, and what is for lapin.
    fn through(stream: &[u8], at_once: usize, frame_max: usize) -> Result<(Vec<Lane>, Vec<u8>), Violation> {
        let (mut lanes, mut rare) = (vec![Lane::new(1, true)], Vec::new());
        let mut incoming = Incoming::new(&[], frame_max);
        let lengths = [at_once];
        let (mut stream, mut cx) = (Pieces::new(stream, &lengths), Context::from_waker(Waker::noop()));
        while let Poll::Ready(Ok(1..)) = incoming.poll_read(&mut stream, &mut lanes, &mut cx) {
            incoming.handle(&mut lanes, |_, frame| {
                rare.extend_from_slice(frame);
                Ok(())
            })?;
        }
        Ok((lanes, rare))
    }

    fn bodies(lane: &mut Lane) -> Vec<(u64, Vec<u8>)> {
        let cx = Context::from_waker(Waker::noop());
        let next = || match lane.poll_delivery(&cx) {
            Poll::Ready(delivery) => Some((delivery.tag, delivery.body.as_ref().to_vec())),
            Poll::Pending => None,
        };
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn messages_are_taken_out_of_the_stream_however_it_arrives() {
        let bodies_sent: [Vec<u8>; 4] = [0, 1, 5000, 100_000].map(|bytes| (0..bytes).map(|at| at as u8).collect());
        let rare =
            [frame(HEARTBEAT, 0, b""), frame(METHOD, 1, b"\0\x3c\0\x1e\x01t"), frame(METHOD, 2, b"\0\x3c\0\x50")];
        let mut stream = Vec::new();
        for (at, body) in bodies_sent.iter().enumerate() {
            stream.extend(delivered(at as u8 + 1, body, b"\0\0", 8192 - 8));
            stream.extend(rare.get(at).into_iter().flatten());
        }
        let expected: Vec<_> = (1..).zip(bodies_sent).collect();
        for at_once in [1, 3, 8, 4096, 8191, 70_000, usize::MAX] {
            let (mut lanes, passed) = through(&stream, at_once, 8192).unwrap();
            assert!(bodies(&mut lanes[0]) == expected, "{at_once} at once");
            assert_eq!(passed, rare.concat(), "{at_once} at once");
        }
    }

    #[test]
    fn a_message_of_somebody_else_disturbs_nothing() {
        let nested = [&b"\x20\0"[..], &crate::tables::tests::nested(3000, b'A')].concat();
        let long = [&b"\x20\0\0\0\x27\x17\x01kS\0\0\x27\x10"[..], &[FRAME_END; 10_000]].concat();
        for properties in [&nested, &long] {
            let stream = [delivered(1, b"theirs", properties, 100), delivered(2, b"ours", b"\0\0", 100)].concat();
            for at_once in [1, 22, 5000, usize::MAX] {
                let (mut lanes, _) = through(&stream, at_once, 8192 + 8192).unwrap();
                assert_eq!(bodies(&mut lanes[0]), [(1, b"theirs".to_vec()), (2, b"ours".to_vec())]);
                let (mut lanes, _) = through(&stream, at_once, 4096).unwrap();
                assert_eq!(bodies(&mut lanes[0]), [(1, b"theirs".to_vec()), (2, b"ours".to_vec())]);
            }
        }
    }

    #[test]
    fn bytes_that_no_service_sends_are_named() {
        let good = delivered(1, b"body", b"\0\0", 100);
        let mut open_ended = good.clone();
        *open_ended.last_mut().unwrap() = 0;
        let longer = [&good[..good.len() - 12], &frame(BODY, 1, b"longer")].concat();
        for (stream, violation) in [
            (open_ended, Violation::NoFrame),
            (longer, Violation::NoFrame),
            (b"HTTP/1.1".to_vec(), Violation::NoFrame),
            (frame(BODY, 2, &[0; 5000]), Violation::TooLarge { bytes: 5008, limit: 4096 }),
            (delivered(1, &[0; 5000], b"\0\0", 5000), Violation::TooLarge { bytes: 5008, limit: 4096 }),
            (frame(METHOD, 1, b"\0\x3c\0\x3c\x09"), Violation::NoFrame),
        ] {
            assert_eq!(through(&stream, usize::MAX, 4096).map(drop), Err(violation));
        }
    }

    #[test]
    fn a_returned_message_is_known_by_its_envelope_when_several_are_confirmed_at_once() {
        let envelopes = [1, 2, 3].map(|sequence| {
            let envelope = Envelope { run: 1, producer: 0, sequence, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 };
            envelope.encode()
        });
        let mut lane = Lane::new(1, true);
        let tags = envelopes.map(|envelope| lane.publish(envelope));
        let text = envelopes[1].as_str().as_bytes();
        let properties = [b"\x04\0", &[text.len() as u8][..], text].concat();
        let returned = frame(METHOD, 1, b"\0\x3c\0\x32\x01\x38\0\0\0");
        let confirm = frame(METHOD, 1, b"\0\x3c\0\x50\0\0\0\0\0\0\0\x03\x01");
        let stream = [returned, header(4, &properties), frame(BODY, 1, b"body"), confirm].concat();
        let mut lanes = [lane];
        let mut incoming = Incoming::new(&stream, 4096);
        incoming.handle(&mut lanes, |_, _| Err(Violation::NoFrame)).unwrap();
        let cx = Context::from_waker(Waker::noop());
        let outcomes = tags.map(|tag| lanes[0].poll_outcome(tag, &cx));
        assert_eq!(outcomes, [Outcome::Accepted, Outcome::Returned, Outcome::Accepted].map(Poll::Ready));
    }
}
