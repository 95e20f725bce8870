//! The placement of workers on ranks. Pure arithmetic, the same on every rank.

use crate::{
    error::{ProfileError, impossible},
    knobs::{Layout, Role},
};
use serde::{Deserialize, Serialize};
use std::fmt;

/// The placement of workers: one per rank if there are enough ranks (the rest idle), otherwise several.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Placement {
    /// Ranks in the launch.
    pub world: usize,
    /// Producers over all ranks.
    pub producers: u32,
    /// Consumers over all ranks.
    pub consumers: u32,
    /// The rule.
    pub layout: Layout,
    /// Number of the host of each rank; empty if the layout does not depend on hosts.
    pub hosts: Vec<u32>,
    /// The role of each rank; empty if the layout decides.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub roles: Vec<Role>,
}

/// The role of one rank: the indices of its producers and consumers. Both empty means idle.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RankRole {
    /// Indices of its producers.
    pub producers: Vec<u32>,
    /// Indices of its consumers.
    pub consumers: Vec<u32>,
}

impl Placement {
    pub(crate) fn new(producers: u32, consumers: u32, layout: Layout, hosts: &[u32]) -> Result<Self, ProfileError> {
        let by_host = layout == Layout::ByHost;
        if by_host && hosts.iter().all(|host| *host == hosts[0]) {
            return impossible(
                "--layout by-host keeps producers and consumers on different hosts, and all ranks are on one: start \
                 the launch on two hosts or more, or use --layout block"
                    .to_owned(),
            );
        }
        let hosts = if by_host { hosts.to_vec() } else { vec![0; hosts.len()] };
        let world = hosts.len();
        let hosts = if by_host { hosts } else { Vec::new() };
        Ok(Self { world, producers, consumers, layout, hosts, roles: Vec::new() })
    }

    /// Each rank has a role already.
    pub(crate) fn by_roles(producers: u32, consumers: u32, roles: &[Role]) -> Result<Self, ProfileError> {
        for (count, role) in [(producers, Role::Producer), (consumers, Role::Consumer)] {
            if count > 0 && !roles.contains(&role) {
                return impossible(format!(
                    "{count} {role}(s) are to work, and no rank has the role {role}: start some with --role {role}, or leave that end \
                     to programs of others with --{role}s 0"
                ));
            }
        }
        let (world, layout, hosts) = (roles.len(), Layout::Block, Vec::new());
        Ok(Self { world, producers, consumers, layout, hosts, roles: roles.to_vec() })
    }

    /// The role of `rank`.
    pub fn role(&self, rank: usize) -> RankRole {
        let one_end = self.producers == 0 || self.consumers == 0;
        if let Some(role) = self.roles.get(rank) {
            return self.on_side(*role, rank, |other| self.roles[other] == *role);
        }
        match self.layout {
            Layout::ByHost if one_end => self.block(rank),
            Layout::Block => self.block(rank),
            Layout::Cyclic => self.cyclic(rank),
            Layout::ByHost => self.by_host(rank),
        }
    }

    /// Producers first, then consumers.
    fn block(&self, rank: usize) -> RankRole {
        let workers = u64::from(self.producers) + u64::from(self.consumers);
        let own = part(workers, self.world, rank);
        let producers = u64::from(self.producers);
        let index = |worker: u64| u32::try_from(worker).expect("worker indices fit their u32 count");
        let (produces, consumes): (Vec<u64>, Vec<u64>) = own.partition(|worker| *worker < producers);
        RankRole {
            producers: produces.into_iter().map(index).collect(),
            consumers: consumes.into_iter().map(|worker| index(worker - producers)).collect(),
        }
    }

    /// Assigned in turn, with producers spread among consumers as evenly as possible.
    fn cyclic(&self, rank: usize) -> RankRole {
        let (producers, consumers) = (u64::from(self.producers), u64::from(self.consumers));
        let workers = producers + consumers;
        let mut role = RankRole::default();
        for worker in (rank as u64..workers).step_by(self.world) {
            // Producers among the first `n` workers.
            let before = |n: u64| (n * producers).div_ceil(workers);
            let index = before(worker);
            if before(worker + 1) > index {
                role.producers.push(index as u32);
            } else {
                role.consumers.push((worker - index) as u32);
            }
        }
        role
    }

