//! Fits the costs of a testbed to runs on it, and tells by how much it is still off.
//!
//! One factor belongs to each group of costs: the clients', the nodes', TLS, and the work of each part that a run passes.
//! Where links are limited, their headers are fitted too. A pattern search in logarithmic steps makes the logarithms of
//! predicted over measured numbers least, rates and median round trips alike. What the runs cannot tell stays as it was: a
//! factor has to pay for leaving 1.

use crate::{
    error::ModelError,
    simulation::simulate,
    testbed::{Testbed, Work},
};
use measure::Metric;
use profile::Plan;
use std::{borrow::Cow, collections::BTreeSet, fmt::Write};

/// First step of the search, as a logarithm: a factor of 2.
const FIRST_STEP: f64 = std::f64::consts::LN_2;
/// The search ends when steps are this small: 2 %.
const LAST_STEP: f64 = 0.02;
/// No factor leaves this range; whatever would is not to be had from these runs.
const FACTOR_MAX: f64 = 50.0;
/// What a factor of e costs, in the units of the error: as much as one number that is off by 5 %.
const PRICE: f64 = 0.05;
/// Most headers of a link, per byte of data.
const OVERHEAD_MAX: f64 = 0.5;

/// A run that costs are fitted to.
#[derive(Debug, Clone)]
pub struct Sample {
    /// What it is called in the table of residuals.
    pub name: String,
    /// Its plan.
    pub plan: Plan,
    /// Its route in the testbed.
    pub route: String,
    /// Parts whose CPU was limited, with their limits in cores.
    pub limits: Vec<(String, f64)>,
    /// Its rate of delivery.
    pub messages_per_second: f64,
    /// Its median round trip, if the pattern has one.
    pub round_trip_ns: Option<f64>,
}

/// What was fitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The testbed with the fitted costs.
    pub testbed: Testbed,
    /// Each group with its factor.
    pub factors: Vec<(String, f64)>,
    /// Predicted over measured, by sample: the rate, and the median round trip.
    pub residuals: Vec<(String, f64, Option<f64>)>,
}

/// A group of costs that one factor multiplies.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Group {
    Clients,
    Nodes,
    Tls,
    Part(String),
    Headers,
}

/// Fits. `tell` hears of the progress: how often the error became smaller, and the error.
///
/// # Errors
///
/// [`ModelError`] if a sample has a plan or a route that the testbed or the model does not know.
pub fn calibrate(
    samples: &[Sample],
    name: &str,
    base: &Testbed,
    mut tell: impl FnMut(usize, f64),
) -> Result<Fit, ModelError> {
    let groups = groups(samples, base);
    let mut logs = vec![0.0_f64; groups.len()];
    let testbed_of = |logs: &[f64]| {
        let mut testbed = base.clone();
        groups.iter().zip(logs).for_each(|(group, log)| group.multiply(&mut testbed, log.exp()));
        testbed
    };
    let error_of = |logs: &[f64]| -> Result<f64, ModelError> {
        let residuals = residuals(samples, name, &testbed_of(logs))?;
        // Not their squares: a single run that was slow for a reason of its own must not decide.
        let off = |ratio: f64| ratio.max(1e-9).ln().abs();
        let price: f64 = logs.iter().map(|log| PRICE * log.abs()).sum();
        Ok(price + residuals.iter().map(|(_, rate, rtt)| off(*rate) + rtt.map_or(0.0, off)).sum::<f64>())
    };
    let mut error = error_of(&logs)?;
    let (mut step, mut improvements) = (FIRST_STEP, 0);
    while step > LAST_STEP {
        let before = error;
        for place in 0..logs.len() {
            for direction in [step, -step] {
                let mut tried = logs.clone();
                tried[place] = (tried[place] + direction).clamp(-FACTOR_MAX.ln(), FACTOR_MAX.ln());
                let found = error_of(&tried)?;
                if found < error {
                    (error, logs) = (found, tried);
                    improvements += 1;
                    tell(improvements, error);
                    break;
                }
            }
        }
        if error >= before {
            step /= 2.0;
        }
    }
    let testbed = testbed_of(&logs);
    Ok(Fit {
        residuals: residuals(samples, name, &testbed)?,
        factors: groups.iter().map(Group::name).zip(logs.iter().map(|log| log.exp())).collect(),
        testbed,
    })
}

