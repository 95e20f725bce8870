//! The counts of each second of streaming; in a run of more than an hour, of every two seconds, then four, and so on.

use engine::{Snapshot, control::Status};
use measure::{Counters, tables::SeriesRow};
use std::time::Duration;

/// Length of a row at first.
const STEP: Duration = Duration::from_secs(1);
/// With so many rows, every two become one.
const ROWS_MAX: usize = 3_600;

/// Rows of one second each after the common start, made of the sums that rank 0 hears: each second is in one row, whenever the
/// sums came. Counts between two sums are spread evenly.
#[derive(Debug)]
pub struct Series {
    /// Whether the service sends confirms.
    confirms: bool,
    rows: Vec<SeriesRow>,
    /// Length of a row.
    step: Duration,
    /// The sums at the beginning of the row that is not complete.
    row_start: Status,
    latest: (Duration, Status),
    /// The largest values in the row that is not complete.
    peak: Peak,
}

/// The largest of each at one time.
#[derive(Debug, Clone, Copy, Default)]
struct Peak {
    without_connection: u32,
    resident_bytes: u64,
    ledger_bytes: u64,
}

impl Peak {
    fn of(status: &Status) -> Self {
        let Status { without_connection, resident_bytes, ledger_bytes, .. } = *status;
        Self { without_connection, resident_bytes, ledger_bytes }
    }

    fn or(self, other: Self) -> Self {
        Self {
            without_connection: self.without_connection.max(other.without_connection),
            resident_bytes: self.resident_bytes.max(other.resident_bytes),
            ledger_bytes: self.ledger_bytes.max(other.ledger_bytes),
        }
    }
}

impl Series {
    /// Nothing yet. `confirms`: whether the service sends them.
    pub fn new(confirms: bool) -> Self {
        let latest = (Duration::ZERO, Status::default());
        let (row_start, peak) = (Status::default(), Peak::default());
        Self { confirms, rows: Vec::new(), step: STEP, row_start, latest, peak }
    }

    /// Takes in the sums at one moment.
    pub fn take(&mut self, snapshot: &Snapshot) {
        let (before, now) = (self.latest.clone(), (snapshot.elapsed, &snapshot.total));
        while now.0 >= self.begins() + self.step {
            let end = self.begins() + self.step;
            let part = (end - before.0.min(end)).as_secs_f64() / (now.0 - before.0).as_secs_f64();
            let sums = between(&before.1, now.1, part);
            self.rows.push(self.row(&sums, self.step));
            self.row_start = sums;
            // What was so at its end is so at the beginning of the next one.
            self.peak = Peak::of(&before.1);
            if self.rows.len() >= ROWS_MAX {
                self.halve();
            }
        }
        self.peak = self.peak.or(Peak::of(now.1));
        self.latest = (now.0, now.1.clone());
    }

    /// All rows, the unfinished second included.
    pub fn rows(&self) -> Vec<SeriesRow> {
        let mut rows = self.rows.clone();
        let rest = self.latest.0.saturating_sub(self.begins());
        if !rest.is_zero() {
            rows.push(self.row(&self.latest.1, rest));
        }
        rows
    }

    /// Makes one row of every two.
    fn halve(&mut self) {
        self.rows = self.rows.chunks(2).map(|rows| rows[0].and(rows.get(1))).collect();
        self.step *= 2;
    }

    fn begins(&self) -> Duration {
        self.step * self.rows.len() as u32
    }

    fn row(&self, now: &Status, length: Duration) -> SeriesRow {
        let failed = now.fault.is_some() && self.row_start.fault.is_none();
        let (before, now) = (&self.row_start.counters, &now.counters);
        let received = now.received - before.received;
        SeriesRow {
            second: self.begins().as_secs(),
            sent: now.sent - before.sent,
            confirmed: self.confirms.then_some(now.accepted - before.accepted),
            rejected: now.rejected - before.rejected,
            received,
            replies: now.replies - before.replies,
            messages_per_second: received as f64 / length.as_secs_f64(),
            blocked_s: now.blocked_ns.saturating_sub(before.blocked_ns) as f64 / 1e9,
            errors: (now.foreign - before.foreign)
                + (now.unexpected - before.unexpected)
                + (now.corrupt - before.corrupt)
                + u64::from(failed),
            without_connection: self.peak.without_connection,
            resident_bytes: self.peak.resident_bytes,
            ledger_bytes: self.peak.ledger_bytes,
            service: None,
        }
    }
}

