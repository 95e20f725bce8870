//! `streamharness predict --calibrate DIR -o FILE`: a testbed whose costs are those of one's own machine.

use super::{Assumptions, RANKS, refused};
use crate::{
    cli::arguments,
    files::whole,
    host::machine,
    terminal::{
        exit::{Exit, Failure},
        stderr::say,
        stdout,
    },
};
use figures::{Failed, Run, input};
use measure::record::CpuLimit;
use model::Sample;
use profile::{Layer, Origin, Plan, Profile, Rate, combine};
use std::{collections::BTreeSet, path::Path};

/// Bits per second of links that limit nothing: those of a testbed on loopback.
const UNLIMITED: f64 = 1e12;

/// Reads the runs, fits, and writes the file.
pub fn calibrate(arguments: &arguments::Predict, output: &Path) -> Result<Exit, Failure> {
    let base = arguments.testbed.as_deref().unwrap_or("facility-emulated");
    let loaded = figures::load(&arguments.calibrate, Failed::Use).map_err(|error| Failure::new(Exit::Usage, error))?;
    loaded.runs.iter().try_for_each(check)?;
    let rates: BTreeSet<Option<u64>> = loaded.runs.iter().map(service_rate).collect();
    let [rate] = rates.into_iter().collect::<Vec<_>>()[..] else {
        return Err(Failure::new(
            Exit::Profile,
            "the runs went over links of different rates: give those of one network",
        ));
    };
    let mut assumed = Assumptions::read(base, 1.0, arguments.ranks.unwrap_or(RANKS), &arguments.hypothesis)?;
    let limited = assumed.testbed.hosts.values_mut().filter_map(|host| host.link.as_mut());
    limited.for_each(|link| *link = Rate::Bits(rate.map_or(UNLIMITED, |bits| bits as f64)));
    let samples: Vec<Sample> = loaded.runs.iter().map(sample).collect::<Result<_, _>>()?;
    let fit = model::calibrate(&samples, base, &assumed.testbed, |improvements, error| {
        if improvements % 5 == 0 {
            say(format!("{improvements} improvements; the sum of logarithms that are off is {error:.3}"));
        }
    });
    let fit = fit.map_err(refused)?;
    let cpu = machine::cpu_model().unwrap_or_else(|| "a machine".to_owned());
    let about = format!("costs on {} cores of {cpu}, fitted to {} runs", machine::cores(), samples.len());
    whole::write(output, fit.to_toml(base, &about).as_bytes())
        .map_err(|error| Failure::new(Exit::Usage, format!("cannot write `{}`: {error}", output.display())))?;
    let mut text = format!("{about}\n");
    for (group, factor) in &fit.factors {
        text += &format!("{group:24} x {factor:.2}\n");
    }
    text += &format!("\n{:40} {:>12} {:>20}\n", "predicted over measured", "rate", "median round trip");
    for (name, rate, rtt) in &fit.residuals {
        let off = |ratio: f64| format!("{:+.0} %", (ratio - 1.0) * 100.0);
        text += &format!("{name:40} {:>12} {:>20}\n", off(*rate), rtt.map_or_else(|| "-".to_owned(), off));
    }
    text += &format!("\nuse it with --testbed {}\n", output.display());
    stdout::print(&text)?;
    Ok(Exit::Pass)
}

/// Refuses what tells nothing about the costs of this machine.
fn check(run: &Run) -> Result<(), Failure> {
    let Run { dir, record } = run;
    let environment = &record.environment;
    let here = (machine::cpu_model(), Some(machine::cores()));
    let sentence = if record.prediction.is_some() {
        "is a prediction: calibrate by measurements"
    } else if !record.status.pass {
        "failed: leave it out, or run it again"
    } else if environment.hosts.len() > 1 {
        "is of several hosts, and costs are those of one: calibrate by a launch on this machine"
    } else if (environment.cpu_model.clone(), environment.cores) != here {
        "is of another machine: calibrate there, or run the experiment here"
    } else {
        return Ok(());
    };
    Err(Failure::new(Exit::Profile, format!("the run `{}` {sentence}", dir.display())))
}

/// The rate of the service's links, in bits per second; `None` where no link is limited.
fn service_rate(run: &Run) -> Option<u64> {
    run.record.links.iter().find(|link| link.host.starts_with("dsn")).and_then(|link| link.rate_bits_per_second)
}

