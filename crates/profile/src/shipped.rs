//! The profiles that are compiled in, so that a binary copied to a node needs no files beside it.

/// A profile of `profiles/`, as text.
#[derive(Debug, Clone, Copy)]
pub struct Shipped {
    /// What it describes.
    pub kind: Kind,
    /// The name to give on the command line.
    pub name: &'static str,
    /// Its path in the repository.
    pub path: &'static str,
    /// Its contents.
    pub text: &'static str,
}

/// What a named profile describes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// How bytes get from clients to the service.
    Architecture,
    /// What a message is.
    Workload,
}

impl Kind {
    /// The key that names one in a profile.
    pub fn key(self) -> &'static str {
        match self {
            Self::Architecture => "arch",
            Self::Workload => "workload",
        }
    }

    /// The word for it in a sentence.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Architecture => "architecture",
            Self::Workload => "workload",
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
    Architecture "prs" "architectures/prs.toml",
    Architecture "prs-haproxy" "architectures/prs-haproxy.toml",
    Architecture "prs-haproxy-4" "architectures/prs-haproxy-4.toml",
    Architecture "prs-stunnel" "architectures/prs-stunnel.toml",
    Architecture "prs-stunnel-null" "architectures/prs-stunnel-null.toml",
    Architecture "mss" "architectures/mss.toml",
    Workload "dstream" "workloads/dstream.toml",
    Workload "dstream-greta" "workloads/dstream-greta.toml",
    Workload "dstream-decomposed" "workloads/dstream-decomposed.toml",
    Workload "lstream" "workloads/lstream.toml",
    Workload "generic" "workloads/generic.toml",
    Workload "sns-adara" "workloads/sns-adara.toml",
    Workload "aps-ptychography" "workloads/aps-ptychography.toml",
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
    use crate::{Layer, Plan, combine, layers::Origin};
    use std::path::Path;

    #[test]
    fn every_file_in_profiles_is_shipped_under_its_own_name() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        for folder in ["profiles/architectures", "profiles/workloads"] {
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
        for shipped in SHIPPED {
            let chosen = format!("{} = '{}'", shipped.kind.key(), shipped.name);
            let layer = Layer::parse(Origin::CommandLine, &chosen).unwrap();
            let profile = combine(&[layer], |_| unreachable!("shipped profiles need no files")).unwrap();
            Plan::resolve(&profile, 4, 1).unwrap_or_else(|error| panic!("{}: {error}", shipped.path));
        }
    }
}
