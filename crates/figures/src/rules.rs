//! The lines of a panel that were not measured: upper bounds, the paper's numbers, and the base of ratios.

use crate::{
    Dimension, Key, Level, Run,
    chart::{Rule, RuleKind},
    looks::Looks,
    points::Quantity,
    published::Published,
    specification::{Bound, Specification},
};

/// The rules of a panel of estimates.
pub fn rules(
    specification: &Specification,
    known: &[Published],
    looks: &Looks,
    of: Quantity,
    runs: &[&Run],
) -> Vec<Rule> {
    let mut rules = published(specification, known, looks, of, runs, false);
    if let Some(base) = &specification.relative_to {
        let base = Level::Text(base.clone());
        let text = format!("{} = 1", looks.title(&base));
        rules.push(Rule { kind: RuleKind::Base, y: 1.0, x: None, text, style: looks.own_style(&base) });
    } else if of == Quantity::SumOfRatesRatio {
        rules.push(Rule { kind: RuleKind::Base, y: 1.0, x: None, text: "no difference".to_owned(), style: None });
    } else {
        rules.extend(specification.bounds.iter().filter_map(|bound| bound_rule(*bound, of, runs)));
    }
    rules
}

/// The paper's numbers for exactly these workloads and patterns.
pub fn published(
    specification: &Specification,
    known: &[Published],
    looks: &Looks,
    of: Quantity,
    runs: &[&Run],
    shares: bool,
) -> Vec<Rule> {
    let all =
        |dimension: Dimension, wanted: &str| runs.iter().all(|run| dimension.of(run) == Level::Text(wanted.to_owned()));
    let relative = specification.relative_to.is_some();
    let fits = |value: &&Published| {
        specification.published
            && value.relative == relative
            && value.share.is_some() == shares
            && value.is_of(of)
            && all(Dimension::Pattern, &value.pattern)
            && value.workload.as_ref().is_none_or(|workload| all(Dimension::Workload, workload))
    };
    let shares_panel = |value: &&Published| {
        let [from, to] = value.consumers.unwrap_or([0, u32::MAX]);
        !shares || runs.iter().all(|run| (from..=to).contains(&Key::of(run).consumers))
    };
    let rule = |value: &Published| Rule {
        kind: RuleKind::Published,
        y: value.share.unwrap_or(value.value),
        x: match (value.share, value.consumers) {
            (Some(_), _) => Some((value.value, value.value)),
            (None, Some([from, to])) => Some((f64::from(from), f64::from(to))),
            (None, None) => None,
        },
        text: format!("{} (slide {})", value.text, value.slide),
        style: value.architecture.as_ref().and_then(|name| looks.own_style(&Level::Text(name.clone()))),
    };
    known.iter().filter(fits).filter(shares_panel).map(rule).collect()
}

fn bound_rule(bound: Bound, of: Quantity, runs: &[&Run]) -> Option<Rule> {
    let (messages, bytes, events) = runs
        .iter()
        .map(|run| run.record.totals.received)
        .fold((0, 0, 0), |sum, volume| (sum.0 + volume.messages, sum.1 + volume.bytes, sum.2 + volume.events));
    let each = |amount: u64| (messages > 0).then(|| amount as f64 / messages as f64);
    // The amount of the quantity per message.
    let per_message = match of {
        Quantity::MessagesPerSecond => 1.0,
        Quantity::BitsPerSecond => 8.0 * each(bytes)?,
        Quantity::EventsPerSecond => each(events)?,
        _ => return None,
    };
    let (messages_per_second, text) = match bound {
        Bound::Link => {
            let rates = runs.iter().flat_map(|run| &run.record.links).filter(|link| link.host.starts_with("dsn"));
            let rate = rates.filter_map(|link| link.rate_bits_per_second).min()? as f64;
            let rate_text = crate::axis::short(rate / 1e9, 3);
            (rate / (8.0 * each(bytes)?), format!("one service link, {rate_text} Gbit/s"))
        }
        Bound::Harness => {
            let ceilings = runs.iter().filter_map(|run| run.record.harness.ceiling_messages_per_second);
            (ceilings.reduce(f64::min)?, "harness ceiling".to_owned())
        }
    };
    Some(Rule { kind: RuleKind::Bound, y: messages_per_second * per_message, x: None, text, style: None })
}
