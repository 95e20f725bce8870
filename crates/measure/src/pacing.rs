//! Whether senders kept their schedule, and if not, whose doing it was.

use crate::Counters;

/// A lag of no more than this is a timer's doing, whatever the answers take.
const LAG_NS: u64 = 1_000_000;
/// Of what was due in the window, so much must have been sent in it.
const IN_TIME: f64 = 0.99;

/// How senders kept their schedule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pacing {
    /// The load arrived as it was asked for.
    Kept,
    /// It did not, since the service did not take it: the offered load exceeds its capacity.
    Saturated,
    /// It did not, for the senders' own reasons: no result about the system.
    GeneratorLimited,
}

impl Pacing {
    /// Judges by 99 % of the lag against a tenth of the median response, by what was sent in time, and by which part of
    /// the time in which something was overdue the service held senders back.
    pub fn judge(lag_p99_ns: u64, response_p50_ns: u64, counters: &Counters, producers: u32) -> Self {
        let &Counters { in_window_due, in_window_in_time, late_ns, backpressure_ns, .. } = counters;
        let late = lag_p99_ns > LAG_NS.max(response_p50_ns / 10);
        // One message of each producer may be on the edge of the window.
        let missing = in_window_due.saturating_sub(in_window_in_time).saturating_sub(u64::from(producers));
        let short = missing as f64 > (1.0 - IN_TIME) * in_window_due as f64;
        if !late && !short {
            Self::Kept
        } else if backpressure_ns.saturating_mul(2) > late_ns {
            Self::Saturated
        } else {
            Self::GeneratorLimited
        }
    }

    /// What a reader must know before using the numbers.
    pub fn warning(self) -> Option<&'static str> {
        match self {
            Self::Kept => None,
            Self::Saturated => Some(
                "saturated: the service held senders back behind their schedule, so the offered load exceeds its capacity",
            ),
            Self::GeneratorLimited => Some(
                "generator-limited: senders were late for reasons of their own, so this is no result about the system; \
                 ask for a lower --rate, or start more ranks or cores",
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_tells_the_generators_doing_from_the_services() {
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
        ] {
            let counters = Counters {
                in_window_due: due,
                in_window_in_time: in_time,
                late_ns: late,
                backpressure_ns: held,
                ..Counters::default()
            };
            assert_eq!(Pacing::judge(lag, response, &counters, 2), expected, "{lag} {due} {in_time} {held}");
        }
    }
}
