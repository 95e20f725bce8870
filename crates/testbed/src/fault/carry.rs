//! The supervisor's part: it does what a run requests, and undoes it when the run asks for that or is gone.

use super::{
    Deed,
    request::{self, Request},
};
use crate::{
    Error, Result, gateway, managed,
    message::log,
    network::{Network, host_of_part},
    part,
    ports::Ports,
    process::Process,
    rabbitmq::cluster::{Cluster, node_part},
    sandbox::Sandbox,
    secrets,
    state::State,
    tunnels::{self, Tunnels, s2ds_part},
};
use nix::sys::signal::Signal;
use std::{
    collections::BTreeMap,
    path::Path,
    time::{Duration, Instant},
};

/// How often owners are looked at while faults are in force.
pub const LOOK_EVERY: Duration = Duration::from_millis(500);

/// How long a killed process may take to be gone, where it is to be started again at once.
const GONE_LIMIT: Duration = Duration::from_secs(5);

/// What the supervisor does it with.
pub struct Hands<'a> {
    pub dir: &'a Path,
    pub sandbox: &'a mut Sandbox,
    pub cluster: &'a Cluster,
    pub tunnels: &'a Tunnels,
}

/// What is in force, by the number of its requests.
#[derive(Default)]
pub struct Faults(BTreeMap<u64, InForce>);

struct InForce {
    deed: Deed,
    owner: Process,
    undone: bool,
    /// Whether the requests of a control server that was started again are made anew.
    reopened: bool,
    /// The tool that has a node carry it out, as a part, while it runs.
    tool: Option<String>,
}

impl Faults {
    /// Whether something is in force, so that owners are to be looked at.
    pub fn any(&self) -> bool {
        self.0.values().any(|one| !one.undone)
    }

    /// Whether a broker node is down on purpose.
    pub fn hold_a_node(&self) -> bool {
        let holds = |one: &InForce| !one.undone && matches!(&one.deed, Deed::Kill(part) if part.starts_with("node "));
        self.0.values().any(holds)
    }

    /// Replies to every request that waits, and undoes what belongs to nobody any more.
    pub fn serve(&mut self, hands: &mut Hands<'_>) {
        for (number, step, request) in request::waiting(hands.dir) {
            let done = self.answer(number, request, hands).map_err(|error| match error {
                Error::Fault(reason) => reason,
                other => other.to_string(),
            });
            if let Err(error) = request::reply(hands.dir, number, step, &done) {
                log(error);
            }
        }
        for one in self.0.values_mut() {
            if !one.undone && !hands.sandbox.is_there(one.owner) {
                log(format_args!("the run that has caused a fault is gone, which is undone: {:?}", one.deed));
                if let Err(error) = one.undo(hands) {
                    log(error);
                }
            }
        }
    }

    fn answer(&mut self, number: u64, request: Request, hands: &mut Hands<'_>) -> Result<bool> {
        let unknown = || Error::Fault("the supervisor knows no such fault".to_owned());
        match request {
            Request::Begin(deed, owner) => {
                log(format_args!("on purpose: {deed:?}"));
                let mut one = InForce { deed, owner, undone: false, reopened: false, tool: None };
                one.begin(hands)?;
                self.0.insert(number, one);
                Ok(true)
            }
            Request::Undo => {
                let one = self.0.get_mut(&number).ok_or_else(unknown)?;
                log(format_args!("undone: {:?}", one.deed));
                one.undo(hands)?;
                Ok(true)
            }
            Request::Look => {
                let one = self.0.get_mut(&number).ok_or_else(unknown)?;
                let complete = one.look(hands)?;
                if complete && one.undone {
                    self.0.remove(&number);
                }
                Ok(complete)
            }
        }
    }
}

