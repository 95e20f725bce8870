//! The packets of one direction that are on their way, in one block of memory. Pure: the caller owns the clock.

use std::collections::VecDeque;

/// The largest frame, with the header in front of it that describes coalesced segments: 64 KiB of IP, and some room.
pub const FRAME_MAX: usize = 66 * 1024;

/// A bounded queue. Packets that arrive in order lie one after another in a ring; the few that are held back are apart.
#[derive(Debug)]
pub struct Queue {
    ring: Vec<u8>,
    /// Where the next packet is written.
    tail: usize,
    in_order: VecDeque<Slot>,
    held_back: VecDeque<(u64, Box<[u8]>)>,
}

#[derive(Debug, Clone, Copy)]
struct Slot {
    due_ns: u64,
    start: usize,
    length: usize,
}

/// A packet that is handed on.
#[derive(Debug, PartialEq, Eq)]
pub struct Due<'a> {
    pub due_ns: u64,
    pub frame: &'a [u8],
    pub held_back: bool,
}

impl Queue {
    /// One of so many bytes, which are taken from the system as they are used.
    pub fn new(bytes: usize) -> Self {
        let ring = vec![0; bytes.max(2 * FRAME_MAX)];
        Self { ring, tail: 0, in_order: VecDeque::new(), held_back: VecDeque::new() }
    }

    /// Where a packet can be read into; `None` if the queue is full.
    pub fn room(&mut self) -> Option<&mut [u8]> {
        let first = match self.in_order.front() {
            Some(slot) => slot.start,
            None => {
                self.tail = 0;
                return Some(&mut self.ring[..FRAME_MAX]);
            }
        };
        // A packet ends before the first begins, so that an equal start always means an empty queue.
        let end = if self.tail > first { self.ring.len() } else { first };
        if self.tail + FRAME_MAX >= end {
            if self.tail <= first || FRAME_MAX >= first {
                return None;
            }
            self.tail = 0;
        }
        Some(&mut self.ring[self.tail..self.tail + FRAME_MAX])
    }

    /// Keeps the packet of `length` that was read into the room until it is due.
    pub fn keep(&mut self, length: usize, due_ns: u64) {
        self.in_order.push_back(Slot { due_ns, start: self.tail, length });
        self.tail += length;
    }

    /// The same for one that others overtake.
    pub fn hold_back(&mut self, length: usize, due_ns: u64) {
        self.held_back.push_back((due_ns, self.ring[self.tail..self.tail + length].into()));
    }

    /// When the next packet is due.
    pub fn next_due_ns(&self) -> Option<u64> {
        let in_order = self.in_order.front().map(|slot| slot.due_ns);
        let held_back = self.held_back.front().map(|(due_ns, _)| *due_ns);
        in_order.into_iter().chain(held_back).min()
    }

    /// Hands the next packet to `hand_on` if it is due.
    pub fn hand_on(&mut self, now_ns: u64, hand_on: impl FnOnce(Due<'_>)) -> bool {
        let Some(due_ns) = self.next_due_ns().filter(|due_ns| *due_ns <= now_ns) else { return false };
        if let Some(&Slot { start, length, .. }) = self.in_order.front().filter(|slot| slot.due_ns == due_ns) {
            hand_on(Due { due_ns, frame: &self.ring[start..start + length], held_back: false });
            self.in_order.pop_front();
        } else if let Some((due_ns, frame)) = self.held_back.pop_front() {
            hand_on(Due { due_ns, frame: &frame, held_back: true });
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(queue: &mut Queue, mark: u8, length: usize, due_ns: u64) -> bool {
        let Some(room) = queue.room() else { return false };
        room[..length].fill(mark);
        queue.keep(length, due_ns);
        true
    }

    fn take(queue: &mut Queue, now_ns: u64) -> Option<(u8, usize)> {
        let mut taken = None;
        queue.hand_on(now_ns, |due| {
            assert!(due.frame.iter().all(|byte| *byte == due.frame[0]), "no packet was written over");
            taken = Some((due.frame[0], due.frame.len()));
        });
        taken
    }

    #[test]
    fn a_packet_waits_until_it_is_due() {
        let mut queue = Queue::new(0);
        assert_eq!(queue.next_due_ns(), None);
        assert!(put(&mut queue, 1, 60, 100) && put(&mut queue, 2, 1514, 200));
        assert_eq!(take(&mut queue, 99), None);
        assert_eq!(take(&mut queue, 100), Some((1, 60)));
        assert_eq!((take(&mut queue, 199), queue.next_due_ns()), (None, Some(200)));
        assert_eq!(take(&mut queue, 200), Some((2, 1514)));
    }

    #[test]
    fn one_that_is_held_back_is_overtaken_by_those_that_are_due_before() {
        let mut queue = Queue::new(0);
        queue.room().unwrap()[..9].fill(9);
        queue.hold_back(9, 150);
        assert!(put(&mut queue, 1, 60, 100) && put(&mut queue, 2, 60, 140) && put(&mut queue, 3, 60, 160));
        let order: Vec<u8> = std::iter::from_fn(|| take(&mut queue, 1000)).map(|(mark, _)| mark).collect();
        assert_eq!(order, [1, 2, 9, 3]);
    }

    #[test]
    fn a_full_queue_takes_no_more_and_nothing_in_it_is_damaged() {
        // Any mixture of sizes, for long enough to go round the ring many times.
        let mut queue = Queue::new(5 * FRAME_MAX);
        let (mut put_in, mut taken_out, mut full) = (0_u64, 0_u64, 0);
        for step in 0..5_000_u64 {
            let length = 1 + (step * 7919 % 65_000) as usize;
            if put(&mut queue, (put_in % 251) as u8, length, step + 40) {
                put_in += 1;
            } else {
                full += 1;
            }
            if step % 3 > 0 && queue.next_due_ns().is_some() {
                assert_eq!(take(&mut queue, u64::MAX).unwrap().0, (taken_out % 251) as u8);
                taken_out += 1;
            }
        }
        while let Some((mark, _)) = take(&mut queue, u64::MAX) {
            assert_eq!(mark, (taken_out % 251) as u8);
            taken_out += 1;
        }
        assert!(full > 100 && put_in > 3_000 && taken_out == put_in, "{full} {put_in} {taken_out}");
    }
}
