//! What of a testbed this machine can have, each tried in the way a testbed uses it. Nothing of it stays.

use crate::{
    CpuLimits, Error, PortRange, Result, Routes,
    identity::Identity,
    limits::Groups,
    network::{Network, Offers, Tools},
    ports,
    process::Proc,
    programs,
    sandbox::{Isolation, Sandbox},
    secrets,
};
use shortage::SystemContext;
use std::{
    io::{self, Write},
    path::PathBuf,
    process::{Command, Stdio},
};

/// As many nodes as `testbed up` starts.
const NODES: usize = 3;

/// How parts are kept from outliving their supervisor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Keeping {
    /// The mechanism, in words.
    pub mechanism: String,
    /// Whether it consists of namespaces, which a network of its own needs too.
    pub has_namespaces: bool,
}

/// The version of the RabbitMQ from which a testbed would be started; its user can start it and its Erlang.
///
/// # Errors
///
/// [`Error::Missing`], or why it cannot be started.
pub fn broker() -> Result<String> {
    Ok(programs::find(&Routes::default(), &Identity::choose()?)?.version.to_string())
}

/// The strongest mechanism that works here.
///
/// # Errors
///
/// [`Error`] if this program's own file is unknown.
pub fn keeping() -> Result<Keeping> {
    let isolation = Isolation::choose(&own_program()?);
    Ok(Keeping { mechanism: isolation.to_string(), has_namespaces: isolation.has_namespaces() })
}

/// What the kernel offers for the links of a network of its own, tried by a process of its own.
///
/// # Errors
///
/// [`Error`] if there are no namespaces or no programs for it, or if the process fails.
pub fn links() -> Result<Offers> {
    let program = own_program()?;
    let isolation = Isolation::choose(&program);
    if !isolation.has_namespaces() {
        return Err(Error::NoNamespaces);
    }
    Tools::find()?;
    let output = Command::new(program)
        .args(["testbed", "links-check", isolation.word()])
        .stdin(Stdio::null())
        .output()
        .when("try a network of its own")?;
    let tried = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success());
    tried.ok_or_else(|| Error::Start(String::from_utf8_lossy(&output.stderr).trim().to_owned()))
}

/// The body of `testbed links-check`: writes what it finds, as JSON.
pub(crate) fn check_links(word: &str) -> Result<()> {
    // The host's /proc, before the sandbox has one of its own.
    let proc = Proc::open()?;
    let sandbox = Sandbox::enter(Isolation::of_word(word), &own_program()?)?;
    let offers = Network::offers(&proc, &Tools::find()?)?;
    let json = serde_json::to_vec(&offers).expect("offers are plain data");
    io::stdout().write_all(&json).when("report what was found")?;
    sandbox.end()
}

/// The control group below which limits of parts would be.
///
/// # Errors
///
/// [`Error::NoCpuLimits`] if there is none.
pub fn cpu_limits() -> Result<PathBuf> {
    let groups = Groups::choose(CpuLimits::default())?;
    Ok(groups.parent().to_owned())
}

/// The first and the last port of a testbed with every route.
///
/// # Errors
///
/// [`Error`] if the ports that it may use are not free, or too few.
pub fn free_range(range: Option<PortRange>) -> Result<(u16, u16)> {
    let routes = Routes::all();
    let ports = ports::reserve(NODES, &routes, None, range, secrets::random_number()?)?.ports;
    Ok((ports.base, ports.last(NODES, &routes)))
}

fn own_program() -> Result<PathBuf> {
    Ok(std::env::current_exe().when("find this program's own file")?)
}
