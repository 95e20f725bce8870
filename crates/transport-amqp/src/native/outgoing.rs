//! What waits to be written: messages, whose bodies are not copied, and frames between them.

use super::frames::body_head;
use crate::guard::{FRAME_END, FRAME_HEAD_BYTES};
use std::{collections::VecDeque, io::IoSlice, task::Waker};

/// Slices for one call of the system: a body of 1 MB has twenty.
pub(super) const SLICES: usize = 64;
/// End of a frame, and the head of the next one.
const LINK_BYTES: usize = 1 + FRAME_HEAD_BYTES;

/// A list of slices to be written together.
pub(super) struct Slices<'a> {
    pub slices: [IoSlice<'a>; SLICES],
    pub count: usize,
}

impl<'a> Slices<'a> {
    /// Adds a piece without its first `skip` bytes; returns how many are left to skip.
    fn add(&mut self, piece: &'a [u8], skip: usize) -> usize {
        if skip < piece.len() && self.count < SLICES {
            self.slices[self.count] = IoSlice::new(&piece[skip..]);
            self.count += 1;
        }
        skip.saturating_sub(piece.len())
    }
}

/// A message on its way to the network.
#[derive(Debug)]
pub(super) struct Message {
    ticket: u64,
    /// Its method and header, and the head of its first body frame.
    head: Vec<u8>,
    body: Vec<u8>,
    /// Bytes of the body in each frame but the last.
    piece: usize,
    /// What stands between two pieces of the body: before one of full size, and before the last.
    links: [[u8; LINK_BYTES]; 2],
    waker: Option<Waker>,
}

impl Message {
    /// A message of which `head` has method and header; its body goes in frames of at most `frame_max` bytes.
    pub(super) fn new(ticket: u64, mut head: Vec<u8>, body: Vec<u8>, channel: u16, frame_max: usize) -> Self {
        let piece = frame_max - FRAME_HEAD_BYTES - 1;
        let last = match body.len() % piece {
            0 => body.len().min(piece),
            rest => rest,
        };
        if !body.is_empty() {
            head.extend(body_head(channel, body.len().min(piece)));
        }
        let link = |bytes| {
            let mut link = [FRAME_END; LINK_BYTES];
            link[1..].copy_from_slice(&body_head(channel, bytes));
            link
        };
        Self { ticket, head, piece, links: [link(piece), link(last)], body, waker: None }
    }

    fn bytes(&self) -> usize {
        let links = self.body.len().div_ceil(self.piece).saturating_sub(1);
        let end = usize::from(!self.body.is_empty());
        self.head.len() + self.body.len() + links * LINK_BYTES + end
    }

    fn add_to<'a>(&'a self, slices: &mut Slices<'a>, written: usize) {
        let mut skip = slices.add(&self.head, written);
        let mut pieces = self.body.chunks(self.piece).peekable();
        while let Some(piece) = pieces.next() {
            skip = slices.add(piece, skip);
            let between: &[u8] = match pieces.peek() {
                Some(next) if next.len() == self.piece => &self.links[0],
                Some(_) => &self.links[1],
                None => &[FRAME_END],
            };
            skip = slices.add(between, skip);
            if slices.count == SLICES {
                return;
            }
        }
    }
}

#[derive(Debug)]
enum Item {
    Message(Message),
    /// Whole frames.
    Frames(Vec<u8>),
}

impl Item {
    fn bytes(&self) -> usize {
        match self {
            Self::Message(message) => message.bytes(),
            Self::Frames(frames) => frames.len(),
        }
    }
}

/// A message that is not on its way any more.
#[derive(Debug)]
struct Done {
    ticket: u64,
    body: Vec<u8>,
    written: bool,
}

/// What is written next, in order.
#[derive(Debug, Default)]
pub(super) struct Outgoing {
    items: VecDeque<Item>,
    /// Bytes of the first item that were written.
    written: usize,
    /// Bytes of all messages in `items`.
    message_bytes: usize,
    next_ticket: u64,
    /// Messages that were written or given up, until their bodies are taken back.
    done: VecDeque<Done>,
    spare: Vec<Vec<u8>>,
}

impl Outgoing {
    pub(super) fn is_empty(&self) -> bool {
        self.items.is_empty()
    }

    /// Bytes of the messages that are not written whole.
    pub(super) fn message_bytes(&self) -> usize {
        self.message_bytes
    }

    /// An empty buffer for the head of a message.
    pub(super) fn buffer(&mut self) -> Vec<u8> {
        self.spare.pop().unwrap_or_default()
    }

    /// Adds a message; returns the ticket to ask for its body with.
    pub(super) fn push_message(&mut self, head: Vec<u8>, body: Vec<u8>, channel: u16, frame_max: usize) -> u64 {
        let ticket = self.next_ticket;
        self.next_ticket += 1;
        let message = Message::new(ticket, head, body, channel, frame_max);
        self.message_bytes += message.bytes();
        self.items.push_back(Item::Message(message));
        ticket
    }

