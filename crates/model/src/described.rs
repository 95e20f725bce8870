//! Testbeds and hypotheses by name: shipped ones, and files that rest on them.

use crate::{
    error::ModelError,
    scaled::{assignments, scale},
    shipped::{ASSUMPTIONS, HYPOTHESES, TESTBEDS},
    testbed::Testbed,
};
use profile::nearest;
use std::io;
use toml::{Table, Value};

/// Longest chain of `like`; a longer one is assumed to be a circle.
const LIKE_MAX: usize = 8;

/// An assumption about a testbed or its clients: one value of an axis.
#[derive(Debug, Clone, PartialEq)]
pub struct Hypothesis {
    /// `AXIS=VALUE`.
    pub name: String,
    /// What it sets in the testbed's description.
    testbed: Table,
    /// What it sets in the profile of every run.
    pub profile: Table,
    /// What it says about how the claims are meant: constants of `analysis/claims.toml`.
    pub claims: Table,
    /// What it takes of a testbed that is built; `None` where none can be.
    up: Option<Table>,
}

/// The shipped assumptions, each as `AXIS=VALUE`, by axis.
pub fn hypotheses() -> Vec<String> {
    let of_axis = |(axis, text): &(&str, &str)| -> Vec<String> {
        let table: Table = text.parse().expect("shipped files are valid");
        let values = table.get("values").and_then(Value::as_table).into_iter().flat_map(Table::keys);
        values.map(|value| format!("{axis}={value}")).collect()
    };
    HYPOTHESES.iter().flat_map(of_axis).collect()
}

/// The shipped sets of assumptions: each with its name and its hypotheses as `AXIS=VALUE`.
pub fn assumption_sets() -> Vec<(&'static str, Vec<String>)> {
    ASSUMPTIONS.iter().map(|(name, text)| (*name, assumed(text))).collect()
}

