//! The profiles that are compiled in, so that a binary copied to a node needs no files beside it.

/// A profile of `profiles/`, as text.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// Its kind.
    pub kind: Kind,
    /// The name to give on the command line.
    pub name: &'static str,
    /// Its path in the repository.
    pub path: &'static str,
    /// Its contents.
    pub text: &'static str,
}

/// The kind of a shipped profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How bytes get from clients to the service.
    Architecture,
    /// The messages.
    Workload,
    /// Many runs that differ along axes.
    Experiment,
    /// The distance between two places.
    Network,
}

impl Kind {
    /// The key for this kind in a profile.
    pub fn key(self) -> &'static str {
        match self {
            Self::Architecture => "arch",
            Self::Workload => "workload",
            Self::Experiment => "experiment",
            Self::Network => "network",
        }
    }

    /// Its noun in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Architecture => "architecture",
            Self::Workload => "workload",
            Self::Experiment => "experiment",
            Self::Network => "network",
        }
    }
}

macro_rules! shipped {
    ($($kind:ident $name:literal $path:literal),+ $(,)?) => {
        &[$(Shipped {
            kind: Kind::$kind,
            name: $name,
            path: concat!("profiles/", $path),
            text: include_str!(concat!("../../../profiles/", $path)),
        }),+]
    };
}

const SHIPPED: &[Shipped] = shipped![
    Architecture "dts" "architectures/dts.toml",
    Architecture "dts-plain" "architectures/dts-plain.toml",
    Architecture "dts-nlb" "architectures/dts-nlb.toml",
    Architecture "ejfat" "architectures/ejfat.toml",
    Architecture "ejfat-direct" "architectures/ejfat-direct.toml",
    Architecture "prs" "architectures/prs.toml",
    Architecture "prs-haproxy" "architectures/prs-haproxy.toml",
    Architecture "prs-haproxy-4" "architectures/prs-haproxy-4.toml",
    Architecture "prs-stunnel" "architectures/prs-stunnel.toml",
    Architecture "prs-stunnel-null" "architectures/prs-stunnel-null.toml",
    Architecture "mss" "architectures/mss.toml",
    Architecture "mss-gateway" "architectures/mss-gateway.toml",
    Architecture "mss-gateway-3" "architectures/mss-gateway-3.toml",
    Architecture "one-proxy" "architectures/one-proxy.toml",
    Architecture "ingress" "architectures/ingress.toml",
    Workload "dstream" "workloads/dstream.toml",
    Workload "dstream-greta" "workloads/dstream-greta.toml",
    Workload "dstream-decomposed" "workloads/dstream-decomposed.toml",
    Workload "lstream" "workloads/lstream.toml",
    Workload "generic" "workloads/generic.toml",
    Workload "sns-adara" "workloads/sns-adara.toml",
    Workload "aps-ptychography" "workloads/aps-ptychography.toml",
    Experiment "dstream-work-sharing" "experiments/dstream-work-sharing.toml",
    Experiment "dstream-work-sharing-quick" "experiments/dstream-work-sharing-quick.toml",
    Experiment "dstream-feedback" "experiments/dstream-feedback.toml",
    Experiment "dstream-feedback-quick" "experiments/dstream-feedback-quick.toml",
    Experiment "dstream-feedback-empty" "experiments/dstream-feedback-empty.toml",
    Experiment "dstream-feedback-empty-quick" "experiments/dstream-feedback-empty-quick.toml",
    Experiment "lstream-work-sharing" "experiments/lstream-work-sharing.toml",
    Experiment "lstream-work-sharing-quick" "experiments/lstream-work-sharing-quick.toml",
    Experiment "lstream-feedback" "experiments/lstream-feedback.toml",
    Experiment "lstream-feedback-quick" "experiments/lstream-feedback-quick.toml",
    Experiment "lstream-feedback-empty" "experiments/lstream-feedback-empty.toml",
    Experiment "lstream-feedback-empty-quick" "experiments/lstream-feedback-empty-quick.toml",
    Experiment "generic-broadcast" "experiments/generic-broadcast.toml",
    Experiment "generic-broadcast-quick" "experiments/generic-broadcast-quick.toml",
    Experiment "generic-broadcast-gather" "experiments/generic-broadcast-gather.toml",
    Experiment "generic-broadcast-gather-quick" "experiments/generic-broadcast-gather-quick.toml",
    Experiment "overhead-ladder" "experiments/overhead-ladder.toml",
    Experiment "overhead-ladder-quick" "experiments/overhead-ladder-quick.toml",
    Experiment "resilience" "experiments/resilience.toml",
    Experiment "resilience-quick" "experiments/resilience-quick.toml",
    Experiment "resilience-repeat" "experiments/resilience-repeat.toml",
    Experiment "saturation" "experiments/saturation.toml",
    Experiment "saturation-quick" "experiments/saturation-quick.toml",
    Experiment "confirms" "experiments/confirms.toml",
    Experiment "acks" "experiments/acks.toml",
    Experiment "prefetch" "experiments/prefetch.toml",
    Experiment "queues" "experiments/queues.toml",
    Experiment "distance" "experiments/distance.toml",
    Experiment "distance-quick" "experiments/distance-quick.toml",
    Experiment "distance-prefetch" "experiments/distance-prefetch.toml",
    Experiment "distance-prefetch-quick" "experiments/distance-prefetch-quick.toml",
    Experiment "loss" "experiments/loss.toml",
    Experiment "loss-quick" "experiments/loss-quick.toml",
    Network "lan" "networks/lan.toml",
    Network "slac-olcf" "networks/slac-olcf.toml",
    Network "anl-olcf" "networks/anl-olcf.toml",
    Network "frib-olcf" "networks/frib-olcf.toml",
    Experiment "ejfat" "experiments/ejfat.toml",
    Experiment "ejfat-quick" "experiments/ejfat-quick.toml",
    Experiment "ejfat-saturation" "experiments/ejfat-saturation.toml",
    Experiment "ejfat-saturation-quick" "experiments/ejfat-saturation-quick.toml",
    Experiment "neighbours" "experiments/neighbours.toml",
    Experiment "neighbours-quick" "experiments/neighbours-quick.toml",
    Experiment "deleria" "experiments/deleria.toml",
    Experiment "lcls-ii" "experiments/lcls-ii.toml",
    Experiment "many-consumers" "experiments/many-consumers.toml",
];

