//! Which faults a run can have: those on parts of its route, within its measured window, one at a time on each part.

use super::{Action, Fault, Part, Side};
use crate::{
    error::{ProfileError, impossible},
    knobs::QueueType,
    placement::Placement,
    plan::RunLength,
    profile::Profile,
    service::Service,
};
use std::time::Duration;

/// A record has a line for each.
const FAULTS_MAX: usize = 64;

/// The faults of a plan, ascending in time.
pub(crate) fn resolve(
    profile: &Profile,
    length: &RunLength,
    placement: &Placement,
    service: &Service,
) -> Result<Vec<Fault>, ProfileError> {
    let mut faults = profile.fault.clone().unwrap_or_default();
    faults.sort_by_key(|fault| fault.at);
    if faults.len() > FAULTS_MAX {
        return impossible(format!("{} faults in one run: use {FAULTS_MAX} at most", faults.len()));
    }
    for fault in &faults {
        is_on_the_route(fault, profile)?;
        is_in_the_window(fault, length)?;
        fits_the_plan(fault, placement, service)?;
    }
    do_not_overlap(&faults)?;
    Ok(faults)
}

fn is_on_the_route(fault: &Fault, profile: &Profile) -> Result<(), ProfileError> {
    let route = &profile.route;
    let name = profile.arch.as_deref().unwrap_or_default();
    let elsewhere = |why: String| Err(ProfileError::FaultElsewhere(format!("fault `{fault}`: {name} {why}")));
    let refuse = |what: &str, has: String| elsewhere(format!("has no {what}; it has {has}"));
    if route.ejfat.is_some() && !matches!(fault.action, Action::Suspend(_)) {
        return elsewhere("has no broker and no part for it; use `suspend rank 1 for 2s`".to_owned());
    }
    let Some((testbed, parts)) = route.testbed.as_deref().and_then(|name| Some((name, parts_of(name)?))) else {
        return Ok(());
    };
    match fault.action {
        Action::Kill(part) | Action::Stop(part) | Action::Restart(part) => {
            let known = matches!(part, Part::Node(_)) || parts.contains(&part);
            if known { Ok(()) } else { refuse(&part.to_string(), in_words(&parts)) }
        }
        Action::ExpireCluster if !is_managed(testbed) && route.s3m.is_none() => {
            refuse("managed cluster", in_words(&parts))
        }
        _ => Ok(()),
    }
}

fn in_words(parts: &[Part]) -> String {
    let names = parts.iter().map(ToString::to_string);
    names.chain(["node N".to_owned()]).collect::<Vec<_>>().join(", ")
}

fn is_managed(testbed: &str) -> bool {
    ["mss", "ingress", "mss-gateway", "mss-gateway-3"].contains(&testbed)
}

/// The parts in front of the nodes, by the name of a route of the testbed; `None` for a route of another name.
fn parts_of(testbed: &str) -> Option<Vec<Part>> {
    let proxy = |side| [Part::Proxy(side), Part::ControlServer(side)];
    let gateway = |number: u32| Some(Part::Gateway(number.try_into().ok()?));
    Some(match testbed {
        // The balancer of the network is a table of the kernel.
        "dts" | "dts-plain" | "dts-nlb" => Vec::new(),
        "mss" => vec![Part::Balancer, Part::Ingress],
        "ingress" => vec![Part::Ingress],
        "mss-gateway" => (1..=1).filter_map(gateway).collect(),
        "mss-gateway-3" => (1..=3).filter_map(gateway).collect(),
        "one-proxy" => proxy(Side::Consumer).into(),
        prs if prs.starts_with("prs-") => [proxy(Side::Producer), proxy(Side::Consumer)].concat(),
        _ => return None,
    })
}

fn is_in_the_window(fault: &Fault, length: &RunLength) -> Result<(), ProfileError> {
    let window = match length {
        RunLength::Window(window) if window.is_timed() => window,
        RunLength::Window(_) => {
            return impossible(format!(
                "fault `{fault}`: the end of the warm-up is not known in advance: use --warmup with a time, such as 2s"
            ));
        }
        RunLength::Messages(_) => {
            return impossible(format!(
                "fault `{fault}`: with a number of messages the run may end before it: use --duration in place of --messages"
            ));
        }
    };
    let begin = Duration::from_nanos(window.warmup_ns);
    let end = begin + Duration::from_nanos(window.window_ns);
    let last = fault.end().unwrap_or(fault.at);
    if fault.at.is_zero() || fault.at < begin || last >= end {
        return impossible(format!(
            "fault `{fault}` is outside of the measured window, which is from {} s to {} s after the start: move it, or give \
             more time with --duration",
            begin.as_secs_f64(),
            end.as_secs_f64()
        ));
    }
    Ok(())
}

fn fits_the_plan(fault: &Fault, placement: &Placement, service: &Service) -> Result<(), ProfileError> {
    let refuse = |why: String| impossible(format!("fault `{fault}`: {why}"));
    match fault.action {
        Action::Suspend(0) => refuse("rank 0 carries out the faults: suspend another rank".to_owned()),
        Action::Suspend(rank) if rank as usize >= placement.world => {
            refuse(format!("there are {} ranks, from 0 on: start more, or suspend another", placement.world))
        }
        Action::MoveLeader(queue) => {
            let shared = service.queues.iter().filter(|queue| queue.kind == QueueType::Quorum).count();
            match queue as usize {
                _ if shared == 0 => Err(ProfileError::FaultElsewhere(format!(
                    "fault `{fault}`: only a quorum queue has a leader that moves: use --queue-type quorum"
                ))),
                queue if queue > shared => refuse(format!("there are {shared} queues with a leader: name one of them")),
                _ => Ok(()),
            }
        }
        _ => Ok(()),
    }
}

