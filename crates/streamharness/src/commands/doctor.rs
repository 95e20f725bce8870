//! `streamharness doctor`: what this machine has and lacks for a run, and the command that mends each lack.

mod facts;
mod hosts;
mod judge;
mod ranks;

use crate::{
    cli::{arguments, flags},
    host::{environment, machine},
    launch::world::{self, Stop},
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use comm_mpi::MpiComm;
use facts::Facts;
use hosts::{Examined, Line};
use judge::State;
use profile::RouteProfile;
use serde_json::json;
use std::time::Duration;

/// How long each host may take to be examined.
const EXAMINE_LIMIT: Duration = Duration::from_secs(120);

/// Examines this host; started by a launcher, the host of every rank. Exits with 3 if a run would fail.
pub fn doctor(arguments: &arguments::Doctor) -> Result<Exit, Failure> {
    let run = arguments::Run { route: arguments.route.clone(), ..arguments::Run::default() };
    let written = flags::profile(&run)?.route;
    if !environment::is_launched() {
        let ranks = ranks::try_two();
        return report(hosts::joined(vec![examine(&written, ranks)?]), arguments.json);
    }
    let of_all_hosts = world::enter(|world| {
        let here = world.is_first_of_its_host().then(|| examine(&written, ranks::Outcome::of(world)));
        // A wrong flag is wrong on every rank.
        let here = here.transpose().map_err(|failure| failure.sentence);
        world
            .decide(&here, EXAMINE_LIMIT, |all| {
                let all = all.into_iter().collect::<Result<Vec<_>, String>>();
                let all = all.map_err(|sentence| Failure::new(Exit::Usage, sentence))?;
                let lines = hosts::joined(all.into_iter().flatten().collect());
                let exit = exit(&lines);
                report(lines, arguments.json).map(|_| exit as u8)
            })
            .map(Exit::from_code)
    });
    // Here a launch that does not come about is what was to be found out.
    of_all_hosts.map_err(|failure| Failure { exit: Exit::Route, ..failure })
}

/// Ranks meet and part again, which shows that their launcher is one that they understand.
pub fn meet() -> Result<Exit, Failure> {
    world::enter(|_| Ok::<_, Stop>(Exit::Pass))
}

fn examine(written: &RouteProfile, ranks: ranks::Outcome) -> Result<Examined, Failure> {
    let facts = Facts::gather(written, ranks)?;
    Ok(Examined { host: machine::describe().host, checks: judge::judge(&facts) })
}

fn exit(lines: &[Line]) -> Exit {
    if lines.iter().any(|line| line.check.state == State::Lacks) { Exit::Route } else { Exit::Pass }
}

fn report(lines: Vec<Line>, json: bool) -> Result<Exit, Failure> {
    let exit = exit(&lines);
    let machine = machine::describe();
    let (version, library) = (env!("CARGO_PKG_VERSION"), MpiComm::library());
    if json {
        let report = json!({
            "streamharness": version,
            "mpi_library": library,
            "host": machine.host,
            "kernel": machine.kernel,
            "ok": exit == Exit::Pass,
            "checks": lines,
        });
        stdout::print(&format!("{report:#}\n"))?;
    } else {
        let kernel = machine.kernel.unwrap_or_else(|| "unknown".to_owned());
        let head = format!("# streamharness {version} for {library} on {}, kernel {kernel}\n", machine.host);
        stdout::print(&(head + &hosts::text(&lines)))?;
    }
    Ok(exit)
}
