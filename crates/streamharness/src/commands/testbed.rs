//! `streamharness testbed`: a lasting local service.

use crate::{
    cli::arguments::{Testbed, TestbedUp},
    commands::span,
    terminal::{
        exit::{Exit, Failure},
        stdout,
    },
};
use profile::{Layer, Network, Origin, combine};
use std::{path::Path, time::Duration};

/// Carries out the command. `exec` ends with the exit code of its own command.
pub fn testbed(command: Testbed) -> Result<Exit, Failure> {
    let dir = testbed::default_dir();
    let running = || {
        testbed::find(&dir).map_err(unusable)?.ok_or_else(|| {
            Failure::new(Exit::Route, "no testbed is running: start one with `streamharness testbed up`")
        })
    };
    match command {
        Testbed::Up(options) => up(*options),
        Testbed::Span { arch, service_hosts, interface, ports, out } => {
            let routes = arch.iter().map(|arch| route_name(arch)).collect::<Result<Vec<String>, Failure>>()?;
            let ports =
                ports.map(|range| range.parse().map_err(|error| Failure::new(Exit::Usage, error))).transpose()?;
            let ports = ports
                .map_or_else(|| testbed::PortRange::of_environment().map_err(unusable), |given| Ok(Some(given)))?;
            span::span(&routes, service_hosts, interface, ports, &out)
        }
        Testbed::Status => {
            stdout::print(&running()?.status().map_err(unusable)?.to_string())?;
            Ok(Exit::Pass)
        }
        Testbed::Env => {
            stdout::print(&running()?.env_lines())?;
            Ok(Exit::Pass)
        }
        Testbed::Exec { command } => {
            let code = running()?.exec(&command).map_err(unusable)?;
            // The command's own code, which need not be one of ours.
            std::process::exit(i32::from(code))
        }
        Testbed::Down => {
            testbed::down(&dir, &mut |line| crate::terminal::stderr::say(line)).map_err(unusable)?;
            Ok(Exit::Pass)
        }
    }
}

fn unusable(error: testbed::Error) -> Failure {
    Failure::new(Exit::Route, error)
}

