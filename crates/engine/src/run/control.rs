//! Control messages between ranks while they stream, and how rank 0 decides that the run is over.

use crate::{ports::Fault, time::window::WindowTimes};
use measure::{Bands, Counters};
use profile::{Delay, Plan};
use serde::{Deserialize, Serialize};
use std::{fmt, time::Duration};

/// A rank from which rank 0 has received nothing for this long, while rank 0 itself ran, is considered dead.
pub const SILENCE_MAX: Duration = Duration::from_secs(15);
/// Rank 0 acknowledges a rank's sums after this many. With twice as many unacknowledged sums the rank stops sending:
/// MPI would block a rank that sends to one that does not receive, and then a suspended rank could not be distinguished from a
/// waiting one.
pub const HEARD_EVERY: u32 = 8;
pub(crate) const UNHEARD_MAX: u32 = 2 * HEARD_EVERY;

/// If a message was delivered twice, the sums may be reached before the last message: wait until they have not changed
/// for this long, and for twice the longest pause so far.
const QUIET: Duration = Duration::from_millis(500);
const QUIET_MAX: Duration = Duration::from_secs(15);

/// For a service that holds messages and delivers them again: a message of 128 MiB takes as long at 36 Mbit/s.
const MISSING: Duration = Duration::from_secs(30);

/// If messages are under way and none was confirmed or delivered for this long before the limit, more time would not
/// help.
const STALLED: Duration = Duration::from_secs(10);

/// A small message between two ranks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Control {
    /// A rank's sums, to rank 0, with the number of their run: if a launch has several runs, the last sums of one may
    /// arrive in the next.
    Status(u32, Box<Status>),
    /// Rank 0 has received [`HEARD_EVERY`] more of a rank's sums.
    Heard,
    /// A piece of its consumers' ledgers, to rank 0, with the number of its run.
    Handed(u32, Vec<u8>),
    /// Rank 0 has joined such a piece.
    Joined,
    /// Rank 0 announces the measured window.
    Window(WindowTimes),
    /// Rank 0 ends streaming.
    Finish,
    /// Rank 0 requests a time stamp.
    Ping,
    /// The time stamp.
    Pong(u64),
    /// Rank 0 needs no more time stamps.
    Timed,
}

impl Control {
    /// The bytes to post.
    pub fn encode(&self) -> Vec<u8> {
        bincode::serde::encode_to_vec(self, bincode::config::standard()).expect("control messages encode")
    }

    /// Reads posted bytes.
    pub fn decode(bytes: &[u8]) -> Self {
        bincode::serde::decode_from_slice(bytes, bincode::config::standard()).expect("ranks run the same binary").0
    }
}

/// The sums of one rank's workers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Producers that will send no more and have settled everything they sent.
    pub producers_done: u32,
    /// Counts of its workers and connections.
    pub counters: Counters,
    /// Their latencies so far.
    pub bands: Bands,
    /// The sum of the traces of accepted messages, which shows whether those that arrived are the same.
    pub accepted_set: u64,
    /// The sum of the traces of distinct deliveries.
    pub distinct_set: u64,
    /// The sum of the traces of messages that distinct replies came to.
    pub distinct_replies_set: u64,
    /// Connections that are blocked now.
    pub blocked: u32,
    /// Connections of workers that are lost and not made again yet.
    pub without_connection: u32,
    /// Connections of workers that were made again so far.
    pub made_again: u32,
    /// Memory of its process, in bytes.
    pub resident_bytes: u64,
    /// Memory that its ledgers take, in bytes.
    pub ledger_bytes: u64,
    /// The first fault.
    pub fault: Option<Fault>,
}

impl Status {
    /// Adds the sums of another rank; the first fault stays.
    pub fn merge(&mut self, other: &Self) {
        self.producers_done += other.producers_done;
        self.counters.merge(&other.counters);
        self.bands.merge(&other.bands);
        self.accepted_set = self.accepted_set.wrapping_add(other.accepted_set);
        self.distinct_set = self.distinct_set.wrapping_add(other.distinct_set);
        self.distinct_replies_set = self.distinct_replies_set.wrapping_add(other.distinct_replies_set);
        self.blocked += other.blocked;
        self.without_connection += other.without_connection;
        self.made_again += other.made_again;
        self.resident_bytes += other.resident_bytes;
        self.ledger_bytes += other.ledger_bytes;
        if self.fault.is_none() {
            self.fault.clone_from(&other.fault);
        }
    }
}

