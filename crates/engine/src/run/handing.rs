//! What consumers hand over of their ledgers while they stream, on its way to rank 0.
//!
//! A rank keeps each piece until rank 0 has joined it, and sends the next one only then. Messages between two ranks do not overtake
//! each other: a rank that receives the end of streaming has received every acknowledgement before it. So what it still
//! has is exactly what rank 0 has not joined, and goes with its last ledgers.

use crate::{
    ports::{Comm, CommError, POST_BYTES_MAX},
    run::control::Control,
    worker::progress::Progress,
};
use measure::{Deliveries, Handed};
use std::collections::VecDeque;

/// The pieces of one rank that rank 0 has not joined, encoded.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    waiting: VecDeque<Vec<u8>>,
    /// Whether the first of them is on its way.
    sent: bool,
    /// Pieces that are too large to be sent before the end.
    large: Vec<Vec<u8>>,
}

impl Pieces {
    /// Takes what the workers have handed over.
    pub fn collect(&mut self, progress: &[Progress]) {
        for piece in progress.iter().flat_map(Progress::take_handed) {
            if piece.len() as u64 > POST_BYTES_MAX / 2 { self.large.push(piece) } else { self.waiting.push_back(piece) }
        }
    }

    /// Sends the next one, unless one is on its way.
    ///
    /// # Errors
    ///
    /// [`CommError`] if ranks cannot communicate.
    pub fn send(&mut self, comm: &impl Comm, run: u32) -> Result<(), CommError> {
        if self.sent {
            return Ok(());
        }
        let Some(piece) = self.waiting.front() else { return Ok(()) };
        self.sent = true;
        comm.post(0, &Control::Handed(run, piece.clone()).encode())
    }

    /// Rank 0 has joined the one that was on its way.
    pub fn joined(&mut self) {
        if std::mem::take(&mut self.sent) {
            self.waiting.pop_front();
        }
    }

    /// Joins all of them here, on rank 0.
    pub fn join(&mut self, handed: &mut Handed) {
        self.waiting.drain(..).chain(self.large.drain(..)).for_each(|piece| take(handed, &piece));
    }

    /// What rank 0 has not joined.
    pub fn left(self) -> Vec<Vec<u8>> {
        self.waiting.into_iter().chain(self.large).collect()
    }

    /// Memory that they take.
    pub fn bytes(&self) -> u64 {
        self.waiting.iter().chain(&self.large).map(|piece| piece.len() as u64).sum()
    }
}

/// Joins a piece.
pub(crate) fn take(handed: &mut Handed, piece: &[u8]) {
    handed.take(Deliveries::decode(piece).expect("ranks run the same binary"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double::ThreadComm;
    use measure::{Sent, join_with};

    /// Messages `from..until` of producer 0, with gaps.
    fn piece(from: u64, until: u64) -> Vec<u8> {
        let mut deliveries = Deliveries::new();
        (from..until).step_by(2).for_each(|sequence| {
            deliveries.observe(0, sequence, false);
        });
        deliveries.encode()
    }

    fn next(comm: &ThreadComm) -> Option<Control> {
        comm.poll().unwrap().map(|(_, bytes)| Control::decode(&bytes))
    }

    #[test]
    fn each_piece_is_joined_once_wherever_streaming_ends() {
        let world = ThreadComm::world(2);
        let (rank_0, rank_1) = (&world[0], &world[1]);
        let progress = [Progress::default(), Progress::default()];
        // The end comes after so many acknowledgements, and one piece may be on its way then.
        for joined in 0..=3 {
            let (mut pieces, mut handed) = (Pieces::default(), Handed::default());
            for part in 0..3 {
                progress[part % 2].hand_over(piece(part as u64 * 100, part as u64 * 100 + 100));
            }
            pieces.collect(&progress);
            let before = pieces.bytes();
            for _ in 0..joined {
                pieces.send(rank_1, 7).unwrap();
                pieces.send(rank_1, 7).unwrap();
                let Some(Control::Handed(7, piece)) = next(rank_0) else { panic!("a piece was sent") };
                assert_eq!(next(rank_0), None, "one at a time");
                take(&mut handed, &piece);
                pieces.joined();
            }
            pieces.send(rank_1, 7).unwrap();
            // Rank 0 has ended streaming, and joins no more.
            while next(rank_0).is_some() {}
            assert!(joined == 0 || pieces.bytes() < before);
            let left = pieces.left();
            assert_eq!(left.len(), 3 - joined);
            let mut sent = Sent::new(true);
            (0..300).for_each(|sequence| {
                sent.publish();
                sent.confirm(sequence);
            });
            let left = left.iter().map(|piece| Deliveries::decode(piece).unwrap());
            let integrity = join_with(handed, &[(0, sent.finish())], left);
            assert_eq!((integrity.delivered, integrity.duplicated), (150, 0), "after {joined}");
        }
    }

    #[test]
    fn what_is_too_large_to_be_sent_is_kept_until_the_end() {
        let world = ThreadComm::world(2);
        let (rank_0, rank_1) = (&world[0], &world[1]);
        let progress = [Progress::default()];
        progress[0].hand_over(vec![0; POST_BYTES_MAX as usize]);
        let mut pieces = Pieces::default();
        pieces.collect(&progress);
        pieces.send(rank_1, 7).unwrap();
        assert_eq!((next(rank_0), pieces.left().len()), (None, 1));
    }
}