fn up(options: TestbedUp) -> Result<Exit, Failure> {
    let TestbedUp {
        arch,
        nodes,
        balance,
        network,
        ports,
        link,
        delay,
        distance,
        sites,
        firewall,
        jitter,
        loss,
        reorder,
        congestion,
        mtu,
        scale,
        cpu_limit,
        plugin,
        broker_config,
        start_limit,
    } = options;
    let routes = arch.iter().map(|arch| route_name(arch)).collect::<Result<Vec<String>, Failure>>()?;
    let wrong = |error: testbed::Error| Failure::new(Exit::Usage, error);
    let opened = firewall.then(|| testbed::Opened::of(routes.iter().map(String::as_str)));
    if firewall && !sites {
        let sentence = "a firewall stands between two sites: add --network facility --sites, or leave --firewall out";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let mut routes = testbed::Routes::named(routes.iter().map(String::as_str)).map_err(wrong)?;
    if let (Some(managed), Some(balance)) = (&mut routes.managed, balance) {
        *managed = balance.parse().map_err(wrong)?;
    }
    if ports.is_some() && network == "facility" {
        let sentence = "a facility network has ports of its own: leave --ports out, or use --network loopback";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    let preset = distance.map(|name| Network::read(&name, |path| std::fs::read_to_string(path)));
    let preset = preset.transpose().map_err(crate::cli::flags::failure)?;
    let of_preset = |field: fn(&Network) -> Option<&str>| preset.as_ref().and_then(field);
    let way = testbed::WayText {
        delay: delay.as_deref().or(of_preset(|network| Some(&network.delay))),
        jitter: jitter.as_deref().or(of_preset(|network| network.jitter.as_deref())),
        loss: loss.as_deref().or(of_preset(|network| network.loss.as_deref())),
        reorder: reorder.as_deref().or(of_preset(|network| network.reorder.as_deref())),
    };
    let congestion = congestion.as_deref().and_then(|name| name.parse().ok());
    let network = match network_choice(&network, &link, way, (sites, congestion), scale)? {
        testbed::NetworkChoice::Facility(facility) => {
            facility.check_hosts(nodes).map_err(wrong)?;
            let mtu = mtu.unwrap_or(facility.mtu);
            testbed::NetworkChoice::Facility(testbed::Facility { firewall: opened, mtu, ..facility })
        }
        _ if mtu.is_some() => {
            let sentence =
                "the MTU is that of the links of the facility network: add --network facility, or leave --mtu out";
            return Err(Failure::new(Exit::Usage, sentence));
        }
        other => other,
    };
    let limits = cpu_limit.iter().map(String::as_str);
    let cpu_limits = testbed::CpuLimits::read(limits, nodes, &routes, &network).map_err(wrong)?;
    let broker = broker_extras(plugin, broker_config.as_deref())?;
    let new = testbed::Options::new(nodes).map_err(unusable)?;
    let ports = ports.map(|range| range.parse().map_err(wrong)).transpose()?.or(new.ports);
    let start_limit = start_limit.map_or(new.start_limit, Duration::from_secs);
    let options = testbed::Options { routes, network, ports, cpu_limits, broker, start_limit, ..new };
    testbed::up(&options, &mut |line| crate::terminal::stderr::say(line)).map_err(unusable)?;
    Ok(Exit::Pass)
}

fn broker_extras(plugins: Vec<String>, file: Option<&Path>) -> Result<testbed::BrokerExtras, Failure> {
    let usage = |error: &dyn std::fmt::Display| Failure::new(Exit::Usage, error);
    let read = |path: &Path| {
        std::fs::read_to_string(path)
            .map_err(|error| usage(&format!("cannot read --broker-config `{}`: {error}", path.display())))
    };
    let lines = file.map(read).transpose()?.unwrap_or_default();
    testbed::BrokerExtras::new(plugins, lines).map_err(|error| usage(&error))
}

/// The network of the parts.
fn network_choice(
    network: &str,
    links: &[String],
    way: testbed::WayText<'_>,
    (sites, congestion): (bool, Option<testbed::Congestion>),
    scale: Option<f64>,
) -> Result<testbed::NetworkChoice, Failure> {
    if network == "facility" {
        let links = links.iter().map(String::as_str);
        let facility = testbed::Facility::parse(links, scale.unwrap_or(1.0), way);
        let facility = facility.map(|facility| testbed::Facility { congestion, sites, ..facility });
        return facility.map(testbed::NetworkChoice::Facility).map_err(|error| Failure::new(Exit::Usage, error));
    }
    if sites || !links.is_empty() || scale.is_some() || congestion.is_some() || way != testbed::WayText::default() {
        let sentence = "links belong to the facility network: add --network facility, or leave --link, --scale, --delay, --distance, \
             --jitter, --loss, --reorder, --sites and --congestion out";
        return Err(Failure::new(Exit::Usage, sentence));
    }
    Ok(testbed::NetworkChoice::Loopback)
}

/// The testbed's route for an architecture, by its profile; `:if-possible` may follow.
fn route_name(arch: &str) -> Result<String, Failure> {
    if arch == "all" {
        return Ok(arch.to_owned());
    }
    if let Some(arch) = arch.strip_suffix(testbed::IF_POSSIBLE) {
        return Ok(route_name(arch)? + testbed::IF_POSSIBLE);
    }
    let mut table = toml::Table::new();
    table.insert("arch".to_owned(), toml::Value::String(arch.to_owned()));
    let layer = Layer::new(Origin::CommandLine, table).map_err(crate::cli::flags::failure)?;
    let profile = combine(&[layer], |path| std::fs::read_to_string(path)).map_err(crate::cli::flags::failure)?;
    profile.route.testbed.ok_or_else(|| {
        Failure::new(
            Exit::Usage,
            format!("architecture `{arch}` has no local testbed: its addresses are in its profile"),
        )
    })
}
