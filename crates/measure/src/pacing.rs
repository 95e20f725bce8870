//! Whether senders kept their schedule, and if not, why.

use crate::{Counters, LatencySummary};

/// A lag of no more than this is a timer's error, whatever the replies take.
const LAG_NS: u64 = 1_000_000;
/// Fraction of the messages due in the window that must be sent in it.
const IN_TIME: f64 = 0.99;

/// With fewer messages 1 % is less than ten, so the result may be chance.
const JUDGED_FROM: u64 = 1_000;
/// With fewer messages, this many late ones are surely more than 1 %.
const MISSING_SURELY: u64 = 10;

/// How senders kept their schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pacing {
    /// The load arrived as configured.
    Kept,
    /// It did not, because the service held senders back: the offered load exceeds its capacity.
    Saturated,
    /// It did not, for the senders' own reasons: no result about the system.
    GeneratorLimited,
    /// It did not, because a fault ended the run or senders lost their connections: late and unsent messages show nothing about
    /// senders or capacity.
    CutShort,
    /// Some messages were late, and there were too few to judge whether that is more than one in a hundred.
    TooFew,
}

impl Pacing {
    /// Judges a run: the 99th percentile of the lag against 1 ms and a tenth of the median response, the fraction of
    /// messages sent in time, and the fraction of the overdue time in which the service held senders back
    /// (docs/measuring.md, "Whether the load arrived").
    pub fn judge(lag: &LatencySummary, response_p50_ns: u64, counters: &Counters, producers: u32) -> Self {
        let &Counters { in_window_due, in_window_in_time, late_ns, backpressure_ns, .. } = counters;
        // One message of each producer may be at the edge of the window.
        let missing = in_window_due.saturating_sub(in_window_in_time).saturating_sub(u64::from(producers));
        match (late(lag, LAG_NS.max(response_p50_ns / 10)), short(missing, in_window_due)) {
            (Some(false), Some(false)) => Self::Kept,
            (Some(true), _) | (_, Some(true)) if backpressure_ns.saturating_mul(2) > late_ns => Self::Saturated,
            (Some(true), _) | (_, Some(true)) => Self::GeneratorLimited,
            _ => Self::TooFew,
        }
    }

    /// The verdict on a run that the service, the route or a dead rank cut short, or whose senders lost their connections.
    pub fn cut_short(self) -> Self {
        if self == Self::Kept { self } else { Self::CutShort }
    }

    /// Its name in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kept => "kept",
            Self::Saturated => "saturated",
            Self::GeneratorLimited => "generator-limited",
            Self::CutShort => "cut short",
            Self::TooFew => "too few messages",
        }
    }

    /// A warning for the reader of the numbers.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            // Why a run was cut short is reported as its ending or by its lost connections.
            Self::Kept | Self::CutShort => None,
            Self::Saturated => Some(
                "saturated: the service held senders back behind their schedule, so the offered load exceeds its capacity",
            ),
            Self::GeneratorLimited => Some(
                "generator-limited: senders were late and the service was not the cause, so this is no result about the system; \
                 use a lower --rate, or start more ranks or cores",
            ),
            Self::TooFew => Some(
                "some messages were sent late, and whether that is more than one in a hundred cannot be judged: it takes \
                 1,000 messages in the measured window; use a longer --duration or a higher --rate",
            ),
        }
    }
}

/// Whether more than one in a hundred was late by more than `limit_ns`; `None` if there are too few to judge.
fn late(lag: &LatencySummary, limit_ns: u64) -> Option<bool> {
    let over = |quantile: Option<u64>| quantile.map(|ns| ns > limit_ns);
    match over(lag.p99_ns) {
        None if over(lag.max_ns) != Some(true) => Some(false),
        // One in ten is more than one in a hundred.
        None => over(lag.p90_ns).filter(|late| *late),
        judged => judged,
    }
}

/// Whether more than one in a hundred of `due` messages is `missing`; `None` if there are too few to judge.
fn short(missing: u64, due: u64) -> Option<bool> {
    match missing {
        0 => Some(false),
        _ if due >= JUDGED_FROM => Some(missing as f64 > (1.0 - IN_TIME) * due as f64),
        _ => (missing > MISSING_SURELY).then_some(true),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lag(p90_ns: Option<u64>, p99_ns: Option<u64>, max_ns: u64) -> LatencySummary {
        LatencySummary { p90_ns, p99_ns, max_ns: Some(max_ns), ..LatencySummary::default() }
    }

    #[test]
    fn a_verdict_on_one_in_a_hundred_takes_a_thousand_messages() {
        const MS: u64 = 1_000_000;
        let (late, early) = (9 * MS, MS / 2);
        for (lag, due, in_time, expected) in [
            (lag(None, None, late), 5, 5, Pacing::TooFew),
            (lag(None, None, early), 5, 5, Pacing::Kept),
            (lag(Some(early), None, late), 500, 500, Pacing::TooFew),
            (lag(Some(late), None, late), 500, 500, Pacing::GeneratorLimited),
            (lag(Some(early), Some(early), late), 1000, 1000, Pacing::Kept),
            (lag(Some(early), Some(late), late), 1000, 1000, Pacing::GeneratorLimited),
            (lag(None, None, early), 5, 2, Pacing::TooFew),
            (lag(None, None, early), 100, 80, Pacing::GeneratorLimited),
            (LatencySummary::default(), 5, 5, Pacing::Kept),
        ] {
            let counters =
                Counters { in_window_due: due, in_window_in_time: in_time, late_ns: 900, ..Counters::default() };
            assert_eq!(Pacing::judge(&lag, 0, &counters, 1), expected, "{lag:?} {due} {in_time}");
        }
        let cut_short =
            [Pacing::Kept, Pacing::Saturated, Pacing::GeneratorLimited, Pacing::TooFew].map(Pacing::cut_short);
        assert_eq!(cut_short, [Pacing::Kept, Pacing::CutShort, Pacing::CutShort, Pacing::CutShort]);
        assert!(Pacing::TooFew.warning().is_some_and(|warning| warning.contains("1,000 messages")));
    }

    #[test]
    fn the_verdict_separates_limits_of_the_generator_from_those_of_the_service() {
        const MS: u64 = 1_000_000;
        for (lag, response, due, in_time, late, held, expected) in [
            (MS, 0, 1000, 1000, 900, 0, Pacing::Kept),
            (MS + 1, 0, 1000, 1000, 900, 0, Pacing::GeneratorLimited),
            (9 * MS, 100 * MS, 1000, 1000, 900, 0, Pacing::Kept),
            (11 * MS, 100 * MS, 1000, 1000, 900, 449, Pacing::GeneratorLimited),
            (11 * MS, 100 * MS, 1000, 1000, 900, 451, Pacing::Saturated),
            (0, 0, 1000, 980, 900, 0, Pacing::GeneratorLimited),
            (0, 0, 1000, 988, 900, 0, Pacing::Kept),
            (0, 0, 1000, 500, 900, 900, Pacing::Saturated),
            (0, 0, 10, 8, 0, 0, Pacing::Kept),
            (0, 0, 10, 5, 0, 0, Pacing::TooFew),
        ] {
            let counters = Counters {
                in_window_due: due,
                in_window_in_time: in_time,
                late_ns: late,
                backpressure_ns: held,
                ..Counters::default()
            };
            let summary = self::lag(Some(lag), Some(lag), lag);
            assert_eq!(Pacing::judge(&summary, response, &counters, 2), expected, "{lag} {due} {in_time} {held}");
        }
    }
}