fn sample(run: &Run) -> Result<Sample, Failure> {
    let Run { dir, record } = run;
    let unusable = |what: String| Failure::new(Exit::Profile, format!("the run `{}` {what}", dir.display()));
    let plan: Plan = serde_json::from_value(record.plan.clone())
        .map_err(|error| unusable(format!("has a plan that this version does not read: {error}")))?;
    let route = route_of(&plan.architecture)
        .ok_or_else(|| unusable(format!("is of {}, which no testbed has: leave it out", plan.architecture)))?;
    let rate = record.throughput.messages_per_second;
    let part = |limit: &CpuLimit| match part_of(&limit.part) {
        Some(part) => Ok((part, limit.cores)),
        None => Err(unusable(format!(
            "had {} CPU for {}, which the model cannot limit: leave it out",
            limit.cores, limit.part
        ))),
    };
    let limits = record.cpu_limits.iter().map(part).collect::<Result<_, _>>()?;
    let rtt = record.latency.get("rtt_from_sent").and_then(|rtt| rtt.p50_ns);
    Ok(Sample {
        name: record.point.as_ref().map_or_else(|| dir.display().to_string(), |point| point.name.clone()),
        messages_per_second: rate.ok_or_else(|| unusable("has no throughput: leave it out".to_owned()))?,
        round_trip_ns: rtt.map(|ns| ns as f64),
        plan,
        route,
        limits,
    })
}

/// What testbeds call a part of a running testbed.
fn part_of(name: &str) -> Option<String> {
    match name.strip_prefix("s2cs ") {
        Some(proxy) => Some(proxy.replace("stunnel-null", "null").replace(' ', "-")),
        None => ["ingress", "balancer"].contains(&name).then(|| name.to_owned()),
    }
}

/// The route of a shipped architecture in a testbed.
fn route_of(architecture: &str) -> Option<String> {
    let layer = Layer::parse(Origin::CommandLine, &format!("arch = {architecture:?}")).ok()?;
    let profile: Profile = combine(&[layer], |path| input::profile(path)).ok()?;
    profile.route.testbed
}

#[cfg(test)]
mod tests {
    use super::*;
    use measure::{
        Record,
        record::{Environment, Link, Prediction},
    };
    use model::Testbed;

    /// A sound run of this machine.
    fn run(change: impl FnOnce(&mut Record)) -> Run {
        let environment =
            Environment { cpu_model: machine::cpu_model(), cores: Some(machine::cores()), ..Environment::default() };
        let mut record = Record { environment, ..Record::default() };
        record.status.pass = true;
        change(&mut record);
        Run { dir: "one".into(), record }
    }

    #[test]
    fn only_sound_measurements_of_this_machine_tell_its_costs() {
        assert!(check(&run(|_| ())).is_ok());
        let refused = |change: fn(&mut Record)| check(&run(change)).unwrap_err();
        for (failure, expected) in [
            (refused(|record| record.prediction = Some(Prediction::default())), "is a prediction"),
            (refused(|record| record.status.pass = false), "failed: leave it out"),
            (refused(|record| record.environment.cores = Some(4_096)), "is of another machine"),
            (refused(|record| record.environment.cpu_model = Some("Z80".to_owned())), "is of another machine"),
            (refused(|record| record.environment.hosts = ["a", "b"].map(str::to_owned).into()), "of several hosts"),
        ] {
            assert!(
                failure.sentence.starts_with("the run `one` ") && failure.sentence.contains(expected),
                "{failure:?}"
            );
            assert_eq!(failure.exit, Exit::Profile);
        }
    }

    #[test]
    fn limited_parts_have_the_names_of_testbeds() {
        let testbed = Testbed::named("facility-emulated", &[], 1.0, |path| input::profile(path)).unwrap();
        for name in
            ["s2cs haproxy producer", "s2cs stunnel consumer", "s2cs stunnel-null producer", "ingress", "balancer"]
        {
            assert!(testbed.parts.contains_key(&part_of(name).unwrap()), "{name}");
        }
        assert_eq!(part_of("node 1"), None);
    }

    #[test]
    fn the_rate_of_the_service_is_that_of_its_nodes_links() {
        let link = |host: &str, rate| Link { host: host.into(), rate_bits_per_second: rate, ..Link::default() };
        let links = vec![link("clients", None), link("dsn1", Some(5)), link("lb", Some(7))];
        assert_eq!(service_rate(&run(|record| record.links = links)), Some(5));
        assert_eq!(service_rate(&run(|_| ())), None);
    }

    #[test]
    fn a_shipped_architecture_has_a_route_in_testbeds_and_others_have_none() {
        assert_eq!(route_of("prs").as_deref(), Some("prs-haproxy"));
        assert_eq!(route_of("no-such-architecture"), None);
    }
}
