//! One time for all ranks: offset and drift of each host's clock relative to rank 0's, measured by ping-pong before and
//! after streaming.
//!
//! Ranks of one host (see [`crate::time::clock::boot_id`]) share its clock, so one rank of each host exchanges time
//! stamps with rank 0 and the others use its result. The error of an exchange is at most half of its round trip; the
//! shortest ones count (after Hunold and Carpen-Amarie, CLUSTER 2018; see docs/measuring.md, "Clocks").

use crate::{
    ports::{Comm, CommError},
    run::control::Control,
    time::{awake::Patience, clock::Clock},
};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Rounds of exchanges with each host before streaming, and the time between them: drift is visible only over time.
const ROUNDS: usize = 10;
const BETWEEN_ROUNDS: Duration = Duration::from_millis(20);
/// Exchanges of a round; the one with the shortest round trip counts.
const EXCHANGES: usize = 30;
/// The least number of time intervals into which one-way latencies are sorted (`one_way.rs`): a drift that is found
/// only at the end moves a sample by at most the drift within one interval.
pub(crate) const PARTS_MIN: u32 = 16;
/// How long a rank spins for the next exchange before it sleeps, and how long each sleep is.
const AWAKE: Duration = Duration::from_millis(1);
const NAP: Duration = Duration::from_micros(200);
const BILLION: f64 = 1e9;
/// No working clock drifts by more than this: a quartz stays within a tenth of it.
const DRIFT_MAX: f64 = 1e-3;
/// Additional tolerance for a rank's clock at the end: gathered time stamps resolve no less.
const JUMP_NS: u64 = 1_000_000;

/// How well the clocks of all ranks agree.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClockError {
    /// Hosts with a clock of their own, that of rank 0 included.
    pub hosts: u32,
    /// Bound on the difference between any rank's common time and rank 0's, in nanoseconds, after the correction by the
    /// second comparison.
    pub bound_ns: u64,
    /// The same for any two ranks.
    pub pair_bound_ns: u64,
    /// The largest offset of a clock after streaming, in nanoseconds.
    pub residual_ns: u64,
    /// The largest drift of a host's clock relative to rank 0's, in nanoseconds per second.
    pub drift_ppb: u64,
    /// The largest offset of a rank's clock after streaming, in nanoseconds, if it exceeds what drift can explain;
    /// otherwise 0.
    pub jumped_ns: u64,
}

/// The common time of this rank, and the corrections of the other hosts.
#[derive(Debug, Clone, PartialEq)]
pub struct Clocks {
    /// This rank's clock.
    pub clock: Clock,
    /// The host of each rank; rank 0's is 0.
    pub host_of: Vec<u32>,
    /// One line for each host; rank 0's is exact.
    lines: Vec<Line>,
    /// Time of the first comparison, in common time.
    at_ns: u64,
}

/// The correction that turns a host's clock into rank 0's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Line {
    offset_ns: i64,
    drift_ppb: i64,
    /// Reading of the host's clock at which the offset applies.
    since_ns: u64,
    error_ns: u64,
}

/// The result of the second comparison.
#[derive(Debug, Clone, PartialEq)]
pub struct Compared {
    /// Its time, in common time.
    pub at_ns: u64,
    /// The remaining correction of each host's common time at that time, in nanoseconds.
    pub residuals_ns: Vec<i64>,
    /// How well clocks agreed.
    pub error: ClockError,
}

/// The best exchange of a round.
#[derive(Debug, Clone, Copy)]
struct Exchange {
    theirs_ns: u64,
    offset_ns: i64,
    error_ns: u64,
}

/// Establishes the common time; every rank calls it. `host` is this rank's own clock, `boot` identifies it
/// ([`crate::time::clock::boot_id`]), `limit` bounds each collective.
///
/// # Errors
///
/// [`CommError`] if a rank does not reply or enter a collective in time.
pub fn synchronise(comm: &impl Comm, host: Clock, boot: &[u8], limit: Duration) -> Result<Clocks, CommError> {
    let host_of = hosts(comm, boot, limit)?;
    let mut lines = vec![Line::default()];
    let leaders = leaders(&host_of);
    if comm.rank() == 0 {
        let rounds = if leaders.len() > 1 { ROUNDS } else { 0 };
        let mut points = vec![Vec::new(); leaders.len()];
        for round in 0..rounds {
            if round > 0 {
                std::thread::sleep(BETWEEN_ROUNDS);
            }
            for (points, leader) in points.iter_mut().zip(&leaders).skip(1) {
                points.push(exchange(comm, *leader, host, limit)?);
            }
        }
        dismiss(comm, &leaders)?;
        lines.extend(points.iter().skip(1).map(|points| Line::fit(points)));
    } else if leaders.contains(&comm.rank()) {
        reply(comm, host, limit)?;
    }
    let lines: Vec<Line> = share(comm, &lines, limit)?;
    let clock = match host_of[comm.rank()] {
        0 => host,
        mine => lines[mine as usize].onto(host),
    };
    Ok(Clocks { clock, host_of, lines, at_ns: clock.now_ns() })
}

