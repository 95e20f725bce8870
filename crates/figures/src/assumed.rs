//! Which assumptions make which claims true: trials of sets of assumptions, and what follows from all of them.
//!
//! An assumption is one value of an axis. The search tries none, each alone and each pair, since two may explain together what
//! neither does alone. From the best of these, and from each set that is given, it takes the value that brings most claims, added
//! or in place of another of its axis, as long as one brings more; what turns out to be needless is taken out again.

use crate::{Judged, Verdict};
use std::collections::{BTreeMap, BTreeSet};

/// Values of axes, each as `AXIS=VALUE`, in the order in which they were added.
pub type Set = Vec<String>;

/// A set of assumptions, and the verdict on each claim under it.
#[derive(Debug, Clone, PartialEq)]
pub struct Trial {
    /// The assumptions.
    pub set: Set,
    /// Each claim with its verdict, in the order of the claims.
    pub verdicts: Vec<(String, Verdict)>,
}

/// Everything that was tried.
#[derive(Debug, Clone, PartialEq)]
pub struct Search {
    /// Without assumptions.
    pub base: Trial,
    /// One assumption each.
    pub alone: Vec<Trial>,
    /// The smallest set under which most claims hold, of those that were tried.
    pub best: Trial,
    /// Number of sets that were tried.
    pub tried: usize,
    /// Claims that hold under none of them.
    pub never: Vec<String>,
    /// Pairs of claims of which each holds under one of them, and both never under the same.
    pub apart: Vec<(String, String)>,
}

impl Trial {
    /// From verdicts.
    pub fn of(set: Set, judged: &[Judged]) -> Self {
        Self { set, verdicts: judged.iter().map(|one| (one.claim.id.clone(), one.verdict)).collect() }
    }

    /// Number of claims that hold.
    pub fn held(&self) -> usize {
        self.verdicts.iter().filter(|(_, verdict)| *verdict == Verdict::Reproduced).count()
    }

    /// Whether a claim holds.
    pub fn holds(&self, claim: &str) -> bool {
        self.verdict(claim) == Some(Verdict::Reproduced)
    }

    /// The verdict on a claim.
    pub fn verdict(&self, claim: &str) -> Option<Verdict> {
        self.verdicts.iter().find(|(id, _)| id == claim).map(|(_, verdict)| *verdict)
    }
}

/// Searches, with `judge` for the verdicts under a set. `values` are all assumptions, `starts` sets of them to begin with as well.
///
/// # Errors
///
/// Those of `judge`.
pub fn search<E>(
    values: &[String],
    starts: &[Set],
    mut judge: impl FnMut(&Set) -> Result<Vec<Judged>, E>,
) -> Result<Search, E> {
    let mut trials: BTreeMap<BTreeSet<String>, Trial> = BTreeMap::new();
    let mut trial = |set: Set| -> Result<Trial, E> {
        let key: BTreeSet<String> = set.iter().cloned().collect();
        if let Some(known) = trials.get(&key) {
            return Ok(known.clone());
        }
        let made = Trial::of(set.clone(), &judge(&set)?);
        trials.insert(key, made.clone());
        Ok(made)
    };
    let base = trial(Vec::new())?;
    let alone = values.iter().map(|value| trial(vec![value.clone()])).collect::<Result<Vec<_>, _>>()?;
    let mut best = base.clone();
    let better = |tried: Trial, best: &mut Trial| {
        if tried.held() > best.held() {
            *best = tried;
        }
    };
    alone.iter().cloned().for_each(|tried| better(tried, &mut best));
    for (place, one) in values.iter().enumerate() {
        for other in values[place + 1..].iter().filter(|other| axis(other) != axis(one)) {
            better(trial(vec![one.clone(), other.clone()])?, &mut best);
        }
    }
    let begun: Vec<Trial> = starts.iter().cloned().map(&mut trial).collect::<Result<_, _>>()?;
    for start in [best.clone()].into_iter().chain(begun) {
        let top = climb(start, values, &mut trial)?;
        let smaller = top.held() == best.held() && top.set.len() < best.set.len();
        if top.held() > best.held() || smaller {
            best = top;
        }
    }
    let claims: Vec<String> = base.verdicts.iter().map(|(claim, _)| claim.clone()).collect();
    let holds_once = |claim: &&String| trials.values().any(|trial| trial.holds(claim));
    let (once, never): (Vec<&String>, Vec<&String>) = claims.iter().partition(holds_once);
    let together = |one: &str, other: &str| trials.values().any(|trial| trial.holds(one) && trial.holds(other));
    let mut apart = Vec::new();
    for (place, one) in once.iter().enumerate() {
        for other in &once[place + 1..] {
            if !together(one, other) {
                apart.push(((*one).clone(), (*other).clone()));
            }
        }
    }
    let never = never.into_iter().cloned().collect();
    Ok(Search { base, alone, best, tried: trials.len(), never, apart })
}

