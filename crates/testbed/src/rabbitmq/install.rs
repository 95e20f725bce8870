//! Finds the RabbitMQ and Erlang that are installed, and their version.

use crate::{Error, Result};
use std::{
    env, fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where Debian and the RPMs put it. `/usr/sbin/rabbitmq-server` is a wrapper that insists on root and is never called.
const USUAL: &str = "/usr/lib/rabbitmq/lib";

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

/// The programs a cluster is made of.
#[derive(Debug, Clone)]
pub struct Install {
    pub version: Version,
    /// `sbin/rabbitmq-server` of the server's own tree.
    pub server: PathBuf,
    pub epmd: PathBuf,
    /// The PATH of every part: it has to lead to `erl` and to the usual tools, and to nothing of the caller's.
    pub path: String,
}

impl Install {
    /// The newest version in the usual place, or the tree in `$STREAMHARNESS_RABBITMQ` (`.../rabbitmq_server-4.1.0`).
    pub fn find() -> Result<Self> {
        let candidates = match env::var_os("STREAMHARNESS_RABBITMQ") {
            Some(tree) => vec![PathBuf::from(tree)],
            None => fs::read_dir(USUAL).into_iter().flatten().flatten().map(|entry| entry.path()).collect(),
        };
        let looked_in = env::var("STREAMHARNESS_RABBITMQ").unwrap_or_else(|_| USUAL.to_owned());
        let (version, server) = newest(candidates).ok_or(Error::NoRabbitMq { looked_in })?;
        let erl = on_path("erl").ok_or(Error::NoProgram("erl"))?;
        let epmd = on_path("epmd").or_else(|| beside_erl(&erl)).ok_or(Error::NoProgram("epmd"))?;
        let directory = erl.parent().unwrap_or(Path::new("/usr/bin")).display();
        Ok(Self { version, server, epmd, path: format!("{directory}:/usr/bin:/bin:/usr/sbin") })
    }
}

fn newest(trees: Vec<PathBuf>) -> Option<(Version, PathBuf)> {
    let versioned = |tree: PathBuf| {
        let version = tree.file_name()?.to_str()?.strip_prefix("rabbitmq_server-")?.parse().ok()?;
        let server = tree.join("sbin/rabbitmq-server");
        server.is_file().then_some((version, server))
    };
    trees.into_iter().filter_map(versioned).max()
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
    fn the_newest_complete_tree_is_taken() {
        let dir = tempfile::tempdir().unwrap();
        let tree = |name: &str, complete: bool| {
            let tree = dir.path().join(name);
            fs::create_dir_all(tree.join("sbin")).unwrap();
            if complete {
                fs::write(tree.join("sbin/rabbitmq-server"), "").unwrap();
            }
            tree
        };
        let trees = vec![
            tree("rabbitmq_server-3.9.30", true),
            tree("rabbitmq_server-3.10.8", true),
            tree("rabbitmq_server-4.1.0", false),
            tree("bin", true),
        ];
        let (version, server) = newest(trees).unwrap();
        assert_eq!(version.to_string(), "3.10.8");
        assert!(server.ends_with("rabbitmq_server-3.10.8/sbin/rabbitmq-server"));
    }
}