impl Clocks {
    /// Compares the clocks again after streaming.
    ///
    /// # Errors
    ///
    /// [`CommError`] if a rank does not reply or enter a collective in time.
    pub fn again(&self, comm: &impl Comm, limit: Duration) -> Result<Compared, CommError> {
        let leaders = leaders(&self.host_of);
        let mut seen = vec![(0, 0)];
        if comm.rank() == 0 {
            for leader in &leaders[1..] {
                let point = exchange(comm, *leader, self.clock, limit)?;
                seen.push((point.offset_ns, point.error_ns));
            }
            dismiss(comm, &leaders)?;
        } else if leaders.contains(&comm.rank()) {
            reply(comm, self.clock, limit)?;
        }
        let (at_ns, seen): (u64, Vec<(i64, u64)>) = share(comm, &(self.clock.now_ns(), seen), limit)?;
        let outside_ns = self.outside(comm, limit)?;
        let error = self.error(&seen, at_ns, outside_ns);
        Ok(Compared { at_ns, residuals_ns: seen.iter().map(|(residual_ns, _)| *residual_ns).collect(), error })
    }

    /// A lower bound on the largest offset of any rank's clock: every rank reads its clock after rank 0's request and
    /// before rank 0 has received the replies. Ranks of one host are assumed to share a clock, so no other check would
    /// notice a rank with a different one. 0 on the other ranks.
    fn outside(&self, comm: &impl Comm, limit: Duration) -> Result<u64, CommError> {
        let requested_ns: u64 = share(comm, &self.clock.now_ns(), limit)?;
        let stamps = comm.gather(&self.clock.now_ns().to_le_bytes(), limit)?;
        let heard_ns = self.clock.now_ns();
        let stamps =
            stamps.into_iter().map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight bytes were sent")));
        let outside = |ns: u64| requested_ns.saturating_sub(ns).max(ns.saturating_sub(heard_ns));
        Ok(stamps.map(outside).max().unwrap_or_default())
    }

    fn error(&self, seen: &[(i64, u64)], at_ns: u64, outside_ns: u64) -> ClockError {
        let drifted_ns = JUMP_NS + (at_ns.saturating_sub(self.at_ns) as f64 * DRIFT_MAX) as u64;
        // Between both comparisons a clock is assumed to drift evenly; a correction applies to one interval.
        let left = |residual_ns: i64| residual_ns.unsigned_abs() / (2 * u64::from(PARTS_MIN));
        let bound =
            |(line, (residual_ns, error_ns)): (&Line, &(i64, u64))| line.error_ns.max(*error_ns) + left(*residual_ns);
        let mut bounds: Vec<u64> = self.lines.iter().zip(seen).map(bound).collect();
        bounds.sort_unstable_by(|one, other| other.cmp(one));
        let residual_ns = seen.iter().map(|(residual_ns, _)| residual_ns.unsigned_abs()).max().unwrap_or_default();
        ClockError {
            jumped_ns: Some(residual_ns.max(outside_ns)).filter(|ns| *ns > drifted_ns).unwrap_or_default(),
            hosts: self.lines.len() as u32,
            bound_ns: bounds[0],
            pair_bound_ns: bounds.iter().take(2).sum(),
            residual_ns,
            drift_ppb: self.lines.iter().map(|line| line.drift_ppb.unsigned_abs()).max().unwrap_or(0),
        }
    }
}

