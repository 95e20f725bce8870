//! Ranks that are threads of one test.

use crate::ports::{Comm, CommError};
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
    meeting: Mutex<Meeting>,
    changed: Condvar,
    mail: Vec<Mutex<Mailbox>>,
}

/// Control messages that wait for a rank, each with its sender.
type Mailbox = VecDeque<(usize, Vec<u8>)>;

/// What ranks have brought to the current collective, and what the last one collected.
#[derive(Debug, Default)]
struct Meeting {
    number: u64,
    brought: Vec<Option<Vec<u8>>>,
    collected: Arc<Vec<Vec<u8>>>,
}

impl ThreadComm {
    /// The ranks of a world of `size`.
    pub fn world(size: usize) -> Vec<Self> {
        let world = Arc::new(World {
            size,
            meeting: Mutex::new(Meeting { brought: vec![None; size], ..Meeting::default() }),
            changed: Condvar::new(),
            mail: (0..size).map(|_| Mutex::default()).collect(),
        });
        (0..size).map(|rank| Self { rank, world: world.clone() }).collect()
    }

    /// Every collective is this: all bring bytes, all leave with everyone's.
    fn exchange(&self, step: &'static str, bytes: Vec<u8>, limit: Duration) -> Result<Arc<Vec<Vec<u8>>>, CommError> {
        let deadline = Instant::now() + limit;
        let mut meeting = self.world.meeting.lock().expect("no rank panics with the lock");
        let number = meeting.number;
        meeting.brought[self.rank] = Some(bytes);
        if meeting.brought.iter().all(Option::is_some) {
            meeting.collected = Arc::new(meeting.brought.iter_mut().filter_map(Option::take).collect());
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
}

impl Comm for ThreadComm {
    fn rank(&self) -> usize {
        self.rank
    }

    fn size(&self) -> usize {
        self.world.size
    }

    fn broadcast(&self, bytes: Vec<u8>, limit: Duration) -> Result<Vec<u8>, CommError> {
        Ok(self.exchange("broadcast", bytes, limit)?[0].clone())
    }

    fn gather(&self, bytes: &[u8], limit: Duration) -> Result<Vec<Vec<u8>>, CommError> {
        let all = self.exchange("gather", bytes.to_vec(), limit)?;
        Ok(if self.rank == 0 { all.to_vec() } else { Vec::new() })
    }

    fn reduce_sum(&self, values: &mut [u64], limit: Duration) -> Result<(), CommError> {
        let bytes = values.iter().flat_map(|value| value.to_le_bytes()).collect();
        let all = self.exchange("reduce", bytes, limit)?;
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
        self.world.mail[to].lock().expect("no rank panics with the lock").push_back((self.rank, bytes.to_vec()));
        Ok(())
    }

    fn poll(&self) -> Result<Option<(usize, Vec<u8>)>, CommError> {
        Ok(self.world.mail[self.rank].lock().expect("no rank panics with the lock").pop_front())
    }
}
