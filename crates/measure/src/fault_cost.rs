//! What a fault costs, from the deliveries over time and the schedule. Pure.

use crate::{
    Integrity,
    record::FaultCost,
    timeline::{Latencies, Stall, Timeline},
};

/// How far back the latency before the first fault reaches.
const BEFORE_NS: u64 = 5_000_000_000;
/// The span over which a percentile is taken afterwards.
const AFTER_NS: u64 = 1_000_000_000;
/// Fewer messages have no 99th percentile.
const MESSAGES_MIN: u64 = 100;
/// Back is within a tenth.
const BACK: f64 = 1.1;

/// A run that faults have happened to.
pub struct Disturbed<'a> {
    /// Of each consumer.
    pub timelines: &'a [Timeline],
    /// Deliveries that are due before a time since the start.
    pub due_before: &'a dyn Fn(u64) -> f64,
    /// What became of its messages.
    pub integrity: &'a Integrity,
    /// When the first fault began: latency before it is what others are compared with.
    pub first_ns: u64,
    /// Whether there is one fault, which all losses belong to.
    pub alone: bool,
    /// When the run was cut off, if it was: no consumer has recovered from what happened last before that.
    pub cut_off_ns: Option<u64>,
}

impl Disturbed<'_> {
    /// What a fault cost that began at `begun_ns` since the start; the next began, or producers stopped, at `until_ns`.
    pub fn cost(&self, begun_ns: u64, until_ns: u64) -> FaultCost {
        let is_last = self.cut_off_ns.is_some_and(|cut_off_ns| cut_off_ns <= until_ns);
        let stalls = self.timelines.iter().filter_map(|timeline| timeline.stalled(begun_ns, until_ns));
        let stalls: Vec<(Stall, bool)> = stalls.map(|(stall, open)| (stall, open || is_last)).collect();
        let seconds = |ns: u64| ns.saturating_sub(begun_ns) as f64 / 1e9;
        let mut back: Vec<u64> = stalls.iter().filter(|(_, open)| !open).map(|(stall, _)| stall.to_ns).collect();
        back.sort_unstable();
        let all_back = back.len() == stalls.len();
        let last_ns = if all_back { back.last().copied().unwrap_or(begun_ns) } else { until_ns };
        let (p99_before_ns, p99_back_ns) = self.percentiles(last_ns, until_ns);
        let of_run = |count: u64| (self.alone || count == 0).then_some(count);
        FaultCost {
            consumers: self.timelines.len() as u32,
            stalled: stalls.len() as u32,
            recovered: back.len() as u32,
            noticed_s: stalls.iter().map(|(stall, _)| seconds(stall.from_ns)).reduce(f64::min),
            first_delivery_median_s: median(&back).map(seconds),
            first_delivery_last_s: back.last().filter(|_| all_back).copied().map(seconds),
            longest_stall_s: stalls.iter().map(|(stall, _)| stall.ns() as f64 / 1e9).reduce(f64::max),
            missed: self.missed(begun_ns, last_ns),
            p99_before_ns,
            p99_back_s: p99_back_ns.map(seconds),
            lost: of_run(self.integrity.lost),
            duplicated: of_run(self.integrity.duplicated),
            undetermined: of_run(self.integrity.undetermined),
        }
    }

    fn slot_ns(&self) -> u64 {
        self.timelines.first().map_or(AFTER_NS, Timeline::slot_ns)
    }

    /// The most deliveries that were missing since the fault began.
    fn missed(&self, begun_ns: u64, last_ns: u64) -> u64 {
        let slot_ns = self.slot_ns();
        // What was on its way when it began is no part of it: both counts begin there.
        let (first, last) = (begun_ns / slot_ns, last_ns.div_ceil(slot_ns));
        let (mut delivered, mut missed) = (0, 0.0f64);
        for slot in first..last {
            delivered += self.delivered(slot);
            let due = (self.due_before)((slot + 1) * slot_ns) - (self.due_before)(first * slot_ns);
            missed = missed.max(due - delivered as f64);
        }
        missed.round() as u64
    }

    fn delivered(&self, slot: u64) -> u64 {
        self.timelines.iter().map(|timeline| timeline.delivered(slot as usize)).sum()
    }

    /// The 99th percentile before the first fault, and when it was back after the last stall.
    fn percentiles(&self, last_ns: u64, until_ns: u64) -> (Option<u64>, Option<u64>) {
        let slot_ns = self.slot_ns();
        let over = |slots: std::ops::Range<u64>| {
            let mut latencies = Latencies::default();
            for slot in slots {
                self.timelines.iter().for_each(|timeline| timeline.add_latencies(slot as usize, &mut latencies));
            }
            latencies.p99_ns().filter(|_| latencies.count() >= MESSAGES_MIN)
        };
        let Some(before_ns) = over(self.first_ns.saturating_sub(BEFORE_NS) / slot_ns..self.first_ns / slot_ns) else {
            return (None, None);
        };
        let width = (AFTER_NS / slot_ns).max(1);
        let back =
            |slot: &u64| over(*slot..slot + width).is_some_and(|p99_ns| p99_ns as f64 <= BACK * before_ns as f64);
        let slots = last_ns.div_ceil(slot_ns)..(until_ns / slot_ns).saturating_sub(width - 1);
        let first = slots.into_iter().find(back).map(|slot| slot * slot_ns);
        (Some(before_ns), first)
    }
}

