//! The effort behind a route: what a running testbed has set up, and what is stated about who has to act.

use crate::{route::source::running_testbed, terminal::exit::Failure};
use measure::record::Effort;
use serde::Deserialize;
use testbed::Testbed;

const STATED: &str = include_str!("../../../../profiles/effort.toml");

/// The file of what is stated.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    effort: Vec<Stated>,
}

/// What is stated about some architectures.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Stated {
    architectures: Vec<String>,
    parties: Vec<String>,
    steps: Vec<String>,
    stated_in: String,
}

/// What the record of a run has of the firewall that it passes.
#[derive(Default)]
pub struct Passed {
    /// The rules in force.
    pub firewall: Vec<String>,
    /// The effort behind the run's route.
    pub effort: Option<Effort>,
}

impl Passed {
    /// On a route of the running testbed.
    pub fn by(route: Option<&str>) -> Result<Self, Failure> {
        let running = running_testbed()?;
        let Some((testbed, route)) = running.as_ref().zip(route) else { return Ok(Self::default()) };
        let firewall = testbed.firewall().unwrap_or_default().iter().map(ToString::to_string).collect();
        Ok(Self { firewall, effort: effort(testbed, route) })
    }
}

/// The effort behind a route of this testbed; `None` unless its firewall lets the route through.
pub fn effort(testbed: &Testbed, route: &str) -> Option<Effort> {
    let testbed::Effort { ports, rules, certificates, secrets, processes_of_producers, processes_of_service, set_up_s } =
        testbed.effort(route)?;
    let Stated { parties, steps, stated_in, .. } = stated(route)?;
    Some(Effort {
        ports,
        rules,
        certificates,
        secrets,
        processes_of_producers,
        processes_of_service,
        set_up_s,
        parties,
        steps,
        stated_in,
    })
}

fn stated(route: &str) -> Option<Stated> {
    let file: File = toml::from_str(STATED).expect("a test reads it");
    file.effort.into_iter().find(|stated| stated.architectures.iter().any(|name| name == route))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_covers_every_route_that_a_firewall_can_let_through() {
        for name in testbed::Opened::of(["all"]).names() {
            let stated = stated(name).unwrap_or_else(|| panic!("profiles/effort.toml lacks `{name}`"));
            assert!(!stated.parties.is_empty() && !stated.steps.is_empty() && !stated.stated_in.is_empty(), "{name}");
        }
    }

    #[test]
    fn a_firewall_can_let_every_shipped_architecture_through() {
        let known: Vec<&str> = testbed::Opened::of(["all"]).names().collect();
        for shipped in profile::list(profile::Kind::Architecture) {
            let table: toml::Table = toml::from_str(shipped.text).unwrap();
            // One without a route of a testbed's own passes no firewall of it.
            if let Some(route) = table["route"].get("testbed") {
                assert!(known.contains(&route.as_str().unwrap()), "{}: firewall.rs has no rule", shipped.name);
            }
        }
    }
}
