//! Demands on a sound run: `--strict` and `--assert`.

use crate::{
    cli::arguments::Around,
    terminal::exit::{Exit, Failure},
};
use measure::{
    Assertion, Integrity, Pacing, Record,
    record::{AssertionOutcome, Status},
};
use profile::Experiment;

/// Demands on a run.
#[derive(Debug, Clone, Default)]
pub struct Demands {
    strict: bool,
    assertions: Vec<Assertion>,
}

impl Demands {
    /// The demands on the command line. Called before the run, so that a mistake in them costs no run.
    pub fn from_arguments(arguments: &Around) -> Result<Self, Failure> {
        Ok(Self { strict: arguments.strict, assertions: parse(&arguments.assertions)? })
    }

    /// Those that an experiment makes on each of its runs.
    pub fn of_experiment(experiment: &Experiment) -> Result<Self, Failure> {
        let read = |text: &String| Assertion::parse(text);
        let assertions = experiment.assert.iter().map(read).collect::<Result<_, _>>();
        let wrong = |error| Failure::new(Exit::Profile, format!("{}: assert: {error}", experiment.name));
        Ok(Self { strict: false, assertions: assertions.map_err(wrong)? })
    }

    /// Adds the outcome of each demand to the record; a sound run that misses one fails.
    pub fn judge(&self, record: &mut Record) {
        record.assertions = self.assertions.iter().map(|assertion| assertion.of(record)).collect();
        if self.assertions.iter().any(Assertion::judges_loss)
            && (only_lost_over_ejfat(record) || only_a_fault_cost(record))
        {
            let Integrity { lost, expected, undetermined, .. } = record.integrity;
            let unknown = if undetermined > 0 { format!(", {undetermined} undetermined") } else { String::new() };
            let reason = format!(
                "{} of {expected} messages delivered, {lost} lost{unknown}, which the assertions judge",
                expected.saturating_sub(lost + undetermined)
            );
            record.status = Status::new(Exit::Pass, reason);
        }
        if !record.status.pass {
            return;
        }
        if self.strict && record.harness.generator_limited {
            let reason = Pacing::GeneratorLimited.warning().unwrap_or_default().to_owned();
            record.status = Status::new(Exit::GeneratorLimited, reason);
        } else if let Some(reason) = unmet(&record.assertions) {
            record.status = Status::new(Exit::Assertion, reason);
        }
    }
}

/// Whether the run failed for no reason but that messages were lost, on a transport that sends nothing twice.
fn only_lost_over_ejfat(record: &Record) -> bool {
    let without_loss = Integrity { lost: 0, ..record.integrity.clone() };
    record.status.exit_code == Exit::Integrity as u8
        && record.plan.get("ejfat").is_some_and(|ejfat| !ejfat.is_null())
        && without_loss.verdict().is_ok()
}

/// Whether the run failed for no reason but messages that are lost or undetermined, and faults were caused on purpose. A run that
/// was cut short has messages left in the service, or failures.
fn only_a_fault_cost(record: &Record) -> bool {
    let rest = Integrity { lost: 0, undetermined: 0, ..record.integrity.clone() };
    let failed = record.status.exit_code;
    let is_known = record.integrity.undetermined == 0 || record.integrity.in_service == Some(0);
    !record.faults.is_empty()
        && record.faults.iter().all(|fault| fault.failure.is_none())
        && record.failures.is_empty()
        && (failed == Exit::Integrity as u8 || failed == Exit::Partial as u8)
        && (record.integrity.lost > 0 || record.integrity.undetermined > 0)
        && is_known
        && rest.verdict().is_ok()
}

/// Reads expressions.
pub fn parse(texts: &[String]) -> Result<Vec<Assertion>, Failure> {
    let read = |text: &String| Assertion::parse(text).map_err(|error| Failure::new(Exit::Usage, error));
    texts.iter().map(read).collect()
}

