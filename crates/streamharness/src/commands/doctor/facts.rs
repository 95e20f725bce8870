//! What there is on this host, gathered for the judgement: looked at and tried with the parts that runs and testbeds use.

use super::ranks::Outcome;
use crate::{
    host::{
        machine::{self, line},
        program,
    },
    route::{
        addressed,
        ejfat::{Address, Introduced, introduced},
        login,
    },
    terminal::exit::{Exit, Failure},
};
use comm_mpi::MpiComm;
use nix::{
    sys::resource::{Resource, getrlimit},
    unistd::geteuid,
};
use profile::RouteProfile;
use scistream::Kind;
use std::{
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};
use testbed::{
    Offers, PortRange,
    ability::{self, Keeping},
};
use transport_amqp::{AmqpRoute, Presented, presented, reachable};

/// How long another program may take to print its version.
const VERSION_LIMIT: Duration = Duration::from_secs(20);
/// How long a service may take to reply.
const SERVICE_LIMIT: Duration = Duration::from_secs(10);
/// Settings that forbid namespaces to ordinary users.
const USER_NAMESPACES: [&str; 3] =
    ["kernel.apparmor_restrict_unprivileged_userns", "kernel.unprivileged_userns_clone", "user.max_user_namespaces"];
const CLOCK: &str = "/sys/devices/system/clocksource/clocksource0";

/// A program that parts are started from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Program {
    /// What it says of its version.
    Here(String),
    /// Half a sentence, and the packages that have it.
    Missing(String, String),
    /// It is here and cannot be used, with the reason.
    Unusable(String),
}

/// A service, as far as it could be reached.
#[derive(Debug, Clone, PartialEq)]
pub struct Reached {
    /// Its address, without a password.
    pub url: String,
    /// How it presents itself.
    pub presented: Result<Presented, String>,
    /// The login; `None` if it does not get so far.
    pub login: Option<Result<(), String>>,
}

