//! How large a window a route needs to stay full over a distance, and whether runs agree with that arithmetic.
//!
//! What is in flight is carried once in each round trip: a confirm window by a producer, a prefetch by a consumer. A route is
//! full when this is more than it carries without any distance.

use crate::{
    Dimension, Estimate, Key, Level, Run,
    axis::short,
    points::{Quantity, text},
};
use measure::record::Link;
use serde_json::Value;
use std::collections::BTreeMap;

/// How far a measured rate may be from arithmetic.
const NEAR: f64 = 0.1;

/// What the columns mean.
pub const NOTE: &str = "In flight: the confirm window of each producer, and the prefetch of each consumer. By arithmetic: what is in \
                        flight, once in each round trip of the way and what the route takes without it, but no more than the route \
                        carries without distance. To stay full: the least confirm window of each producer, and prefetch of each \
                        consumer, with which the way is not the limit.";

/// One setting over one distance.
#[derive(Debug, Clone, PartialEq)]
pub struct Window {
    key: Key,
    delay: Level,
    window: u64,
    prefetch: u64,
    /// Messages a second, by arithmetic.
    predicted: f64,
    /// Whether the way is the limit, and not the route.
    is_limited: bool,
    measured: f64,
    /// The least window of each producer with which the route stays full.
    window_needed: u64,
    /// The least prefetch of each consumer; `None`: consumers are near.
    prefetch_needed: Option<u64>,
}

impl Window {
    fn ratio(&self) -> f64 {
        self.measured / self.predicted
    }
}

/// What a run had in flight, and over which way.
struct Setting {
    producers: u64,
    consumers: u64,
    window: u64,
    prefetch: u64,
    delay: Level,
    delay_s: f64,
    /// Whether messages and acknowledgements of consumers cross the way.
    consumers_are_far: bool,
}

impl Setting {
    /// `None` for a run without links or a confirm window, or over a way that loses packets.
    fn of(run: &Run) -> Option<Self> {
        let far: Option<&Link> = run.record.links.iter().find(|link| link.distance.is_some());
        let lossless = far.and_then(|link| link.distance.as_ref()).is_none_or(|distance| distance.loss == 0.0);
        if run.record.links.is_empty() || !lossless {
            return None;
        }
        let plan = &run.record.plan;
        let number = |pointer: &str| plan.pointer(pointer).and_then(Value::as_u64);
        Some(Self {
            producers: number("/placement/producers")?,
            consumers: number("/placement/consumers")?,
            window: text(plan, "/service/confirms").strip_prefix("window:")?.parse().ok()?,
            prefetch: number("/service/prefetch")?,
            delay: Dimension::Delay.of(run),
            delay_s: far.map_or(0.0, |link| link.delay_s),
            consumers_are_far: far.is_none_or(|link| link.host == "clients"),
        })
    }

    /// The most that is in flight of all: by the window, and by the prefetch.
    fn in_flight(&self) -> [f64; 2] {
        let by_prefetch = match self.prefetch {
            0 => f64::INFINITY,
            prefetch => (self.consumers * prefetch) as f64,
        };
        [(self.producers * self.window) as f64, by_prefetch]
    }
}

/// Every setting over every distance, of the routes that were measured without one as well.
pub fn windows(runs: &[Run]) -> Vec<Window> {
    type Cells = BTreeMap<(Level, u64, u64), (Setting, Vec<f64>)>;
    let mut routes: BTreeMap<(Key, u64), Cells> = BTreeMap::new();
    for run in runs {
        let (Some(setting), Some(rate)) = (Setting::of(run), Quantity::MessagesPerSecond.of(run)) else { continue };
        let cells = routes.entry((Key::of(run), setting.producers)).or_default();
        let cell = (setting.delay.clone(), setting.window, setting.prefetch);
        cells.entry(cell).or_insert_with(|| (setting, Vec::new())).1.push(rate);
    }
    let mut windows = Vec::new();
    for ((key, _), cells) in routes {
        let median = |rates: &[f64]| Estimate::of(rates).map_or(0.0, |estimate| estimate.median);
        let near = cells.values().filter(|(setting, _)| setting.delay_s == 0.0);
        let near: Vec<(&Setting, f64)> = near.map(|(setting, rates)| (setting, median(rates))).collect();
        let full = near.iter().map(|(_, rate)| *rate).fold(0.0, f64::max);
        // The time that a message takes without distance: that of the smallest window, in which few wait for others.
        let own_s =
            near.iter().map(|(setting, rate)| setting.in_flight().into_iter().fold(f64::INFINITY, f64::min) / rate);
        let own_s = own_s.fold(f64::INFINITY, f64::min);
        if full <= 0.0 || !own_s.is_finite() {
            continue;
        }
        for (setting, rates) in cells.values().filter(|(setting, _)| setting.delay_s > 0.0) {
            let round_trip_s = 2.0 * setting.delay_s + own_s;
            let [by_window, by_prefetch] = setting.in_flight();
            let by_prefetch = if setting.consumers_are_far { by_prefetch } else { f64::INFINITY };
            let limit = by_window.min(by_prefetch) / round_trip_s;
            let needed = |workers: u64| (full * round_trip_s / workers.max(1) as f64).ceil() as u64;
            windows.push(Window {
                key: key.clone(),
                delay: setting.delay.clone(),
                window: setting.window,
                prefetch: setting.prefetch,
                predicted: limit.min(full),
                is_limited: limit < full,
                measured: median(rates),
                window_needed: needed(setting.producers),
                prefetch_needed: setting.consumers_are_far.then(|| needed(setting.consumers)),
            });
        }
    }
    windows
}