impl Fit {
    /// The fitted costs as a testbed's file that rests on `base`.
    pub fn to_toml(&self, base: &str, about: &str) -> String {
        let Testbed { hosts, costs, parts, wire, .. } = &self.testbed;
        let work = |work: Work| {
            let rounded = |cost: f64| (cost * 1e4).round() / 1e4;
            format!(
                "{{ us = {:?}, packet_us = {:?}, byte_ns = {:?} }}",
                rounded(work.us),
                rounded(work.packet_us),
                rounded(work.byte_ns)
            )
        };
        let mut text = format!("about = {about:?}\nlike = {base:?}\n\n[wire]\noverhead = {:?}\n", wire.overhead);
        // Writing to a string cannot fail.
        for (name, host) in hosts {
            if let Some(link) = host.link {
                let _ = write!(text, "\n[hosts.{name}]\nlink = \"{link}\"\n");
            }
        }
        text += "\n[costs]\n";
        for (key, cost) in costs.all() {
            let _ = writeln!(text, "{key} = {}", work(cost));
        }
        for (name, part) in parts {
            if self.factors.iter().any(|(group, _)| group == name) {
                let _ = write!(text, "\n[parts.{name}]\nwork = {}\n", work(part.work));
            }
        }
        text
    }
}

/// The groups that the samples can tell something about.
fn groups(samples: &[Sample], base: &Testbed) -> Vec<Group> {
    let mut groups = BTreeSet::from([Group::Clients, Group::Nodes]);
    for route in samples.iter().filter_map(|sample| base.routes.get(&sample.route)) {
        groups.extend(route.tls.then_some(Group::Tls));
        groups.extend(route.producer.iter().chain(&route.consumer).cloned().map(Group::Part));
    }
    if base.service.nodes.iter().any(|node| base.hosts[node].link.is_some()) {
        groups.insert(Group::Headers);
    }
    groups.into_iter().collect()
}

impl Group {
    fn name(&self) -> String {
        match self {
            Self::Clients => "clients".to_owned(),
            Self::Nodes => "nodes".to_owned(),
            Self::Tls => "tls".to_owned(),
            Self::Part(name) => name.clone(),
            Self::Headers => "headers of links".to_owned(),
        }
    }

    fn multiply(&self, testbed: &mut Testbed, factor: f64) {
        let costs = &mut testbed.costs;
        match self {
            Self::Clients => {
                for work in [&mut costs.publish, &mut costs.consume, &mut costs.client_control] {
                    work.multiply(factor);
                }
            }
            Self::Nodes => {
                let queues = [&mut costs.enqueue, &mut costs.dequeue];
                let connections =
                    [&mut costs.receive, &mut costs.deliver, &mut costs.transfer, &mut costs.node_control];
                queues.into_iter().chain(connections).for_each(|work| work.multiply(factor));
            }
            Self::Tls => costs.tls.multiply(factor),
            Self::Part(name) => {
                if let Some(part) = testbed.parts.get_mut(name) {
                    part.work.multiply(factor);
                }
            }
            Self::Headers => testbed.wire.overhead = (testbed.wire.overhead * factor).min(OVERHEAD_MAX),
        }
    }
}

impl Work {
    fn multiply(&mut self, factor: f64) {
        self.us *= factor;
        self.packet_us *= factor;
        self.byte_ns *= factor;
    }
}

/// Predicted over measured.
fn residuals(samples: &[Sample], name: &str, testbed: &Testbed) -> Result<Vec<(String, f64, Option<f64>)>, ModelError> {
    let mut all = Vec::new();
    let mut last: Option<(&Sample, Predicted)> = None;
    for sample in samples {
        let predicted = match last {
            // Repetitions follow each other, and the model has no noise.
            Some((other, predicted)) if sample.is_run_as(other) => predicted,
            _ => sample.predicted(name, testbed)?,
        };
        last = Some((sample, predicted));
        let rtt = sample.round_trip_ns.zip(predicted.round_trip_ns);
        let rtt = rtt.map(|(measured, predicted)| predicted as f64 / measured);
        all.push((sample.name.clone(), predicted.messages_per_second / sample.messages_per_second, rtt));
    }
    Ok(all)
}

/// What the model says of a sample.
#[derive(Clone, Copy)]
struct Predicted {
    messages_per_second: f64,
    round_trip_ns: Option<u64>,
}

impl Sample {
    fn is_run_as(&self, other: &Self) -> bool {
        let plan = |sample: &Self| Plan { run: 0, ..sample.plan.clone() };
        (&self.route, &self.limits) == (&other.route, &other.limits) && plan(self) == plan(other)
    }

