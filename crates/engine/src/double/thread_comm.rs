//! Ranks that are threads of one test. Calls that MPI would refuse are refused here too.

use crate::ports::{BYTES_MAX, Comm, CommError, POST_BYTES_MAX};
use std::{
    collections::VecDeque,
    sync::{Arc, Condvar, Mutex},
    time::{Duration, Instant},
};

/// One rank of a world of threads.
#[derive(Debug, Clone)]
pub struct ThreadComm {
    rank: usize,
    world: Arc<World>,
}

#[derive(Debug)]
struct World {
    size: usize,
    bytes_max: u64,
    meeting: Mutex<Meeting>,
    changed: Condvar,
    mail: Vec<Mutex<Mailbox>>,
}

/// Control messages that wait for a rank, each with its sender.
type Mailbox = VecDeque<(usize, Vec<u8>)>;

/// Contributions of ranks to the current collective, and the result of the last one.
#[derive(Debug, Default)]
struct Meeting {
    number: u64,
    brought: Vec<Option<(Step, Vec<u8>)>>,
    collected: Arc<Vec<Vec<u8>>>,
}

/// Name of a collective.
type Step = &'static str;

impl ThreadComm {
    /// The ranks of a world of `size`.
    pub fn world(size: usize) -> Vec<Self> {
        Self::world_within(size, BYTES_MAX)
    }

    /// The same with a limit of `bytes_max` per collective, so that a test of the limit needs no 2 GiB.
    fn world_within(size: usize, bytes_max: u64) -> Vec<Self> {
        let world = Arc::new(World {
            size,
            bytes_max,
            meeting: Mutex::new(Meeting { brought: vec![None; size], ..Meeting::default() }),
            changed: Condvar::new(),
            mail: (0..size).map(|_| Mutex::default()).collect(),
        });
        (0..size).map(|rank| Self { rank, world: world.clone() }).collect()
    }

    /// Every collective is built on this one: each rank contributes bytes, and each receives the bytes of all.
    fn exchange(&self, step: Step, bytes: Vec<u8>, limit: Duration) -> Result<Arc<Vec<Vec<u8>>>, CommError> {
        let deadline = Instant::now() + limit;
        let mut meeting = self.world.meeting.lock().expect("no rank panics with the lock");
        let number = meeting.number;
        meeting.brought[self.rank] = Some((step, bytes));
        if meeting.brought.iter().all(Option::is_some) {
            let brought: Vec<(Step, Vec<u8>)> = meeting.brought.iter_mut().filter_map(Option::take).collect();
            let others = brought.iter().find(|(other, _)| *other != step);
            assert!(others.is_none(), "rank {} is in `{step}` while another is in {others:?}", self.rank);
            meeting.collected = Arc::new(brought.into_iter().map(|(_, bytes)| bytes).collect());
            meeting.number += 1;
            self.world.changed.notify_all();
        }
        while meeting.number == number {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(CommError::Absent { step, limit });
            }
            meeting = self.world.changed.wait_timeout(meeting, left).expect("no rank panics with the lock").0;
        }
        Ok(meeting.collected.clone())
    }

    /// Refuses more bytes than MPI can count.
    fn refuse_over(&self, step: Step, bytes: usize) -> Result<(), CommError> {
        CommError::refuse_over(step, bytes as u64, self.world.bytes_max)
    }
}

impl Comm for ThreadComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.world.size
    }

    fn broadcast(&self, bytes: Vec<u8>, limit: Duration) -> Result<Vec<u8>, CommError> {
        let all = self.exchange("broadcast", bytes, limit)?;
        self.refuse_over("broadcast", all[0].len())?;
        Ok(all[0].clone())
    }

    fn gather(&self, bytes: &[u8], limit: Duration) -> Result<Vec<Vec<u8>>, CommError> {
        let all = self.exchange("gather", bytes.to_vec(), limit)?;
        self.refuse_over("gather", all.iter().map(Vec::len).sum())?;
        Ok(if self.rank == 0 { all.to_vec() } else { Vec::new() })
    }

    fn reduce_sum(&self, values: &mut [u64], limit: Duration) -> Result<(), CommError> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let all = self.exchange("reduce", bytes, limit)?;
        self.refuse_over("reduce", size_of_val(values))?;
        assert!(all.iter().all(|one| one.len() == size_of_val(values)), "every rank brings as many values");
        values.fill(0);
        for one in all.iter() {
            for (sum, value) in values.iter_mut().zip(one.as_chunks::<8>().0) {
                *sum += u64::from_le_bytes(*value);
            }
        }
        Ok(())
    }

    fn barrier(&self, limit: Duration) -> Result<(), CommError> {
        self.exchange("barrier", Vec::new(), limit).map(|_| ())
    }

    fn post(&self, to: usize, bytes: &[u8]) -> Result<(), CommError> {
        CommError::refuse_over("post", bytes.len() as u64, POST_BYTES_MAX)?;
        self.world.mail[to].lock().expect("no rank panics with the lock").push_back((self.rank, bytes.to_vec()));
        Ok(())
    }

    fn poll(&self) -> Result<Option<(usize, Vec<u8>)>, CommError> {
        Ok(self.world.mail[self.rank].lock().expect("no rank panics with the lock").pop_front())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    /// What each rank of a world of three gets.
    fn each<T: Send>(bytes_max: u64, work: impl Fn(ThreadComm) -> T + Sync) -> Vec<T> {
        std::thread::scope(|scope| {
            let ranks: Vec<_> = ThreadComm::world_within(3, bytes_max)
                .into_iter()
                .map(|comm| {
                    let work = &work;
                    scope.spawn(move || work(comm))
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    #[test]
    fn nothing_is_as_good_as_any_bytes() {
        let got = each(BYTES_MAX, |comm| {
            let gathered = comm.gather(&[], LIMIT).unwrap();
            comm.reduce_sum(&mut [], LIMIT).unwrap();
            (gathered, comm.broadcast(Vec::new(), LIMIT).unwrap())
        });
        assert_eq!(got, [(vec![vec![]; 3], vec![]), (vec![], vec![]), (vec![], vec![])]);
    }

    #[test]
    fn every_rank_refuses_what_is_too_long_over_all_ranks() {
        for refused in each(10, |comm| comm.gather(&[0; 4], LIMIT).unwrap_err().to_string()) {
            assert!(refused.contains("`gather` over all ranks needs 12 bytes"), "{refused}");
        }
        let refused = each(10, |comm| comm.broadcast(vec![0; if comm.rank() == 0 { 11 } else { 0 }], LIMIT).is_err());
        assert_eq!(refused, [true; 3], "what rank 0 cannot send comes to nobody");
        let long = vec![0; POST_BYTES_MAX as usize + 1];
        assert!(each(10, |comm| comm.post(0, &long).is_err()).into_iter().all(|refused| refused));
    }
}
