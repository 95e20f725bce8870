//! Warnings about ranks that were suspended and resumed, by a scheduler, a debugger or a full node.

use crate::{result::report::RankReport, run::control::Ending, time::awake::SUSPENDED_MIN};
use std::time::Duration;

/// One sentence for the whole run, and one for each rank that was stopped for longer.
pub(crate) fn sentences(ranks: &[RankReport], ending: &Ending, heartbeat_s: u16) -> Vec<String> {
    let suspended: Vec<Duration> = ranks.iter().map(|rank| rank.suspended).collect();
    let all = suspended.iter().min().copied().unwrap_or_default();
    let longer = |(rank, of_rank): (usize, &Duration)| {
        let more = of_rank.saturating_sub(if all < SUSPENDED_MIN { Duration::ZERO } else { all });
        (more >= SUSPENDED_MIN).then(|| (format!("rank {rank}"), *of_rank))
    };
    let whole = (all >= SUSPENDED_MIN).then(|| ("the whole run".to_owned(), all));
    let sentence = |(rank, time): (String, Duration)| {
        format!(
            "{rank} was suspended for {:.1} s while it streamed (stopped, or without a core): rates and latencies \
             include that time",
            time.as_secs_f64()
        )
    };
    let each: Vec<String> =
        whole.into_iter().chain(suspended.iter().enumerate().filter_map(longer)).map(sentence).collect();
    let longest = suspended.iter().max().copied().unwrap_or_default();
    let silent = heartbeat_s > 0 && longest.as_secs() >= u64::from(heartbeat_s);
    let remedy = matches!(ending, Ending::Fault(..)).then(|| {
        format!(
            "the service closes connections on which it hears nothing for twice the heartbeat of {heartbeat_s} s: \
             `--set service.heartbeat_s={}` outlasts such a suspension",
            longest.as_secs() + 1
        )
    });
    each.into_iter().chain(remedy.filter(|_| silent)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Fault, FaultKind};

    #[track_caller]
    fn check(suspended_s: &[u64], ending: &Ending, expected: &[&str]) {
        let ranks: Vec<RankReport> = suspended_s
            .iter()
            .map(|seconds| RankReport { suspended: Duration::from_secs(*seconds), ..RankReport::default() })
            .collect();
        let reported = sentences(&ranks, ending, 30);
        assert_eq!(reported.len(), expected.len(), "{reported:?}");
        for (sentence, beginning) in reported.iter().zip(expected) {
            assert!(sentence.starts_with(beginning), "{sentence}");
        }
    }

    #[test]
    fn a_suspended_run_is_distinguished_from_suspended_ranks() {
        check(&[0, 0, 1], &Ending::Complete, &[]);
        check(&[0, 18, 0], &Ending::Complete, &["rank 1 was suspended for 18.0 s"]);
        check(&[60, 61, 60], &Ending::Complete, &["the whole run was suspended for 60.0 s"]);
        check(
            &[60, 75, 60],
            &Ending::Complete,
            &["the whole run was suspended for 60.0 s", "rank 1 was suspended for 75.0 s"],
        );
    }

    #[test]
    fn who_was_away_for_longer_than_a_heartbeat_learns_why_the_service_hung_up() {
        let lost = Ending::Fault(0, Fault::new(FaultKind::Lost, "the connection was closed"));
        check(&[90, 90], &lost, &["the whole run was suspended for 90.0 s", "the service closes connections"]);
        check(&[20, 20], &lost, &["the whole run was suspended for 20.0 s"]);
    }
}
