//! Finds the RabbitMQ and Erlang that are installed or unpacked, and their version.

use crate::{Result, place, secrets};
use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where Debian and the RPMs put it. `/usr/sbin/rabbitmq-server` is a wrapper that insists on root and is never called.
const USUAL: &str = "/usr/lib/rabbitmq/lib";
/// Where else parts find the usual tools.
const TOOLS: &str = "/usr/bin:/bin:/usr/sbin";

const RABBITMQ: &str = "STREAMHARNESS_RABBITMQ";
const ERLANG: &str = "STREAMHARNESS_ERLANG";

/// A RabbitMQ version, ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    pub major: u32,
    pub minor: u32,
    pub patch: u32,
}

impl FromStr for Version {
    type Err = ();

    fn from_str(text: &str) -> std::result::Result<Self, ()> {
        let text = text.split(['-', '+']).next().unwrap_or_default();
        let mut numbers = text.split('.').map(|word| word.parse().map_err(|_| ()));
        let mut next = || numbers.next().unwrap_or(Ok(0));
        Ok(Self { major: next()?, minor: next()?, patch: next()? })
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.patch)
    }
}

/// A program that this host lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    /// The program, and where it was looked for.
    pub what: String,
    /// The package that contains it.
    pub package: &'static str,
    /// The variable that names one elsewhere.
    pub variable: &'static str,
}

/// The programs a cluster is made of.
#[derive(Debug, Clone)]
pub struct Install {
    pub version: Version,
    /// `sbin/rabbitmq-server` of the server's own tree.
    pub server: PathBuf,
    pub epmd: PathBuf,
    /// The PATH of every part: it has to lead to `erl` and to the usual tools, and to nothing of the caller's.
    pub path: String,
    /// The `erts-VERSION/bin` of an Erlang that was unpacked somewhere.
    unpacked: Option<PathBuf>,
}

impl Install {
    /// The newest version in the usual place, or in the tree that `$STREAMHARNESS_RABBITMQ` names, with the Erlang of the PATH or
    /// of the tree that `$STREAMHARNESS_ERLANG` names.
    pub fn find() -> std::result::Result<Self, Vec<Missing>> {
        match (rabbitmq(), erlang()) {
            (Ok((version, server)), Ok((erts, epmd, path))) => Ok(Self { version, server, epmd, path, unpacked: erts }),
            (rabbitmq, erlang) => Err(rabbitmq.err().into_iter().chain(erlang.err()).collect()),
        }
    }

    /// Makes an unpacked Erlang usable: its own `erl` only works in the place that it was built for, and this one in the
    /// testbed's directory replaces it.
    pub fn prepared(self, dir: &Path) -> Result<Self> {
        let Some(erts) = &self.unpacked else { return Ok(self) };
        let bin = dir.join("bin");
        place::create(&bin, None)?;
        secrets::write(&bin.join("erl"), &erl(erts), 0o755, None)?;
        Ok(Self { path: format!("{}:{TOOLS}", bin.display()), ..self })
    }
}

fn rabbitmq() -> std::result::Result<(Version, PathBuf), Missing> {
    let given = env::var_os(RABBITMQ).map(PathBuf::from);
    let trees = match &given {
        Some(given) => {
            let given = std::path::absolute(given).unwrap_or_else(|_| given.clone());
            let nested = trees_in(&given).chain(trees_in(&given.join("lib/rabbitmq/lib")));
            nested.chain([given.clone()]).collect()
        }
        None => trees_in(Path::new(USUAL)).collect(),
    };
    let place = given.unwrap_or_else(|| USUAL.into());
    let what = format!("no RabbitMQ server in {}", place.display());
    newest(trees).ok_or(Missing { what, package: "rabbitmq-server", variable: RABBITMQ })
}

/// The `erts-VERSION/bin` of an unpacked Erlang, epmd, and the PATH to the one that is installed.
fn erlang() -> std::result::Result<(Option<PathBuf>, PathBuf, String), Missing> {
    let missing =
        |place: &str| Missing { what: format!("no Erlang in {place}"), package: "erlang-base", variable: ERLANG };
    if let Some(tree) = env::var_os(ERLANG).map(PathBuf::from) {
        let tree = std::path::absolute(&tree).unwrap_or(tree);
        let erts = [tree.join("lib/erlang"), tree.clone()].iter().find_map(|root| newest_erts(root));
        let erts = erts.ok_or_else(|| missing(&tree.display().to_string()))?;
        return Ok((Some(erts.clone()), erts.join("epmd"), TOOLS.to_owned()));
    }
    let erl = on_path("erl").ok_or_else(|| missing("the PATH"))?;
    let epmd = on_path("epmd").or_else(|| beside_erl(&erl)).ok_or_else(|| missing("the PATH with its epmd"))?;
    let directory = erl.parent().unwrap_or(Path::new("/usr/bin")).display();
    Ok((None, epmd, format!("{directory}:{TOOLS}")))
}