    fn predicted(&self, name: &str, testbed: &Testbed) -> Result<Predicted, ModelError> {
        let mut testbed = Cow::Borrowed(testbed);
        for (part, cores) in &self.limits {
            if let Some(part) = testbed.to_mut().parts.get_mut(part) {
                part.cpu = Some(*cores);
            }
        }
        let outcome = simulate(&self.plan, name, &testbed, &self.route)?;
        let median = outcome.histograms.get(Metric::RttFromSent).and_then(|histogram| histogram.summary().p50_ns);
        let messages_per_second = outcome.throughput.messages_per_second.unwrap_or_default();
        Ok(Predicted { messages_per_second, round_trip_ns: median })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::Profile;
    use std::{io, iter};

    fn no_file(_: &str) -> io::Result<String> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn sample(arch: &str, route: &str, testbed: &Testbed) -> Sample {
        let text = format!(
            "arch = {arch:?}\npattern = 'work-sharing-feedback'\nproducers = 1\nconsumers = 1\nmessages = 60\nservice.confirms = 'each'"
        );
        let layer = profile::Layer::parse(profile::Origin::CommandLine, &text).unwrap();
        let profile: Profile = profile::combine(&[layer], no_file).unwrap();
        let plan = Plan::resolve(&profile, 2, 0).unwrap();
        let outcome = simulate(&plan, "here", testbed, route).unwrap();
        let rtt = outcome.histograms.get(Metric::RttFromSent).unwrap().summary().p50_ns.unwrap();
        Sample {
            name: arch.to_owned(),
            plan,
            route: route.to_owned(),
            limits: Vec::new(),
            messages_per_second: outcome.throughput.messages_per_second.unwrap(),
            round_trip_ns: Some(rtt as f64),
        }
    }

    #[test]
    fn a_limit_shows_what_a_part_costs_where_its_link_hides_it() {
        let base = Testbed::named("facility-emulated", &[], 0.2, no_file).unwrap();
        let mut truth = base.clone();
        let proxy = Group::Part("haproxy-producer".to_owned());
        proxy.multiply(&mut truth, 2.5);
        let factor = |limits: &[(String, f64)]| {
            let mut limited = truth.clone();
            limits.iter().for_each(|(part, cores)| limited.parts.get_mut(part).unwrap().cpu = Some(*cores));
            let sample = Sample { limits: limits.to_vec(), ..sample("prs-haproxy", "prs-haproxy", &limited) };
            let fit = calibrate(&[sample], "here", &base, |_, _| ()).unwrap();
            fit.factors.into_iter().find(|(name, _)| *name == proxy.name()).unwrap().1
        };
        let limited = factor(&[("haproxy-producer".to_owned(), 0.01)]);
        assert!((2.2..2.8).contains(&limited), "{limited}");
    }

    #[test]
    fn known_costs_are_found_again_from_what_they_make_of_runs() {
        let base = Testbed::named("facility-emulated", &[], 1.0, no_file).unwrap();
        let mut truth = base.clone();
        Group::Nodes.multiply(&mut truth, 2.0);
        Group::Part("haproxy-producer".to_owned()).multiply(&mut truth, 3.0);
        let samples = [("dts-plain", "dts-plain"), ("one-proxy", "one-proxy"), ("prs-haproxy", "prs-haproxy")]
            .map(|(arch, route)| sample(arch, route, &truth));
        let mut errors = Vec::new();
        let fit = calibrate(&samples, "here", &base, |_, error| errors.push(error)).unwrap();
        assert!(errors.windows(2).all(|pair| pair[1] < pair[0]), "{errors:?}");
        for (name, rate, rtt) in &fit.residuals {
            let near = |ratio: f64| (0.9..1.1).contains(&ratio);
            assert!(near(*rate) && rtt.is_some_and(near), "{name}: {rate} {rtt:?}; {:?}", fit.factors);
        }
        let names: Vec<&str> = fit.factors.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["clients", "nodes", "haproxy-consumer", "haproxy-producer", "headers of links"]);
        let text = fit.to_toml("facility-emulated", "mine");
        let again = Testbed::named("mine.toml", &[], 1.0, |_| Ok(text.clone())).unwrap();
        let costs = |testbed: &Testbed| testbed.costs.all().map(|(_, work)| work.us);
        assert!(iter::zip(costs(&again), costs(&fit.testbed)).all(|(a, b)| (a - b).abs() < 1e-3), "{text}");
    }
}
