//! Sentences on what a run leaves on the service.

use crate::{ports::Fault, result::left::left_by_killed};
use measure::record::LeftBehind;
use profile::Plan;

/// The queues and exchanges that a killed run leaves on the service, and for how long.
pub fn if_killed(plan: &Plan) -> String {
    let all = left_by_killed(plan);
    let (expiring, staying): (Vec<_>, Vec<_>) = all.iter().partition(|one| one.expires_s.is_some());
    let exchanges = |all: &[&LeftBehind]| all.iter().any(|one| one.kind == "exchange");
    let last = expiring.iter().filter_map(|one| one.expires_s).reduce(f64::max);
    let service = &plan.service;
    let exclusive = service.queues.iter().any(|queue| queue.exclusive) || plan.flow.replies > 0;
    if all.is_empty() && !exclusive {
        return "it leaves nothing on the service".to_owned();
    }
    let parts = [
        // What has no expiry is a stream, or an exchange that one holds.
        (!staying.is_empty()).then(|| {
            let all = if exchanges(&staying) { "streams and exchanges" } else { "streams" };
            format!("its {all} stay, with all messages, until somebody deletes them")
        }),
        last.map(|s| {
            let with_them = if exchanges(&expiring) { ", and its exchanges with them" } else { "" };
            format!("the service deletes its queues {s} s after their last use{with_them}")
        }),
        exclusive.then(|| {
            let all = if all.is_empty() { "all that it declares" } else { "all else that it declares" };
            format!("{all} goes with its connections")
        }),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    format!("{}; all their names begin with {}", parts.join("; "), plan.name_prefix())
}

/// The queues and exchanges that a run could not delete, in one sentence.
pub fn undeleted(left: &[LeftBehind], why: &Fault) -> String {
    let (expiring, staying): (Vec<_>, Vec<_>) = left.iter().partition(|one| one.expires_s.is_some());
    let named = |all: &[&LeftBehind]| {
        let more = if all.len() > 1 { format!(" and {} more", all.len() - 1) } else { String::new() };
        all.first().map(|one| format!("{} {}{more}", one.kind, one.name))
    };
    let longest_s = expiring.iter().filter_map(|one| one.expires_s).fold(0.0, f64::max);
    let expiring =
        named(&expiring).map(|all| format!("{all}, which the service deletes {longest_s} s after their last use"));
    let staying = named(&staying).map(|all| format!("{all}, with their messages, until somebody deletes them"));
    let all: Vec<String> = expiring.into_iter().chain(staying).collect();
    format!("left on the service: {} ({why})", all.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn what_a_killed_run_leaves_is_named_with_how_long_it_stays() {
        let left = |text: &str| {
            let plan = sample::plan(text, 3);
            let sentence = if_killed(&plan);
            let (reason, name) = sentence.split_once("; all their names begin with ").unwrap();
            assert_eq!(name, plan.name_prefix());
            reason.to_owned()
        };
        let expire = "the service deletes its queues 300 s after their last use";
        for (pattern, kind, expected) in [
            ("work-sharing", "classic", expire.to_owned()),
            ("broadcast", "classic", "all that it declares goes with its connections".to_owned()),
            ("broadcast", "quorum", format!("{expire}, and its exchanges with them")),
            ("work-sharing", "stream", "its streams stay, with all messages, until somebody deletes them".to_owned()),
            (
                "broadcast-gather",
                "stream",
                "its streams and exchanges stay, with all messages, until somebody deletes them; all else that it \
                 declares goes with its connections"
                    .to_owned(),
            ),
            (
                "work-sharing-feedback",
                "classic",
                format!("{expire}; all else that it declares goes with its connections"),
            ),
        ] {
            assert_eq!(
                left(&format!("pattern = '{pattern}'\n[service]\nqueue_type = '{kind}'")),
                expected,
                "{pattern}"
            );
        }
    }
}