/// Why streaming ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Ending {
    /// All that was accepted has been delivered.
    Complete,
    /// Everything was sent, no connection is blocked, and nothing has arrived for this long.
    Missing(Duration),
    /// The limit on streaming (first) passed, with messages under way of which none was confirmed or delivered for the
    /// second duration, which is too short to mean anything by itself; zero if nothing was under way.
    Deadline(Duration, Duration),
    /// The limit (first) passed after nothing had been confirmed or delivered for the second duration, with this many
    /// messages under way.
    Stalled(Duration, Duration, u64),
    /// The limit passed while the service blocked this many connections.
    Blocked(Duration, u32),
    /// The limit passed while this many connections of workers were lost and not made again yet.
    Disconnected(Duration, u32),
    /// Stopped on request, such as by a signal.
    Stopped(String),
    /// A worker of this rank failed.
    Fault(usize, Fault),
    /// Nothing was received from this rank for [`SILENCE_MAX`].
    Silent(usize),
}

impl Ending {
    /// Whether the service, the route or a dead rank kept senders from continuing.
    pub fn is_fault(&self) -> bool {
        match self {
            Self::Stalled(..) | Self::Blocked(..) | Self::Disconnected(..) | Self::Fault(..) | Self::Silent(_) => true,
            Self::Complete | Self::Missing(_) | Self::Deadline(..) | Self::Stopped(_) => false,
        }
    }
}

impl fmt::Display for Ending {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Complete => f.write_str("complete"),
            Self::Missing(still) => {
                write!(f, "everything was sent, and nothing has arrived for {:.1} s", still.as_secs_f64())
            }
            Self::Deadline(limit, still) => {
                let limit_s = limit.as_secs();
                write!(f, "the limit of {limit_s} s on streaming passed before everything was delivered; ")?;
                if still.as_secs() > 0 && *still >= *limit / 2 {
                    let still_s = still.as_secs();
                    write!(
                        f,
                        "nothing was confirmed or delivered for the last {still_s} s, so the service may hang: "
                    )?;
                }
                f.write_str("give more time with --timeout")
            }
            Self::Stalled(limit, still, messages) => write!(
                f,
                "the limit of {} s on streaming passed, and of {messages} messages on their way none was confirmed or \
                 delivered for the last {} s: a node of the service, or the route to it, hangs. Check that all nodes \
                 are up (a quorum queue needs most of them) and reached; more time does not help",
                limit.as_secs(),
                still.as_secs()
            ),
            Self::Blocked(limit, connections) => write!(
                f,
                "the limit of {} s on streaming passed while the service kept {connections} connection(s) from \
                 publishing (connection.blocked): it is short of memory or disk; see its log",
                limit.as_secs()
            ),
            Self::Disconnected(limit, connections) => write!(
                f,
                "the limit of {} s on streaming passed while {connections} connection(s) of workers were lost and not made again: \
                 give more time with --timeout, or less to lost connections with --reconnect",
                limit.as_secs()
            ),
            Self::Stopped(why) => write!(f, "stopped by {why} before everything was delivered"),
            Self::Fault(rank, fault) => write!(f, "rank {rank}: {fault}"),
            Self::Silent(rank) => write!(
                f,
                "no message from rank {rank} for {} s: it died, hangs or was suspended; see its \
                 output, or the node's log",
                SILENCE_MAX.as_secs()
            ),
        }
    }
}

/// Rank 0's view of the run. Time is an argument, counted from the start of streaming while rank 0 is awake.
#[derive(Debug)]
pub struct Overseer {
    ranks: Vec<(Status, Duration)>,
    expected: Expected,
    limit: Duration,
    moved: (u64, Duration),
    /// The longest time between two arrivals.
    pause_max: Duration,
    /// Outcomes of any kind, and when the last one came.
    settled: (u64, Duration),
    /// Connections that were made again.
    made_again: u32,
    /// Whether the run need not go on for the other end.
    other_end_is_done: bool,
}