fn do_not_overlap(faults: &[Fault]) -> Result<(), ProfileError> {
    for (index, first) in faults.iter().enumerate() {
        // One that is not undone lasts until the run ends.
        let ends = match (first.end(), &first.action) {
            (Some(end), _) => end,
            (None, Action::Kill(_) | Action::ExpireCluster) => Duration::MAX,
            (None, _) => first.at,
        };
        let on = first.object();
        let clash = |other: &&Fault| share(&other.object(), &on) && (other.at < ends || other.at == first.at);
        if let Some(other) = faults[index + 1..].iter().find(clash) {
            return impossible(format!(
                "faults `{first}` and `{other}` overlap on {on}: let one begin after the other has ended"
            ));
        }
    }
    Ok(())
}

/// Whether what is done to one part is done to the other: a proxy ends with its control server, which starts it again, and an
/// alarm is raised by its node.
fn share(one: &str, other: &str) -> bool {
    let raised_by = |object: &'_ str| object.find("node ").map_or(object.to_owned(), |at| object[at..].to_owned());
    let (one, other) = (raised_by(one), raised_by(other));
    let server_of = |part: &str| part.strip_suffix(" proxy").map(|side| format!("{side} control server"));
    one == other || server_of(&one).as_ref() == Some(&other) || server_of(&other).as_ref() == Some(&one)
}

#[cfg(test)]
mod tests {
    use crate::{Layer, Origin, Plan, combine};

    fn resolved(faults: &[&str], rest: &str) -> Result<Vec<String>, String> {
        let quoted: Vec<String> = faults.iter().map(|fault| format!("'{fault}'")).collect();
        let layer = Layer::parse(Origin::CommandLine, &format!("fault = [{}]\n{rest}", quoted.join(", "))).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let plan = Plan::resolve(&profile, 4, 7).map_err(|error| error.to_string())?;
        Ok(plan.faults.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn faults_of_a_plan_ascend_in_time() {
        let both = ["at 9s: kill node 2 for 1s", "at 3s: stop node 1 for 2s"];
        assert_eq!(resolved(&both, "duration = '20s'").unwrap(), [both[1], both[0]]);
        let again = ["at 3s: stop node 1 for 2s", "at 5s: restart node 1", "at 6s: kill node 1"];
        assert_eq!(resolved(&again, "duration = '20s'").unwrap(), again);
        assert_eq!(resolved(&[], "messages = 5").unwrap(), [""; 0]);
    }

    #[test]
    fn a_fault_that_the_run_cannot_have_is_rejected_with_the_reason() {
        let quorum = "duration = '20s'\n[service]\nqueue_type = 'quorum'\nqueues = 2";
        for (faults, rest, expected) in [
            (vec!["at 9s: kill ingress"], "duration = '20s'", "dts has no ingress; it has node N"),
            (
                vec!["at 9s: kill gateway 2"],
                "arch = 'mss-gateway'\nduration = '20s'",
                "has no gateway 2; it has gateway 1",
            ),
            (
                vec!["at 9s: stop producer proxy for 1s"],
                "arch = 'one-proxy'\nduration = '20s'",
                "it has consumer proxy",
            ),
            (vec!["at 9s: expire cluster"], "arch = 'prs'\nduration = '20s'", "has no managed cluster"),
            (vec!["at 9s: close connections"], "arch = 'ejfat'\nduration = '20s'", "use `suspend rank 1 for 2s`"),
            (vec!["at 0s: close connections"], "duration = '20s'", "from 0 s to 20 s after the start"),
            (vec!["at 1s: close connections"], "duration = '20s'\nwarmup = '2s'", "from 2 s to 22 s after the start"),
            (vec!["at 18s: stop node 1 for 2s"], "duration = '20s'", "outside of the measured window"),
            (vec!["at 30s: close connections"], "duration = '20s'", "more time with --duration"),
            (vec!["at 3s: close connections"], "messages = 9", "use --duration in place of --messages"),
            (vec!["at 3s: close connections"], "duration = '20s'\nwarmup = 'auto'", "use --warmup with a time"),
            (vec!["at 3s: stop node 1 for 3s", "at 5s: restart node 1"], "duration = '20s'", "overlap on node 1"),
            (vec!["at 3s: kill node 1", "at 15s: restart node 1"], "duration = '20s'", "overlap on node 1"),
            (vec!["at 3s: restart node 1", "at 3s: kill node 1"], "duration = '20s'", "overlap on node 1"),
            (
                vec!["at 3s: kill consumer proxy for 2s", "at 4s: restart consumer control server"],
                "arch = 'prs'\nduration = '20s'",
                "overlap on consumer proxy",
            ),
            (
                vec!["at 3s: alarm memory node 1 for 5s", "at 4s: kill node 1 for 1s"],
                "duration = '20s'",
                "overlap on memory",
            ),
            (
                vec!["at 3s: cut link dsn1 for 9s", "at 5s: drop 1% on link dsn1 for 1s"],
                "duration = '20s'",
                "on link dsn1",
            ),
            (vec!["at 3s: suspend rank 0 for 1s"], "duration = '20s'", "suspend another rank"),
            (vec!["at 3s: suspend rank 4 for 1s"], "duration = '20s'", "there are 4 ranks"),
            (vec!["at 3s: move leader"], "duration = '20s'", "use --queue-type quorum"),
            (vec!["at 3s: move leader queue 3"], quorum, "there are 2 queues"),
        ] {
            let error = resolved(&faults, rest).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(resolved(&["at 3s: move leader queue 2"], quorum).is_ok());
        assert!(resolved(&["at 3s: expire cluster"], "arch = 'mss'\nduration = '20s'").is_ok());
    }
}
