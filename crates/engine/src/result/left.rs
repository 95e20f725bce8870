//! Messages that the service still has when the consumers of a run are gone: only the others can be lost.

use crate::{
    ports::{Subscriber, Undeleted},
    result::report::RankReport,
    run::control::{Ending, Expected},
};
use measure::{OnTheWay, record::LeftBehind};
use profile::{Acks, Exchange, ExchangeKind, Plan, QueuePlan, QueueType};
use std::time::Duration;
use tokio::time::timeout;

/// How long the service may take to report: its failure may be what ended the run.
const REPORT_LIMIT: Duration = Duration::from_secs(3);

/// The messages in the queue of `subscriber`, if only its own connection may count them; zero if others can.
pub(crate) async fn held_by(subscriber: &mut impl Subscriber, exclusive: bool, broken: bool) -> Option<u64> {
    match exclusive {
        false => Some(0),
        true if broken => None,
        true => timeout(REPORT_LIMIT, subscriber.held()).await.ok()?.ok(),
    }
}

/// What may be neither delivered nor in a queue at the end of a run. What is confirmed and not acknowledged comes back to a
/// queue that outlives its consumers; otherwise only long silence shows that nothing is on its way.
pub(crate) fn on_the_way(plan: &Plan, ending: &Ending, ranks: &[RankReport]) -> OnTheWay {
    let still = match ending {
        Ending::Complete => Duration::ZERO,
        Ending::Missing(still) => *still,
        _ => return OnTheWay { messages: true, replies: true },
    };
    if plan.placement.consumers == 0 {
        // A program of others may hold any of them.
        return OnTheWay { messages: true, replies: true };
    }
    let broken = ranks.iter().any(|rank| rank.fault.is_some());
    let moving = broken || still < Expected::of(plan).missing_after;
    let service = &plan.service;
    let comes_back =
        service.confirms.wanted() && service.acks != Acks::Auto && service.queues.iter().all(|queue| !queue.exclusive);
    // Nobody knows which replies left with a lost connection.
    let unsure = ranks.iter().any(|rank| rank.replies_unsure);
    OnTheWay { messages: if comes_back { broken } else { moving }, replies: moving || unsure }
}

/// The leftovers of a run that could not delete these.
pub(crate) fn left_behind(plan: &Plan, undeleted: &[Undeleted]) -> Vec<LeftBehind> {
    left(plan, |name| undeleted.iter().any(|undeleted| undeleted.name == name))
}

/// The leftovers of a killed run: everything that does not end with its connections.
pub fn left_by_killed(plan: &Plan) -> Vec<LeftBehind> {
    left(plan, |_| true)
}

/// The part of these that stays. An exchange ends with the last queue that is bound to it.
fn left(plan: &Plan, left: impl Fn(&str) -> bool) -> Vec<LeftBehind> {
    let queues = || plan.shared_queues().filter(|queue| !queue.attached && left(&queue.name));
    let expires_s = |queue: &QueuePlan| queue.expires.map(|expires| expires.as_secs_f64());
    let kind = |queue: &QueuePlan| if queue.kind == QueueType::Stream { "stream" } else { "queue" };
    let queue = |queue: &QueuePlan| LeftBehind {
        kind: kind(queue).to_owned(),
        name: queue.name.clone(),
        expires_s: expires_s(queue),
    };
    // External consumers bind queues of their own to it, or none.
    let bound_by_others = |exchange: &Exchange| plan.placement.consumers == 0 && exchange.kind == ExchangeKind::Fanout;
    let own = plan.service.exchanges.iter().filter(|exchange| !exchange.attached && left(&exchange.name));
    let exchanges = own.filter_map(|exchange| {
        let bound = |queue: &&QueuePlan| queue.binding.as_ref().is_some_and(|to| to.exchange == exchange.name);
        let of_queues: Option<Vec<f64>> = queues().filter(bound).map(expires_s).collect();
        let kind = "exchange".to_owned();
        match of_queues {
            Some(all) if all.is_empty() && !bound_by_others(exchange) => None,
            all => {
                let expires_s = all.and_then(|all| all.into_iter().reduce(f64::max));
                Some(LeftBehind { kind, name: exchange.name.clone(), expires_s })
            }
        }
    });
    queues().map(queue).chain(exchanges).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ports::{Fault, FaultKind};
    use crate::sample;

    fn plan(text: &str) -> Plan {
        sample::plan(text, 2)
    }

    #[test]
    fn what_is_left_is_named_with_how_long_it_stays() {
        let left = |text: &str| {
            let plan = plan(text);
            let names = plan.shared_queues().map(|queue| queue.name.clone());
            let exchanges = plan.service.exchanges.iter().map(|exchange| exchange.name.clone());
            let fault = Fault::new(FaultKind::Login, "the service refuses the login");
            let all = names.chain(exchanges).map(|name| Undeleted { name, fault: fault.clone() }).collect::<Vec<_>>();
            let left = left_behind(&plan, &all);
            assert_eq!(left, left_by_killed(&plan), "a killed run deletes nothing");
            left.into_iter().map(|left| (left.kind, left.expires_s.is_some())).collect::<Vec<_>>()
        };
        let own = |all: &[(&str, bool)]| all.iter().map(|(kind, ends)| (kind.to_string(), *ends)).collect::<Vec<_>>();
        assert_eq!(left("[service]\nqueues = 1"), own(&[("queue", true)]));
        let broadcast = "pattern = 'broadcast'\nproducers = 1\nconsumers = 1";
        assert_eq!(left(broadcast), own(&[]), "they went with their consumers");
        let of = |kind: &str| left(&format!("{broadcast}\n[service]\nqueue_type = '{kind}'"));
        assert_eq!(of("quorum"), own(&[("queue", true), ("exchange", true)]));
        assert_eq!(of("stream"), own(&[("stream", false), ("exchange", false)]));
    }

    #[test]
    fn what_is_not_in_a_queue_may_be_on_its_way_unless_it_comes_back_or_nothing_moves_for_long() {
        let (short, long) = (Ending::Missing(Duration::from_secs(2)), Ending::Missing(Duration::from_secs(30)));
        let stopped = Ending::Stopped("a test".to_owned());
        let (shared, own) = ("pattern = 'work-sharing-feedback'", "pattern = 'broadcast'");
        for (text, ending, messages, replies) in [
            (shared, &Ending::Complete, false, true),
            (shared, &short, false, true),
            (shared, &long, false, false),
            (shared, &stopped, true, true),
            (own, &short, true, true),
            (own, &long, false, false),
            ("[service]\nacks = 'auto'", &short, true, true),
            ("[service]\nacks = 'auto'", &long, false, false),
            ("[service]\nconfirms = 'none'", &short, true, true),
            ("messages = 10\nservice_time = 'constant:1s'", &long, false, true),
            ("arch = 'ejfat'", &short, false, false),
        ] {
            let plan = plan(text);
            let expected = OnTheWay { messages, replies };
            assert_eq!(on_the_way(&plan, ending, &[RankReport::default()]), expected, "{text} {ending:?}");
            let fault = Some(Fault::new(FaultKind::Lost, "a worker panicked"));
            let broken = on_the_way(&plan, ending, &[RankReport { fault, ..RankReport::default() }]);
            assert_eq!(broken, OnTheWay { messages: true, replies: true }, "nobody knows what the worker got");
        }
    }
}