/// What a shipped set assumes.
fn assumed(text: &str) -> Vec<String> {
    let set: Table = text.parse().expect("shipped files are valid");
    set["assumed"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

impl Hypothesis {
    /// Reads a hypothesis, `AXIS=VALUE`, or each of a set of them by its name.
    ///
    /// # Errors
    ///
    /// As [`Self::read`].
    pub fn read_all(text: &str, read: impl Fn(&str) -> io::Result<String>) -> Result<Vec<Self>, ModelError> {
        let Some((_, set)) = ASSUMPTIONS.iter().find(|(name, _)| *name == text) else {
            return Ok(vec![Self::read(text, read)?]);
        };
        assumed(set).iter().map(|one| Self::read(one, &read)).collect()
    }

    /// Reads `AXIS=VALUE`; the axis is a shipped name or a file. `read` reads a file that is not shipped.
    ///
    /// # Errors
    ///
    /// [`ModelError::Hypothesis`] if there is no such axis, or no such value of it.
    pub fn read(text: &str, read: impl Fn(&str) -> io::Result<String>) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::Hypothesis { name: text.to_owned(), message };
        let (axis, value) = text.split_once('=').unwrap_or((text, ""));
        let mut file = table_of(axis, &HYPOTHESES, &read).map_err(wrong)?;
        let Some(Value::Table(mut values)) = file.remove("values") else {
            return Err(wrong("its file has no [values]: give it a table for each value".to_owned()));
        };
        let known = values.keys().cloned().collect::<Vec<_>>().join(", ");
        let Some(Value::Table(mut chosen)) = values.remove(value) else {
            return Err(wrong(format!("`{value}` is not a value of {axis}: write {axis}=VALUE with one of {known}")));
        };
        let mut part = |key: &str| match chosen.remove(key) {
            Some(Value::Table(table)) => table,
            _ => Table::new(),
        };
        let (testbed, profile, claims) = (part("testbed"), part("profile"), part("claims"));
        // What changes the runs alone needs nothing of a testbed.
        let up = match chosen.remove("up") {
            Some(Value::Table(table)) => Some(table),
            _ => testbed.is_empty().then(Table::new),
        };
        match chosen.keys().chain(file.keys().filter(|key| *key != "about")).next() {
            Some(key) => Err(wrong(format!(
                "it has `{key}`, which is none of about, testbed, profile, claims and up: leave it out"
            ))),
            None => Ok(Self { name: text.to_owned(), testbed, profile, claims, up }),
        }
    }

    /// The same where links are slower by a factor: times are longer, limits of CPU smaller.
    ///
    /// # Errors
    ///
    /// [`ModelError::Hypothesis`] if it has a time that cannot be read.
    pub fn at_scale(mut self, factor: f64) -> Result<Self, ModelError> {
        for table in [&mut self.testbed, &mut self.profile].into_iter().chain(&mut self.up) {
            scale(table, factor).map_err(|message| ModelError::Hypothesis { name: self.name.clone(), message })?;
        }
        Ok(self)
    }

    /// Flags by which `testbed up` builds it; `None` if no testbed can be built with it.
    pub fn flags_up(&self) -> Option<Vec<String>> {
        let mut flags = Vec::new();
        for (key, value) in self.up.as_ref()? {
            let flag = format!("--{}", key.replace('_', "-"));
            match value {
                Value::Table(parts) => assignments(parts).into_iter().for_each(|one| flags.extend([flag.clone(), one])),
                Value::String(text) => flags.extend([flag, text.clone()]),
                other => flags.extend([flag, other.to_string()]),
            }
        }
        Some(flags)
    }

    /// Flags of runs under it; `None` if it takes others for each experiment.
    pub fn flags_run(&self) -> Option<Vec<String>> {
        let flags = || assignments(&self.profile).into_iter().flat_map(|one| ["--set".to_owned(), one]).collect();
        (!self.claims.contains_key("run-length")).then(flags)
    }
}

impl Testbed {
    /// The testbed of that name or file, with the hypotheses laid over it and the rate of its links multiplied.
    ///
    /// # Errors
    ///
    /// [`ModelError::Testbed`] if there is no such testbed, or something in it is wrong.
    pub fn named(
        name: &str,
        hypotheses: &[Hypothesis],
        scale: f64,
        read: impl Fn(&str) -> io::Result<String>,
    ) -> Result<Self, ModelError> {
        let wrong = |message: String| ModelError::Testbed { name: name.to_owned(), message };
        if !(scale > 0.0 && scale.is_finite()) {
            return Err(wrong(format!("its links cannot be scaled by {scale}: use a number above 0")));
        }
        let (mut chain, mut next) = (Vec::new(), Some(name.to_owned()));
        while let Some(name) = next {
            if chain.len() == LIKE_MAX {
                return Err(wrong("`like` leads round in a circle".to_owned()));
            }
            let mut table = table_of(&name, &TESTBEDS, &read).map_err(wrong)?;
            next = match table.remove("like") {
                Some(Value::String(like)) => Some(like),
                Some(_) => return Err(wrong("`like` must be the name of a testbed".to_owned())),
                None => None,
            };
            chain.push(table);
        }
        let mut whole = Table::new();
        chain.into_iter().rev().for_each(|table| overlay(&mut whole, table));
        hypotheses.iter().for_each(|hypothesis| overlay(&mut whole, hypothesis.testbed.clone()));
        let mut testbed = Self::read(name, whole)?;
        testbed.scale(scale);
        Ok(testbed)
    }
}

fn table_of(
    name: &str,
    shipped: &[(&'static str, &'static str)],
    read: impl Fn(&str) -> io::Result<String>,
) -> Result<Table, String> {
    let known = shipped.iter().map(|(name, _)| *name);
    let text = match shipped.iter().find(|(known, _)| *known == name) {
        Some((_, text)) => (*text).to_owned(),
        None if name.ends_with(".toml") || name.contains('/') => {
            read(name).map_err(|error| format!("`{name}` cannot be read: {error}"))?
        }
        None => {
            let hint =
                nearest(name, known.clone()).map_or_else(String::new, |near| format!(" (did you mean `{near}`?)"));
            return Err(format!(
                "`{name}` is not known{hint}: use {}, or a file",
                known.collect::<Vec<_>>().join(", ")
            ));
        }
    };
    text.parse().map_err(|error: toml::de::Error| error.message().lines().collect::<Vec<_>>().join(" "))
}

/// Lays one table over another.
fn overlay(under: &mut Table, over: Table) {
    for (key, value) in over {
        match (under.get_mut(&key), value) {
            (Some(Value::Table(under)), Value::Table(over)) => overlay(under, over),
            (_, value) => drop(under.insert(key, value)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{fs, io::ErrorKind, path::Path};

    fn no_file(_: &str) -> io::Result<String> {
        Err(ErrorKind::NotFound.into())
    }

    #[test]
    fn every_shipped_file_is_valid_with_every_value_of_every_hypothesis() {
        let folder = |name: &str| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles").join(name);
        for (name, shipped) in [("testbeds", &TESTBEDS[..]), ("hypotheses", &HYPOTHESES[..])] {
            let files = fs::read_dir(folder(name)).unwrap().count();
            assert_eq!(files, shipped.len(), "{name}: add the file to shipped.rs");
        }
        assert_eq!(fs::read_dir(folder("assumptions")).unwrap().count(), ASSUMPTIONS.len());
        for (set, text) in ASSUMPTIONS {
            assert_eq!(Hypothesis::read_all(set, no_file).unwrap().len(), assumed(text).len(), "{set}");
        }
        for (testbed, _) in TESTBEDS {
            Testbed::named(testbed, &[], 1.0, no_file).unwrap();
            for (axis, text) in HYPOTHESES {
                let table: Table = text.parse().unwrap();
                assert!(!table["about"].as_str().unwrap().is_empty());
                for value in table["values"].as_table().unwrap().keys() {
                    let hypothesis = Hypothesis::read(&format!("{axis}={value}"), no_file).unwrap();
                    Testbed::named(testbed, &[hypothesis], 1.0, no_file)
                        .unwrap_or_else(|error| panic!("{value}: {error}"));
                }
            }
        }
    }

    #[test]
    fn a_file_rests_on_a_shipped_testbed_and_a_hypothesis_changes_it() {
        let file = |_: &str| Ok("like = 'olcf-ace'\n[hosts.dsn1]\nlink = '10Gbit/s'".to_owned());
        let mine = Testbed::named("mine.toml", &[], 0.5, file).unwrap();
        let base = Testbed::named("olcf-ace", &[], 1.0, no_file).unwrap();
        assert_ne!(mine.hosts["dsn1"], base.hosts["dsn1"]);
        assert_eq!(mine.hosts["dsn1"].link.unwrap().to_string(), "5Gbit/s");
        let limited = Hypothesis::read("proxy-cpu=0.3", no_file).unwrap();
        let limited = Testbed::named("olcf-ace", &[limited], 1.0, no_file).unwrap();
        assert_eq!(limited.parts["haproxy-producer"].cpu, Some(0.3));
        assert_eq!(base.parts["haproxy-producer"].cpu, None);
    }

    #[test]
    fn what_is_not_known_is_refused_with_what_is() {
        let testbed = |name: &str, scale| Testbed::named(name, &[], scale, no_file).unwrap_err().to_string();
        let hypothesis = |text: &str| Hypothesis::read(text, no_file).unwrap_err().to_string();
        for (error, expected) in [
            (testbed("olcf-acr", 1.0), "did you mean `olcf-ace`?"),
            (testbed("mine.toml", 1.0), "`mine.toml` cannot be read"),
            (testbed("olcf-ace", 0.0), "use a number above 0"),
            (hypothesis("leadr=balanced"), "did you mean `leader`?"),
            (hypothesis("leader=everywhere"), "write leader=VALUE with one of balanced, client-local"),
            (hypothesis("leader"), "one of balanced, client-local"),
        ] {
            assert!(error.contains(expected) && !error.contains('\n'), "{error}");
        }
        let circle = |_: &str| Ok("like = 'a.toml'".to_owned());
        let circle = Testbed::named("a.toml", &[], 1.0, circle).unwrap_err().to_string();
        assert!(circle.contains("circle"), "{circle}");
    }
}
