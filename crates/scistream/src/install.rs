//! The types of data server, and the programs behind them.

use crate::{Error, Result};
use std::{
    env, fmt,
    path::{Path, PathBuf},
    str::FromStr,
};

/// Where a tree holds programs.
const PROGRAM_DIRS: [&str; 2] = ["sbin", "bin"];

/// The type of a control server's data servers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// stunnel with a pre-shared key, encrypted.
    Stunnel,
    /// stunnel with a pre-shared key that authenticates, without encryption, as in the published tunnels.
    StunnelNull,
    /// HAProxy forwarding TCP, neither authenticated nor encrypted.
    Haproxy,
}

impl Kind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Stunnel, Self::StunnelNull, Self::Haproxy];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Stunnel => "stunnel",
            Self::StunnelNull => "stunnel-null",
            Self::Haproxy => "haproxy",
        }
    }

    /// The program it starts.
    pub fn program(self) -> &'static str {
        match self {
            Self::Stunnel | Self::StunnelNull => "stunnel",
            Self::Haproxy => "haproxy",
        }
    }

    /// Finds the program: the one that `$STREAMHARNESS_STUNNEL` or `$STREAMHARNESS_HAPROXY` names, or the one in the tree that
    /// it names, otherwise in the PATH and in Debian's directories for daemons, which a plain user's PATH lacks.
    ///
    /// # Errors
    ///
    /// [`Error::NoProgram`] if it is not installed.
    pub fn find(self) -> Result<PathBuf> {
        let (variable, names, package): (_, &[&str], _) = match self {
            Self::Stunnel | Self::StunnelNull => ("STREAMHARNESS_STUNNEL", &["stunnel", "stunnel4"], "stunnel4"),
            Self::Haproxy => ("STREAMHARNESS_HAPROXY", &["haproxy"], "haproxy"),
        };
        find_program(names, package, variable)
    }
}

/// Finds a program by one of its names: the one that `$VARIABLE` names, or the one in the tree that it names, otherwise in the
/// PATH and where packages and users put programs.
///
/// # Errors
///
/// [`Error::NoProgram`] if it is not installed.
pub fn find_program(names: &'static [&'static str], package: &'static str, variable: &'static str) -> Result<PathBuf> {
    if let Some(given) = env::var_os(variable).map(PathBuf::from) {
        let place = given.display().to_string();
        let missing = || Error::NoProgram { program: names[0], place, package, variable };
        return program_at(&given, names).ok_or_else(missing);
    }
    let path = env::var_os("PATH").unwrap_or_default();
    let usual = ["/usr/sbin", "/usr/local/sbin", "/usr/bin", "/usr/local/bin", "/sbin", "/bin"].map(PathBuf::from);
    let own = env::home_dir().map(|home| home.join(".local/bin"));
    let places: Vec<PathBuf> = env::split_paths(&path).chain(usual).chain(own).collect();
    let files = names.iter().flat_map(|name| places.iter().map(move |place| place.join(name)));
    files.into_iter().find(|file| file.is_absolute() && file.is_file()).ok_or_else(|| Error::NoProgram {
        program: names[0],
        place: "the PATH".to_owned(),
        package,
        variable,
    })
}

/// The program that a path names, or that the tree at this path holds. Absolute: parts start in another directory.
fn program_at(given: &Path, names: &[&str]) -> Option<PathBuf> {
    let in_tree = PROGRAM_DIRS.iter().flat_map(|dir| names.iter().map(move |name| given.join(dir).join(name)));
    let file = [given.to_owned()].into_iter().chain(in_tree).find(|file| file.is_file())?;
    std::path::absolute(file).ok()
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Kind {
    type Err = Error;

    /// Accepts SciStream's names too: its stunnels offer null ciphers only.
    fn from_str(text: &str) -> Result<Self> {
        match text {
            "StunnelSubprocess" | "Stunnel" => Ok(Self::StunnelNull),
            "HaproxySubprocess" | "Haproxy" => Ok(Self::Haproxy),
            // Another program would be measured under this name.
            "Nginx" => Err(Error::NoNginx(text.to_owned())),
            _ => Self::ALL.into_iter().find(|kind| kind.name() == text).ok_or_else(|| Error::Kind(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_is_named_by_its_file_or_by_the_tree_that_holds_it() {
        let tree = tempfile::tempdir().unwrap();
        let found = || program_at(tree.path(), &["stunnel", "stunnel4"]);
        assert_eq!(found(), None);
        std::fs::create_dir(tree.path().join("bin")).unwrap();
        let file = tree.path().join("bin/stunnel4");
        std::fs::write(&file, "").unwrap();
        assert_eq!((found(), program_at(&file, &["stunnel"])), (Some(file.clone()), Some(file)));
    }

    #[test]
    fn a_type_is_known_by_its_name_here_and_by_scistreams() {
        for (text, kind) in [
            ("stunnel", Kind::Stunnel),
            ("StunnelSubprocess", Kind::StunnelNull),
            ("Stunnel", Kind::StunnelNull),
            ("HaproxySubprocess", Kind::Haproxy),
            ("Haproxy", Kind::Haproxy),
        ] {
            assert_eq!(text.parse::<Kind>().unwrap(), kind);
        }
        for text in ["Nginx", "nginx", "Janus", "", "STUNNEL"] {
            let error = text.parse::<Kind>().unwrap_err().to_string();
            assert!(error.contains(text) && error.contains("haproxy"), "{error}");
        }
    }
}