/// What Erlang's own `erl` does, for an Erlang that is not where it was built for.
fn erl(erts: &Path) -> String {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let root = erts.ancestors().nth(2).unwrap_or(erts);
    format!(
        "#!/bin/sh\nROOTDIR={} BINDIR={} EMU=beam PROGNAME=erl\nexport ROOTDIR BINDIR EMU PROGNAME\nexec \"$BINDIR/erlexec\" \"$@\"\n",
        quoted(root),
        quoted(erts)
    )
}

fn trees_in(dir: &Path) -> impl Iterator<Item = PathBuf> + use<> {
    let named =
        |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("rabbitmq_server-"));
    fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).filter(named)
}

fn newest(trees: Vec<PathBuf>) -> Option<(Version, PathBuf)> {
    let versioned = |tree: PathBuf| {
        let server = tree.join("sbin/rabbitmq-server");
        // By its plugin and not by the name of the tree, which may be any.
        let plugins = fs::read_dir(tree.join("plugins")).ok()?.flatten();
        let version =
            plugins.filter_map(|entry| entry.file_name().to_str()?.strip_prefix("rabbit-")?.parse().ok()).max()?;
        server.is_file().then_some((version, server))
    };
    trees.into_iter().filter_map(versioned).max()
}

fn newest_erts(root: &Path) -> Option<PathBuf> {
    let versioned = |entry: fs::DirEntry| {
        let version: Version = entry.file_name().to_str()?.strip_prefix("erts-")?.parse().ok()?;
        let bin = entry.path().join("bin");
        (bin.join("erlexec").is_file() && bin.join("epmd").is_file()).then_some((version, bin))
    };
    Some(fs::read_dir(root).ok()?.flatten().filter_map(versioned).max()?.1)
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/bin", "/usr/local/bin", "/bin"].map(PathBuf::from);
    env::split_paths(&path).chain(usual).map(|dir| dir.join(program)).find(|file| file.is_absolute() && file.is_file())
}

/// An Erlang built from source links only `erl` into a directory of the PATH.
fn beside_erl(erl: &Path) -> Option<PathBuf> {
    let root = fs::canonicalize(erl).ok()?.parent()?.parent()?.to_owned();
    let erts = fs::read_dir(root).ok()?.flatten().map(|entry| entry.path().join("bin/epmd"));
    erts.into_iter().find(|file| file.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_compare_by_number_not_by_letter() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert!(version("3.10.8") > version("3.9.30"));
        assert!(version("4.0") > version("3.13.7"));
        assert_eq!(version("4.1.0-rc.1").to_string(), "4.1.0");
        assert!("head".parse::<Version>().is_err());
    }

    #[test]
    fn the_newest_complete_tree_is_taken_whatever_its_name() {
        let dir = tempfile::tempdir().unwrap();
        let tree = |name: &str, plugin: &str, complete: bool| {
            let tree = dir.path().join(name);
            fs::create_dir_all(tree.join("plugins").join(plugin)).unwrap();
            fs::create_dir_all(tree.join("sbin")).unwrap();
            if complete {
                fs::write(tree.join("sbin/rabbitmq-server"), "").unwrap();
            }
            tree
        };
        let trees = vec![
            tree("rabbitmq_server-3.9.30", "rabbit-3.9.30.ez", true),
            tree("broker", "rabbit-3.10.8", true),
            tree("rabbitmq_server-4.1.0", "rabbit-4.1.0", false),
            tree("bin", "rabbit_common-4.2.0", true),
        ];
        let (version, server) = newest(trees).unwrap();
        assert_eq!(version.to_string(), "3.10.8");
        assert!(server.ends_with("broker/sbin/rabbitmq-server"));
    }

    #[test]
    fn an_unpacked_erlang_is_started_from_its_newest_runtime_wherever_it_is() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().join("it's here");
        for version in ["erts-9.3", "erts-13.1.5", "erts-14.0"] {
            fs::create_dir_all(root.join(version).join("bin")).unwrap();
            if version != "erts-14.0" {
                for name in ["erlexec", "epmd"] {
                    fs::write(root.join(version).join("bin").join(name), "").unwrap();
                }
            }
        }
        let erts = newest_erts(&root).unwrap();
        assert_eq!(erts, root.join("erts-13.1.5/bin"));
        let script = erl(&erts);
        assert!(script.contains(&format!("ROOTDIR='{}/it'\\''s here' BINDIR='", dir.path().display())), "{script}");
    }
}