fn median(ascending: &[u64]) -> Option<u64> {
    let count = ascending.len();
    let upper = *ascending.get(count / 2)?;
    Some(if count % 2 == 1 { upper } else { upper.midpoint(ascending[count / 2 - 1]) })
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: u64 = 1_000_000;

    /// A consumer that is due a message each 10 ms with 2 ms of latency; what is due while it is cut off comes at once at its
    /// end, and the backlog is gone after `slow` more, in which latencies are 20 ms.
    fn consumer(cut: std::ops::Range<u64>, slow: u64) -> Timeline {
        let mut timeline = Timeline::new(0, 20_000 * MS, 50 * MS);
        for due in (0..20_000).step_by(10) {
            let usual = due + 2;
            let at = match usual {
                usual if cut.contains(&usual) => cut.end,
                usual if (cut.end..cut.end + slow).contains(&usual) => due + 20,
                usual => usual,
            };
            timeline.deliver(at * MS, due * MS);
        }
        timeline
    }

    fn costs(timelines: &[Timeline], integrity: &Integrity, begun: u64, until: u64) -> FaultCost {
        let count = timelines.len() as f64;
        let due_before = |ns: u64| (ns as f64 / 1e9 * 100.0 * count).floor();
        Disturbed { timelines, due_before: &due_before, integrity, first_ns: begun * MS, alone: true, cut_off_ns: None }
            .cost(begun * MS, until * MS)
    }

    #[test]
    fn each_consumer_counts_from_the_beginning_of_the_fault() {
        let timelines = [consumer(8_100..9_000, 1_000), consumer(8_300..11_000, 0), consumer(0..0, 0)];
        let cost = costs(&timelines, &Integrity { lost: 3, ..Integrity::default() }, 8_000, 19_000);
        assert_eq!((cost.consumers, cost.stalled, cost.recovered), (3, 2, 2));
        assert!((cost.noticed_s.unwrap() - 0.092).abs() < 1e-9, "{cost:?}");
        assert_eq!((cost.first_delivery_median_s, cost.first_delivery_last_s), (Some(2.0), Some(3.0)));
        assert!((cost.longest_stall_s.unwrap() - 2.708).abs() < 1e-9, "{cost:?}");
        // The second consumer misses 100 a second for 2.7 s; the first is there again by then.
        assert!(cost.missed.abs_diff(270) <= 12, "{cost:?}");
        assert_eq!((cost.lost, cost.duplicated), (Some(3), Some(0)));
        // With what waited until 11 s, the slot of that moment is over the usual latency.
        assert!(cost.p99_before_ns.unwrap().abs_diff(2 * MS) < MS / 10, "{cost:?}");
        assert!((3.0..3.3).contains(&cost.p99_back_s.unwrap()), "{cost:?}");
    }

    #[test]
    fn one_that_gets_nothing_any_more_has_not_recovered() {
        let timelines = [consumer(8_000..30_000, 0), consumer(8_000..9_000, 0)];
        let cost = costs(&timelines, &Integrity::default(), 8_000, 19_000);
        assert_eq!((cost.stalled, cost.recovered), (2, 1));
        assert_eq!((cost.first_delivery_median_s, cost.first_delivery_last_s), (Some(1.0), None));
        assert!((cost.longest_stall_s.unwrap() - 11.0).abs() < 0.02, "{cost:?}");
        assert_eq!(cost.p99_back_s, None);
    }

    #[test]
    fn a_fault_that_nobody_notices_costs_nothing() {
        let cost = costs(&[consumer(0..0, 0)], &Integrity::default(), 8_000, 19_000);
        assert_eq!(
            (cost.stalled, cost.noticed_s, cost.first_delivery_last_s, cost.longest_stall_s),
            (0, None, None, None)
        );
        assert!(cost.missed <= 1 && cost.p99_back_s.unwrap() < 0.2, "{cost:?}");
    }

    #[test]
    fn what_a_slow_backlog_does_to_latency_lasts_beyond_the_first_delivery() {
        let cost = costs(&[consumer(8_000..9_000, 3_000)], &Integrity::default(), 8_000, 19_000);
        assert_eq!(cost.first_delivery_last_s, Some(1.0));
        assert!((3.9..4.2).contains(&cost.p99_back_s.unwrap()), "{cost:?}");
    }

    #[test]
    fn losses_that_several_faults_share_are_given_to_none_of_them() {
        let (timelines, integrity) = ([consumer(0..0, 0)], Integrity { lost: 3, ..Integrity::default() });
        let due_before = |ns: u64| ns as f64 / 1e7;
        let disturbed = Disturbed {
            timelines: &timelines,
            due_before: &due_before,
            integrity: &integrity,
            first_ns: 0,
            alone: false,
            cut_off_ns: None,
        };
        let cost = disturbed.cost(8_000 * MS, 12_000 * MS);
        assert_eq!((cost.lost, cost.duplicated), (None, Some(0)));
    }

    #[test]
    fn nobody_recovers_from_what_cuts_the_run_off() {
        let timelines = [consumer(8_000..9_000, 0)];
        let disturbed = Disturbed {
            timelines: &timelines,
            due_before: &|ns| ns as f64 / 1e7,
            integrity: &Integrity::default(),
            first_ns: 8_000 * MS,
            alone: false,
            cut_off_ns: Some(9_010 * MS),
        };
        // A hiccup ended before the run did; the fault before it had gone by then.
        let [before, last] = [(7_000, 8_500), (8_500, 9_010)].map(|(from, to)| disturbed.cost(from * MS, to * MS));
        assert_eq!((last.stalled, last.recovered, last.first_delivery_last_s), (1, 0, None));
        assert_eq!((before.stalled, before.recovered), (1, 0), "it was still stalled when the next one began");
        assert_eq!(disturbed.cost(7_000 * MS, 9_005 * MS).recovered, 1);
    }
}
