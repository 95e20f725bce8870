//! Judges each claim by the measurements: reproduced, not reproduced, or not testable here.

use crate::{
    Claims, FiguresError, Measured,
    axis::written,
    claims::{Claim, Kind, Shown},
    estimates::{Estimates, Missing, Stop, sentence},
    evaluate::{Evaluator, Scope, Value},
    expression::Expression,
    points::Quantity,
    truth::Truth,
};
use std::collections::BTreeSet;

/// Whether a claim holds here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// It does.
    Reproduced,
    /// It does not.
    NotReproduced,
    /// These runs cannot decide.
    NotTestable,
}

impl Verdict {
    /// In words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not reproduced",
            Self::NotTestable => "not testable here",
        }
    }

    /// Its class in the style of a page.
    pub(crate) fn class(self) -> &'static str {
        match self {
            Self::Reproduced => "reproduced",
            Self::NotReproduced => "not-reproduced",
            Self::NotTestable => "not-testable",
        }
    }
}

/// A claim judged.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The claim.
    pub claim: Claim,
    /// The verdict.
    pub verdict: Verdict,
    /// False if noise could change the verdict: intervals over repetitions contain the bound.
    pub firm: bool,
    /// The deciding values, or the missing points; one entry per workload.
    pub why: Vec<String>,
    /// Measured values, each with a label.
    pub numbers: Vec<(String, String)>,
    /// If points are missing: the numbers of consumers that have runs, and whether the claim holds for these.
    pub so_far: Option<(Vec<u32>, bool)>,
    /// The verdict by the paper's own estimator of throughput, if it differs.
    pub by_sum_of_rates: Option<Verdict>,
}

impl Judged {
    /// A caveat for the reader of the verdict.
    pub fn caveat(&self) -> Option<String> {
        let noise = (self.verdict != Verdict::NotTestable && !self.firm)
            .then(|| "within the noise: the intervals allow the other verdict".to_owned());
        let so_far = self.so_far.as_ref().map(|(consumers, holds)| {
            let consumers: Vec<String> = consumers.iter().map(u32::to_string).collect();
            let how = if *holds { "holds" } else { "does not hold" };
            format!("with {} consumer(s) alone it {how}", consumers.join(", "))
        });
        let sum = self.by_sum_of_rates.map(|other| format!("by the paper's sum of rates: {}", other.name()));
        let parts: Vec<String> = noise.into_iter().chain(so_far).chain(sum).collect();
        (!parts.is_empty()).then(|| parts.join("; "))
    }
}

/// One predicate on one workload.
#[derive(Clone)]
enum Tested {
    Decided(Truth),
    Missing(BTreeSet<Missing>),
    Unusable(String),
}

impl Claims {
    /// Judges all claims.
    ///
    /// # Errors
    ///
    /// [`FiguresError`] if a claim has an error, or if the runs cannot be used.
    pub fn judge(&self, measured: &Measured) -> Result<Vec<Judged>, FiguresError> {
        let estimates = Estimates::of(measured, &self.prefer);
        self.claims.iter().map(|claim| self.judge_one(claim, &estimates)).collect()
    }

    fn judge_one(&self, claim: &Claim, estimates: &Estimates) -> Result<Judged, FiguresError> {
        let evaluator =
            |rate, lenient| Evaluator { estimates, vocabulary: &self.vocabulary, rate, latency: self.latency, lenient };
        let comparable = claim.kind != Kind::Abs || self.published_class(claim, estimates);
        let mut judged = judge_by(claim, &evaluator(self.rate, false), comparable)?;
        let by_sum = judge_by(claim, &evaluator(Quantity::SumOfRates, false), comparable)?.verdict;
        judged.by_sum_of_rates = Some(by_sum).filter(|other| *other != judged.verdict);
        if judged.verdict == Verdict::NotTestable {
            judged.so_far = self.so_far(claim, estimates, comparable);
        }
        let lenient = evaluator(self.rate, true);
        for workload in claim.tested_on() {
            let prefix = if claim.tested_on().len() > 1 { format!("{workload}: ") } else { String::new() };
            for Shown { label, unit, value } in &claim.show {
                match lenient.number(value, &scope(claim, workload)) {
                    Ok(number) => judged.numbers.push((format!("{prefix}{label}"), written(*unit, number.middle))),
                    Err(Stop::Missing(_) | Stop::Unusable(_)) => {}
                    Err(Stop::Wrong(reason)) => return Err(not_written_well(claim, &reason)),
                }
            }
        }
        judged.numbers.dedup();
        Ok(judged)
    }