/// All that is judged.
#[derive(Debug, Clone)]
pub struct Facts {
    pub is_root: bool,
    pub library: String,
    pub ranks: Outcome,
    /// What `srun --mpi=list` prints, if there is a Slurm.
    pub srun: Option<String>,
    /// Files that this process may open, and may allow itself to open.
    pub files: Option<(u64, u64)>,
    pub ports: Result<(u16, u16), String>,
    pub broker: Program,
    pub haproxy: Program,
    pub stunnel: Program,
    pub envoy: Program,
    pub balancer: Result<(), String>,
    pub keeping: Result<Keeping, String>,
    /// Settings of the kernel on namespaces, with their values.
    pub user_namespaces: Vec<(&'static str, u64)>,
    pub links: Result<Offers, String>,
    pub cpu_limits: Result<PathBuf, String>,
    /// Most bytes of a socket's buffer, to receive and to send.
    pub buffers: [Option<u64>; 2],
    /// The kernel's clock, and those that it could use.
    pub clock: Option<(String, String)>,
    /// TCP's congestion control, and what can be chosen.
    pub congestion: Option<(String, String)>,
    pub governor: Option<String>,
    /// Of each given address.
    pub services: Vec<Reached>,
    /// A control plane of EJFAT.
    pub control_plane: Option<Introduced>,
}

impl Facts {
    /// Gathers them. `written` has the addresses and ports that were given.
    pub fn gather(written: &RouteProfile, ranks: Outcome) -> Result<Self, Failure> {
        let control_plane = Address::find(written).map(|address| introduced(written, &address)).transpose()?;
        let mut brokers = written.clone();
        let of_brokers: Vec<String> =
            written.urls.iter().flatten().filter(|url| !url.starts_with("ejfat")).cloned().collect();
        brokers.urls = (!of_brokers.is_empty()).then_some(of_brokers);
        if brokers.urls != written.urls {
            // The token is for the control plane.
            brokers.token_file = None;
        }
        let services =
            addressed::routes(&brokers)?.iter().map(|route| reach(&brokers, route)).collect::<Result<_, _>>()?;
        let range = match &written.ports {
            Some(text) => Some(text.parse().map_err(usage)?),
            None => PortRange::of_environment().map_err(usage)?,
        };
        let machine = machine::describe();
        let number = |name: &str| line(sysctl(name))?.parse::<u64>().ok();
        let srun = program::on_path("srun").and_then(|path| {
            let listed = program::run(Command::new(path).arg("--mpi=list"), VERSION_LIMIT).ok()?;
            // Without a cluster there is an srun, and nothing that it could start.
            listed.success.then_some(listed.text)
        });
        let of_pair = |one: PathBuf, all: PathBuf| Some((line(one)?, line(all)?));
        let congestion = |which: &str| sysctl(&format!("net.ipv4.tcp_{which}congestion_control"));
        Ok(Self {
            is_root: geteuid().is_root(),
            library: MpiComm::library(),
            ranks,
            srun,
            files: getrlimit(Resource::RLIMIT_NOFILE).ok(),
            ports: ability::free_range(range).map_err(text),
            broker: broker(),
            haproxy: proxy(Kind::Haproxy, "-v"),
            stunnel: proxy(Kind::Stunnel, "-version"),
            envoy: envoy(),
            balancer: testbed::check_route("dts-nlb", false).map_err(text),
            keeping: ability::keeping().map_err(text),
            user_namespaces: USER_NAMESPACES.into_iter().filter_map(|name| Some((name, number(name)?))).collect(),
            links: ability::links().map_err(text),
            cpu_limits: ability::cpu_limits().map_err(text),
            buffers: ["net.core.rmem_max", "net.core.wmem_max"].map(number),
            clock: of_pair(
                Path::new(CLOCK).join("current_clocksource"),
                Path::new(CLOCK).join("available_clocksource"),
            ),
            congestion: of_pair(congestion(""), congestion("available_")),
            governor: machine.governor,
            services,
            control_plane,
        })
    }
}

fn sysctl(name: &str) -> PathBuf {
    Path::new("/proc/sys").join(name.replace('.', "/"))
}

fn text(error: testbed::Error) -> String {
    error.to_string()
}

fn usage(error: testbed::Error) -> Failure {
    Failure::new(Exit::Usage, error)
}

fn broker() -> Program {
    match ability::broker() {
        Ok(version) => Program::Here(format!("RabbitMQ {version}")),
        Err(testbed::Error::Missing { what, packages, .. }) => Program::Missing(what, packages),
        Err(error) => Program::Unusable(error.to_string()),
    }
}

fn proxy(kind: Kind, flag: &str) -> Program {
    found(kind.find(), flag)
}

/// It has no package: the last field names what launch/setup does.
fn envoy() -> Program {
    found(testbed::find_gateway_program(), "--version")
}

fn found(program: Result<PathBuf, scistream::Error>, flag: &str) -> Program {
    match program {
        Ok(path) => version(&path, flag),
        Err(scistream::Error::NoProgram { program, place, package, .. }) => {
            Program::Missing(format!("no {program} in {place}"), package.to_owned())
        }
        Err(error) => Program::Unusable(error.to_string()),
    }
}

/// The first line that has a number in it: some print a blank line or a log's before.
fn version(path: &Path, flag: &str) -> Program {
    match program::run(Command::new(path).arg(flag), VERSION_LIMIT) {
        Ok(ran) => {
            let line = ran.text.lines().map(str::trim).find(|line| line.contains(|char: char| char.is_ascii_digit()));
            Program::Here(line.unwrap_or("of an unknown version").to_owned())
        }
        Err(reason) => Program::Unusable(format!("{} {reason}", path.display())),
    }
}

fn reach(written: &RouteProfile, route: &AmqpRoute) -> Result<Reached, Failure> {
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build())
        .map_err(|error| Failure::new(Exit::Route, error))?;
    let url = route.consumer[0].to_string();
    let presented = runtime.block_on(presented(route, SERVICE_LIMIT)).map_err(|fault| fault.sentence);
    let login = presented.is_ok().then(|| {
        let mut route = route.clone();
        login::settle(written, &mut route, None).map_err(|failure| failure.sentence)?;
        runtime.block_on(reachable(&route, SERVICE_LIMIT)).map_err(|fault| fault.sentence)
    });
    Ok(Reached { url, presented, login })
}
