//! What happened in each second of streaming.

use engine::{Snapshot, control::Status};
use measure::tables::SeriesRow;
use std::time::Duration;

const STEP: Duration = Duration::from_secs(1);

/// Rows of one second each, made of the sums that rank 0 hears.
#[derive(Debug, Default)]
pub struct Series {
    rows: Vec<SeriesRow>,
    last: (Duration, Status),
    latest: (Duration, Status),
}

impl Series {
    /// Takes in the sums at one moment.
    pub fn take(&mut self, snapshot: &Snapshot) {
        self.latest = (snapshot.elapsed, snapshot.total.clone());
        if snapshot.elapsed - self.last.0 >= STEP {
            let row = self.row();
            self.rows.push(row);
            self.last = self.latest.clone();
        }
    }

    /// All rows, the unfinished second included.
    pub fn rows(&self) -> Vec<SeriesRow> {
        let mut rows = self.rows.clone();
        if self.latest.0 > self.last.0 {
            rows.push(self.row());
        }
        rows
    }

    fn row(&self) -> SeriesRow {
        let ((from, before), (to, now)) = (&self.last, &self.latest);
        let received = now.received - before.received;
        SeriesRow {
            second: from.as_secs_f64().round() as u64,
            sent: now.sent - before.sent,
            confirmed: now.accepted - before.accepted,
            rejected: now.rejected - before.rejected,
            received,
            replies: now.replies - before.replies,
            messages_per_second: received as f64 / (*to - *from).as_secs_f64(),
            blocked_s: (now.alarms.blocked.saturating_sub(before.alarms.blocked)).as_secs_f64(),
            errors: (now.foreign - before.foreign)
                + (now.corrupt - before.corrupt)
                + u64::from(now.fault.is_some() && before.fault.is_none()),
            service: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_second_gets_a_row_and_the_rest_one_more() {
        let mut series = Series::default();
        for tenth in 0..=25u64 {
            let total = Status { received: tenth * 10, sent: tenth * 12, ..Status::default() };
            let elapsed = Duration::from_millis(tenth * 100);
            series.take(&Snapshot { elapsed, total, ranks: Vec::new(), held: measure::Held::default() });
        }
        let rows: Vec<_> =
            series.rows().iter().map(|row| (row.second, row.received, row.messages_per_second.round())).collect();
        assert_eq!(rows, [(0, 100, 100.0), (1, 100, 100.0), (2, 50, 100.0)]);
    }
}