/// The conditions for a complete run.
#[derive(Debug, Clone, Copy)]
pub struct Expected {
    /// Producers that must be done.
    pub producers: u32,
    /// Copies of each accepted message that must arrive.
    pub copies: u32,
    /// Replies to each accepted message that must arrive.
    pub replies: u32,
    /// How long a consumer may work on one message: a pause of this length has no meaning.
    pub service_time: Duration,
    /// If everything was sent and nothing has arrived for this long, nothing more will.
    pub missing_after: Duration,
}

impl Expected {
    /// The expectations of a plan.
    pub fn of(plan: &Plan) -> Self {
        let service_time = plan.service_time.map_or(Duration::ZERO, Delay::mean);
        // Nothing is sent twice over EJFAT: an event is whole or given up soon after its last packet.
        let missing = plan.ejfat.as_ref().map_or(MISSING, |ejfat| ejfat.give_up * 2 + QUIET);
        Self {
            producers: plan.placement.producers,
            copies: plan.flow.copies,
            replies: plan.flow.replies,
            service_time,
            missing_after: missing + service_time * 4,
        }
    }
}

impl Overseer {
    /// Watches `world` ranks until `limit`.
    pub fn new(world: usize, expected: Expected, limit: Duration) -> Self {
        let ranks = vec![(Status::default(), Duration::ZERO); world];
        let (moved, settled) = ((0, Duration::ZERO), (0, Duration::ZERO));
        let (pause_max, other_end_is_done) = (Duration::ZERO, true);
        Self { ranks, expected, limit, moved, pause_max, settled, made_again: 0, other_end_is_done }
    }

    /// Whether the other end is done, where that is not the run's own.
    pub fn other_end(&mut self, is_done: bool) {
        self.other_end_is_done = is_done;
    }

    /// Stores the sums of a rank, which replace its previous ones.
    pub fn hear(&mut self, rank: usize, status: Status, now: Duration) {
        self.ranks[rank] = (status, now);
        let total = self.total();
        // Silence counts from when all are connected: until then, it has its reason.
        let waits = total.without_connection > 0 || total.made_again != self.made_again;
        self.made_again = total.made_again;
        let total = total.counters;
        let arrived = total.received + total.replies;
        if arrived != self.moved.0 {
            if self.moved.0 > 0 {
                self.pause_max = self.pause_max.max(now.saturating_sub(self.moved.1));
            }
            self.moved = (arrived, now);
        }
        let settled = arrived + total.accepted + total.rejected + total.abandoned;
        if settled != self.settled.0 {
            self.settled = (settled, now);
        }
        if waits {
            (self.moved.1, self.settled.1) = (now, now);
        }
    }

    /// The sums of all ranks.
    pub fn total(&self) -> Status {
        let mut total = Status::default();
        for (status, _) in &self.ranks {
            total.merge(status);
        }
        total
    }

    /// The latest sums of each rank.
    pub fn ranks(&self) -> impl Iterator<Item = &Status> {
        self.ranks.iter().map(|(status, _)| status)
    }