impl Line {
    /// A least-squares line through all rounds, weighted by their errors. A drift that these errors could explain is
    /// set to zero.
    fn fit(points: &[Exchange]) -> Self {
        let first = points[0];
        // Relative to the first point: a double cannot hold nanoseconds since boot exactly.
        let relative =
            |point: &Exchange| ((point.theirs_ns - first.theirs_ns) as f64, (point.offset_ns - first.offset_ns) as f64);
        let weight = |point: &Exchange| (point.error_ns.max(1) as f64).powi(-2);
        let total: f64 = points.iter().map(weight).sum();
        let mean =
            |of: &dyn Fn(&Exchange) -> f64| points.iter().map(|point| weight(point) * of(point)).sum::<f64>() / total;
        let mean_x = mean(&|point| relative(point).0);
        let mean_y = mean(&|point| relative(point).1);
        let (mut xx, mut xy, mut explained) = (0., 0., 0.);
        for point in points {
            let (x, y) = relative(point);
            let pull = weight(point) * (x - mean_x);
            xx += pull * (x - mean_x);
            xy += pull * (y - mean_y);
            explained += pull.abs() * point.error_ns as f64;
        }
        let slope = if xy.abs() > explained { xy / xx } else { 0. };
        let line = Self {
            offset_ns: first.offset_ns + (mean_y - slope * mean_x).round() as i64,
            drift_ppb: (slope * BILLION).round() as i64,
            since_ns: first.theirs_ns,
            error_ns: 0,
        };
        Self { error_ns: line.error(points), ..line }
    }

    /// Bound on the line's error during the rounds. The difference between two lines is largest at one end, and any two
    /// rounds limit it there; so slow rounds widen the bound only if no faster rounds limit it.
    fn error(&self, points: &[Exchange]) -> u64 {
        let off =
            |point: &Exchange| (point.offset_ns.abs_diff(self.offset_at(point.theirs_ns)) + point.error_ns) as f64;
        let away = |one: &Exchange, other: &Exchange| one.theirs_ns.abs_diff(other.theirs_ns) as f64;
        let limit = |end: &Exchange| {
            let pairs =
                points.iter().enumerate().flat_map(|(index, one)| points[..index].iter().map(move |two| (one, two)));
            let limits =
                pairs.map(|(one, two)| (away(end, two) * off(one) + away(end, one) * off(two)) / away(one, two));
            limits.fold(off(end), f64::min)
        };
        [points.first(), points.last()].into_iter().flatten().map(limit).fold(0., f64::max).ceil() as u64
    }

    fn offset_at(&self, theirs_ns: u64) -> i64 {
        self.offset_ns + (theirs_ns as i64 - self.since_ns as i64) * self.drift_ppb / BILLION as i64
    }

    fn onto(&self, host: Clock) -> Clock {
        host.moved(self.offset_ns, self.drift_ppb, self.since_ns)
    }
}

/// The host of each rank, numbered in the order of their first ranks.
fn hosts(comm: &impl Comm, boot: &[u8], limit: Duration) -> Result<Vec<u32>, CommError> {
    let boots = comm.gather(boot, limit)?;
    let mut known: Vec<&[u8]> = Vec::new();
    let mut host_of = Vec::new();
    for boot in &boots {
        let host = known.iter().position(|known| known == boot).unwrap_or_else(|| {
            known.push(boot);
            known.len() - 1
        });
        host_of.push(host as u32);
    }
    share(comm, &host_of, limit)
}

/// The first rank of each host.
fn leaders(host_of: &[u32]) -> Vec<usize> {
    let hosts = host_of.iter().max().map_or(0, |last| last + 1);
    (0..hosts).map(|host| host_of.iter().position(|of| *of == host).expect("hosts are numbered by ranks")).collect()
}

/// Sends rank 0's value to every rank.
fn share<V: Serialize + for<'de> Deserialize<'de>>(
    comm: &impl Comm,
    value: &V,
    limit: Duration,
) -> Result<V, CommError> {
    let config = bincode::config::standard();
    let bytes = bincode::serde::encode_to_vec(value, config).expect("numbers encode");
    let bytes = comm.broadcast(bytes, limit)?;
    Ok(bincode::serde::decode_from_slice(&bytes, config).expect("ranks run the same binary").0)
}

/// Rank 0's side of a round: the offset of the clock of `rank`.
fn exchange(comm: &impl Comm, rank: usize, clock: Clock, limit: Duration) -> Result<Exchange, CommError> {
    let mut best: Option<(u64, Exchange)> = None;
    for _ in 0..EXCHANGES {
        let sent_ns = clock.now_ns();
        comm.post(rank, &Control::Ping.encode())?;
        let theirs_ns = loop {
            if let Control::Pong(theirs_ns) = next(comm, limit)? {
                break theirs_ns;
            }
        };
        let round_trip_ns = clock.now_ns() - sent_ns;
        if best.is_none_or(|(shortest_ns, _)| round_trip_ns < shortest_ns) {
            let offset_ns = (sent_ns + round_trip_ns / 2) as i64 - theirs_ns as i64;
            best = Some((round_trip_ns, Exchange { theirs_ns, offset_ns, error_ns: round_trip_ns.div_ceil(2) }));
        }
    }
    Ok(best.expect("there is at least one exchange").1)
}

