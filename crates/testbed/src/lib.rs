//! Builds and removes a real RabbitMQ cluster on this machine with real proxies in front of it, unprivileged and in one
//! private directory.
//!
//! A detached *supervisor* process owns every part (epmd, the broker nodes, control servers and their proxies) inside a
//! *sandbox* that dies with it, so that nothing outlives a crash. The caller communicates with it through the directory
//! only: a held lock file means alive, and `state.json` has the state.
//!
//! ```no_run
//! use testbed::{Options, ephemeral};
//!
//! let options = Options::new(1)?; // one node
//! let testbed = ephemeral(&options, &mut |line| eprintln!("{line}"))?;
//! println!("{}", testbed.testbed().status()?);
//! testbed.close()?;
//! # Ok::<(), testbed::Error>(())
//! ```

#![warn(clippy::print_stdout, clippy::print_stderr)]

pub mod ability;
mod cores;
mod counting;
mod effort;
mod ejfat;
mod error;
mod events;
mod fault;
mod firewall;
mod fresh;
mod gateway;
mod hops;
mod identity;
mod joint;
mod limits;
mod lock;
mod managed;
mod message;
mod network;
mod nlb;
mod options;
mod part;
mod place;
mod ports;
mod process;
mod programs;
mod proxies;
mod rabbitmq;
mod report;
mod routes;
mod running;
mod s3m;
mod sandbox;
mod secrets;
mod shared;
mod start;
mod state;
mod status;
mod stop;
mod supervisor;
mod tls;
mod tunnels;

use std::{ffi::OsString, path::PathBuf, process::ExitCode};

pub use distance::{Counters as Forwarded, Lateness};
pub use effort::Effort;
pub use ejfat::EjfatAccess;
pub use error::Error;
pub use fault::{Deed, InForce, Progress};
pub use gateway::find_gateway_program;
pub use hops::{Hop, Route};
pub use joint::{candidate_ports, free_ports, secrets_for};
pub use limits::{CpuLimits, Cpus, Limited};
pub use network::{
    Allocation, Congestion, Count, Distance, Disturbance, Facility, Link, NetworkChoice, Offers, Opened, Placement,
    Rule, WayText,
};
pub use nlb::check_route;
pub use options::{Options, default_dir};
pub use ports::PortRange;
pub use programs::check_programs;
pub use proxies::ProxyRoute;
pub use rabbitmq::extra::BrokerExtras;
pub use report::Report;
pub use routes::{Balance, IF_POSSIBLE, Routes};
pub use running::{Testbed, find};
pub use s3m::S3mAccess;
pub use shared::Shared;
pub use start::{Ephemeral, Starting, begin, ephemeral, up};
pub use status::{PartStatus, Status};
pub use stop::down;
pub use supervisor::supervise;
pub use tunnels::{control_server_part, greeting, proxy_part};

/// The result of this crate's functions.
pub type Result<T> = std::result::Result<T, Error>;

/// Runs one of the testbed's own processes if `arguments` (without the program's name) start one:
/// `testbed supervise ...`, `testbed s2cs ...`, `testbed reaper`, `testbed sandbox-check ...` or `testbed links-check ...`. Call it
/// first in `main`, before any thread exists: a process with threads cannot enter a user namespace.
pub fn run_hidden(arguments: impl IntoIterator<Item = OsString>) -> Option<ExitCode> {
    let arguments: Vec<String> =
        arguments.into_iter().map(|argument| argument.into_string().unwrap_or_default()).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        [
            "testbed",
            "supervise",
            "--dir",
            dir,
            "--nodes",
            nodes,
            "--start-limit-s",
            limit,
            "--routes",
            routes,
            "--network",
            network,
            "--cpu-limits",
            limits,
            rest @ ..,
        ] => {
            let names = routes.split(',').filter(|name| !name.is_empty());
            let (Ok(nodes), Ok(limit_s), Ok(routes), Ok(network)) =
                (nodes.parse(), limit.parse(), Routes::named(names), network.parse::<NetworkChoice>())
            else {
                return None;
            };
            let words = limits.split(',').filter(|word| !word.is_empty());
            let Ok(limits) = CpuLimits::read(words, nodes, &routes, &network) else { return None };
            let limit = std::time::Duration::from_secs(limit_s);
            supervise(&PathBuf::from(dir), nodes, routes, network, limits, limit, rest == ["--ephemeral"])
        }
        ["testbed", "s2cs", rest @ ..] => control_server(rest)?,
        ["testbed", "distance", "--dir", dir, "--conditions", conditions, "--queue-bytes", bytes] => {
            let (Ok(conditions), Ok(bytes)) = (conditions.parse(), bytes.parse()) else { return None };
            network::forwarder::serve(&PathBuf::from(dir), conditions, bytes)
        }
        ["testbed", "distance", "--host", pid, "--port", port, "--between-hosts", delay] => {
            network::forwarder::serve_host(pid.parse().ok()?, port, delay)
        }
        ["testbed", "reaper"] => sandbox::reap_until_orphaned(),
        ["testbed", "sandbox-check", isolation] => sandbox::check(isolation),
        ["testbed", "links-check", isolation] => ability::check_links(isolation),
        _ => return None,
    };
    Some(match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            message::log(error);
            ExitCode::FAILURE
        }
    })
}

/// A control server of SciStream as a part, until a signal; `None` if the words do not start one.
fn control_server(words: &[&str]) -> Option<Result<()>> {
    let [
        "--listen",
        listen,
        "--ports",
        ports,
        "--type",
        kind,
        "--dir",
        dir,
        "--token-file",
        token,
        "--cert",
        cert,
        "--key",
        key,
    ] = *words
    else {
        return None;
    };
    let (from, to) = ports.split_once('-')?;
    let read = |path| std::fs::read_to_string(path).ok();
    let range = from.parse().ok()?..=to.parse().ok()?;
    let options = scistream::Options {
        // Into the log of the part.
        log: |line| message::log(line),
        tokens: vec![read(token)?],
        identity: Some((read(cert)?, read(key)?)),
        ..scistream::Options::new(listen.parse().ok()?, range, kind.parse().ok()?, PathBuf::from(dir))
    };
    Some(scistream::serve(options, |_, _| ()).map_err(Error::from))
}
