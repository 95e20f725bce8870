//! The answer to what was run, in a few sentences: what each route carries, what it costs against the base, and what limits it.

use crate::{Estimate, Key, Level, Run, axis::short, looks::Looks, points::Quantity};
use measure::Metric;
use std::collections::BTreeMap;

/// What others are compared with, where it was run.
const BASE: &str = "dts";
/// Ratios up to this are no difference worth a sentence.
const ALIKE: f64 = 1.05;
/// From this use on a link is said to limit a run: TCP seldom fills one completely.
const FULL: f64 = 0.85;
/// From this share of the time on a part that stands still is said to limit a run.
const STOPPED: f64 = 0.5;
/// Length of the periods that a limit of CPU counts in.
const PERIOD_S: f64 = 0.1;

/// One route at one number of consumers.
#[derive(Default)]
struct Point {
    rate: Option<f64>,
    rtt_s: Option<f64>,
}

type Routes = BTreeMap<String, BTreeMap<u32, Vec<usize>>>;

/// A sentence or more for each workload and pattern.
pub fn answer(runs: &[Run]) -> Vec<String> {
    let looks = Looks::of(runs);
    let title = |architecture: &str| looks.title(&Level::Text(architecture.to_owned()));
    let mut groups: BTreeMap<(String, String), Routes> = BTreeMap::new();
    // Beside measurements, predictions have a table of their own.
    let is_measured = |run: &Run| run.record.prediction.is_none();
    let predicted_only = !runs.iter().any(is_measured);
    for (place, run) in runs.iter().enumerate().filter(|(_, run)| predicted_only || is_measured(run)) {
        let Key { workload, pattern, architecture, consumers } = Key::of(run);
        let routes = groups.entry((workload, pattern)).or_default();
        routes.entry(architecture).or_default().entry(consumers).or_default().push(place);
    }
    let mut sentences = Vec::new();
    for ((workload, pattern), routes) in &groups {
        let points: BTreeMap<&str, BTreeMap<u32, Point>> = routes
            .iter()
            .map(|(architecture, points)| {
                (architecture.as_str(), points.iter().map(|(at, places)| (*at, point(runs, places))).collect())
            })
            .collect();
        let Some(base) = base(&points) else { continue };
        let what = format!("{}, {}", title(workload), looks.title(&Level::Text(pattern.clone())));
        let mut text = format!("{what}: {}", carries(&title(base), &points[base]));
        text += &limit(runs, &routes[base]);
        for (architecture, others) in points.iter().filter(|(architecture, _)| **architecture != base) {
            text += &format!("; {}", costs(&title(architecture), others, &title(base), &points[base]));
            text += &limit(runs, &routes[*architecture]);
        }
        sentences.push(text + ".");
    }
    sentences
}

fn point(runs: &[Run], places: &[usize]) -> Point {
    let median = |quantity: Quantity| {
        let values: Vec<f64> = places.iter().filter_map(|place| quantity.of(&runs[*place])).collect();
        Estimate::of(&values).map(|estimate| estimate.median)
    };
    Point { rate: median(Quantity::MessagesPerSecond), rtt_s: median(Quantity::Median(Metric::RttFromSent)) }
}

/// The direct route; without it the one that carries most.
fn base<'a>(points: &BTreeMap<&'a str, BTreeMap<u32, Point>>) -> Option<&'a str> {
    let most = |points: &BTreeMap<u32, Point>| points.values().filter_map(|point| point.rate).fold(0.0, f64::max);
    let named = points.keys().find(|architecture| **architecture == BASE);
    let fastest =
        points.iter().max_by(|(_, a), (_, b)| most(a).total_cmp(&most(b))).map(|(architecture, _)| architecture);
    named.or(fastest).copied().filter(|base| most(&points[base]) > 0.0)
}

fn carries(title: &str, points: &BTreeMap<u32, Point>) -> String {
    let best = points.iter().filter_map(|(at, point)| Some((at, point.rate?))).max_by(|a, b| a.1.total_cmp(&b.1));
    let Some((at, rate)) = best else { return format!("{title} has no rate") };
    let rtt = points[at]
        .rtt_s
        .map_or_else(String::new, |s| format!(", with a median round trip of {} ms", short(s * 1e3, 3)));
    format!("{title} carries {} messages/s with {at} consumer(s){rtt}", short(rate, 3))
}

/// Against the base, over the numbers of consumers that both have.
fn costs(title: &str, points: &BTreeMap<u32, Point>, base_title: &str, base: &BTreeMap<u32, Point>) -> String {
    let ratio = |of: fn(&Point) -> Option<f64>, over: fn(f64, f64) -> f64| {
        let ratios = points.iter().filter_map(|(at, point)| Some(over(of(point)?, of(base.get(at)?)?)));
        Estimate::of(&ratios.collect::<Vec<_>>()).map(|estimate| estimate.median)
    };
    let words = |ratio: f64, more: &str, less: &str, alike: &str| match ratio {
        ratio if ratio > ALIKE => format!("{} times {more}", short(ratio, 2)),
        ratio if ratio < 1.0 / ALIKE => format!("{} times {less}", short(1.0 / ratio, 2)),
        _ => alike.to_owned(),
    };
    let rate = ratio(|point| point.rate, |own, base| base / own);
    let rate = rate.map(|ratio| words(ratio, "less throughput", "more throughput", "the same throughput"));
    let rtt = ratio(|point| point.rtt_s, |own, base| own / base);
    let rtt = rtt.map(|ratio| words(ratio, "longer round trips", "shorter round trips", "the same round trips"));
    match (rate, rtt) {
        (None, None) => format!("{title} has no point in common with {base_title}"),
        (rate, rtt) => {
            let all: Vec<String> = rate.into_iter().chain(rtt).collect();
            format!("{title} against {base_title}: {}", all.join(", "))
        }
    }
}