impl InForce {
    fn begin(&mut self, hands: &mut Hands<'_>) -> Result<()> {
        match &self.deed {
            Deed::Kill(part) => {
                if part == managed::INGRESS {
                    managed::keep_names(hands.dir)?;
                }
                hands.signal(part, Signal::SIGKILL)
            }
            Deed::Stop(part) => hands.signal(part, Signal::SIGSTOP),
            Deed::Link(host, disturbance) => hands.network()?.disturb(host, Some(*disturbance)),
            Deed::Alarm { node, resource } => {
                let term = format!("rabbit_alarm:set_alarm({{{{resource_limit, {resource}, node()}}, []}}).");
                self.tool = Some(hands.evaluate(*node, &term)?);
                Ok(())
            }
            Deed::MoveLeaders { vhost, queues } => {
                let node = hands.first_node()?;
                self.tool = Some(hands.evaluate(node, &moving(vhost, queues))?);
                Ok(())
            }
        }
    }

    fn undo(&mut self, hands: &mut Hands<'_>) -> Result<()> {
        if self.undone {
            return Ok(());
        }
        let undone = self.begin_to_undo(hands);
        self.undone = undone.is_ok();
        undone
    }

    fn begin_to_undo(&mut self, hands: &mut Hands<'_>) -> Result<()> {
        match &self.deed {
            Deed::Kill(part) => hands.start_again(part),
            Deed::Stop(part) => hands.signal(part, Signal::SIGCONT),
            Deed::Link(host, _) => hands.network()?.disturb(host, None),
            Deed::Alarm { node, resource } => {
                let term = format!("rabbit_alarm:clear_alarm({{resource_limit, {resource}, node()}}).");
                self.tool = Some(hands.evaluate(*node, &term)?);
                Ok(())
            }
            Deed::MoveLeaders { .. } => Ok(()),
        }
    }

    /// Whether it is complete.
    fn look(&mut self, hands: &mut Hands<'_>) -> Result<bool> {
        hands.sandbox.reap();
        if let Some(tool) = &self.tool {
            let Some(how) = hands.sandbox.has_ended(tool).map(str::to_owned) else { return Ok(false) };
            let printed = part::output(hands.dir, tool);
            let printed = printed.trim();
            hands.sandbox.forget(tool);
            let _ = std::fs::remove_file(part::console(hands.dir, tool));
            self.tool = None;
            let printed = printed.lines().last().unwrap_or("nothing").to_owned();
            if how != "exit code 0" {
                return Err(Error::Fault(format!("the broker could not do it ({how}): {printed}")));
            }
        }
        Ok(match (&self.deed, self.undone) {
            (Deed::Kill(part), false) => hands.is_gone(part)?,
            (Deed::Kill(part), true) => {
                let serves = hands.serves(part)?;
                if serves && !self.reopened {
                    hands.reopen(part)?;
                    self.reopened = true;
                }
                serves
            }
            _ => true,
        })
    }
}

/// Every queue's leadership goes to the first member that is not its leader; the printed value names a failure.
fn moving(vhost: &str, queues: &[String]) -> String {
    let names: Vec<String> = queues.iter().map(|queue| format!("<<\"{queue}\">>")).collect();
    format!(
        "lists:foreach(fun(Name) -> \
           {{ok, Q}} = rabbit_amqqueue:lookup(rabbit_misc:r(<<\"{vhost}\">>, queue, Name)), \
           {{RaName, Leader}} = Server = amqqueue:get_pid(Q), \
           {{ok, Members, {{_, Now}}}} = ra:members(Server), \
           [Next | _] = [Node || {{_, Node}} <- Members, Node =/= Now, lists:member(Node, [node() | nodes()])], \
           ok = ra:transfer_leadership({{RaName, Now}}, {{RaName, Next}}), _ = Leader \
         end, [{}]).",
        names.join(", ")
    )
}