    /// Whether the run is over, and why. Completeness comes first, whatever else is wrong.
    pub fn decide(&self, now: Duration, stop: Option<String>) -> Option<Ending> {
        let total = self.total();
        let counters = &total.counters;
        let Expected { producers, copies, replies, service_time, missing_after } = self.expected;
        let sent_all = total.producers_done == producers && self.other_end_is_done;
        let arrived = counters.distinct >= counters.accepted * u64::from(copies)
            && counters.distinct_replies >= counters.accepted * u64::from(replies);
        // Duplicates or unneeded deliveries may also reach the numbers: then the sets differ.
        let exact = total.distinct_set == total.accepted_set.wrapping_mul(copies.into())
            && total.distinct_replies_set == total.accepted_set.wrapping_mul(replies.into());
        let quiet_after = (self.pause_max * 2).clamp(QUIET, QUIET_MAX) + service_time * 4;
        let quiet = now.saturating_sub(self.moved.1) >= quiet_after;
        if sent_all && arrived && (quiet || exact) {
            return Some(Ending::Complete);
        }
        let fault = self.ranks.iter().enumerate().find_map(|(rank, (status, _))| Some((rank, status.fault.clone()?)));
        if let Some((rank, fault)) = fault {
            return Some(Ending::Fault(rank, fault));
        }
        if let Some(why) = stop {
            return Some(Ending::Stopped(why));
        }
        let still = now.saturating_sub(self.moved.1);
        let free = total.blocked == 0;
        if sent_all && free && still >= missing_after {
            return Some(Ending::Missing(still));
        }
        if now >= self.limit {
            let still_unsettled = now.saturating_sub(self.settled.1);
            let Counters { sent, accepted, abandoned, distinct, .. } = *counters;
            let undelivered = (accepted * u64::from(copies)).saturating_sub(distinct);
            let under_way = sent.saturating_sub(accepted + abandoned) + undelivered;
            if total.without_connection > 0 {
                return Some(Ending::Disconnected(self.limit, total.without_connection));
            }
            return Some(match total.blocked {
                0 if sent_all && quiet => Ending::Missing(still),
                0 if under_way == 0 => Ending::Deadline(self.limit, Duration::ZERO),
                0 if still_unsettled >= STALLED + service_time * 4 => {
                    Ending::Stalled(self.limit, still_unsettled, under_way)
                }
                0 => Ending::Deadline(self.limit, still_unsettled),
                connections => Ending::Blocked(self.limit, connections),
            });
        }
        let silent = |heard: Duration| now.saturating_sub(heard) >= SILENCE_MAX;
        self.ranks.iter().position(|(_, heard)| silent(*heard)).map(Ending::Silent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::FaultKind;
    use measure::{LiveBands, Metric};

    const S: Duration = Duration::from_secs(1);
    const SHARED: Expected =
        Expected { producers: 1, copies: 1, replies: 0, service_time: Duration::ZERO, missing_after: MISSING };

    fn status(producers_done: u32, accepted: u64, distinct: u64) -> Status {
        let counters = Counters { accepted, distinct, received: distinct, sent: accepted, ..Counters::default() };
        Status { producers_done, counters, ..Status::default() }
    }

    #[test]
    fn the_sums_of_ranks_are_added_up() {
        let bands = LiveBands::default();
        bands.record(Metric::Confirm, 1_000_000);
        let fault = |sentence: &str| Some(Fault::new(FaultKind::Refused, sentence));
        let one = Status {
            bands: bands.read(),
            blocked: 1,
            without_connection: 2,
            made_again: 3,
            resident_bytes: 4,
            ledger_bytes: 5,
            accepted_set: u64::MAX,
            distinct_set: 6,
            distinct_replies_set: 7,
            fault: fault("first"),
            ..status(1, 10, 9)
        };
        let mut all = one.clone();
        all.merge(&Status { fault: fault("second"), ..one.clone() });
        bands.record(Metric::Confirm, 1_000_000);
        let both = Status {
            bands: bands.read(),
            blocked: 2,
            without_connection: 4,
            made_again: 6,
            resident_bytes: 8,
            ledger_bytes: 10,
            accepted_set: u64::MAX - 1,
            distinct_set: 12,
            distinct_replies_set: 14,
            ..Status { fault: fault("first"), ..status(2, 20, 18) }
        };
        assert_eq!(all, both);
    }

    #[test]
    fn a_run_is_complete_when_the_sums_agree_and_not_before() {
        let mut overseer = Overseer::new(2, SHARED, 60 * S);
        overseer.hear(0, status(0, 10, 0), S);
        overseer.hear(1, status(0, 0, 10), S);
        assert_eq!(overseer.decide(S, None), None, "the producer may send more");
        overseer.hear(0, status(1, 11, 0), S);
        assert_eq!(overseer.decide(S, None), None, "one message is on its way");
        overseer.hear(1, status(0, 0, 11), S);
        assert_eq!(overseer.decide(S, None), Some(Ending::Complete));
    }

    #[test]
    fn a_redelivery_does_not_pass_for_the_last_message() {
        let mut overseer = Overseer::new(1, SHARED, 60 * S);
        overseer.hear(0, Status { accepted_set: 55, distinct_set: 54, ..status(1, 10, 10) }, S);
        assert_eq!(overseer.decide(S, None), None, "two consumers have had the same message");
        assert_eq!(overseer.decide(2 * S, None), Some(Ending::Complete), "what else should come?");
        overseer.hear(0, Status { accepted_set: 55, distinct_set: 55, ..status(1, 10, 10) }, 2 * S);
        assert_eq!(overseer.decide(2 * S, None), Some(Ending::Complete), "each came, some of them twice");
    }

    #[test]
    fn a_service_that_delivers_seldom_is_waited_for_as_long_as_it_takes_it() {
        let mut overseer = Overseer::new(1, SHARED, 60 * S);
        for (distinct, at) in [(8, 10), (9, 13), (10, 16)] {
            let unlike = Status { accepted_set: 1, ..status(1, 10, distinct) };
            overseer.hear(0, unlike, at * S);
        }
        assert_eq!(overseer.decide(21 * S, None), None, "it has paused for 3 s before");
        assert_eq!(overseer.decide(22 * S, None), Some(Ending::Complete));
    }

    #[test]
    fn a_run_with_replies_waits_for_every_copy_and_every_reply() {
        let mut overseer = Overseer::new(1, Expected { copies: 3, replies: 3, ..SHARED }, 60 * S);
        for (distinct, distinct_replies, over) in [(29, 30, false), (30, 29, false), (30, 30, true)] {
            let mut sums = status(1, 10, distinct);
            (sums.counters.replies, sums.counters.distinct_replies) = (distinct_replies, distinct_replies);
            overseer.hear(0, sums, S);
            assert_eq!(overseer.decide(S, None).is_some(), over, "{distinct} {distinct_replies}");
        }
    }

    #[test]
    fn silence_is_ignored_while_a_consumer_works() {
        let mut overseer =
            Overseer::new(1, Expected { service_time: S, missing_after: MISSING + 4 * S, ..SHARED }, 60 * S);
        overseer.hear(0, Status { accepted_set: 1, ..status(1, 10, 10) }, S);
        assert_eq!(overseer.decide(4 * S, None), None);
        assert_eq!(overseer.decide(6 * S, None), Some(Ending::Complete));
    }

    #[test]
    fn a_limit_that_passes_while_the_service_blocks_is_distinguished_from_one_that_just_passes() {
        let mut overseer = Overseer::new(1, SHARED, 10 * S);
        overseer.hear(0, Status { blocked: 2, ..status(0, 5, 1) }, 9 * S);
        let ending = overseer.decide(10 * S, None).unwrap();
        assert_eq!(ending, Ending::Blocked(10 * S, 2));
        assert!(ending.to_string().contains("connection.blocked"), "{ending}");
    }

    #[test]
    fn every_other_ending_is_named() {
        let fault = Fault::new(FaultKind::Lost, "the broker closed the connection");
        let mut overseer = Overseer::new(2, SHARED, 10 * S);
        overseer.hear(0, status(0, 5, 1), 9 * S);
        overseer.hear(1, Status { fault: Some(fault.clone()), ..status(0, 0, 1) }, 9 * S);
        assert_eq!(overseer.decide(9 * S, None), Some(Ending::Fault(1, fault)));
        overseer.hear(1, status(0, 0, 1), 9 * S);
        assert_eq!(overseer.decide(9 * S, Some("SIGTERM".into())), Some(Ending::Stopped("SIGTERM".into())));
        assert_eq!(overseer.decide(10 * S, None), Some(Ending::Deadline(10 * S, S)));
    }

    #[test]
    fn what_never_arrives_is_missed_when_all_was_sent_and_nothing_holds_it_back() {
        let mut overseer = Overseer::new(1, SHARED, 600 * S);
        overseer.hear(0, status(0, 10, 9), S);
        assert_eq!(overseer.decide(60 * S, None), Some(Ending::Silent(0)), "its producer may still send");
        overseer.hear(0, status(1, 10, 9), 20 * S);
        assert_eq!(overseer.decide(30 * S, None), None);
        overseer.hear(0, status(1, 10, 9), 31 * S);
        assert_eq!(overseer.decide(31 * S, None), Some(Ending::Missing(30 * S)));
        overseer.hear(0, Status { blocked: 1, ..status(1, 10, 9) }, 40 * S);
        assert_eq!(overseer.decide(40 * S, None), None, "the service reports that it holds connections back");

        let mut short = Overseer::new(1, SHARED, 5 * S);
        short.hear(0, status(1, 10, 9), S);
        assert_eq!(short.decide(5 * S, None), Some(Ending::Missing(4 * S)), "the limit comes first");
        short.hear(0, status(1, 10, 8), 5 * S);
        assert_eq!(short.decide(5 * S, None), Some(Ending::Deadline(5 * S, Duration::ZERO)), "something still moves");
    }

    #[test]
    fn silence_has_its_reason_while_a_connection_is_gone_and_counts_anew_from_its_return() {
        let mut overseer = Overseer::new(1, SHARED, 300 * S);
        let gone = |without_connection, made_again| Status { without_connection, made_again, ..status(1, 10, 9) };
        overseer.hear(0, gone(1, 0), S);
        for second in 2..=100 {
            overseer.hear(0, gone(1, 0), second * S);
            assert_eq!(overseer.decide(second * S, None), None, "at {second} s");
        }
        // It is back before the next sums, which show it by the number of those that were made again.
        overseer.hear(0, gone(0, 1), 101 * S);
        overseer.hear(0, gone(0, 2), 120 * S);
        for second in 121..150 {
            overseer.hear(0, gone(0, 2), second * S);
            assert_eq!(overseer.decide(second * S, None), None, "at {second} s");
        }
        assert_eq!(overseer.decide(150 * S, None), Some(Ending::Missing(30 * S)));
        overseer.hear(0, gone(2, 2), 299 * S);
        assert_eq!(overseer.decide(299 * S, None), None);
        let ending = overseer.decide(300 * S, None).unwrap();
        assert_eq!(ending, Ending::Disconnected(300 * S, 2));
        assert!(ending.is_fault() && ending.to_string().contains("2 connection(s) of workers were lost"), "{ending}");
    }

    #[test]
    fn a_limit_that_passes_while_nothing_moves_is_distinguished_from_one_that_is_short() {
        let stalled = |sent, accepted, distinct, at| {
            let mut overseer = Overseer::new(1, SHARED, 40 * S);
            let mut sums = status(0, accepted, distinct);
            sums.counters.sent = sent;
            overseer.hear(0, sums.clone(), at);
            // Heard again with the same sums.
            overseer.hear(0, sums, 40 * S);
            overseer.decide(40 * S, None).unwrap()
        };
        assert_eq!(stalled(20, 10, 10, 15 * S), Ending::Stalled(40 * S, 25 * S, 10), "no confirm");
        assert_eq!(stalled(20, 20, 13, 15 * S), Ending::Stalled(40 * S, 25 * S, 7), "no delivery");
        assert_eq!(stalled(20, 10, 10, 35 * S), Ending::Deadline(40 * S, 5 * S), "something moved of late");
        assert_eq!(stalled(10, 10, 10, 15 * S), Ending::Deadline(40 * S, Duration::ZERO), "nothing is due");
        for (ending, hint) in [(Ending::Deadline(8 * S, 7 * S), true), (Ending::Deadline(40 * S, 7 * S), false)] {
            let sentence = ending.to_string();
            assert_eq!(sentence.contains("the last 7 s, so the service may hang"), hint, "{sentence}");
            assert!(sentence.ends_with("give more time with --timeout"), "{sentence}");
        }
        let sentence = stalled(20, 10, 10, 15 * S).to_string();
        assert!(sentence.contains("for the last 25 s") && sentence.contains("all nodes are up"), "{sentence}");
    }

    #[test]
    fn a_rank_that_falls_silent_is_named() {
        let mut overseer = Overseer::new(2, SHARED, 600 * S);
        overseer.hear(0, status(0, 5, 1), 20 * S);
        overseer.hear(1, status(0, 0, 1), 4 * S);
        assert_eq!(overseer.decide(18 * S, None), None);
        assert_eq!(overseer.decide(20 * S, None), Some(Ending::Silent(1)));
    }

    #[test]
    fn a_run_of_one_end_goes_on_until_the_other_end_is_done() {
        let external = Expected { producers: 0, ..SHARED };
        let mut overseer = Overseer::new(1, external, 10 * S);
        overseer.other_end(false);
        overseer.hear(0, Status::default(), S);
        assert_eq!(overseer.decide(S, None), None);
        assert!(matches!(overseer.decide(10 * S, None), Some(Ending::Deadline(..))));
        overseer.other_end(true);
        assert_eq!(overseer.decide(S, None), Some(Ending::Complete));
    }
}