/// The other side: replies until it is dismissed. It spins only during a round, because others may need its core.
fn reply(comm: &impl Comm, clock: Clock, limit: Duration) -> Result<(), CommError> {
    loop {
        match next(comm, AWAKE).or_else(|_| next_asleep(comm, limit))? {
            Control::Ping => comm.post(0, &Control::Pong(clock.now_ns()).encode())?,
            Control::Timed => return Ok(()),
            // Messages that were under way when streaming ended.
            Control::Status(..)
            | Control::Handed(..)
            | Control::Heard
            | Control::Joined
            | Control::Window(_)
            | Control::Finish
            | Control::Pong(_) => {}
        }
    }
}

fn dismiss(comm: &impl Comm, leaders: &[usize]) -> Result<(), CommError> {
    leaders.iter().skip(1).try_for_each(|leader| comm.post(*leader, &Control::Timed.encode()))
}

/// The next control message, received by spinning: a nap would be longer than the round trip.
fn next(comm: &impl Comm, limit: Duration) -> Result<Control, CommError> {
    wait(comm, limit, std::thread::yield_now)
}

/// The next control message, received by polling between naps.
fn next_asleep(comm: &impl Comm, limit: Duration) -> Result<Control, CommError> {
    wait(comm, limit, || std::thread::sleep(NAP))
}

