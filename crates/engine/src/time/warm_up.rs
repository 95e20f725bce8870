//! Decides when the measured window begins. Time is an argument, counted from the start of streaming.

use profile::MeasuredWindow;
use std::{collections::VecDeque, time::Duration};

/// How far ahead the window is announced, so that every rank knows it before it begins.
const MARGIN: Duration = Duration::from_millis(200);
/// Number of one-second rates by which steadiness is judged.
const RATES: usize = 5;
const STEP: Duration = Duration::from_secs(1);

/// The conditions that rank 0 waits for.
#[derive(Debug)]
pub struct WarmUp {
    plan: MeasuredWindow,
    rates: VecDeque<f64>,
    last: (Duration, u64),
}

/// The window may begin.
#[derive(Debug, Clone, PartialEq)]
pub struct Warm {
    /// Its start, from the start of streaming.
    pub start: Duration,
    /// The condition that was not reached within the limit, as a sentence.
    pub short: Option<String>,
}

impl WarmUp {
    /// Waits for the conditions of a plan.
    pub fn new(plan: &MeasuredWindow) -> Self {
        Self { plan: *plan, rates: VecDeque::with_capacity(RATES), last: (Duration::ZERO, 0) }
    }

    /// Stores the number of messages delivered by `now`; returns when the window may begin.
    pub fn hear(&mut self, now: Duration, delivered: u64) -> Option<Warm> {
        let passed = now.saturating_sub(self.last.0);
        if passed >= STEP {
            if self.rates.len() == RATES {
                self.rates.pop_front();
            }
            self.rates.push_back((delivered - self.last.1) as f64 / passed.as_secs_f64());
            self.last = (now, delivered);
        }
        let earliest = Duration::from_nanos(self.plan.warmup_ns);
        let missing = self.missing(delivered);
        let limit = earliest.max(Duration::from_nanos(self.plan.warmup_limit_ns));
        if now + MARGIN < earliest || (missing.is_some() && now + MARGIN < limit) {
            return None;
        }
        let short =
            missing.map(|what| format!("the window began at its limit of {} s, and {what}", limit.as_secs_f64()));
        Some(Warm { start: earliest.max(now + MARGIN), short })
    }

    /// The condition that the window still waits for, apart from its time.
    fn missing(&self, delivered: u64) -> Option<String> {
        let wanted = self.plan.warmup_messages;
        if delivered < wanted {
            return Some(format!("{delivered} of {wanted} messages had been delivered"));
        }
        let percent = self.plan.steady_percent?;
        match self.change_percent() {
            Some(change) if change <= percent => None,
            Some(change) => Some(format!("the rate still changed by {change:.1} % in {RATES} s")),
            None => Some("there was no rate to judge".to_owned()),
        }
    }

    /// The change of the rate over the last [`RATES`] seconds, by a least-squares line through them, in per cent of
    /// their mean.
    fn change_percent(&self) -> Option<f64> {
        if self.rates.len() < RATES {
            return None;
        }
        let middle = (RATES - 1) as f64 / 2.0;
        let mean = self.rates.iter().sum::<f64>() / RATES as f64;
        let (mut along, mut squares) = (0.0, 0.0);
        for (at, rate) in self.rates.iter().enumerate() {
            along += (at as f64 - middle) * (rate - mean);
            squares += (at as f64 - middle).powi(2);
        }
        (mean > 0.0).then(|| (along / squares).abs() * (RATES - 1) as f64 / mean * 100.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plan(warmup_s: u64, warmup_messages: u64, steady_percent: Option<f64>) -> MeasuredWindow {
        MeasuredWindow {
            warmup_ns: warmup_s * 1_000_000_000,
            warmup_messages,
            steady_percent,
            warmup_limit_ns: 30_000_000_000,
            window_ns: 1,
            cooldown_ns: 0,
        }
    }

    /// Calls [`WarmUp::hear`] ten times a second with `delivered` of that time; returns when the window begins, and its
    /// sentence.
    fn begins(plan: &MeasuredWindow, delivered: impl Fn(f64) -> f64) -> (f64, Option<String>) {
        let mut warm_up = WarmUp::new(plan);
        for tenth in 0..1000 {
            let now = Duration::from_millis(tenth * 100);
            if let Some(warm) = warm_up.hear(now, delivered(now.as_secs_f64()) as u64) {
                assert!(warm.start >= now + MARGIN, "the window can still reach every rank");
                return (warm.start.as_secs_f64(), warm.short);
            }
        }
        panic!("it never began");
    }

    #[test]
    fn the_window_waits_for_time_and_messages_and_not_longer() {
        let thousand_a_second = |s: f64| 1000.0 * s;
        assert_eq!(begins(&plan(2, 0, None), thousand_a_second), (2.0, None));
        assert_eq!(begins(&plan(0, 500, None), thousand_a_second), (0.7, None));
        assert_eq!(begins(&plan(2, 500, None), thousand_a_second), (2.0, None));
    }

    #[test]
    fn the_window_waits_until_the_rate_is_steady() {
        // Up for ten seconds, then even: five even seconds have passed after fifteen.
        let ramp = |s: f64| if s < 10.0 { 50.0 * s * s } else { 5000.0 + 1000.0 * (s - 10.0) };
        let (start, short) = begins(&plan(0, 0, Some(5.0)), ramp);
        assert!((13.0..=15.5).contains(&start), "{start}");
        assert_eq!(short, None);
        assert_eq!(begins(&plan(0, 0, Some(5.0)), |s| 1000.0 * s).0, 5.2);
        assert_eq!(begins(&plan(20, 0, Some(5.0)), |s| 1000.0 * s).0, 20.0);
    }

    #[test]
    fn a_warm_up_that_never_settles_ends_at_its_limit_with_a_warning() {
        let (start, short) = begins(&plan(0, 0, Some(5.0)), |s| 100.0 * s * s);
        assert_eq!(start, 30.0);
        assert!(short.unwrap().contains("still changed by"), "it is reported");
        let (start, short) = begins(&plan(0, 10, None), |_| 9.0);
        assert_eq!((start, short.unwrap().contains("9 of 10 messages")), (30.0, true));
    }
}
