//! Selects the experiment of a figure or a claim if there are runs of several.

use crate::{Key, Run};
use std::collections::BTreeMap;

/// The experiment that a run belongs to; empty for a run of its own.
pub fn name(run: &Run) -> &str {
    run.record.point.as_ref().map_or("", |point| point.experiment.as_str())
}

/// For each workload and pattern: the runs of the first of these experiments that has any, otherwise all runs. A sweep
/// of prefetch shares points with the experiment of a figure of the paper, and is not a repetition of it.
pub fn preferred<'a>(runs: Vec<&'a Run>, prefer: &[String]) -> Vec<&'a Run> {
    let place = |run: &Run| prefer.iter().position(|experiment| experiment == name(run)).unwrap_or(prefer.len());
    let of = |run: &Run| {
        let key = Key::of(run);
        (key.workload, key.pattern)
    };
    let mut best: BTreeMap<(String, String), usize> = BTreeMap::new();
    for run in &runs {
        let best = best.entry(of(run)).or_insert(prefer.len());
        *best = place(run).min(*best);
    }
    runs.into_iter()
        .filter(|run| {
            let best = best[&of(run)];
            best == prefer.len() || place(run) == best
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn run(dir: &str, workload: &str, experiment: &str) -> Run {
        let mut record = sample::record("dts", 1, 1.0);
        record.plan["workload"] = workload.into();
        let point = measure::record::Point { experiment: experiment.to_owned(), name: String::new() };
        record.point = (!experiment.is_empty()).then_some(point);
        Run { dir: dir.into(), record }
    }

    #[test]
    fn each_workload_takes_the_first_experiment_that_has_runs_or_all_runs() {
        let runs = [
            run("a", "dstream", "quick"),
            run("b", "dstream", "full"),
            run("c", "dstream", "prefetch"),
            run("d", "lstream", "quick"),
            run("e", "generic", "mine"),
            run("f", "generic", ""),
        ];
        let prefer = ["full".to_owned(), "quick".to_owned()];
        let dirs = |prefer: &[String]| {
            let chosen = preferred(runs.iter().collect(), prefer);
            chosen.iter().map(|run| run.dir.display().to_string()).collect::<String>()
        };
        assert_eq!(dirs(&prefer), "bdef");
        assert_eq!(dirs(&[]), "abcdef");
    }
}
