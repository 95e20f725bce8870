//! Which rank plays which workers. Pure arithmetic, the same on every rank.

use serde::{Deserialize, Serialize};
use std::{fmt, ops::Range};

/// How workers are laid out over ranks: one per rank where there are ranks enough (the rest idle),
/// else in blocks. Producers come first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Ranks in the launch.
    pub world: usize,
    /// Producers over all ranks.
    pub producers: u32,
    /// Consumers over all ranks.
    pub consumers: u32,
}

/// What one rank plays: its producers and its consumers, by index. Both empty means idle.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RankRole {
    /// Indices of its producers.
    pub producers: Range<u32>,
    /// Indices of its consumers.
    pub consumers: Range<u32>,
}

impl Placement {
    /// The role of `rank`.
    pub fn role(&self, rank: usize) -> RankRole {
        let workers = u64::from(self.producers) + u64::from(self.consumers);
        let (start, end) = if self.world as u64 >= workers {
            ((rank as u64).min(workers), (rank as u64 + 1).min(workers))
        } else {
            (share_start(workers, self.world, rank), share_start(workers, self.world, rank + 1))
        };
        let producers = u64::from(self.producers);
        let within = |from: u64, to: u64, base: u64| {
            let index = |at: u64| u32::try_from(at.clamp(from, to) - base).expect("worker indices fit their u32 count");
            index(start)..index(end)
        };
        RankRole { producers: within(0, producers, 0), consumers: within(producers, workers, producers) }
    }
}

impl fmt::Display for RankRole {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match (self.producers.is_empty(), self.consumers.is_empty()) {
            (false, true) => "producer",
            (true, false) => "consumer",
            (false, false) => "producer+consumer",
            (true, true) => "idle",
        })
    }
}

/// How many of `total` fall to the part `index` of `parts`, as evenly as whole numbers allow.
pub fn share(total: u64, parts: u32, index: u32) -> u64 {
    total / u64::from(parts) + u64::from(u64::from(index) < total % u64::from(parts))
}

fn share_start(total: u64, parts: usize, index: usize) -> u64 {
    total * index as u64 / parts as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(world: usize, producers: u32, consumers: u32, expected: &[(Range<u32>, Range<u32>)]) {
        let placement = Placement { world, producers, consumers };
        let roles: Vec<_> = (0..world).map(|rank| placement.role(rank)).map(|r| (r.producers, r.consumers)).collect();
        assert_eq!(roles, expected);
    }

    #[test]
    fn one_worker_a_rank_where_there_are_ranks_enough() {
        check(4, 2, 2, &[(0..1, 0..0), (1..2, 0..0), (2..2, 0..1), (2..2, 1..2)]);
    }

    #[test]
    fn ranks_left_over_are_idle() {
        check(4, 1, 1, &[(0..1, 0..0), (1..1, 0..1), (1..1, 1..1), (1..1, 1..1)]);
        assert_eq!(Placement { world: 4, producers: 1, consumers: 1 }.role(3).to_string(), "idle");
    }

    #[test]
    fn several_workers_share_a_rank_where_there_are_fewer_ranks() {
        check(1, 3, 2, &[(0..3, 0..2)]);
        check(2, 2, 3, &[(0..2, 0..0), (2..2, 0..3)]);
        check(3, 2, 2, &[(0..1, 0..0), (1..2, 0..0), (2..2, 0..2)]);
    }

    #[test]
    fn every_worker_is_placed_exactly_once() {
        for world in 1..20 {
            for (producers, consumers) in [(1, 1), (1, 64), (7, 5), (64, 64)] {
                let placement = Placement { world, producers, consumers };
                let roles: Vec<_> = (0..world).map(|rank| placement.role(rank)).collect();
                let placed: Vec<u32> = roles.iter().flat_map(|role| role.producers.clone()).collect();
                assert_eq!(placed, (0..producers).collect::<Vec<_>>());
                let placed: Vec<u32> = roles.iter().flat_map(|role| role.consumers.clone()).collect();
                assert_eq!(placed, (0..consumers).collect::<Vec<_>>());
            }
        }
    }

    #[test]
    fn shares_add_up_and_differ_by_one_at_most() {
        let shares: Vec<u64> = (0..3).map(|index| share(20_000, 3, index)).collect();
        assert_eq!(shares, [6667, 6667, 6666]);
    }
}
