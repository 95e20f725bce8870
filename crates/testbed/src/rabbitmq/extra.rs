//! Additions to the configuration of every node: plugins, and lines of rabbitmq.conf.

use crate::{Error, Result, secrets};
use std::{fs, path::Path};

const PLUGINS_FILE: &str = "plugins";
const LINES_FILE: &str = "extra.conf";

/// Plugins to enable besides those that every testbed has, and lines that follow those of its own rabbitmq.conf.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BrokerExtras {
    plugins: Vec<String>,
    lines: String,
}

impl BrokerExtras {
    /// These plugins, by name, and these lines; a key that the testbed sets too has the value of the last line.
    ///
    /// # Errors
    ///
    /// [`Error::Plugin`] if a name is not valid for a plugin.
    pub fn new(plugins: Vec<String>, lines: impl Into<String>) -> Result<Self> {
        let odd =
            |name: &&String| name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
        match plugins.iter().find(odd) {
            Some(name) => Err(Error::Plugin(name.clone())),
            None => Ok(Self { plugins, lines: lines.into() }),
        }
    }

    /// Writes them for the supervisor of the testbed in `dir`.
    pub(crate) fn leave(&self, dir: &Path) -> Result<()> {
        if *self == Self::default() {
            return Ok(());
        }
        secrets::write(&dir.join(PLUGINS_FILE), &self.plugins.join("\n"), 0o600, None)?;
        secrets::write(&dir.join(LINES_FILE), &self.lines, 0o600, None)
    }

    /// Those of the testbed in `dir`.
    pub(crate) fn left(dir: &Path) -> Self {
        let text = |name: &str| fs::read_to_string(dir.join(name)).unwrap_or_default();
        Self { plugins: text(PLUGINS_FILE).lines().map(str::to_owned).collect(), lines: text(LINES_FILE) }
    }

    /// The contents of `enabled_plugins`.
    pub(crate) fn enabled_plugins(&self) -> String {
        let all =
            ["rabbitmq_management", "rabbitmq_prometheus"].into_iter().chain(self.plugins.iter().map(String::as_str));
        format!("[{}].\n", all.collect::<Vec<_>>().join(","))
    }

    /// A node's rabbitmq.conf, of which `text` is the testbed's part.
    pub(crate) fn appended_to(&self, mut text: String) -> String {
        text.push_str(&self.lines);
        if !self.lines.is_empty() && !self.lines.ends_with('\n') {
            text.push('\n');
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_found_again_and_follows_the_testbeds_own() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(BrokerExtras::left(dir.path()), BrokerExtras::default());
        let extras = BrokerExtras::new(vec!["rabbitmq_auth_mechanism_ssl".into()], "a = 1").unwrap();
        extras.leave(dir.path()).unwrap();
        let left = BrokerExtras::left(dir.path());
        assert_eq!(left, extras);
        assert_eq!(left.enabled_plugins(), "[rabbitmq_management,rabbitmq_prometheus,rabbitmq_auth_mechanism_ssl].\n");
        assert_eq!(left.appended_to("b = 2\n".into()), "b = 2\na = 1\n");
    }

    #[test]
    fn a_plugin_has_a_name() {
        assert!(BrokerExtras::new(vec!["x],[y".into()], "").is_err());
    }
}
