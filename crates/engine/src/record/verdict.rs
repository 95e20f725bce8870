//! The verdict on a run.

use crate::{ports::Fault, record::one_end, run::control::Ending};
use measure::{Exit, Integrity, record::Status};
use profile::Plan;

const LOSS_IS_A_RESULT: &str = "EJFAT does not retransmit: loss is a result, and --assert 'lost < 0.1%' judges it";

/// The verdict: how the run ended comes before the findings of the ledger, since a run that was cut
/// short has messages on their way.
pub fn verdict(plan: &Plan, ending: &Ending, fault: Option<&Fault>, integrity: &Integrity) -> Status {
    let Integrity { delivered, copies, .. } = integrity;
    // A run that was cut short owes what it had sent, and a reply to each copy.
    let (owed, what) = (integrity.sent * copies.max(&1), if *copies > 1 { "copies" } else { "messages" });
    let replies = integrity.replies.as_ref();
    let replied = replies.map_or_else(String::new, |replies| format!(", {} of {owed} replies", replies.delivered));
    let proved = one_end::proves(plan, integrity);
    let had_been =
        proved.clone().unwrap_or_else(|| format!("{delivered} of {owed} {what} had been delivered{replied}"));
    let findings = integrity.findings().join("; ");
    let open = integrity.open().or_else(|| one_end::open(plan, integrity));
    let sound = findings.is_empty() && open.is_none();
    let (exit, parts) = match (ending, fault) {
        (Ending::Complete, _) if sound => {
            let delivered = || format!("{delivered} of {owed} {what} delivered{replied}, none lost");
            (Exit::Pass, vec![proved.unwrap_or_else(delivered)])
        }
        (Ending::Complete | Ending::Missing(_), None) if !findings.is_empty() => (Exit::Integrity, vec![findings]),
        // What a worker that broke has not reported is not lost.
        (Ending::Complete | Ending::Missing(_), Some(fault)) => (Exit::Partial, vec![fault.to_string(), had_been]),
        (Ending::Fault(_, fault), _) => (fault.kind.exit(), vec![ending.to_string(), had_been]),
        (Ending::Complete, _) if plan.external.is_some() => (Exit::Partial, vec![had_been]),
        _ => (Exit::Partial, vec![ending.to_string(), had_been]),
    };
    let is_result = plan.ejfat.is_some() && integrity.lost > 0;
    let loss = is_result.then(|| LOSS_IS_A_RESULT.to_owned());
    let reason = parts.into_iter().chain(open).chain(loss).collect::<Vec<_>>().join("; ");
    Status::new(exit, reason)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::FaultKind;
    use crate::sample;
    use std::time::Duration;

    fn plan(text: &str) -> Plan {
        sample::plan(text, 2)
    }

    #[test]
    fn what_is_lost_over_ejfat_is_a_failure_that_names_the_assertion_for_it() {
        let lost = Integrity { sent: 10, expected: 10, delivered: 9, lost: 1, ..Integrity::default() };
        let status = verdict(&plan("arch = 'ejfat'"), &Ending::Missing(Duration::from_secs(2)), None, &lost);
        assert_eq!(status.exit_code, 4);
        assert!(status.reason.contains("1 of 10 messages was lost; EJFAT does not retransmit"), "{}", status.reason);
    }

    #[test]
    fn what_is_lost_is_reported_as_lost_and_what_is_not_known_is_not() {
        let lost = Integrity { sent: 10, expected: 10, delivered: 9, lost: 1, ..Integrity::default() };
        let open = Integrity { lost: 0, undetermined: 1, in_service: Some(4), ..lost.clone() };
        let fault = Fault::new(FaultKind::Lost, "1 worker(s) did not stop within 5 s");
        let panicked = Fault::new(FaultKind::Broken, "a worker panicked");
        let missing = Ending::Missing(Duration::from_secs(30));
        let undetermined = "1 of 10 messages is undetermined (the service still has 4)";
        for (ending, fault, integrity, exit_code, reason) in [
            (&missing, None, &lost, 4, "1 of 10 messages was lost"),
            (&Ending::Complete, None, &lost, 4, "1 of 10 messages was lost"),
            (&missing, None, &open, 7, "nothing has arrived for 30.0 s; 9 of 10 messages had been delivered; 1 of"),
            (&Ending::Complete, None, &open, 7, undetermined),
            (&Ending::Complete, Some(&fault), &open, 7, "did not stop within 5 s; 9 of 10 messages had been delivered"),
            (&Ending::Complete, Some(&fault), &open, 7, undetermined),
            (
                &Ending::Deadline(Duration::from_secs(9), Duration::ZERO),
                None,
                &open,
                7,
                "give more time with --timeout",
            ),
            (&Ending::Deadline(Duration::from_secs(9), Duration::ZERO), None, &open, 7, undetermined),
            (&Ending::Fault(1, fault.clone()), None, &open, 3, undetermined),
            (&Ending::Fault(1, panicked), None, &open, 7, undetermined),
        ] {
            let status = verdict(&plan(""), ending, fault, integrity);
            assert_eq!((status.pass, status.exit_code), (false, exit_code), "{ending:?}");
            assert!(status.reason.contains(reason), "{}", status.reason);
        }
        let all = Integrity { sent: 9, expected: 9, delivered: 9, ..Integrity::default() };
        let reason = "9 of 9 messages delivered, none lost".to_owned();
        assert_eq!(verdict(&plan(""), &Ending::Complete, None, &all), Status { pass: true, reason, exit_code: 0 });
    }
}