/// As a table with its head, and a sentence on how many agree; `None` where nothing was measured over a distance.
pub fn table(runs: &[Run]) -> Option<(Vec<Vec<String>>, String)> {
    let windows = windows(runs);
    if windows.is_empty() {
        return None;
    }
    let head = ["route", "one way, ms", "in flight", "by arithmetic, messages/s", "measured", "ratio", "to stay full"];
    let row = |window: &Window| {
        let needed = match window.prefetch_needed {
            Some(prefetch) => format!("{} and {prefetch}", window.window_needed),
            None => window.window_needed.to_string(),
        };
        vec![
            window.key.architecture.clone(),
            Dimension::Delay.tick(&window.delay),
            format!("{} and {}", window.window, window.prefetch),
            short(window.predicted, 3) + if window.is_limited { "" } else { " (full)" },
            short(window.measured, 3),
            short(window.ratio(), 3),
            needed,
        ]
    };
    let limited: Vec<&Window> = windows.iter().filter(|window| window.is_limited).collect();
    let near = limited.iter().filter(|window| (window.ratio() - 1.0).abs() <= NEAR).count();
    let sentence = format!(
        "Where the way is the limit, {near} of {} rates are within {:.0} % of arithmetic.",
        limited.len(),
        NEAR * 100.0
    );
    let head = head.map(str::to_owned).to_vec();
    Some((std::iter::once(head).chain(windows.iter().map(row)).collect(), sentence))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use measure::record::Distance;

    fn run(delay_ms: f64, window: u32, prefetch: u32, host: &str, rate: f64) -> Run {
        let mut record = sample::record("dts", 2, rate);
        record.plan["service"]["confirms"] = format!("window:{window}").into();
        record.plan["service"]["prefetch"] = prefetch.into();
        let distance = (delay_ms > 0.0).then(Distance::default);
        record.links = vec![Link { host: host.to_owned(), delay_s: delay_ms / 1e3, distance, ..Link::default() }];
        Run { dir: format!("{delay_ms}-{window}-{prefetch}").into(), record }
    }

    #[test]
    fn a_window_is_carried_once_in_each_round_trip_and_never_more_than_the_route_carries() {
        // Without distance: 8 in flight take 10 ms, and 1,600 a second are all that the route carries.
        let near = [run(0.0, 4, 256, "clients", 800.0), run(0.0, 64, 256, "clients", 1600.0)];
        let far = [
            run(45.0, 4, 256, "clients", 78.0),
            run(45.0, 128, 256, "clients", 1590.0),
            run(45.0, 64, 4, "clients", 90.0),
        ];
        let runs: Vec<Run> = near.into_iter().chain(far).collect();
        let windows = windows(&runs);
        let predicted: Vec<(f64, bool)> =
            windows.iter().map(|window| (window.predicted.round(), window.is_limited)).collect();
        assert_eq!(predicted, [(80.0, true), (80.0, true), (1600.0, false)], "{windows:?}");
        // 1,600 a second for 100 ms, by two producers and two consumers.
        assert!(windows.iter().all(|window| (window.window_needed, window.prefetch_needed) == (80, Some(80))));
        let (rows, sentence) = table(&runs).unwrap();
        assert_eq!(rows[1], ["dts", "45", "4 and 256", "80", "78", "0.975", "80 and 80"]);
        assert!(rows[3][3] == "1600 (full)" && sentence.contains("1 of 2 rates"), "{rows:?} {sentence}");
    }

    #[test]
    fn consumers_near_the_service_need_no_prefetch_for_the_distance() {
        let runs = [run(0.0, 4, 4, "site", 800.0), run(45.0, 4, 4, "site", 80.0)];
        let windows = windows(&runs);
        assert_eq!((windows[0].prefetch_needed, windows[0].window_needed), (None, 40));
    }

    #[test]
    fn runs_without_their_like_at_no_distance_are_left_out() {
        assert_eq!(table(&[run(45.0, 4, 4, "clients", 80.0)]), None);
        assert_eq!(table(&[]), None);
    }
}