    /// The claim for the numbers of consumers that have runs, instead of the paper's.
    fn so_far(&self, claim: &Claim, estimates: &Estimates, comparable: bool) -> Option<(Vec<u32>, bool)> {
        let consumers: BTreeSet<u32> = estimates
            .runs(&claim.workloads, &claim.pattern)
            .into_iter()
            .map(|run| crate::Key::of(run).consumers)
            .collect();
        let list = consumers.iter().map(|consumers| Expression::Number(f64::from(*consumers))).collect();
        let mut vocabulary = self.vocabulary.clone();
        vocabulary.constants.insert("C".to_owned(), Expression::List(list));
        let evaluator =
            Evaluator { estimates, vocabulary: &vocabulary, rate: self.rate, latency: self.latency, lenient: true };
        // If the shorter list leaves no points, there is no result.
        let verdict = judge_by(claim, &evaluator, comparable).ok()?.verdict;
        (verdict != Verdict::NotTestable).then(|| (consumers.into_iter().collect(), verdict == Verdict::Reproduced))
    }

    /// Whether all runs of a claim used service links of the published rate.
    fn published_class(&self, claim: &Claim, estimates: &Estimates) -> bool {
        let runs = estimates.runs(&claim.workloads, &claim.pattern);
        let like = |run: &&crate::Run| {
            let mut links = run.record.links.iter().filter(|link| link.host.starts_with("dsn")).peekable();
            links.peek().is_some() && links.all(|link| link.rate_bits_per_second == Some(self.link_bits_per_second))
        };
        !runs.is_empty() && runs.iter().all(like)
    }
}

fn not_written_well(claim: &Claim, reason: &str) -> FiguresError {
    FiguresError::Specification { file: "claims.toml".to_owned(), reason: format!("{}: {reason}", claim.id) }
}

fn scope(claim: &Claim, workload: &str) -> Scope {
    vec![
        ("workload".to_owned(), Value::Name(workload.to_owned())),
        ("pattern".to_owned(), Value::Name(claim.pattern.clone())),
    ]
}

fn judge_by(claim: &Claim, evaluator: &Evaluator, comparable: bool) -> Result<Judged, FiguresError> {
    let mut whys = Vec::new();
    let mut verdicts = Vec::new();
    let mut firms = Vec::new();
    for workload in claim.tested_on() {
        let test = |expression: &Expression| -> Result<Tested, FiguresError> {
            match evaluator.truth(expression, &scope(claim, workload)) {
                Ok(truth) => Ok(Tested::Decided(truth)),
                Err(Stop::Missing(missing)) => Ok(Tested::Missing(missing)),
                Err(Stop::Unusable(reason)) => Ok(Tested::Unusable(reason)),
                Err(Stop::Wrong(reason)) => Err(not_written_well(claim, &reason)),
            }
        };
        let stated = if comparable { Some(test(&claim.holds)?) } else { None };
        let portable = claim.otherwise.as_ref().map(test).transpose()?;
        let (verdict, firm, why) = settle(claim, stated, portable);
        verdicts.push(verdict);
        firms.push((verdict, firm));
        let why = if claim.tested_on().len() > 1 { format!("{workload}: {why}") } else { why };
        if !whys.contains(&why) {
            whys.push(why);
        }
    }
    // All must hold; one contradiction is enough.
    let verdict = if verdicts.contains(&Verdict::NotReproduced) {
        Verdict::NotReproduced
    } else if verdicts.contains(&Verdict::NotTestable) {
        Verdict::NotTestable
    } else {
        Verdict::Reproduced
    };
    let mut decisive = firms.iter().filter(|(of, _)| *of == verdict).map(|(_, firm)| *firm);
    let firm = if verdict == Verdict::NotReproduced { decisive.any(|firm| firm) } else { decisive.all(|firm| firm) };
    Ok(Judged {
        claim: claim.clone(),
        verdict,
        firm,
        why: whys,
        numbers: Vec::new(),
        so_far: None,
        by_sum_of_rates: None,
    })
}