/// The assertions that do not hold, in one sentence.
pub fn unmet(outcomes: &[AssertionOutcome]) -> Option<String> {
    let failed = outcomes.iter().filter(|outcome| !outcome.holds);
    let measured: Vec<String> =
        failed.map(|outcome| format!("`{}`: {}", outcome.expression, outcome.measured)).collect();
    match &measured[..] {
        [] => None,
        [one] => Some(format!("an assertion does not hold, {one}")),
        several => Some(format!("{} assertions do not hold, {}", several.len(), several.join("; "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rank0::sample;

    fn judged(strict: bool, assertions: &[&str], change: impl Fn(&mut Record)) -> Record {
        let assertions = assertions.iter().map(|&text| text.to_owned()).collect();
        let mut record = sample::record(1, 100.0, 0);
        change(&mut record);
        Demands::from_arguments(&Around { strict, assertions, ..Around::default() }).unwrap().judge(&mut record);
        record
    }

    #[test]
    fn a_sound_run_that_misses_an_assertion_fails_with_the_measured_value() {
        let record = judged(true, &["throughput > 90", "throughput > 200/s", "rtt_p99 < 1ms"], |_| {});
        assert_eq!((record.status.pass, record.status.exit_code), (false, 5));
        assert_eq!(
            record.status.reason,
            "2 assertions do not hold, `throughput > 200/s`: throughput is 100/s; `rtt_p99 < 1ms`: rtt_p99 was not measured"
        );
        assert_eq!(record.assertions.iter().map(|outcome| outcome.holds).collect::<Vec<_>>(), [true, false, false]);
        assert!(judged(true, &["throughput > 90"], |_| {}).status.pass);
    }

    #[test]
    fn an_assertion_judges_loss_where_nothing_is_sent_twice() {
        let lossy = |over: &'static str| {
            move |record: &mut Record| {
                record.status = Status { pass: false, reason: "lost".to_owned(), exit_code: 4 };
                record.plan[over] = serde_json::json!({"mtu": 1500});
                (record.integrity.expected, record.integrity.lost) = (1000, 2);
            }
        };
        let status = |assertion, over| judged(false, &[assertion], lossy(over)).status;
        assert_eq!(status("lost < 1%", "ejfat").exit_code, 0);
        assert_eq!(status("0.1% > lost", "ejfat").exit_code, 5);
        assert_eq!(status("throughput > 1", "ejfat").exit_code, 4, "nothing was said on loss");
        assert_eq!(status("lost < 1%", "other").exit_code, 4);
    }

    #[test]
    fn an_assertion_judges_what_a_fault_on_purpose_cost_and_nothing_else() {
        let judged = |change: &dyn Fn(&mut Record)| {
            let faulty = |record: &mut Record| {
                record.status = Status { pass: false, reason: "undetermined".to_owned(), exit_code: 7 };
                record.faults = vec![measure::record::Fault::default()];
                (record.integrity.expected, record.integrity.in_service) = (1000, Some(0));
                (record.integrity.lost, record.integrity.undetermined) = (2, 3);
                change(record);
            };
            judged(false, &["undetermined <= 100% or lost <= 100%"], faulty).status
        };
        let status = judged(&|_| {});
        assert_eq!(
            (status.exit_code, status.reason.as_str()),
            (0, "995 of 1000 messages delivered, 2 lost, 3 undetermined, which the assertions judge")
        );
        for (change, why) in [
            ((|record| record.faults.clear()) as fn(&mut Record), "nobody caused it"),
            (|record| record.faults[0].failure = Some("why".to_owned()), "it was not carried out"),
            (|record| record.integrity.in_service = Some(9), "it was cut short"),
            (|record| record.integrity.corrupt = 1, "bodies are corrupt"),
            (|record| record.failures = vec![Default::default()], "a worker failed"),
            (|record| (record.integrity.lost, record.integrity.undetermined) = (0, 0), "it failed for another reason"),
        ] {
            assert_eq!(judged(&change).exit_code, 7, "{why}");
        }
    }

    #[test]
    fn an_unsound_run_keeps_its_own_exit_code() {
        let lost = |record: &mut Record| {
            record.status = Status { pass: false, reason: "lost".to_owned(), exit_code: 4 };
        };
        let record = judged(false, &["throughput > 200"], lost);
        assert_eq!((record.status.exit_code, record.assertions.len()), (4, 1));
        let limited = |record: &mut Record| record.harness.generator_limited = true;
        assert_eq!(judged(true, &["throughput > 200"], limited).status.exit_code, 6);
        assert_eq!(judged(false, &["throughput > 200"], limited).status.exit_code, 5);
    }
}
