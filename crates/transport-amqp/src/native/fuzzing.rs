//! Streams of frames in pieces of any length: what comes out depends on the stream only. For tests/fuzz.

mod script;

use super::{incoming::Incoming, lane::Lane};
use crate::guard::Violation;
use engine::{
    envelope::{Envelope, EnvelopeText},
    ports::Outcome,
};
use futures_io::AsyncRead;
use std::{
    io::{self, IoSliceMut},
    iter::Cycle,
    pin::Pin,
    slice::Iter,
    task::{Context, Poll, Waker},
};

const CHANNELS: [u16; 3] = [1, 2, 9];
/// On each channel, so many messages await their confirm.
const PUBLISHED: usize = 4;
const PIECES_MAX: usize = 4096;
const FRAME_MAX: [usize; 2] = [4096, 128 << 10];

/// Handles `data` as frames, all at once and in pieces. The first bytes choose the largest frame, and whether the rest is
/// the stream itself or a script to make a stream that a service could send.
///
/// # Panics
///
/// If the result depends on the pieces, or is not what the script put in.
pub fn take_messages(data: &[u8]) {
    let [flags, short, long, rest @ ..] = data else { return };
    let frame_max = FRAME_MAX[usize::from(flags & 1)];
    let (stream, expected) = if flags & 2 == 0 {
        (rest.to_vec(), take(rest, &[usize::MAX], frame_max))
    } else {
        let (stream, expected) = script::run(rest, frame_max);
        assert_eq!(take(&stream, &[usize::MAX], frame_max), expected, "at once");
        (stream, expected)
    };
    // Not too many of them for a long stream.
    let least = 1 + stream.len() / PIECES_MAX;
    let lengths = [least + usize::from(*short), least + (usize::from(*long) << 7)];
    assert_eq!(take(&stream, &lengths, frame_max), expected, "in pieces of {lengths:?}");
}

/// A stream that arrives in pieces of these lengths, over and over.
pub(super) struct Pieces<'a> {
    stream: &'a [u8],
    lengths: Cycle<Iter<'a, usize>>,
}

impl<'a> Pieces<'a> {
    pub(super) fn new(stream: &'a [u8], lengths: &'a [usize]) -> Self {
        Self { stream, lengths: lengths.iter().cycle() }
    }
}

impl AsyncRead for Pieces<'_> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, into: &mut [u8]) -> Poll<io::Result<usize>> {
        self.poll_read_vectored(cx, &mut [IoSliceMut::new(into)])
    }

    fn poll_read_vectored(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        slices: &mut [IoSliceMut<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let most = this.lengths.next().map_or(0, |length| (*length).min(this.stream.len()));
        let mut left = most;
        for slice in slices {
            let (now, later) = this.stream.split_at(left.min(slice.len()));
            slice[..now.len()].copy_from_slice(now);
            this.stream = later;
            left -= now.len();
        }
        Poll::Ready(Ok(most - left))
    }
}

/// The result of a stream.
#[derive(Debug, Default, PartialEq)]
struct Taken {
    /// Of each channel: tag, whether it was delivered before, and the body.
    deliveries: [Vec<(u64, bool, Vec<u8>)>; CHANNELS.len()],
    outcomes: [[Option<Outcome>; PUBLISHED]; CHANNELS.len()],
    /// All frames for lapin.
    rare: Vec<u8>,
    violation: Option<Violation>,
}

/// Of a message that was published, on any channel.
fn envelope(at: usize) -> EnvelopeText {
    Envelope { run: 1, producer: 0, sequence: at as u64, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 }.encode()
}

fn take(stream: &[u8], lengths: &[usize], frame_max: usize) -> Taken {
    let mut lanes = CHANNELS.map(|channel| Lane::new(channel, true));
    for lane in &mut lanes {
        for at in 0..PUBLISHED {
            lane.publish(envelope(at));
        }
    }
    let (mut taken, mut cx) = (Taken::default(), Context::from_waker(Waker::noop()));
    let (mut incoming, mut pieces) = (Incoming::new(&[], frame_max), Pieces::new(stream, lengths));
    while let Poll::Ready(Ok(1..)) = incoming.poll_read(&mut pieces, &mut lanes, &mut cx)
        && taken.violation.is_none()
    {
        let handled = incoming.handle(&mut lanes, |_, frame| {
            taken.rare.extend_from_slice(frame);
            Ok(())
        });
        taken.violation = handled.err();
        // Their buffers are used again for bodies that follow.
        for (lane, into) in lanes.iter_mut().zip(&mut taken.deliveries) {
            while let Poll::Ready(delivery) = lane.poll_delivery(&cx) {
                into.push((delivery.tag, delivery.redelivered, delivery.body.as_ref().to_vec()));
            }
        }
    }
    for (lane, outcomes) in lanes.iter_mut().zip(&mut taken.outcomes) {
        for (tag, outcome) in (1..).zip(outcomes) {
            if let Poll::Ready(known) = lane.poll_outcome(tag, &cx) {
                *outcome = Some(known);
            }
        }
    }
    taken
}