/// What most runs of a route had no more of: a link that they filled, or the CPU of a part that they used up.
fn limit(runs: &[Run], points: &BTreeMap<u32, Vec<usize>>) -> String {
    let places: Vec<usize> = points.values().flatten().copied().collect();
    let mut full: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for place in &places {
        let record = &runs[*place].record;
        let Some(total_s) = record.completion.total_s.filter(|total_s| *total_s > 0.0) else { continue };
        let busiest = record.links.iter().filter_map(|link| {
            let bits = 8.0 * link.to_host.bytes.max(link.from_host.bytes) as f64;
            Some((link.host.as_str(), bits / (link.rate_bits_per_second? as f64 * total_s)))
        });
        if let Some((host, used)) = busiest.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, used)| *used >= FULL) {
            full.entry((format!("the link of {host}"), "full")).or_default().push(used);
        }
        let stopped =
            record.cpu_limits.iter().filter_map(|limit| Some((limit, limit.used_up? as f64 * PERIOD_S / total_s)));
        if let Some((limit, stopped)) =
            stopped.max_by(|a, b| a.1.total_cmp(&b.1)).filter(|(_, stopped)| *stopped >= STOPPED)
        {
            let what = format!("the {} CPU of {}", limit.cores, limit.part);
            full.entry((what, "of the time used up")).or_default().push(stopped);
        }
    }
    let Some(((what, word), used)) = full.iter().max_by_key(|(_, used)| used.len()) else { return String::new() };
    if 2 * used.len() < places.len() {
        return String::new();
    }
    let median = Estimate::of(used).map_or(0.0, |estimate| estimate.median);
    format!(" (limited by {what}, {:.0} % {word})", (median * 100.0).min(100.0))
}

/// Whether runs are of the experiments that the paper's claims are about.
pub fn is_of_the_paper(runs: &[Run], experiments: &[String]) -> bool {
    runs.iter().any(|run| run.record.point.as_ref().is_some_and(|point| experiments.contains(&point.experiment)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;
    use measure::{
        LatencySummary,
        record::{CpuLimit, Link, LinkCount},
    };

    fn run(architecture: &str, consumers: u32, rate: f64, rtt_ms: Option<u64>) -> Run {
        let mut record = sample::record(architecture, consumers, rate);
        if let Some(ms) = rtt_ms {
            let summary = LatencySummary { count: 9, p50_ns: Some(ms * 1_000_000), ..LatencySummary::default() };
            record.latency = [("rtt_from_sent".to_owned(), summary)].into();
        }
        Run { dir: format!("{architecture}-{consumers}").into(), record }
    }

    #[test]
    fn routes_are_compared_with_the_direct_one_where_both_were_run() {
        let mut runs = vec![
            run("dts", 1, 1000.0, Some(10)),
            run("dts", 2, 1200.0, Some(20)),
            run("mss", 1, 500.0, Some(23)),
            run("mss", 2, 600.0, Some(46)),
            run("prs-haproxy", 2, 1210.0, None),
        ];
        for run in &mut runs[2..4] {
            let counted = LinkCount { bytes: 11_250_000, ..LinkCount::default() };
            let link = Link { host: "ingress".into(), rate_bits_per_second: Some(100_000_000), ..Link::default() };
            run.record.links = vec![Link { to_host: counted, ..link }];
            run.record.completion.total_s = Some(1.0);
        }
        let answer = answer(&runs);
        assert_eq!(
            answer,
            [
                "Dstream, work sharing: DTS carries 1200 messages/s with 2 consumer(s), with a median round trip of 20 ms; MSS against \
                 DTS: 2 times less throughput, 2.3 times longer round trips (limited by the link of ingress, 90 % full); PRS, HAProxy \
                 against DTS: the same throughput."
            ]
        );
    }

    #[test]
    fn a_part_that_used_up_its_cpu_limits_its_route() {
        let mut limited = run("prs-haproxy", 1, 400.0, None);
        limited.record.completion.total_s = Some(2.0);
        let limit = |part: &str, used_up| CpuLimit { part: part.into(), cores: 0.06, periods: Some(20), used_up };
        limited.record.cpu_limits = vec![
            limit("ingress", None),
            limit("s2cs haproxy producer", Some(15)),
            limit("s2cs stunnel producer", Some(1)),
        ];
        let said = "(limited by the 0.06 CPU of s2cs haproxy producer, 75 % of the time used up)";
        let sentences = answer(&[run("dts", 1, 800.0, None), limited]);
        assert!(sentences[0].contains(said), "{sentences:?}");
    }

    #[test]
    fn without_the_direct_route_the_fastest_is_the_base_and_one_alone_is_described() {
        let sentences = answer(&[run("mss", 1, 100.0, None), run("prs-haproxy", 1, 210.0, None)]);
        assert!(
            sentences[0].contains("PRS, HAProxy carries 210 messages/s") && sentences[0].contains(": 2.1 times less"),
            "{sentences:?}"
        );
        let mut beside = run("prs-haproxy", 1, 900.0, None);
        beside.record.prediction = Some(measure::record::Prediction::default());
        let measured = answer(&[run("mss", 1, 100.0, None), beside.clone()]);
        assert!(!measured[0].contains("PRS") && answer(&[beside])[0].contains("PRS"), "{measured:?}");
        let alone = answer(&[run("mss", 1, 100.0, None)]);
        assert!(alone[0].ends_with(": MSS carries 100 messages/s with 1 consumer(s)."), "{alone:?}");
        assert_eq!(answer(&[]), Vec::<String>::new());
    }
}