fn wait(comm: &impl Comm, limit: Duration, pass: impl Fn()) -> Result<Control, CommError> {
    let mut patience = Patience::new(limit);
    while !patience.left().is_zero() {
        if let Some((_, bytes)) = comm.poll()? {
            return Ok(Control::decode(&bytes));
        }
        pass();
    }
    Err(CommError::Absent { step: "clocks", limit })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::double::ThreadComm;

    const LIMIT: Duration = Duration::from_secs(20);
    /// Rounding error of whole nanoseconds.
    const ROUNDING_NS: u64 = 10;

    /// The result of each rank, and when it began and ended each comparison on this machine's clock.
    struct Found {
        clocks: Clocks,
        compared: Compared,
        before_ns: [u64; 2],
        after_ns: [u64; 2],
    }

    fn clocks_of(own: &[Clock], boots: &[&str]) -> Vec<Found> {
        let comms = ThreadComm::world(own.len());
        std::thread::scope(|scope| {
            let ranks: Vec<_> = comms
                .into_iter()
                .zip(own.iter().zip(boots))
                .map(|(comm, (own, boot))| {
                    scope.spawn(move || {
                        let machine = Clock::default();
                        let began_ns = machine.now_ns();
                        let clocks = synchronise(&comm, *own, boot.as_bytes(), LIMIT).unwrap();
                        let before_ns = [began_ns, machine.now_ns()];
                        std::thread::sleep(Duration::from_millis(300));
                        let began_ns = machine.now_ns();
                        let compared = clocks.again(&comm, LIMIT).unwrap();
                        Found { clocks, compared, before_ns, after_ns: [began_ns, machine.now_ns()] }
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).collect()
        })
    }

    /// Rank 0's result if the clock of rank 1 moves by `jump_ns` between both comparisons.
    fn jumped(boots: [&str; 2], jump_ns: i64) -> ClockError {
        let comms = ThreadComm::world(2);
        std::thread::scope(|scope| {
            let ranks: Vec<_> = comms
                .into_iter()
                .zip(boots)
                .map(|(comm, boot)| {
                    scope.spawn(move || {
                        let mut clocks = synchronise(&comm, Clock::default(), boot.as_bytes(), LIMIT).unwrap();
                        if comm.rank() == 1 {
                            clocks.clock = clocks.clock.moved(jump_ns, 0, 0);
                        }
                        clocks.again(&comm, LIMIT).unwrap().error
                    })
                })
                .collect();
            ranks.into_iter().map(|rank| rank.join().unwrap()).next().unwrap()
        })
    }

    #[test]
    fn a_clock_that_jumps_is_noticed_on_a_host_of_its_own_and_on_a_shared_one() {
        let years_ns = 57 * 365 * 86_400 * 1_000_000_000;
        for boots in [["a", "b"], ["a", "a"]] {
            assert_eq!(jumped(boots, 0).jumped_ns, 0, "{boots:?}");
            for jump_ns in [years_ns, 3_600_000_000_000] {
                let seen = jumped(boots, jump_ns).jumped_ns;
                assert!(seen.abs_diff(jump_ns as u64) < 60_000_000_000, "{boots:?}: {seen} of {jump_ns}");
            }
        }
    }

    #[test]
    fn clocks_that_are_off_and_drift_are_recovered_within_the_reported_bound() {
        let own = [Clock::default(), Clock::drifting(-7_000_000_000, 400_000), Clock::shifted(90_000_000_000)];
        let found = clocks_of(&own, &["a", "b", "c"]);
        let error = found[0].compared.error;
        assert_eq!(error.hosts, 3);
        assert!(error.bound_ns > 0, "ranks of other hosts cannot agree exactly");
        // A line that keeps within a bound over the rounds leaves it by at most twice that for each such time after them.
        let rounds_ns = (ROUNDS - 1) as u64 * BETWEEN_ROUNDS.as_nanos() as u64;
        let bound_after = |passed_ns: u64| error.bound_ns + 2 * error.bound_ns * passed_ns / rounds_ns + ROUNDING_NS;
        let [began_ns, ended_ns] = found[0].before_ns;
        let compared_ns = found[0].compared.at_ns;
        for (rank, found) in found.iter().enumerate().skip(1) {
            let off_ns = found.clocks.clock.at(ended_ns).abs_diff(ended_ns);
            let bound_ns = bound_after(ended_ns - began_ns - rounds_ns);
            assert!(
                off_ns <= bound_ns,
                "rank {rank} is off by {off_ns} ns, not {bound_ns}, before streaming: {error:?}"
            );
            let corrected = found.clocks.clock.at(compared_ns).saturating_add_signed(found.compared.residuals_ns[rank]);
            let off_ns = corrected.abs_diff(compared_ns);
            let bound_ns = bound_after(compared_ns - found.after_ns[0].min(compared_ns));
            let bound = error.bound_ns;
            let held = if off_ns <= bound { "held" } else { "missed" };
            println!(
                "| clock of rank {rank} is seconds off and drifts: left of it | {bound} ns | {off_ns} ns | {held} |"
            );
            assert!(
                off_ns <= bound_ns,
                "rank {rank} is off by {off_ns} ns, not {bound_ns}, after streaming: {error:?}"
            );
        }
    }

    #[test]
    fn ranks_of_one_host_share_what_its_first_rank_learns() {
        let shifted = Clock::shifted(5_000_000_000);
        let found = clocks_of(&[Clock::default(), shifted, Clock::default(), shifted], &["a", "b", "a", "b"]);
        assert_eq!(found[0].clocks.host_of, [0, 1, 0, 1]);
        assert_eq!(found[2].clocks.clock, Clock::default());
        assert_eq!(found[1].clocks.lines, found[3].clocks.lines);
        assert_ne!(found[3].clocks.clock, shifted);
        assert_eq!(found[0].compared.residuals_ns[0], 0);
    }

    #[test]
    fn one_host_needs_no_exchange_and_has_no_error() {
        let found = clocks_of(&[Clock::default(), Clock::default()], &["a", "a"]);
        assert_eq!(found[0].compared.error, ClockError { hosts: 1, ..ClockError::default() });
    }

    fn point(theirs_ns: u64, offset_ns: i64, error_ns: u64) -> Exchange {
        Exchange { theirs_ns, offset_ns, error_ns }
    }

    #[test]
    fn a_drift_that_round_trips_could_explain_is_none() {
        let noisy = [point(0, 100, 900), point(1_000_000, 800, 900), point(2_000_000, 1200, 900)];
        assert_eq!(Line::fit(&noisy).drift_ppb, 0);
        let clear = [point(0, 100, 9), point(1_000_000, 600, 9), point(2_000_000, 1100, 9)];
        let line = Line::fit(&clear);
        assert_eq!((line.offset_ns, line.drift_ppb, line.error_ns), (100, 500_000, 9));
    }

    #[test]
    fn a_round_counts_as_much_as_its_round_trip_was_short() {
        let late =
            [point(0, 100, 9), point(1_000_000, 600, 9), point(2_000_000, 1100, 9), point(2_500_000, 99_000, 99_000)];
        let line = Line::fit(&late);
        assert!(line.drift_ppb.abs_diff(500_000) < 10, "one late round moves nothing: {line:?}");
        assert!((9..20).contains(&line.error_ns), "nor is the line taken to be worse for it: {line:?}");
        let one_short = [point(0, 4100, 9000), point(50_000_000, 19_000, 4), point(100_000_000, 43_000, 9000)];
        let line = Line::fit(&one_short);
        assert!(line.drift_ppb.abs_diff(389_000) < 1000, "rough rounds show a drift that is clear: {line:?}");
        assert!(line.offset_at(50_000_000).abs_diff(19_000) < 10, "the short round decides: {line:?}");
        assert!((9000..20_000).contains(&line.error_ns), "but the line may be off at its ends: {line:?}");
    }
}