/// The best set that single steps lead to, without what it does not need.
fn climb<E>(start: Trial, values: &[String], trial: &mut impl FnMut(Set) -> Result<Trial, E>) -> Result<Trial, E> {
    let mut best = start;
    loop {
        let current = best.set.clone();
        for value in values.iter().filter(|value| !current.contains(value)) {
            let mut set: Set = current.iter().filter(|taken| axis(taken) != axis(value)).cloned().collect();
            set.push(value.clone());
            let tried = trial(set)?;
            if tried.held() > best.held() {
                best = tried;
            }
        }
        if best.set == current {
            break;
        }
    }
    // What was added early may be needless later.
    let mut place = 0;
    while place < best.set.len() {
        let mut fewer = best.set.clone();
        fewer.remove(place);
        let tried = trial(fewer)?;
        if tried.held() >= best.held() {
            best = tried;
        } else {
            place += 1;
        }
    }
    Ok(best)
}

/// The axis of an assumption.
pub fn axis(value: &str) -> &str {
    value.split_once('=').map_or(value, |(axis, _)| axis)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Claims, shipped};

    /// Verdicts of a world in which claims depend on assumptions.
    fn judge(set: &Set) -> Vec<Judged> {
        let has = |value: &str| set.iter().any(|one| one == value);
        let holds = |id: &str| match id {
            "C1" => !has("cpu=low"),
            "C2" => has("clients=slow"),
            // Neither does anything alone.
            "C3" => has("delay=1ms") && has("routers=3"),
            "C4" => has("delay=1ms") && has("routers=3"),
            "C5" => has("cpu=low"),
            _ => false,
        };
        let claims = Claims::read(shipped::CLAIMS).unwrap().claims;
        let first = claims.into_iter().take(6).map(|claim| {
            let verdict = if holds(&claim.id) { Verdict::Reproduced } else { Verdict::NotReproduced };
            Judged {
                claim,
                verdict,
                firm: true,
                why: Vec::new(),
                numbers: Vec::new(),
                so_far: None,
                by_sum_of_rates: None,
            }
        });
        first.collect()
    }

    #[test]
    fn the_best_set_has_what_it_needs_and_no_more() {
        let values = ["delay=1ms", "clients=slow", "cpu=low", "cpu=none", "routers=3"].map(str::to_owned);
        let found = search(&values, &[], |set| Ok::<_, String>(judge(set))).unwrap();
        assert_eq!(found.base.held(), 1);
        assert_eq!(found.alone.iter().map(Trial::held).collect::<Vec<_>>(), [1, 2, 1, 1, 1]);
        let best: BTreeSet<&str> = found.best.set.iter().map(String::as_str).collect();
        assert_eq!((best, found.best.held()), (BTreeSet::from(["clients=slow", "delay=1ms", "routers=3"]), 4));
        assert_eq!(found.never, ["C6"]);
        assert_eq!(found.apart, [("C1".to_owned(), "C5".to_owned())]);
    }

    #[test]
    fn a_set_that_is_given_leads_where_pairs_and_single_steps_do_not() {
        let values = ["a=1", "b=1", "b=2", "c=1", "d=1"].map(str::to_owned);
        // Three that explain nothing but together, with a value of `b` that is better still.
        let claims = |set: &Set| {
            let has = |value: &str| set.iter().any(|one| one == value);
            let together = has("a=1") && has("c=1") && (has("b=1") || has("b=2"));
            let held = [together, together && has("b=2"), has("d=1") && !together, false, false, false];
            let mut judged = judge(set);
            let verdicts = held.map(|holds| if holds { Verdict::Reproduced } else { Verdict::NotReproduced });
            judged.iter_mut().zip(verdicts).for_each(|(one, verdict)| one.verdict = verdict);
            Ok::<_, String>(judged)
        };
        assert_eq!(search(&values, &[], claims).unwrap().best.set, ["d=1"]);
        let start = ["a=1", "b=1", "c=1", "d=1"].map(str::to_owned).to_vec();
        let best = search(&values, &[start], claims).unwrap().best;
        assert_eq!(
            (best.held(), BTreeSet::from_iter(best.set)),
            (2, BTreeSet::from(["a=1", "b=2", "c=1"].map(str::to_owned)))
        );
    }

    #[test]
    fn a_failure_ends_the_search() {
        let found = search(&["a=1".to_owned()], &[], |set| if set.is_empty() { Ok(judge(set)) } else { Err("no") });
        assert_eq!(found, Err("no"));
    }
}
