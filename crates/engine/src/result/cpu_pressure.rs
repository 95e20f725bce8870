//! Whether the clients were short of CPU, so that a number is about them and not about the service.

use crate::result::report::RankReport;
use std::collections::{BTreeMap, BTreeSet};

/// A thread that runs for more than this part of the window has nothing left for a higher rate.
const OF_CORE_MAX: f64 = 0.8;
/// Nor has a harness that delivers more than this part of what its loops can do over a transport that does nothing.
const OF_CEILING_MAX: f64 = 0.8;

/// A warning that a client's thread filled its core, or that the rate is near the harness's own limit.
pub fn client_cpu_high(ranks: &[RankReport], rate: Option<f64>, ceiling: Option<f64>) -> Option<String> {
    let busiest = ranks.iter().map(|rank| &rank.summary).filter_map(|rank| {
        let of_core = rank.busiest_thread_of_core.filter(|of_core| *of_core > OF_CORE_MAX)?;
        Some((rank.rank, rank.busiest_thread.as_ref()?, of_core))
    });
    let high: Vec<_> = busiest.collect();
    if let Some((rank, thread, of_core)) = high.iter().max_by(|a, b| a.2.total_cmp(&b.2)) {
        let others = match high.len() - 1 {
            0 => String::new(),
            n => format!(" ({n} more rank(s) over {:.0} %)", OF_CORE_MAX * 100.0),
        };
        return Some(format!(
            "client_cpu_high: thread `{thread}` of rank {rank} ran for {:.0} % of the window{others}, so this is the limit of \
             the clients and not of the service; start more ranks, or use a lower --rate",
            of_core * 100.0
        ));
    }
    let (rate, ceiling) = (rate?, ceiling?);
    (rate > OF_CEILING_MAX * ceiling).then(|| {
        format!(
            "client_cpu_high: {rate:.0} messages/s are {:.0} % of the harness's own ceiling here, so this is no claim \
             about the service; start more ranks or use more cores",
            rate / ceiling * 100.0
        )
    })
}

/// A warning that ranks with workers share cores of a host, judged by the cores that all of them may use together.
pub fn oversubscribed(ranks: &[RankReport]) -> Option<String> {
    let mut hosts: BTreeMap<&str, Vec<&RankReport>> = BTreeMap::new();
    for rank in ranks.iter().filter(|rank| rank.works()) {
        hosts.entry(&rank.summary.host).or_default().push(rank);
    }
    let shared = hosts.into_iter().filter_map(|(host, ranks)| {
        let cores = cores_of(&ranks);
        (ranks.len() > cores as usize).then_some((host, ranks, cores))
    });
    let (host, ranks, cores) = shared.max_by(|a, b| (a.1.len() * b.2 as usize).cmp(&(b.1.len() * a.2 as usize)))?;
    let waited_s: f64 = ranks.iter().filter_map(|rank| rank.summary.cpu_wait_s).sum();
    let window_s = ranks.iter().filter_map(|rank| rank.window_s).fold(0.0, f64::max);
    Some(format!(
        "oversubscribed: {} ranks at work share {cores} core(s) of {host}, where their threads waited {waited_s:.1} s for \
         a core in a window of {window_s:.1} s: rates and latencies include that",
        ranks.len()
    ))
}

/// Cores that ranks of one host may use together. A quota is taken for one that they share.
fn cores_of(ranks: &[&RankReport]) -> u32 {
    let bound: BTreeSet<u32> = ranks.iter().flat_map(|rank| rank.allowed.bound.iter().copied()).collect();
    let all = ranks.iter().map(|rank| rank.machine.cores).max().unwrap_or(1);
    let bound = if ranks.iter().any(|rank| rank.allowed.bound.is_empty()) { all } else { bound.len() as u32 };
    let quota = ranks.iter().filter_map(|rank| rank.allowed.quota).max();
    quota.map_or(bound, |quota| quota.min(bound)).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::run::place::AllowedCores;
    use measure::record::{Machine, RankSummary};

    fn rank(index: u32, thread: &str, of_core: f64) -> RankReport {
        let summary = RankSummary {
            rank: index,
            host: "node1".into(),
            producers: vec![index],
            busiest_thread: Some(thread.into()),
            busiest_thread_of_core: Some(of_core),
            cpu_wait_s: Some(0.5),
            ..RankSummary::default()
        };
        let machine = Machine { cores: 4, ..Machine::default() };
        RankReport { summary, machine, window_s: Some(8.0), ..RankReport::default() }
    }

    #[test]
    fn a_thread_that_fills_its_core_is_named() {
        let high = client_cpu_high(&[rank(0, "io", 0.5), rank(1, "io", 0.81), rank(2, "workers", 0.97)], None, None);
        let high = high.unwrap();
        assert!(high.contains("`workers` of rank 2 ran for 97 %") && high.contains("(1 more rank(s)"), "{high}");
        assert_eq!(client_cpu_high(&[rank(0, "io", 0.8)], None, None), None);

        let unknown = RankReport { summary: RankSummary::default(), ..rank(0, "io", 1.0) };
        assert_eq!(client_cpu_high(std::slice::from_ref(&unknown), Some(800.0), Some(1000.0)), None);
        let near = client_cpu_high(&[unknown], Some(801.0), Some(1000.0)).unwrap();
        assert!(near.contains("80 % of the harness's own ceiling"), "{near}");
    }

    #[test]
    fn ranks_share_cores_where_more_of_them_work_than_may_be_used_together() {
        let allowed = |bound: &[u32], quota| AllowedCores { bound: bound.to_vec(), quota };
        let world = |each: &[AllowedCores]| -> Vec<RankReport> {
            let ranks = each.iter().enumerate();
            ranks.map(|(at, allowed)| RankReport { allowed: allowed.clone(), ..rank(at as u32, "io", 0.1) }).collect()
        };
        for (each, expected) in [
            (vec![allowed(&[0, 1], None), allowed(&[0, 1], None)], None),
            (vec![allowed(&[0], None), allowed(&[1], None)], None),
            (vec![allowed(&[0], None), allowed(&[0], None)], Some("2 ranks at work share 1 core(s) of node1")),
            (vec![allowed(&[0, 1, 2, 3], Some(1)), allowed(&[0, 1, 2, 3], Some(1))], Some("share 1 core(s)")),
            (vec![allowed(&[], None); 4], None),
            (vec![allowed(&[], None); 5], Some("5 ranks at work share 4 core(s)")),
        ] {
            let warning = oversubscribed(&world(&each));
            match expected {
                None => assert_eq!(warning, None),
                Some(part) => assert!(warning.clone().is_some_and(|warning| warning.contains(part)), "{warning:?}"),
            }
        }
        let mut idle = rank(1, "io", 0.0);
        idle.summary.producers.clear();
        let one = RankReport { allowed: allowed(&[0], None), ..rank(0, "io", 0.1) };
        assert_eq!(oversubscribed(&[one, RankReport { allowed: allowed(&[0], None), ..idle }]), None);
    }
}
