//! The run before a rerun: its plan, the launch that it needs, and the differences from it.

use crate::{
    cli::{
        arguments::{Rerun, Run},
        flags,
    },
    files::replayed,
    terminal::exit::{Exit, Failure},
};
use figures::input;
use measure::{
    Record,
    record::{Hop, Labels},
};
use profile::{Plan, Profile};
use std::path::Path;

/// The part of a record that is needed to repeat its run.
pub struct Before {
    /// Its plan.
    pub plan: Plan,
    /// The hops of its route.
    pub hops: Vec<Hop>,
    /// How figures show it.
    labels: Labels,
    /// The launcher that started it.
    launcher: String,
    version: String,
}

impl Before {
    /// Reads a record, or that of a run's directory.
    pub fn read(path: &Path) -> Result<Self, Failure> {
        let path = if path.is_dir() { path.join("record.json") } else { path.to_owned() };
        let fail =
            |problem: &dyn std::fmt::Display| Failure::new(Exit::Usage, format!("`{}`: {problem}", path.display()));
        let json = input::result(&path)
            .map_err(|error| fail(&format!("{error}; give the record.json of a run, or its directory")))?;
        let record = Record::from_json(&json).map_err(|error| fail(&error))?;
        let version = record.environment.harness_version;
        let plan = serde_json::from_value(record.plan).map_err(|error| {
            fail(&format!("its plan is not one of this version ({error}); use streamharness {version}"))
        })?;
        let launcher = record.environment.launcher.unwrap_or_else(|| "mpirun".to_owned());
        Ok(Self { plan, hops: record.route.hops, labels: record.labels, launcher, version })
    }

    /// The command of a launch that fits the plan.
    pub fn command(&self, typed: &[String]) -> String {
        let words: Vec<String> = typed.iter().map(|word| quoted(word)).collect();
        format!("{} -n {} {}", quoted(&self.launcher), self.plan.placement.world, words.join(" "))
    }

    /// Checks that this launch has the ranks and hosts that the plan depends on.
    pub fn fits(&self, hosts: &[u32]) -> Result<(), Failure> {
        let (placement, ranks) = (&self.plan.placement, hosts.len());
        if placement.world != ranks {
            let typed: Vec<String> = std::env::args().collect();
            let sentence = format!(
                "the plan of the record is for {} rank(s), and this launch has {ranks}: {}",
                placement.world,
                self.command(&typed)
            );
            return Err(Failure::new(Exit::Usage, sentence));
        }
        if !placement.hosts.is_empty() && placement.hosts != hosts {
            let sentence = format!(
                "the plan of the record keeps producers and consumers apart by their hosts, with ranks on hosts {:?}, and \
                 this launch has them on {hosts:?}: lay ranks out in the same way",
                placement.hosts
            );
            return Err(Failure::new(Exit::Usage, sentence));
        }
        Ok(())
    }

    /// A profile with the architecture of the plan, whose addresses apply if none is given; files are read anew.
    pub fn profile(&self, arguments: &Rerun) -> Result<Profile, Failure> {
        let arch = Some(self.plan.architecture.clone());
        let mut profile = flags::profile(&Run { arch, route: arguments.route.clone(), ..Run::default() })?;
        profile.service.heartbeat_s = Some(self.plan.service.heartbeat_s);
        profile.route.spread = Some(self.plan.spread);
        profile.route.nodes = self.plan.nodes;
        if let Some(replay) = &self.plan.message.replay {
            profile.message.files = replay.written();
            profile.message.files.found = Some(replayed::find(&profile.message.files).map_err(flags::failure)?);
        }
        let Labels { architecture, workload, colour, marker } = self.labels.clone();
        (profile.route.title, profile.message.title) = (architecture, workload);
        profile.route.colour = colour.and_then(|text| text.parse().ok());
        profile.route.marker = marker.and_then(|text| text.parse().ok());
        Ok(profile)
    }

    /// Differences that matter when the two runs are compared: another service, another version.
    pub fn differs(&self, hops: &[Hop]) -> Vec<String> {
        let hosts = |hops: &[Hop]| -> Vec<String> {
            let addresses = hops.iter().filter_map(|hop| hop.address.as_deref());
            let mut hosts: Vec<String> = addresses
                .flat_map(|addresses| addresses.split(','))
                .map(|address| address.rsplit_once(':').map_or(address, |(host, _)| host).to_owned())
                .collect();
            hosts.sort();
            hosts.dedup();
            hosts
        };
        let (then, now) = (hosts(&self.hops), hosts(hops));
        let mut differences = Vec::new();
        if then != now {
            differences.push(format!(
                "the run of the record went to {}, this one goes to {}: give the same address with --url",
                then.join(", "),
                now.join(", ")
            ));
        }
        let version = env!("CARGO_PKG_VERSION");
        if self.version != version {
            differences.push(format!("the record is of streamharness {}, and this is {version}", self.version));
        }
        differences
    }
}

/// A word as a shell takes it.
fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=,@%+".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        word.to_owned()
    } else {
        format!("'{}'", word.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, combine};

    fn before(text: &str, ranks: usize) -> Before {
        let layer = Layer::parse(Origin::CommandLine, text).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let plan = Plan::resolve(&profile, ranks, 7).unwrap();
        let hop = Hop { address: Some("broker.example:5671".to_owned()), ..Hop::default() };
        Before {
            plan,
            hops: vec![hop],
            labels: Labels::default(),
            launcher: "srun".to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    #[test]
    fn another_number_of_ranks_is_rejected_with_the_right_command() {
        let before = before("", 4);
        assert!(before.fits(&[0; 4]).is_ok());
        let sentence = before.fits(&[0; 2]).unwrap_err().sentence;
        assert!(sentence.contains("is for 4 rank(s), and this launch has 2: srun -n 4 "), "{sentence}");
        let typed = ["streamharness", "rerun", "my runs/record.json", "--assert", "lost == 0"].map(str::to_owned);
        assert_eq!(before.command(&typed), "srun -n 4 streamharness rerun 'my runs/record.json' --assert 'lost == 0'");
    }

    #[test]
    fn another_service_is_reported() {
        let there = |address: &str| vec![Hop { address: Some(address.to_owned()), ..Hop::default() }];
        let before = before("", 1);
        assert_eq!(before.differs(&there("broker.example:5672")), Vec::<String>::new(), "ports of a testbed change");
        assert!(
            before.differs(&there("localhost:5672"))[0].contains("went to broker.example, this one goes to localhost")
        );
    }
}
