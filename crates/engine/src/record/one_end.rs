//! What a run of one end proves: the other end belongs to programs of others.

use crate::result::join::RunResult;
use measure::{Integrity, record::External};
use profile::{Plan, QueuePlan, Side};

/// The record's section; `None` where both ends are the run's own.
pub(super) fn external(plan: &Plan, result: &RunResult) -> Option<External> {
    let external = plan.external.as_ref()?;
    let sizes = result.ranks.iter().filter_map(|rank| rank.external_bytes);
    let sizes = sizes.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)));
    Some(External {
        side: match external.side {
            Side::Producer => "producers".to_owned(),
            Side::Consumer => "consumers".to_owned(),
        },
        proves: proves(plan, &result.integrity)?,
        taken: taken(plan, &result.integrity),
        confirmed_per_second: confirmed_per_second(plan, result),
        bytes_min: sizes.map(|sizes| sizes.0),
        bytes_max: sizes.map(|sizes| sizes.1),
        without_timestamp: external.timestamp.as_ref().map(|_| result.counters.without_timestamp),
    })
}

fn confirmed_per_second(plan: &Plan, result: &RunResult) -> Option<f64> {
    let first_ns = result.ranks.iter().filter_map(|rank| rank.first_sent_ns).min()?;
    let last_ns = result.ranks.iter().filter_map(|rank| rank.last_sent_ns).max()?;
    let span_s = last_ns.saturating_sub(first_ns) as f64 / 1e9;
    // Between the first message and the last there is one interval less.
    let intervals = result.counters.accepted.saturating_sub(1) as f64;
    (plan.service.confirms.wanted() && span_s > 0.0).then(|| intervals / span_s)
}

/// Whether external consumers take messages from queues of the run's own, and from no others.
fn has_own_queues(plan: &Plan) -> bool {
    let mut queues = plan.shared_queues().peekable();
    queues.peek().is_some() && queues.all(|queue: &QueuePlan| !queue.attached)
}

fn taken(plan: &Plan, integrity: &Integrity) -> Option<u64> {
    let counts = plan.placement.consumers == 0 && plan.service.confirms.wanted() && has_own_queues(plan);
    integrity.in_service.filter(|_| counts).map(|held| integrity.confirmed.saturating_sub(held))
}

/// What the numbers prove; `None` where both ends are the run's own.
pub(super) fn proves(plan: &Plan, integrity: &Integrity) -> Option<String> {
    let side = plan.external.as_ref()?.side;
    let Integrity { sent, confirmed, foreign, .. } = integrity;
    if side == Side::Producer {
        return Some(format!(
            "{foreign} messages of others received; whether that is all they sent is theirs to prove"
        ));
    }
    let accepted = match plan.service.confirms.wanted() {
        true => format!("{confirmed} of {sent} messages confirmed by the service"),
        false => format!("{sent} messages sent, none of which the service was asked to confirm"),
    };
    let rest = match (&integrity.replies, taken(plan, integrity)) {
        (Some(replies), _) => format!(
            "{} of {sent} replies received, so a consumer had those messages; what it did with them is its own to prove",
            replies.delivered
        ),
        (None, Some(taken)) => format!("{taken} taken by consumers; what they did with them is theirs to prove"),
        (None, None) => "whether they were consumed is not known".to_owned(),
    };
    Some(format!("{accepted}, {rest}"))
}

/// What speaks against a sound run, in one sentence: messages that nobody took, or that never came.
pub(super) fn open(plan: &Plan, integrity: &Integrity) -> Option<String> {
    match plan.external.as_ref()?.side {
        Side::Producer => (integrity.foreign == 0).then(|| "no message came".to_owned()),
        Side::Consumer if integrity.replies.is_some() => None,
        Side::Consumer => {
            let held = integrity.in_service.filter(|held| *held > 0 && has_own_queues(plan))?;
            Some(format!("{held} messages were left in the run's queues, where no program took any for a while"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample::plan;
    use measure::Replies;

    #[test]
    fn each_half_is_proved_by_what_this_end_has_seen() {
        let sent =
            |in_service, replies| Integrity { sent: 9, confirmed: 8, in_service, replies, ..Integrity::default() };
        let own = plan("consumers = 0", 2);
        let said =
            |plan: &Plan, integrity: &Integrity| (proves(plan, integrity).unwrap(), open(plan, integrity).is_some());
        let (half, is_open) = said(&own, &sent(Some(3), None));
        assert!(
            half.starts_with("8 of 9 messages confirmed by the service, 5 taken by consumers") && is_open,
            "{half}"
        );
        assert!(!said(&own, &sent(Some(0), None)).1);
        assert!(said(&own, &sent(None, None)).0.ends_with("is not known"));
        // Messages of others may be in a queue of others.
        let theirs = plan("consumers = 0\n[service]\nqueue = 'x'", 2);
        assert_eq!(taken(&theirs, &sent(Some(3), None)), None);
        assert!(!said(&theirs, &sent(Some(3), None)).1);
        let replied = Some(Replies { delivered: 7, ..Replies::default() });
        let (half, _) = said(&plan("consumers = 0\npattern = 'work-sharing-feedback'", 2), &sent(None, replied));
        assert!(half.contains("7 of 9 replies received"), "{half}");
        let silent = plan("consumers = 0\n[service]\nconfirms = 'none'", 2);
        assert!(said(&silent, &sent(Some(0), None)).0.starts_with("9 messages sent, none of which"));
        let others = plan("producers = 0\nduration = '1s'", 2);
        assert!(said(&others, &Integrity::default()).1, "nothing came");
        let (half, is_open) = said(&others, &Integrity { foreign: 4, ..Integrity::default() });
        assert!(half.starts_with("4 messages of others received") && !is_open, "{half}");
        assert_eq!((proves(&plan("", 2), &sent(None, None)), open(&plan("", 2), &sent(None, None))), (None, None));
    }
}
