//! Which bodies are inspected if inspections may use only a share of one core.

use std::{
    collections::HashSet,
    sync::{Mutex, MutexGuard},
};

/// The budget of a rank: the first body of each producer is inspected whatever it costs, and then one body at a time, at
/// such distances that the time of all inspections stays below the share of the time streamed. What a pause leaves over
/// is not saved up, so that no row of inspections follows it.
#[derive(Debug)]
pub struct Budget {
    share: f64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    producers: HashSet<u32>,
    /// Inspections that have not ended.
    pending: u32,
    /// From when on the inspections so far are within the share.
    due_ns: u64,
}

impl Budget {
    /// For this share of one core.
    pub fn new(share: f64) -> Self {
        Self { share, state: Mutex::default() }
    }

    /// Whether a body of `producer` that arrived at `at_ns` is inspected. Every `true` is followed by one [`Self::spend`].
    pub fn admits(&self, producer: u32, at_ns: u64) -> bool {
        let mut state = self.state();
        let admitted = state.producers.insert(producer) || (state.pending == 0 && at_ns >= state.due_ns);
        state.pending += u32::from(admitted);
        admitted
    }

    /// The inspection of a body that arrived at `at_ns` took `spent_ns`.
    pub fn spend(&self, at_ns: u64, spent_ns: u64) {
        let mut state = self.state();
        state.pending -= 1;
        state.due_ns = state.due_ns.max(at_ns).saturating_add((spent_ns as f64 / self.share) as u64);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with this lock")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const US: u64 = 1_000;

    /// Arrival times of the inspected ones of `bodies`, which are (time, producer) in order, if an inspection takes
    /// `spent_ns` and ends before the next arrival.
    fn inspected(share: f64, spent_ns: u64, bodies: impl IntoIterator<Item = (u64, u32)>) -> Vec<u64> {
        let budget = Budget::new(share);
        let admitted = bodies.into_iter().filter(|(at_ns, producer)| {
            let admitted = budget.admits(*producer, *at_ns);
            if admitted {
                budget.spend(*at_ns, spent_ns);
            }
            admitted
        });
        admitted.map(|(at_ns, _)| at_ns).collect()
    }

    #[test]
    fn inspections_stay_below_their_share_of_the_time_streamed_and_near_it() {
        for (share, spent_ns, every_ns) in
            [(0.05, 300 * US, 500 * US), (0.05, 2_000 * US, 10 * US), (0.5, 7 * US, 3 * US), (0.05, 40 * US, 999 * US)]
        {
            let arrivals = (0..100_000).map(|i| (i * every_ns, 0));
            let inspected = inspected(share, spent_ns, arrivals);
            for (before, at_ns) in (0u64..).zip(&inspected).skip(1) {
                let spent_ns = (before * spent_ns) as f64;
                assert!(spent_ns <= share * *at_ns as f64, "{spent_ns} of {at_ns} ns at {share}");
            }
            let used = inspected.len() as f64 * spent_ns as f64;
            let allowed = (share * 1e5 * every_ns as f64).min(1e5 * spent_ns as f64);
            assert!(used > 0.85 * allowed, "{used} of {allowed} ns at {share}");
        }
    }

    #[test]
    fn the_first_body_of_each_producer_is_inspected_whatever_it_costs() {
        let arrivals = (0..100).map(|i| (i, i as u32)).chain((100..1_000).map(|i| (i, 7)));
        assert_eq!(inspected(0.05, 1_000_000 * US, arrivals), (0..100).collect::<Vec<_>>());
    }

    #[test]
    fn what_is_cheap_enough_is_inspected_every_time() {
        let arrivals = || (0..1_000).map(|i| (i * 1_000 * US, 0));
        assert_eq!(inspected(0.05, 49 * US, arrivals()).len(), 1_000);
        assert_eq!(inspected(0.05, 51 * US, arrivals()).len(), 500);
    }

    #[test]
    fn a_pause_is_not_saved_up() {
        let arrivals = [0, 1_000_000 * US].into_iter().chain((1..=20).map(|i| (1_000_000 + i) * US));
        let inspected = inspected(0.05, US, arrivals.map(|at_ns| (at_ns, 0)));
        assert_eq!(inspected, [0, 1_000_000 * US, 1_000_020 * US]);
    }

    #[test]
    fn only_the_first_body_of_a_producer_is_inspected_beside_another() {
        let budget = Budget::new(0.05);
        assert!(budget.admits(0, 0));
        assert!(!budget.admits(0, 1_000_000 * US), "the first is still being inspected");
        assert!(budget.admits(1, 1_000_000 * US));
        budget.spend(0, US);
        assert!(!budget.admits(0, 2_000_000 * US), "the second is");
        budget.spend(1_000_000 * US, US);
        assert!(!budget.admits(0, 1_000_019 * US) && budget.admits(0, 1_000_020 * US), "20 times as long after it");
    }
}