    /// Producers on the ranks of the first hosts, consumers on those of the others, hosts in proportion to their
    /// numbers, at least one each.
    fn by_host(&self, rank: usize) -> RankRole {
        let mut names: Vec<u32> = Vec::new();
        for host in &self.hosts {
            if !names.contains(host) {
                names.push(*host);
            }
        }
        let workers = f64::from(self.producers) + f64::from(self.consumers);
        let share = (names.len() as f64 * f64::from(self.producers) / workers).round() as usize;
        let producing = &names[..share.clamp(1, names.len() - 1)];
        let side = |rank: usize| producing.contains(&self.hosts[rank]);
        let role = if side(rank) { Role::Producer } else { Role::Consumer };
        self.on_side(role, rank, |other| side(other) == side(rank))
    }

    /// The workers of a rank that shares those of its role with its peers.
    fn on_side(&self, role: Role, rank: usize, is_peer: impl Fn(usize) -> bool) -> RankRole {
        let peers: Vec<usize> = (0..self.world).filter(|other| is_peer(*other)).collect();
        let at = peers.iter().position(|peer| *peer == rank).expect("a rank is among its peers");
        let own = |count: u32| part(u64::from(count), peers.len(), at).map(|worker| worker as u32).collect();
        match role {
            Role::Producer => RankRole { producers: own(self.producers), consumers: Vec::new() },
            Role::Consumer => RankRole { producers: Vec::new(), consumers: own(self.consumers) },
        }
    }
}

