//! Testbeds and hypotheses by name: shipped ones, and files that rest on them.

use crate::{
    error::ModelError,
    shipped::{HYPOTHESES, TESTBEDS},
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
}

impl Hypothesis {
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
        let (testbed, profile) = (part("testbed"), part("profile"));
        match chosen.keys().chain(file.keys().filter(|key| *key != "about")).next() {
            Some(key) => {
                Err(wrong(format!("it has `{key}`, which is neither about, testbed nor profile: leave it out")))
            }
            None => Ok(Self { name: text.to_owned(), testbed, profile }),
        }
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