impl Hands<'_> {
    fn ports(&self) -> Result<Ports> {
        Ok(self.state()?.addresses())
    }

    fn state(&self) -> Result<State> {
        State::load(self.dir)?.ok_or_else(|| Error::Fault("the testbed has no state".to_owned()))
    }

    fn network(&self) -> Result<&Network> {
        self.sandbox.network().ok_or_else(|| Error::Fault("the testbed has no network of its own".to_owned()))
    }

    /// Parts that others have started are known by the state file only.
    fn process(&self, part: &str) -> Result<Process> {
        self.state()?.process(part).ok_or_else(|| Error::Fault(format!("{part} has no process")))
    }

    fn is_alive(&self, part: &str) -> Result<bool> {
        Ok(self.sandbox.is_there(self.process(part)?))
    }

    /// A process whose first thread has ended may still hold its ports: a part is gone once it is reaped.
    fn is_gone(&self, part: &str) -> Result<bool> {
        if self.sandbox.alive().any(|alive| alive == part) { Ok(false) } else { Ok(!self.is_alive(part)?) }
    }

    fn signal(&self, part: &str, signal: Signal) -> Result<()> {
        if self.sandbox.signal_process(self.process(part)?, signal) {
            return Ok(());
        }
        Err(Error::Fault(format!("{part} is not running")))
    }

    /// Starts a part as it was started before, and writes its new process down.
    fn start_again(&mut self, part: &str) -> Result<()> {
        let end = Instant::now() + GONE_LIMIT;
        while !self.is_gone(part)? && Instant::now() < end {
            self.sandbox.reap();
            std::thread::sleep(Duration::from_millis(5));
        }
        let mut state = self.state()?;
        let process = match tunnels::of_data_server(part) {
            Some((route, end)) => {
                self.tunnels.renew(&route, end)?;
                newest_data_server(self.sandbox, &state, part)
            }
            None => Some(self.sandbox.start_again(part)?),
        };
        set_process(&mut state, part, process);
        state.save(self.dir)
    }

    /// Makes the requests of a control server anew: its data servers have ended with it, and the new one knows none.
    fn reopen(&self, part: &str) -> Result<()> {
        let Some((kind, end)) = tunnels::of_control_server(part) else { return Ok(()) };
        let mut state = self.state()?;
        for route in self.tunnels.of_kind(kind) {
            self.tunnels.reopen(route, end)?;
            let name = s2ds_part(route, end);
            let process = newest_data_server(self.sandbox, &state, &name);
            set_process(&mut state, &name, process);
        }
        state.save(self.dir)
    }

    /// Whether a part does what it is for.
    fn serves(&self, part: &str) -> Result<bool> {
        let ports = self.ports()?;
        let numbered = |prefix: &str| part.strip_prefix(prefix)?.parse::<usize>().ok();
        if let Some(how) = self.sandbox.has_ended(part) {
            let last = self.cluster.last_lines(part);
            return Err(Error::Fault(format!("{part} was started again and has ended with {how}: {last}")));
        }
        Ok(if let Some(node) = numbered("node ") {
            self.cluster.api().listens(node)
        } else if let Some(replica) = numbered("gateway ") {
            tunnels::listens(gateway::at(ports, replica))
        } else if [managed::BALANCER, managed::INGRESS].contains(&part) {
            managed::is_up(ports, part)
        } else if tunnels::of_control_server(part).is_some() {
            let listener = self.state()?.port_of(part);
            listener.is_some_and(|port| tunnels::listens(ports.at(host_of_part(ports.hosts, part), port)))
        } else {
            self.is_alive(part)?
        })
    }

    fn first_node(&self) -> Result<usize> {
        let nodes = self.cluster.nodes_here();
        let alive = |node: &usize| self.sandbox.alive().any(|part| part == node_part(*node));
        nodes.into_iter().find(alive).ok_or_else(|| Error::Fault("no broker node is up".to_owned()))
    }

    /// Has a node evaluate an Erlang term, by a tool that is a part until it ends.
    fn evaluate(&mut self, node: usize, term: &str) -> Result<String> {
        let number = secrets::random_number()? >> 32;
        let name = Cluster::tool_part(node, number);
        let command = self.cluster.tool(node, number, term)?;
        self.sandbox.start(&name, command)?;
        Ok(name)
    }
}

/// The newest child of a data server's control server: it was started last.
fn newest_data_server(sandbox: &Sandbox, state: &State, part: &str) -> Option<Process> {
    let server = state.process(&tunnels::server_of(part)?)?;
    sandbox.children(server).into_iter().next_back()
}

fn set_process(state: &mut State, name: &str, process: Option<Process>) {
    if let Some(part) = state.parts.iter_mut().find(|part| part.name == name) {
        part.process = process;
    }
}