/// The sums when `part` of the time between two sums had passed.
fn between(before: &Status, after: &Status, part: f64) -> Status {
    let part = part.clamp(0.0, 1.0);
    let (from, to) = (before.counters.to_vector(), after.counters.to_vector());
    let vector = std::array::from_fn(|at| from[at] + (part * to[at].saturating_sub(from[at]) as f64) as u64);
    Status { counters: Counters::from_vector(&vector), ..before.clone() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn take(series: &mut Series, millis: u64, received: u64) {
        let total = Status { counters: Counters { received, ..Counters::default() }, ..Status::default() };
        let (elapsed, held) = (Duration::from_millis(millis), measure::Held::default());
        series.take(&Snapshot { elapsed, total, ranks: Vec::new(), held });
    }

    fn rows(series: &Series) -> Vec<(u64, u64, f64)> {
        series.rows().iter().map(|row| (row.second, row.received, row.messages_per_second.round())).collect()
    }

    #[test]
    fn each_second_gets_a_row_and_the_rest_one_more() {
        let mut series = Series::new(true);
        for tenth in 0..=25 {
            take(&mut series, tenth * 100, tenth * 10);
        }
        assert_eq!(rows(&series), [(0, 100, 100.0), (1, 100, 100.0), (2, 50, 100.0)]);
    }

    #[test]
    fn a_long_run_has_a_bounded_number_of_rows_over_all_of_it() {
        let mut series = Series::new(true);
        let hours = 12 * 3_600;
        for second in 0..=hours {
            let ledger_bytes = if second == 10_000 { 7 } else { 1 };
            let counters = Counters { received: second * 50, ..Counters::default() };
            let total = Status { counters, ledger_bytes, ..Status::default() };
            let (elapsed, held) = (Duration::from_secs(second), measure::Held::default());
            series.take(&Snapshot { elapsed, total, ranks: Vec::new(), held });
        }
        let rows = series.rows();
        assert_eq!(rows.len(), 2_700, "16 s each");
        assert!(rows.len() < ROWS_MAX && rows.capacity() <= 2 * ROWS_MAX);
        assert!(rows.iter().enumerate().all(|(at, row)| row.second == at as u64 * 16), "they are of the same length");
        assert!(rows.iter().all(|row| row.received == 800 && row.messages_per_second == 50.0), "each message once");
        let peaks: Vec<u64> = rows.iter().filter(|row| row.ledger_bytes == 7).map(|row| row.second).collect();
        assert_eq!(peaks, [10_000], "the largest of what is joined");
    }

    #[test]
    fn sums_that_come_late_shift_no_second_and_leave_none_out() {
        let mut series = Series::new(true);
        // A sum every 107 ms, as where each look takes a little: ten of them are 1.07 s.
        for look in 0..=600 {
            take(&mut series, look * 107, look * 107);
        }
        let all = series.rows();
        assert_eq!(all.len(), 65, "64.2 s");
        assert!(all.iter().enumerate().all(|(second, row)| row.second == second as u64));
        assert!(all[..64].iter().all(|row| row.received.abs_diff(1000) <= 1), "{all:?}");
        assert_eq!(all.iter().map(|row| row.received).sum::<u64>(), 600 * 107, "each message once");
    }

    #[test]
    fn what_is_accepted_without_confirms_is_not_called_confirmed() {
        for (confirms, expected) in [(true, Some(9)), (false, None)] {
            let mut series = Series::new(confirms);
            let counters = Counters { sent: 9, accepted: 9, ..Counters::default() };
            let total = Status { counters, ..Status::default() };
            let (elapsed, held) = (Duration::from_millis(500), measure::Held::default());
            series.take(&Snapshot { elapsed, total, ranks: Vec::new(), held });
            assert_eq!(series.rows()[0].confirmed, expected);
        }
    }

    #[test]
    fn each_second_shows_the_most_connections_that_were_gone_in_it() {
        let mut series = Series::new(true);
        for (millis, without_connection) in [(0, 0), (400, 3), (900, 1), (1100, 1), (1500, 0), (2100, 0), (2500, 2)] {
            let total = Status { without_connection, ..Status::default() };
            let (elapsed, held) = (Duration::from_millis(millis), measure::Held::default());
            series.take(&Snapshot { elapsed, total, ranks: Vec::new(), held });
        }
        assert_eq!(series.rows().iter().map(|row| row.without_connection).collect::<Vec<_>>(), [3, 1, 2]);
    }

    #[test]
    fn a_pause_of_rank_0_leaves_a_row_for_each_second_of_it() {
        let mut series = Series::new(true);
        take(&mut series, 0, 0);
        take(&mut series, 0, 0);
        take(&mut series, 500, 50);
        take(&mut series, 3500, 350);
        assert_eq!(rows(&series), [(0, 100, 100.0), (1, 100, 100.0), (2, 100, 100.0), (3, 50, 100.0)]);
    }
}