/// The share of `total` workers of one of `parts` parts: one each if there are enough parts.
fn part(total: u64, parts: usize, index: usize) -> std::ops::Range<u64> {
    if parts as u64 >= total {
        (index as u64).min(total)..(index as u64 + 1).min(total)
    } else {
        share_start(total, parts, index)..share_start(total, parts, index + 1)
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

/// The share of `total` of part `index` of `parts`, as even as integers allow.
pub fn share(total: u64, parts: u32, index: u32) -> u64 {
    total / u64::from(parts) + u64::from(u64::from(index) < total % u64::from(parts))
}

fn share_start(total: u64, parts: usize, index: usize) -> u64 {
    total * index as u64 / parts as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn placement(world: usize, producers: u32, consumers: u32, layout: Layout) -> Placement {
        let hosts = (0..world as u32).map(|rank| rank / 2).collect();
        Placement { world, producers, consumers, layout, hosts, roles: Vec::new() }
    }

    #[track_caller]
    fn check(world: usize, producers: u32, consumers: u32, layout: Layout, expected: &[(&[u32], &[u32])]) {
        let placement = placement(world, producers, consumers, layout);
        let roles: Vec<_> = (0..world).map(|rank| placement.role(rank)).collect();
        let roles: Vec<_> = roles.iter().map(|role| (role.producers.as_slice(), role.consumers.as_slice())).collect();
        assert_eq!(roles, expected);
    }

    #[test]
    fn one_worker_a_rank_where_there_are_ranks_enough() {
        check(4, 2, 2, Layout::Block, &[(&[0], &[]), (&[1], &[]), (&[], &[0]), (&[], &[1])]);
        check(4, 2, 2, Layout::Cyclic, &[(&[0], &[]), (&[], &[0]), (&[1], &[]), (&[], &[1])]);
        check(4, 1, 3, Layout::Cyclic, &[(&[0], &[]), (&[], &[0]), (&[], &[1]), (&[], &[2])]);
    }

    #[test]
    fn ranks_left_over_are_idle() {
        check(4, 1, 1, Layout::Block, &[(&[0], &[]), (&[], &[0]), (&[], &[]), (&[], &[])]);
        assert_eq!(placement(4, 1, 1, Layout::Cyclic).role(3).to_string(), "idle");
    }

    #[test]
    fn several_workers_share_a_rank_where_there_are_fewer_ranks() {
        check(1, 3, 2, Layout::Block, &[(&[0, 1, 2], &[0, 1])]);
        check(2, 2, 3, Layout::Block, &[(&[0, 1], &[]), (&[], &[0, 1, 2])]);
        check(3, 2, 2, Layout::Block, &[(&[0], &[]), (&[1], &[]), (&[], &[0, 1])]);
        check(2, 2, 2, Layout::Cyclic, &[(&[0, 1], &[]), (&[], &[0, 1])]);
        check(3, 3, 3, Layout::Cyclic, &[(&[0], &[1]), (&[2], &[0]), (&[1], &[2])]);
    }

    #[test]
    fn with_layout_by_host_no_host_has_both_roles() {
        // Two ranks a host.
        check(4, 2, 2, Layout::ByHost, &[(&[0], &[]), (&[1], &[]), (&[], &[0]), (&[], &[1])]);
        check(
            4,
            1,
            64,
            Layout::ByHost,
            &[(&[0], &[]), (&[], &[]), (&[], &(0..32).collect::<Vec<_>>()), (&[], &(32..64).collect::<Vec<_>>())],
        );
        check(6, 2, 1, Layout::ByHost, &[(&[0], &[]), (&[1], &[]), (&[], &[]), (&[], &[]), (&[], &[0]), (&[], &[])]);
    }

    #[test]
    fn ranks_that_have_a_role_share_its_workers() {
        const ROLES: [Role; 5] = [Role::Consumer, Role::Producer, Role::Consumer, Role::Producer, Role::Consumer];
        let of = |producers, consumers| {
            let placement = Placement::by_roles(producers, consumers, &ROLES)?;
            Ok::<_, ProfileError>((0..5).map(|rank| placement.role(rank)).collect::<Vec<_>>())
        };
        let role = |producers: &[u32], consumers: &[u32]| RankRole {
            producers: producers.to_vec(),
            consumers: consumers.to_vec(),
        };
        let each = [role(&[], &[0]), role(&[0], &[]), role(&[], &[1]), role(&[1], &[]), role(&[], &[2])];
        assert_eq!(of(2, 3).unwrap(), each);
        let uneven = [role(&[], &[0]), role(&[0], &[]), role(&[], &[1, 2]), role(&[], &[]), role(&[], &[3, 4])];
        assert_eq!(of(1, 5).unwrap(), uneven);
        let error = Placement::by_roles(1, 1, &[Role::Consumer; 3]).unwrap_err().to_string();
        assert!(error.contains("start some with --role producer, or leave that end to programs"), "{error}");
    }

    #[test]
    fn every_worker_is_placed_exactly_once() {
        for layout in [Layout::Block, Layout::Cyclic, Layout::ByHost] {
            for world in 3..20 {
                for (producers, consumers) in [(1, 1), (1, 64), (7, 5), (64, 64)] {
                    let placement = placement(world, producers, consumers, layout);
                    let roles: Vec<_> = (0..world).map(|rank| placement.role(rank)).collect();
                    let mut placed: Vec<u32> = roles.iter().flat_map(|role| role.producers.clone()).collect();
                    placed.sort_unstable();
                    assert_eq!(placed, (0..producers).collect::<Vec<_>>(), "{layout} on {world}");
                    let mut placed: Vec<u32> = roles.iter().flat_map(|role| role.consumers.clone()).collect();
                    placed.sort_unstable();
                    assert_eq!(placed, (0..consumers).collect::<Vec<_>>(), "{layout} on {world}");
                }
            }
        }
    }

    #[test]
    fn shares_add_up_and_differ_by_one_at_most() {
        let shares: Vec<u64> = (0..3).map(|index| share(20_000, 3, index)).collect();
        assert_eq!(shares, [6667, 6667, 6666]);
    }
}
