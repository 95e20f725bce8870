//! Whether this process may open the files that its connections need.

use engine::ports::{Fault, FaultKind};
use nix::sys::resource::{Resource, getrlimit, setrlimit};
use profile::Plan;

/// Files per connection: a socket, and a second handle on it.
const OF_A_CONNECTION: u64 = 2;
/// Spare files for name look-ups and the rest of the program.
const SPARE: u64 = 8;
/// Room for files that are open only briefly: whoever sets the limit that an error names gets no second error.
const ROOM: u64 = 2 * SPARE;

/// Files of a rank's connections, on the rank with the most, including the connection through which queues are
/// declared.
pub(crate) fn of_a_rank(plan: &Plan) -> u64 {
    let placement = &plan.placement;
    let workers = |rank| {
        let role = placement.role(rank);
        [role.producers.len(), role.consumers.len()]
            .map(|workers| workers.div_ceil(plan.service.workers_per_connection as usize) as u64)
            .iter()
            .sum::<u64>()
    };
    let most = (0..placement.world).map(workers).max().unwrap_or_default();
    let ways = if plan.flow.replies > 0 { 2 } else { 1 };
    (most * ways * u64::from(plan.service.connections) + 1) * OF_A_CONNECTION
}

/// Makes room for one more connection, if the system allows it; all connections together need `all` files.
pub(crate) fn room(all: u64) -> Result<(), Fault> {
    // If the system does not report its limit, connecting will.
    let Ok(open) = std::fs::read_dir("/proc/self/fd").map(|files| files.count() as u64) else { return Ok(()) };
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let wanted = open + OF_A_CONNECTION + SPARE;
    if wanted <= soft || (wanted <= hard && setrlimit(Resource::RLIMIT_NOFILE, hard, hard).is_ok()) {
        return Ok(());
    }
    Err(Fault::new(FaultKind::Unreachable, sentence(open, hard, open + all + ROOM)))
}

fn sentence(open: u64, limit: u64, needed: u64) -> String {
    format!(
        "no more connections can be opened: this process has {open} files open and may have {limit} (`ulimit -n`). Have the \
         limit raised to {needed}, or use more ranks with fewer workers each"
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, combine};

    fn plan(text: &str, world: usize) -> Plan {
        let layer = Layer::parse(Origin::CommandLine, text).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        Plan::resolve(&profile, world, 7).unwrap()
    }

    #[test]
    fn what_a_rank_needs_follows_from_its_plan() {
        for (text, world, files) in [
            ("", 2, 4),
            ("producers = 3\nconsumers = 6", 1, 20),
            ("producers = 3\nconsumers = 6\npattern = 'work-sharing-feedback'", 1, 38),
            ("producers = 3\nconsumers = 6\n[service]\nconnections = 2", 1, 38),
            ("producers = 3\nconsumers = 6\n[service]\nworkers_per_connection = 4", 1, 8),
        ] {
            assert_eq!(of_a_rank(&plan(text, world)), files, "{text}");
        }
    }

    #[test]
    fn there_is_room_for_a_connection_here_and_a_shortage_is_reported_with_the_number() {
        assert_eq!(room(2), Ok(()));
        let sentence = sentence(38, 40, 64);
        assert!(
            sentence.contains("has 38 files open and may have 40") && sentence.contains("raised to 64"),
            "{sentence}"
        );
    }
}