/// The shipped profiles of a kind.
pub fn list(kind: Kind) -> impl Iterator<Item = &'static Shipped> {
    SHIPPED.iter().filter(move |shipped| shipped.kind == kind)
}

/// The shipped profile of that name.
pub fn find(kind: Kind, name: &str) -> Option<&'static Shipped> {
    list(kind).find(|shipped| shipped.name == name)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Experiment, Layer, Plan, ProfileError, combine, origin::Origin};
    use std::path::Path;

    #[test]
    fn every_file_in_profiles_is_shipped_under_its_own_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in ["profiles/architectures", "profiles/workloads", "profiles/experiments", "profiles/networks"] {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let path = entry.unwrap().path();
                let stem = path.file_stem().unwrap().to_str().unwrap();
                assert!(
                    SHIPPED.iter().any(|s| s.name == stem && root.join(s.path) == path),
                    "{} is not in shipped.rs",
                    path.display()
                );
            }
        }
    }

    #[test]
    fn every_shipped_profile_resolves() {
        for shipped in list(Kind::Architecture).chain(list(Kind::Workload)) {
            let chosen = format!("{} = '{}'", shipped.kind.key(), shipped.name);
            let layer = Layer::parse(Origin::CommandLine, &chosen).unwrap();
            let profile = combine(&[layer], |_| unreachable!("shipped profiles need no files")).unwrap();
            Plan::resolve(&profile, 4, 1).unwrap_or_else(|error| panic!("{}: {error}", shipped.path));
        }
    }

    #[test]
    fn every_shipped_experiment_resolves_at_every_point() {
        for shipped in list(Kind::Experiment) {
            let experiment = Experiment::read(shipped.name, |_| unreachable!("it needs no files")).unwrap();
            assert!(!experiment.about.is_empty(), "{}: say what it shows", shipped.path);
            // The quick ones are for a laptop.
            let world = if shipped.name.ends_with("-quick") { 4 } else { 128 };
            let mut resolved = 0;
            for point in experiment.points(1) {
                let profile = combine(&[point.base, point.cell], |_| unreachable!("it needs no files")).unwrap();
                match Plan::resolve(&profile, world, 1) {
                    Ok(_) => resolved += 1,
                    // Left out of a sweep.
                    Err(ProfileError::FaultElsewhere(_)) => {}
                    Err(error) => panic!("{} {}: {error}", shipped.path, point.name),
                }
            }
            assert!(resolved > 0, "{}", shipped.path);
        }
    }
}