    /// Where whole frames are added, behind all that waits.
    pub(super) fn frames(&mut self) -> &mut Vec<u8> {
        if !matches!(self.items.back(), Some(Item::Frames(_))) {
            let frames = self.buffer();
            self.items.push_back(Item::Frames(frames));
        }
        match self.items.back_mut() {
            Some(Item::Frames(frames)) => frames,
            _ => unreachable!("they were added if they were not there"),
        }
    }

    /// The slices to write next.
    pub(super) fn slices(&self) -> Slices<'_> {
        let mut slices = Slices { slices: [IoSlice::new(&[]); SLICES], count: 0 };
        let mut written = self.written;
        for item in &self.items {
            match item {
                Item::Message(message) => message.add_to(&mut slices, written),
                Item::Frames(frames) => drop(slices.add(frames, written)),
            }
            written = 0;
            if slices.count == SLICES {
                break;
            }
        }
        slices
    }

    /// So many bytes of the slices were written.
    pub(super) fn advance(&mut self, bytes: usize) {
        self.written += bytes;
        while let Some(first) = self.items.front() {
            let whole = first.bytes();
            if self.written < whole {
                break;
            }
            self.written -= whole;
            if let Some(first) = self.items.pop_front() {
                self.end(first, true);
            }
        }
    }

    fn end(&mut self, item: Item, written: bool) {
        let mut spare = match item {
            Item::Frames(frames) => frames,
            Item::Message(message) => {
                self.message_bytes -= message.bytes();
                let Message { ticket, head, body, waker, .. } = message;
                self.done.push_back(Done { ticket, body, written });
                waker.into_iter().for_each(Waker::wake);
                head
            }
        };
        if self.spare.len() < SLICES {
            spare.clear();
            self.spare.push(spare);
        }
    }

    /// Gives all of it up: bodies can be taken back.
    pub(super) fn give_up(&mut self) {
        self.written = 0;
        while let Some(first) = self.items.pop_front() {
            self.end(first, false);
        }
    }

    /// The body of the message of this ticket, and whether it was written, once it is not on its way any more.
    pub(super) fn take_back(&mut self, ticket: u64) -> Option<(Vec<u8>, bool)> {
        // They are taken in the order in which they were written, except those that nobody takes any more.
        let at = self.done.iter().position(|done| done.ticket == ticket)?;
        self.done.remove(at).map(|done| (done.body, done.written))
    }

    /// Wakes when the message of this ticket is written.
    pub(super) fn wake(&mut self, ticket: u64, waker: &Waker) {
        let message = self.items.iter_mut().rev().find_map(|item| match item {
            Item::Message(message) if message.ticket == ticket => Some(message),
            _ => None,
        });
        if let Some(message) = message {
            message.waker = Some(waker.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// All that is written, in calls that take `most` bytes each.
    fn written(outgoing: &mut Outgoing, most: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while !outgoing.is_empty() {
            let slices = outgoing.slices();
            let all: Vec<u8> = slices.slices[..slices.count].iter().flat_map(|slice| slice.to_vec()).collect();
            let n = all.len().min(most);
            assert!(n > 0, "what is left has bytes");
            bytes.extend(&all[..n]);
            outgoing.advance(n);
        }
        bytes
    }

    fn frame(kind: u8, payload: &[u8]) -> Vec<u8> {
        [&[kind, 0, 5][..], &(payload.len() as u32).to_be_bytes(), payload, &[FRAME_END]].concat()
    }

    #[test]
    fn a_body_is_split_into_frames_whatever_the_network_takes_at_once() {
        let head = frame(1, b"method");
        for bytes in [0usize, 1, 91, 92, 93, 184, 1000, 9200] {
            let body: Vec<u8> = (0..bytes).map(|byte| byte as u8).collect();
            let pieces = body.chunks(92).map(|piece| frame(3, piece));
            let expected = [head.clone()]
                .into_iter()
                .chain(pieces)
                .chain([frame(8, b""), frame(1, b"ack")])
                .collect::<Vec<_>>()
                .concat();
            for most in [1, 2, 7, 8, 9, 92, 100, 5000, usize::MAX] {
                let mut outgoing = Outgoing::default();
                let ticket = outgoing.push_message(head.clone(), body.clone(), 5, 100);
                outgoing.frames().extend(frame(8, b""));
                outgoing.frames().extend(frame(1, b"ack"));
                assert!(outgoing.take_back(ticket).is_none());
                assert_eq!(written(&mut outgoing, most), expected, "{bytes} bytes by {most}");
                assert_eq!(outgoing.take_back(ticket), Some((body.clone(), true)));
            }
        }
    }

    #[test]
    fn bodies_come_back_when_all_is_given_up() {
        let mut outgoing = Outgoing::default();
        let tickets = [b"a", b"b"].map(|body| outgoing.push_message(Vec::new(), body.to_vec(), 1, 100));
        outgoing.advance(4);
        outgoing.give_up();
        assert!(outgoing.is_empty());
        assert_eq!(outgoing.take_back(tickets[1]), Some((b"b".to_vec(), false)));
        assert_eq!(outgoing.take_back(tickets[0]), Some((b"a".to_vec(), false)));
        assert_eq!(outgoing.take_back(tickets[0]), None);
    }
}
