//! Transfers that are too large for one step: ledgers in rounds of a few ranks, and the one corrupt sample that is kept.
//!
//! A hundred million messages that 64 consumers share are 200 MB of ledgers, though their union is 12. So ranks first
//! report how much they have; rank 0 then calls for it, and joins each round before the next one comes.

use crate::{
    ports::{Comm, CommError},
    result::report::RankReport,
    worker::inspections::CorruptSample,
};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::{collections::VecDeque, time::Duration};

/// Bytes of a round, unless one rank has more by itself.
const ROUND_BYTES: u64 = 8 << 20;

/// The plan of the transfers: the same on every rank.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Call {
    /// The round of each rank's ledgers.
    rounds: Vec<u32>,
    /// The rank whose corrupt sample is kept.
    first_corrupt: Option<usize>,
}

impl Call {
    /// The plan for these reports.
    pub fn of(ranks: &[RankReport]) -> Self {
        let first = ranks.iter().filter_map(|rank| Some((rank.first_corrupt_ns?, rank.summary.rank as usize))).min();
        let sizes = ranks.iter().map(|rank| rank.ledger_bytes);
        Self { rounds: rounds(sizes), first_corrupt: first.map(|(_, rank)| rank) }
    }

    /// Sends it to every rank; the values of the others are ignored.
    ///
    /// # Errors
    ///
    /// [`CommError`] if a rank does not take part within the limit.
    pub fn spread(self, comm: &impl Comm, limit: Duration) -> Result<Self, CommError> {
        Ok(decode(&comm.broadcast(encode(&self), limit)?))
    }

    /// The corrupt sample that is kept, on rank 0.
    ///
    /// # Errors
    ///
    /// [`CommError`] if a rank does not take part within the limit.
    pub fn first_corrupt(
        &self,
        comm: &impl Comm,
        mine: Option<&CorruptSample>,
        limit: Duration,
    ) -> Result<Option<CorruptSample>, CommError> {
        let Some(chosen) = self.first_corrupt else { return Ok(None) };
        let bytes = mine.filter(|_| comm.rank() == chosen).map_or_else(Vec::new, encode);
        Ok(comm.gather(&bytes, limit)?.get(chosen).map(|bytes| decode(bytes)))
    }
}

/// Ranks in order, as many to a round as fit.
fn rounds(sizes: impl Iterator<Item = u64>) -> Vec<u32> {
    let (mut round, mut bytes) = (0, 0);
    sizes
        .map(|size| {
            if bytes > 0 && size > 0 && bytes + size > ROUND_BYTES {
                (round, bytes) = (round + 1, 0);
            }
            bytes += size;
            round
        })
        .collect()
}

/// The encoded ledgers of all ranks, a round at a time, on rank 0; nothing on the others. Every rank must take all.
pub(crate) struct Rounds<'a, C> {
    comm: &'a C,
    call: &'a Call,
    mine: Vec<Vec<u8>>,
    limit: Duration,
    next: u32,
    arrived: VecDeque<Vec<u8>>,
    failed: Option<CommError>,
}

impl<'a, C: Comm> Rounds<'a, C> {
    /// Gathers `mine` of every rank by `call`.
    pub fn new(comm: &'a C, call: &'a Call, mine: Vec<Vec<u8>>, limit: Duration) -> Self {
        Self { comm, call, mine, limit, next: 0, arrived: VecDeque::new(), failed: None }
    }

    /// Ends the rounds: all ledgers have arrived, or it fails.
    ///
    /// # Errors
    ///
    /// [`CommError`] if a rank does not take part within the limit.
    pub fn end(mut self) -> Result<(), CommError> {
        self.by_ref().for_each(drop);
        self.failed.map_or(Ok(()), Err)
    }

    fn gather(&mut self) -> Result<(), CommError> {
        let rounds = &self.call.rounds;
        let mine = rounds[self.comm.rank()] == self.next;
        let bytes = if mine { encode(&std::mem::take(&mut self.mine)) } else { Vec::new() };
        let gathered = self.comm.gather(&bytes, self.limit)?;
        let of_round = gathered.iter().zip(rounds).filter(|(_, round)| **round == self.next);
        self.arrived = of_round.flat_map(|(bytes, _)| decode::<Vec<Vec<u8>>>(bytes)).collect();
        self.next += 1;
        Ok(())
    }
}

impl<C: Comm> Iterator for Rounds<'_, C> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        while self.arrived.is_empty() && self.failed.is_none() && self.call.rounds.last() >= Some(&self.next) {
            self.failed = self.gather().err();
        }
        self.arrived.pop_front()
    }
}

fn encode(value: &(impl Serialize + ?Sized)) -> Vec<u8> {
    bincode::serde::encode_to_vec(value, bincode::config::standard()).expect("plain data encodes")
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> T {
    bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("ranks run the same binary").0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double::ThreadComm;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_round_holds_as_many_ranks_as_fit_and_at_least_one() {
        assert_eq!(rounds([0, 0, 3, 5].into_iter()), [0, 0, 0, 0]);
        assert_eq!(rounds([5 * MIB, 5 * MIB, 3 * MIB, 100 * MIB, 1].into_iter()), [0, 1, 1, 2, 3]);
        assert_eq!(rounds([100 * MIB, 0, 0].into_iter()), [0, 0, 0]);
    }

    #[test]
    fn all_ledgers_arrive_in_rank_order_whatever_the_rounds() {
        for rounds in [vec![0, 0, 0], vec![0, 1, 2], vec![0, 1, 1]] {
            let arrived: Vec<Vec<Vec<u8>>> = std::thread::scope(|scope| {
                let ranks: Vec<_> = ThreadComm::world(3)
                    .into_iter()
                    .map(|comm| {
                        let call = Call { rounds: rounds.clone(), first_corrupt: None };
                        scope.spawn(move || {
                            let rank = comm.rank() as u8;
                            // Rank 1 has no consumer, the others two each.
                            let mine = if rank == 1 { vec![] } else { vec![vec![rank], vec![rank, rank]] };
                            let mut all = Rounds::new(&comm, &call, mine, Duration::from_secs(10));
                            let taken = all.by_ref().collect();
                            all.end().unwrap();
                            taken
                        })
                    })
                    .collect();
                ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
            });
            assert_eq!(arrived[0], [vec![0], vec![0, 0], vec![2], vec![2, 2]], "{rounds:?}");
            assert!(arrived[1].is_empty() && arrived[2].is_empty());
        }
    }
}
