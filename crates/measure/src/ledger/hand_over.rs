//! Takes what a consumer received long ago out of its ledger, so that the ledger stays small however long the run lasts.

use super::{Deliveries, LogHead, ProducerLog};
use roaring::RoaringTreemap;

/// A ledger smaller than this hands nothing over.
const KEPT_BYTES: usize = 32 << 10;
/// What is handed over at once is divided into pieces of about this size, by producer.
const PIECE_BYTES: usize = 32 << 10;

impl Deliveries {
    /// Memory that its sets take, nearly: as many bytes as they are written to.
    pub fn bytes(&self) -> usize {
        self.logs.iter().map(ProducerLog::bytes).sum()
    }

    /// Takes out what was delivered before the last call, as ledgers that are joined like those of further consumers of the same
    /// audience. Nothing, as long as all of it is small.
    ///
    /// What comes again later counts as new here, and as a duplicate where all are joined. A loss of the connection makes nothing
    /// unsure that was handed over before, so call it no more often than acknowledgements arrive.
    pub fn hand_over(&mut self) -> Vec<Deliveries> {
        if self.bytes() < KEPT_BYTES { Vec::new() } else { self.old_pieces(PIECE_BYTES) }
    }

    /// All that is old, in pieces of about this size.
    pub(crate) fn old_pieces(&mut self, piece_bytes: usize) -> Vec<Deliveries> {
        let (mut pieces, mut piece, mut bytes) = (Vec::new(), Deliveries::new(), 0);
        for log in &mut self.logs {
            let Some(old) = log.take_old() else { continue };
            bytes += old.bytes();
            piece.logs.push(old);
            if bytes >= piece_bytes {
                pieces.push(std::mem::take(&mut piece));
                bytes = 0;
            }
        }
        pieces.extend((!piece.logs.is_empty()).then_some(piece));
        pieces
    }
}

impl ProducerLog {
    fn bytes(&self) -> usize {
        let sets = [&self.seen_ahead, &self.repeated, &self.late, &self.again, &self.unsure_ahead];
        size_of::<LogHead>() + sets.into_iter().map(RoaringTreemap::serialized_size).sum::<usize>()
    }

    /// Takes out the sequences below the highest that had been seen when this was called last.
    fn take_old(&mut self) -> Option<Self> {
        let below = std::mem::replace(&mut self.old_below, self.in_order_from);
        let mut old = self.seen_ahead.clone();
        old.remove_range(below..);
        self.seen_ahead -= &old;
        if old.is_empty() && self.repeated.is_empty() {
            return None;
        }
        // Only with their deliveries: without its mark, one that stays here would count as in order.
        let mut with_old = |set: fn(&mut Self) -> &mut RoaringTreemap| {
            let taken = &*set(self) & &old;
            *set(self) -= &taken;
            taken
        };
        let late = with_old(|log| &mut log.late);
        let again = with_old(|log| &mut log.again);
        let unsure_ahead = with_old(|log| &mut log.unsure_ahead);
        Some(Self {
            seen_ahead: old,
            repeated: std::mem::take(&mut self.repeated),
            extra: std::mem::take(&mut self.extra),
            late,
            again,
            unsure_ahead,
            ..Self::new(self.producer)
        })
    }
}