/// The verdict, from the claim as stated and from its form for other hardware.
fn settle(claim: &Claim, stated: Option<Tested>, portable: Option<Tested>) -> (Verdict, bool, String) {
    let by = |truth: &Truth| if truth.holds { Verdict::Reproduced } else { Verdict::NotReproduced };
    let lacking = |missing: &BTreeSet<Missing>| format!("not measured: {}", sentence(missing));
    const ELSEWHERE: &str = "the number itself needs service links of 1 Gbit/s";
    match (stated, portable) {
        (Some(Tested::Unusable(reason)), _) | (None, Some(Tested::Unusable(reason))) => {
            (Verdict::NotTestable, true, reason)
        }
        (Some(Tested::Missing(missing)), _) | (None, Some(Tested::Missing(missing))) => {
            (Verdict::NotTestable, true, lacking(&missing))
        }
        (None, None) => (Verdict::NotTestable, true, format!("{ELSEWHERE}, and the claim has no other form")),
        (None, Some(Tested::Decided(truth))) => {
            (by(&truth), truth.firm, format!("{}; judged in the form for other hardware, as {ELSEWHERE}", truth.why))
        }
        // The direction of a ratio applies to other hardware, its size may not: both are reported.
        (Some(Tested::Decided(stated)), Some(Tested::Decided(portable)))
            if claim.kind == Kind::Ratio && !stated.holds =>
        {
            let how = if portable.holds { "holds" } else { "does not hold either" };
            let why = format!("the number: {}; its direction {how}: {}", stated.why, portable.why);
            (by(&portable), portable.firm, why)
        }
        (Some(Tested::Decided(truth)), _) => (by(&truth), truth.firm, truth.why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Distribution, Key, Run, sample, shipped};
    use measure::{LatencySummary, Metric, record::Link};
    use std::collections::BTreeMap;

    const CONSUMERS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
    const EMPTY_REPLIES: &str = "work-sharing-feedback+0B";
    type Point = (&'static str, &'static str, &'static str, u32);

    /// Points with their rate, or their median round trip.
    #[derive(Clone, Default)]
    struct World {
        values: BTreeMap<Point, f64>,
        link_bits_per_second: Option<u64>,
    }

    impl World {
        fn set(
            &mut self,
            (pattern, workload, architecture): (&'static str, &'static str, &'static str),
            values: [f64; 7],
        ) {
            for (consumers, value) in CONSUMERS.into_iter().zip(values) {
                self.values.insert((pattern, workload, architecture, consumers), value);
            }
        }

        /// What the slides describe: every claim holds.
        fn of_the_slides() -> Self {
            let mut world = Self { link_bits_per_second: Some(1_000_000_000), ..Self::default() };
            let ws = "work-sharing";
            for (architecture, dstream, lstream) in [
                ("dts", [10e3, 16e3, 22e3, 28e3, 32e3, 36e3, 39e3], [100.0, 180.0, 300.0, 400.0, 420.0, 420.0, 420.0]),
                (
                    "prs-haproxy",
                    [12e3, 16.5e3, 21e3, 25e3, 28e3, 29e3, 30e3],
                    [100.0, 170.0, 280.0, 300.0, 300.0, 300.0, 300.0],
                ),
                (
                    "prs-haproxy-4",
                    [11e3, 16e3, 20e3, 25e3, 28e3, 29e3, 30e3],
                    [100.0, 170.0, 280.0, 300.0, 300.0, 300.0, 300.0],
                ),
                (
                    "prs-stunnel",
                    [9e3, 10e3, 11.5e3, 13e3, 14e3, 15e3, 15.6e3],
                    [80.0, 130.0, 200.0, 210.0, 210.0, 210.0, 210.0],
                ),
                (
                    "mss",
                    [9.5e3, 13e3, 16e3, 18e3, 19e3, 20e3, 20.5e3],
                    [90.0, 150.0, 220.0, 230.0, 230.0, 230.0, 230.0],
                ),
            ] {
                world.set((ws, "dstream", architecture), dstream);
                world.set((ws, "lstream", architecture), lstream);
            }
            let dts = ([0.05, 0.05, 0.05, 0.06, 0.12, 0.2, 0.3], [0.15, 0.16, 0.17, 0.18, 0.5, 1.0, 2.0]);
            let mss = ([0.15, 0.16, 0.18, 0.25, 0.4, 0.6, 1.8], [0.45, 0.5, 0.52, 0.58, 2.4, 5.0, 9.0]);
            for (architecture, (dstream, lstream)) in [
                ("dts", dts),
                ("prs-haproxy", (dts.0.map(|rtt| rtt * 1.05), dts.1.map(|rtt| rtt * 1.05))),
                ("prs-haproxy-4", (dts.0.map(|rtt| rtt * 1.04), dts.1.map(|rtt| rtt * 1.06))),
                ("mss", mss),
            ] {
                world.set(("work-sharing-feedback", "dstream", architecture), dstream);
                world.set(("work-sharing-feedback", "lstream", architecture), lstream);
                world.set((EMPTY_REPLIES, "dstream", architecture), [0.04; 7]);
                world.set((EMPTY_REPLIES, "lstream", architecture), [0.1; 7]);
            }
            for (architecture, broadcast, gather) in [
                ("dts", [10.0, 20.0, 40.0, 80.0, 150.0, 250.0, 260.0], [1.0, 1.5, 2.5, 5.0, 10.0, 20.0, 40.0]),
                ("prs-haproxy", [10.5, 20.0, 41.0, 80.0, 150.0, 250.0, 255.0], [0.95, 1.4, 2.2, 4.6, 9.3, 19.0, 38.0]),
                ("mss", [10.0, 20.0, 30.0, 32.0, 32.0, 32.0, 32.0], [1.2, 1.8, 3.0, 6.0, 12.0, 18.5, 36.0]),
            ] {
                world.set(("broadcast", "generic", architecture), broadcast);
                world.set(("broadcast-gather", "generic", architecture), gather);
            }
            world
        }

        fn measured(&self) -> Measured {
            let mut runs = Vec::new();
            let mut distributions = Vec::new();
            for (index, (&(pattern, workload, architecture, consumers), &value)) in self.values.iter().enumerate() {
                let has_replies = pattern.contains("feedback") || pattern.contains("gather");
                // Two runs where a claim needs disjoint intervals.
                let repetitions: &[f64] = if pattern == "broadcast-gather" { &[0.99, 1.01] } else { &[1.0] };
                for factor in repetitions {
                    let value = value * factor;
                    let mut record = sample::record(architecture, consumers, if has_replies { 1.0 } else { value });
                    record.plan["workload"] = workload.into();
                    record.plan["pattern"] = pattern.split('+').next().into();
                    if pattern == EMPTY_REPLIES {
                        record.plan["flow"] = serde_json::json!({ "replies": 1 });
                        record.plan["service"]["reply"] = "0B".into();
                    }
                    let link = |rate| Link { host: "dsn1".into(), rate_bits_per_second: Some(rate), ..Link::default() };
                    record.links = self.link_bits_per_second.map(link).into_iter().collect();
                    let p50_ns = has_replies.then_some((value * 1e9) as u64);
                    let summary = LatencySummary { count: 100, p50_ns, ..LatencySummary::default() };
                    record.latency = has_replies.then(|| ("rtt_from_sent".to_owned(), summary)).into_iter().collect();
                    distributions.push(has_replies.then(|| spread(value)));
                    runs.push(Run { dir: format!("{index}-{factor}").into(), record });
                }
            }
            let mut measured = Measured::of(runs);
            for (index, distribution) in distributions.into_iter().enumerate() {
                let kept = distribution.map(|distribution| (Metric::RttFromSent, distribution));
                measured.remember(index, kept.into_iter().collect());
            }
            measured
        }

        fn judge(&self) -> Vec<Judged> {
            Claims::read(shipped::CLAIMS).unwrap().judge(&self.measured()).unwrap()
        }

        fn judge_one(&self, id: &str) -> Judged {
            let mut claims = Claims::read(shipped::CLAIMS).unwrap();
            claims.claims.retain(|claim| claim.id == id);
            claims.judge(&self.measured()).unwrap().remove(0)
        }
    }

    /// From 0.6 to 1.4 of a median.
    fn spread(median_s: f64) -> Distribution {
        Distribution::of(&(0..=40).map(|step| ((median_s * 1e9 * (0.6 + 0.02 * f64::from(step))) as u64, 5)).collect())
    }

    #[test]
    fn in_the_world_of_the_slides_every_claim_is_reproduced() {
        let judged = World::of_the_slides().judge();
        let ids: Vec<String> = judged.iter().map(|judged| judged.claim.id.clone()).collect();
        assert_eq!(ids, (1..=44).map(|number| format!("C{number}")).collect::<Vec<_>>());
        for Judged { claim, verdict, why, numbers, .. } in &judged {
            assert_eq!(*verdict, Verdict::Reproduced, "{}: {why:?}", claim.id);
            assert!(!numbers.is_empty() && !why[0].is_empty(), "{} has numbers", claim.id);
        }
    }

    /// What is changed to make a claim false: points of a pattern, workload and architecture.
    type Change = (&'static str, &'static str, &'static str, &'static [u32], f64);
    const WS: &str = "work-sharing";
    const FB: &str = "work-sharing-feedback";
    const BC: &str = "broadcast";
    const BG: &str = "broadcast-gather";
    const EACH: &[u32] = &CONSUMERS;
    const AGAINST: [(&str, &[Change]); 44] = [
        ("C1", &[(WS, "dstream", "prs-haproxy", &[1], 5e3)]),
        ("C2", &[(WS, "dstream", "dts", EACH, 10e3)]),
        ("C3", &[(WS, "dstream", "dts", EACH, 20e3)]),
        ("C4", &[(WS, "dstream", "prs-stunnel", EACH, 1e6)]),
        ("C5", &[(WS, "dstream", "prs-haproxy", &[64], 5e3)]),
        ("C6", &[(WS, "dstream", "mss", EACH, 1e6)]),
        ("C7", &[(WS, "lstream", "dts", &[16], 900.0)]),
        ("C8", &[(WS, "lstream", "prs-haproxy", &[2], 110.0)]),
        ("C9", &[(WS, "lstream", "mss", &[64], 900.0)]),
        ("C10", &[(WS, "dstream", "dts", EACH, 1.0), (WS, "lstream", "dts", EACH, 1.0)]),
        ("C11", &[(WS, "lstream", "mss", EACH, 1e3)]),
        ("C12", &[(FB, "dstream", "prs-haproxy", &[64], 0.9)]),
        ("C13", &[(FB, "dstream", "dts", &[64], 0.06)]),
        ("C14", &[(FB, "dstream", "mss", &[1], 0.01)]),
        ("C15", &[(FB, "dstream", "mss", &[64], 0.7)]),
        ("C16", &[(FB, "lstream", "dts", &[8], 0.3)]),
        ("C17", &[(FB, "lstream", "mss", &[1, 2, 4, 8], 5.0)]),
        ("C18", &[(FB, "lstream", "mss", &[1, 2, 4, 8], 0.18)]),
        ("C19", &[(FB, "lstream", "mss", &[16], 0.6)]),
        ("C20", &[(FB, "dstream", "prs-haproxy", EACH, 3.0)]),
        ("C21", &[(FB, "dstream", "mss", EACH, 0.01), (FB, "lstream", "mss", EACH, 0.01)]),
        ("C22", &[(FB, "dstream", "mss", &[16], 0.1)]),
        ("C23", &[(FB, "lstream", "dts", &[64], 100.0)]),
        ("C24", &[(FB, "dstream", "prs-haproxy", &[4], 10.0)]),
        ("C25", &[(FB, "dstream", "prs-haproxy", EACH, 5.0)]),
        ("C26", &[(FB, "dstream", "prs-haproxy", &[64], 2.0)]),
        ("C27", &[(FB, "lstream", "prs-haproxy", &[64], 40.0)]),
        ("C28", &[(FB, "dstream", "prs-haproxy-4", EACH, 0.001)]),
        ("C29", &[(EMPTY_REPLIES, "dstream", "mss", &[64], 5.0)]),
        ("C30", &[(FB, "dstream", "prs-haproxy", EACH, 5.0)]),
        ("C31", &[(FB, "dstream", "mss", EACH, 0.001)]),
        ("C32", &[(BC, "generic", "prs-haproxy", EACH, 1e3)]),
        ("C33", &[(BC, "generic", "mss", &[64], 500.0)]),
        ("C34", &[(BC, "generic", "dts", &[64], 900.0)]),
        ("C35", &[(BG, "generic", "mss", EACH, 100.0)]),
        ("C36", &[(BG, "generic", "dts", &[4], 9.0)]),
        ("C37", &[(BG, "generic", "dts", &[64], 20.0)]),
        ("C38", &[(BG, "generic", "prs-haproxy", EACH, 100.0)]),
        ("C39", &[(BG, "generic", "mss", EACH, 0.1)]),
        ("C40", &[(BG, "generic", "mss", &[1], 100.0)]),
        ("C41", &[(BG, "generic", "mss", &[64], 4000.0)]),
        ("C42", &[(BG, "generic", "mss", &[32], 100.0)]),
        ("C43", &[(BG, "generic", "prs-haproxy", &[1], 0.01)]),
        ("C44", &[(BG, "generic", "mss", &[64], 100.0)]),
    ];

    #[test]
    fn each_claim_is_not_reproduced_where_its_points_contradict_it() {
        for (id, changes) in AGAINST {
            let mut world = World::of_the_slides();
            for (pattern, workload, architecture, consumers, value) in changes {
                for consumers in *consumers {
                    world.values.insert((pattern, workload, architecture, *consumers), *value);
                }
            }
            let judged = world.judge_one(id);
            assert_eq!(judged.verdict, Verdict::NotReproduced, "{id}: {:?}", judged.why);
            assert!(judged.why.iter().all(|why| !why.is_empty()), "{id} has the contradiction");
        }
    }

    #[test]
    fn each_claim_is_not_testable_where_nothing_was_measured() {
        for judged in World::default().judge() {
            assert_eq!(judged.verdict, Verdict::NotTestable, "{}", judged.claim.id);
        }
    }

    #[test]
    fn missing_points_are_named_and_matter_only_where_they_could_decide() {
        let mut world = World::of_the_slides();
        world.values.remove(&(WS, "dstream", "mss", 64));
        assert_eq!(world.judge_one("C6").verdict, Verdict::Reproduced, "six of seven are most");
        world.values.remove(&(WS, "dstream", "mss", 32));
        let judged = world.judge_one("C6");
        assert_eq!(judged.verdict, Verdict::NotTestable);
        assert_eq!(judged.why, ["not measured: dstream work-sharing over mss with 32, 64 consumer(s)"]);
        for consumers in [1, 2] {
            world.values.insert((WS, "dstream", "mss", consumers), 1e6);
        }
        assert_eq!(world.judge_one("C6").verdict, Verdict::NotReproduced, "two against are enough");
        // Of several workloads, one that contradicts is enough as well.
        let mut world = World::of_the_slides();
        world.values.retain(|(_, workload, ..), _| *workload != "lstream");
        assert_eq!(world.judge_one("C31").verdict, Verdict::NotTestable);
        world.set((FB, "dstream", "mss"), [0.001; 7]);
        assert_eq!(world.judge_one("C31").verdict, Verdict::NotReproduced);
    }

    #[test]
    fn with_missing_points_the_report_shows_how_far_the_claim_holds() {
        let mut world = World::of_the_slides();
        world.values.retain(|(.., consumers), _| *consumers <= 8);
        let judged = world.judge_one("C6");
        assert_eq!((judged.verdict, judged.so_far), (Verdict::NotTestable, Some((vec![1, 2, 4, 8], true))));
        world.set((WS, "dstream", "mss"), [1e6; 7]);
        world.values.retain(|(.., consumers), _| *consumers <= 8);
        world.values.insert((WS, "dstream", "mss", 1), 1.0);
        assert_eq!(world.judge_one("C2").so_far, Some((vec![1, 2, 4, 8], true)));
        assert_eq!(world.judge_one("C7").so_far, None, "nothing beyond 8 to speak of");
        assert_eq!(World::of_the_slides().judge_one("C6").so_far, None);
    }

    #[test]
    fn predictions_beside_measurements_neither_decide_a_claim_nor_count_as_points_of_it() {
        let mut measured = World::of_the_slides().measured();
        for run in &mut measured.runs {
            if Key::of(run).consumers > 8 {
                run.record.route.architecture += crate::load::PREDICTED;
                // Of an experiment that has precedence over runs of none.
                let experiment = "dstream-work-sharing".to_owned();
                run.record.point = Some(measure::record::Point { experiment, name: String::new() });
            }
        }
        let judged = Claims::read(shipped::CLAIMS).unwrap().judge(&measured).unwrap();
        assert_eq!((judged[5].verdict, &judged[5].so_far), (Verdict::NotTestable, &Some((vec![1, 2, 4, 8], true))));
        assert_eq!(judged[0].verdict, Verdict::Reproduced, "one consumer was measured");
    }

    #[test]
    fn what_the_slides_leave_open_is_read_in_each_way() {
        let measured = |scale: f64| {
            let mut measured = World::of_the_slides().measured();
            for throughput in measured.runs.iter_mut().map(|run| &mut run.record.throughput) {
                for rate in [&mut throughput.messages_per_second, &mut throughput.events_per_second] {
                    *rate = rate.map(|rate| rate * scale);
                }
                throughput.sum_of_rates_messages_per_second = throughput.messages_per_second.map(|rate| 2.0 * rate);
            }
            measured
        };
        let c3 = |measured: &Measured, readings: &[(&str, &str)]| {
            let mut claims = Claims::read(shipped::CLAIMS).unwrap();
            for (key, value) in readings {
                claims = claims.read_as(key, value).unwrap();
            }
            claims.judge(measured).unwrap()[2].verdict == Verdict::Reproduced
        };
        // 39,000 messages/s at most, then as many events/s, then either as the sum of rates.
        let [messages, events, sum, event_sum] = [1.0, 0.125, 0.5, 0.0625].map(measured);
        let (by_sum, in_events) = (("estimator", "sum-of-rates"), ("unit", "events"));
        for (measured, readings, holds) in [
            (&messages, &[][..], true),
            (&messages, &[("unit", "messages")], true),
            (&messages, &[in_events], false),
            (&events, &[("unit", "any")], true),
            (&events, &[("unit", "messages")], false),
            (&events, &[in_events], true),
            (&messages, &[by_sum], false),
            (&sum, &[by_sum], true),
            (&sum, &[by_sum, in_events], false),
            (&event_sum, &[by_sum, in_events], true),
            (&event_sum, &[in_events], false),
        ] {
            assert_eq!(c3(measured, readings), holds, "{readings:?}");
        }
        let claims = Claims::read(shipped::CLAIMS).unwrap();
        let messages = |value: &str| -> Vec<u64> {
            claims.read_as("run-length", value).unwrap().predicted.iter().map(|one| one.messages).collect()
        };
        let few: Vec<u64> = claims.predicted.iter().map(|one| one.messages).collect();
        let (published, long) = (messages("published"), messages("long"));
        assert!(few < published && published < long && published[0] == 16_384, "{few:?} {published:?} {long:?}");
        assert!(claims.read_as("run-length", "short").unwrap_err().to_string().contains("published or long"));
    }

    #[test]
    fn numbers_with_a_unit_are_judged_on_hardware_of_the_published_class_only() {
        let mut world = World { link_bits_per_second: None, ..World::of_the_slides() };
        let judged = world.judge_one("C36");
        assert_eq!(judged.verdict, Verdict::NotTestable);
        assert!(judged.why[0].contains("1 Gbit/s"), "{:?}", judged.why);
        // All a hundred times slower: the numbers are off, their ratios are not.
        for ((pattern, ..), value) in &mut world.values {
            *value *= if pattern.contains("feedback") || pattern.contains("gather") { 100.0 } else { 0.01 };
        }
        for id in ["C3", "C12", "C16", "C17", "C26", "C27"] {
            let judged = world.judge_one(id);
            assert_eq!(judged.verdict, Verdict::Reproduced, "{id}: {:?}", judged.why);
            assert!(judged.why[0].contains("for other hardware"), "{:?}", judged.why);
        }
        world.link_bits_per_second = Some(100_000_000);
        assert_eq!(world.judge_one("C36").verdict, Verdict::NotTestable, "a tenth of the rate is another class");
        world.link_bits_per_second = Some(1_000_000_000);
        assert_eq!(world.judge_one("C12").verdict, Verdict::NotReproduced);
    }

    #[test]
    fn a_ratio_is_judged_by_its_number_and_by_its_direction() {
        let mut world = World::of_the_slides();
        world.set((WS, "dstream", "prs-stunnel"), [2e3; 7]);
        let judged = world.judge_one("C10");
        assert_eq!(judged.verdict, Verdict::Reproduced);
        assert!(
            judged.why[0].starts_with("the number: ") && judged.why[0].contains("its direction holds"),
            "{judged:?}"
        );
    }

    #[test]
    fn the_papers_estimator_is_judged_apart() {
        let mut measured = World::of_the_slides().measured();
        for run in &mut measured.runs {
            let key = Key::of(run);
            if key.architecture == "prs-haproxy" && key.consumers == 1 {
                run.record.throughput.sum_of_rates_messages_per_second = Some(1.0);
            }
        }
        let judged = Claims::read(shipped::CLAIMS).unwrap().judge(&measured).unwrap();
        assert_eq!((judged[0].verdict, judged[0].by_sum_of_rates), (Verdict::Reproduced, Some(Verdict::NotReproduced)));
        assert_eq!(judged[1].by_sum_of_rates, None, "the same by both");
    }

    #[test]
    fn a_verdict_that_noise_could_turn_is_not_firm() {
        let judged = World::of_the_slides().judge_one("C6");
        assert!(!judged.firm, "a single run a point");
        assert!(World::of_the_slides().judge_one("C38").firm, "two runs, far apart");
    }

    #[test]
    fn points_of_several_plans_are_not_judged_and_their_files_are_named() {
        let mut measured = World::of_the_slides().measured();
        let mut other = measured.runs[0].clone();
        let key = Key::of(&other);
        assert_eq!((key.pattern.as_str(), key.architecture.as_str(), key.consumers), (BC, "dts", 1));
        other.dir = "another".into();
        other.record.plan["service"]["prefetch"] = 1.into();
        measured.runs.push(other);
        let judged = Claims::read(shipped::CLAIMS).unwrap().judge(&measured).unwrap();
        let c32 = judged.iter().find(|judged| judged.claim.id == "C32").unwrap();
        assert!(c32.verdict == Verdict::NotTestable && c32.why[0].contains("`another`"), "{c32:?}");
        assert_eq!(judged[0].verdict, Verdict::Reproduced, "others are judged");
    }

    #[track_caller]
    fn refused(change: impl Fn(&str) -> String, expected: &str) {
        let text = change(shipped::CLAIMS);
        let judged = Claims::read(&text).and_then(|claims| claims.judge(&World::of_the_slides().measured()));
        let error = judged.unwrap_err().to_string();
        assert!(error.starts_with("`claims.toml`: ") && error.contains(expected) && !error.contains('\n'), "{error}");
    }

    #[test]
    fn a_claim_that_is_not_written_well_is_an_error_and_no_verdict() {
        refused(|text| text.replacen("kind = \"order\"", "kind = \"odd\"", 1), "unknown variant `odd`");
        refused(
            |text| text.replacen("holds = \"all(", "holds = \"every(", 1),
            "C1: `every` over a list is not defined",
        );
        refused(|text| text.replacen("near(M(", "nearly(M(", 1), "C20: `nearly` with 2 value(s) is not defined");
        refused(
            |text| text.replacen("T(prs-haproxy, 1) * (1 + eq)", "T(prs-haproxy, 0)", 1),
            "C1: 0 is not a valid number of consumers",
        );
        refused(|text| text.replacen("M(a, c) / M(dts, c)\"", "OR(a, c)\"", 1), "calls itself");
    }
}
