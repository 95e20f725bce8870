//! An experiment: many runs that differ along axes, described once. Pure.

use crate::{
    error::{ProfileError, wrong},
    layers::{Layer, overlay, sentence, table_of},
    names::hint,
    origin::Origin,
    search::Search,
    shipped::{self, Kind},
};
use serde::Deserialize;
use sha2::{Digest, Sha256};
use std::{collections::BTreeSet, num::NonZeroU32};
use toml::{Table, Value};

/// Longest chain of `like`; a longer one is assumed to be a circle.
const LIKE_MAX: usize = 8;
/// Most points of an experiment; more would be a mistake.
const POINTS_MAX: usize = 10_000;

/// An experiment as a file describes it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct ExperimentFile {
    /// One line on what it shows.
    about: Option<String>,
    /// The experiment that provides the settings that this one does not set: a shipped name or a file.
    like: Option<String>,
    /// How often each cell is run.
    repetitions: Option<NonZeroU32>,
    /// Whether each point has as many producers as consumers.
    paired: Option<bool>,
    /// The common part of all points: a partial profile.
    base: Table,
    /// The search in every cell.
    search: Option<Search>,
    /// Expressions that must hold for each run, as with `--assert`.
    assert: Option<Vec<String>>,
    /// The keys of a profile that vary, dotted if they are in a table, and their values.
    axes: toml::map::Map<String, Value>,
}

/// A key of a profile and the values that it takes.
#[derive(Debug, Clone, PartialEq)]
struct Axis {
    key: String,
    values: Vec<Value>,
}

/// Points to carry out, and their common settings.
#[derive(Debug, Clone)]
pub struct Experiment {
    /// Its name: the shipped name, or the file's name without directory and extension.
    pub name: String,
    /// One line on what it shows.
    pub about: String,
    repetitions: u32,
    paired: bool,
    base: Layer,
    /// The search in every cell.
    pub search: Option<Search>,
    /// Expressions that must hold for each run.
    pub assert: Vec<String>,
    axes: Vec<Axis>,
}

/// One cell of an experiment, once.
#[derive(Debug, Clone, PartialEq)]
pub struct Point {
    /// The cell's name, usable as a directory name: `prs-haproxy_consumers-4`.
    pub name: String,
    /// Which repetition of the cell this is, from 1.
    pub repetition: u32,
    /// The settings that all points share.
    pub base: Layer,
    /// The settings of this cell.
    pub cell: Layer,
}

impl Experiment {
    /// Reads a shipped experiment by its name, or a file by its path. `read` reads a file that is not shipped.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if there is no such experiment, or if a key or a value in it is wrong.
    pub fn read(name: &str, mut read: impl FnMut(&str) -> std::io::Result<String>) -> Result<Self, ProfileError> {
        let mut chain: Vec<(Origin, ExperimentFile)> = Vec::new();
        let mut next = Some((Origin::CommandLine, name.to_owned()));
        while let Some((from, name)) = next {
            if chain.len() == LIKE_MAX {
                return Err(wrong(&from, "`like` leads round in a circle"));
            }
            let (origin, text) = text_of(&from, &name, &mut read)?;
            let written: ExperimentFile = toml::from_str(&text).map_err(|error| wrong(&origin, sentence(&error)))?;
            next = written.like.clone().map(|like| (origin.clone(), like));
            chain.push((origin, written));
        }
        let origin = chain[0].0.clone();
        // Base experiments first, so that later settings replace theirs.
        let mut whole = ExperimentFile::default();
        for (_, written) in chain.into_iter().rev() {
            whole.about = written.about.or(whole.about);
            whole.repetitions = written.repetitions.or(whole.repetitions);
            whole.paired = written.paired.or(whole.paired);
            overlay(&mut whole.base, written.base);
            whole.search = written.search.or(whole.search);
            whole.assert = written.assert.or(whole.assert);
            whole.axes.extend(written.axes);
        }
        Self::resolve(name, &origin, whole)
    }

    fn resolve(name: &str, origin: &Origin, written: ExperimentFile) -> Result<Self, ProfileError> {
        let mut axes = Vec::new();
        for (key, values) in written.axes {
            let values = match values {
                Value::Array(values) if !values.is_empty() => values,
                _ => return Err(wrong(origin, format!("axes.{key}: give a list of values, such as [1, 2, 4]"))),
            };
            let mut names = BTreeSet::new();
            for value in &values {
                Layer::new(origin.clone(), table_of(&key, value.clone()))?;
                let name = piece(&key, value);
                if !names.insert(name.clone()) {
                    return Err(wrong(
                        origin,
                        format!("axes.{key}: two values would have the name `{name}`: leave one out"),
                    ));
                }
            }
            axes.push(Axis { key, values });
        }
        if axes.is_empty() {
            return Err(wrong(origin, "an experiment needs [axes]: keys of a profile with a list of values each"));
        }
        let paired = written.paired.unwrap_or_default();
        if paired && !axes.iter().any(|axis| axis.key == "consumers") {
            return Err(wrong(origin, "paired: as many producers as consumers need an axis `consumers`"));
        }
        if let Some(search) = &written.search {
            search.check(origin)?;
        }
        let file = name.rsplit('/').next().unwrap_or(name);
        let experiment = Self {
            name: file.strip_suffix(".toml").unwrap_or(file).to_owned(),
            about: written.about.unwrap_or_default(),
            repetitions: written.repetitions.map_or(1, NonZeroU32::get),
            paired,
            base: Layer::new(origin.clone(), written.base)?,
            search: written.search,
            assert: written.assert.unwrap_or_default(),
            axes,
        };
        let cells = experiment.axes.iter().map(|axis| axis.values.len()).product::<usize>();
        if cells.saturating_mul(experiment.repetitions as usize) > POINTS_MAX {
            return Err(wrong(origin, format!("{cells} cells are more than {POINTS_MAX} points")));
        }
        Ok(experiment)
    }

    /// Keeps the cells whose value of an axis is one of those in `only`: `arch=dts,mss`. A value that the axis does not
    /// have selects all values that begin with it: `arch=prs` is every PRS route. Faults are named without their times:
    /// `fault=kill node 1`.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if `only` names no axis, or selects no cell.
    pub fn keep(&mut self, only: &str) -> Result<(), ProfileError> {
        let refuse = |message: String| wrong(&Origin::CommandLine, format!("--only {only}: {message}"));
        let Some((key, wanted)) = only.split_once('=') else {
            return Err(refuse("write it as AXIS=VALUE, such as arch=prs".to_owned()));
        };
        let known: Vec<String> = self.axes.iter().map(|axis| axis.key.clone()).collect();
        let Some(axis) = self.axes.iter_mut().find(|axis| axis.key == key.trim()) else {
            let hint = hint(key, known.iter().map(String::as_str));
            return Err(refuse(format!("no axis is called `{key}`{hint}; there are {}", known.join(", "))));
        };
        let has: Vec<String> = axis.values.iter().map(|value| word(&axis.key, value)).collect();
        let mut keep = vec![false; has.len()];
        for wanted in wanted.split(',').map(str::trim) {
            let exact = has.iter().any(|value| value == wanted);
            let mut met = false;
            for (value, keep) in has.iter().zip(&mut keep) {
                let meant = if exact {
                    value == wanted
                } else {
                    value.strip_prefix(wanted).is_some_and(|rest| rest.starts_with(['-', ' ']))
                };
                *keep |= meant;
                met |= meant;
            }
            if !met {
                let hint = hint(wanted, has.iter().map(String::as_str));
                return Err(refuse(format!("`{wanted}` is not a value of {key}{hint}; use {}", has.join(", "))));
            }
        }
        let mut keep = keep.into_iter();
        axis.values.retain(|_| keep.next().unwrap_or_default());
        Ok(())
    }

    /// Sets how often every cell is run.
    pub fn repeat(&mut self, repetitions: NonZeroU32) {
        self.repetitions = repetitions.get();
    }

    /// All points in the order in which they are carried out: every cell once before any cell is repeated, each time in
    /// another order, so that slow changes of the machine do not appear as differences between cells. The order follows
    /// from `seed`.
    pub fn points(&self, seed: u64) -> Vec<Point> {
        let mut cells: Vec<(String, Table)> = vec![(String::new(), Table::new())];
        for axis in &self.axes {
            let extended = cells.iter().flat_map(|(name, table)| {
                axis.values.iter().map(move |value| {
                    let mut table = table.clone();
                    overlay(&mut table, table_of(&axis.key, value.clone()));
                    if self.paired && axis.key == "consumers" {
                        table.insert("producers".to_owned(), value.clone());
                    }
                    let between = if name.is_empty() { "" } else { "_" };
                    (format!("{name}{between}{}", piece(&axis.key, value)), table)
                })
            });
            cells = extended.collect();
        }
        let mut points = Vec::new();
        for repetition in 1..=self.repetitions {
            let mut shuffled: Vec<_> = cells
                .iter()
                .map(|(name, table)| (Sha256::digest(format!("{seed} {repetition} {name}")), name, table))
                .collect();
            shuffled.sort_by_key(|(key, ..)| *key);
            points.extend(shuffled.into_iter().map(|(_, name, table)| Point {
                name: name.clone(),
                repetition,
                base: self.base.clone(),
                cell: Layer::new(Origin::File(self.name.clone()), table.clone()).expect("each value was checked"),
            }));
        }
        points
    }
}

fn text_of(
    from: &Origin,
    name: &str,
    read: &mut impl FnMut(&str) -> std::io::Result<String>,
) -> Result<(Origin, String), ProfileError> {
    if let Some(shipped) = shipped::find(Kind::Experiment, name) {
        return Ok((Origin::File(shipped.path.to_owned()), shipped.text.to_owned()));
    }
    if !name.ends_with(".toml") && !name.contains('/') {
        return Err(ProfileError::UnknownName {
            origin: from.clone(),
            kind: Kind::Experiment.noun(),
            name: name.to_owned(),
            hint: hint(name, shipped::list(Kind::Experiment).map(|shipped| shipped.name)),
        });
    }
    let text = read(name).map_err(|error| wrong(from, format!("cannot read the experiment file `{name}`: {error}")))?;
    Ok((Origin::File(name.to_owned()), text))
}

/// A value as text; faults without when they are due.
fn word(key: &str, value: &Value) -> String {
    if key == "fault" {
        return faults(value);
    }
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// What is done in a cell: `kill node 1 for 5s`, several with `and`.
fn faults(value: &Value) -> String {
    let done = |fault: &Value| match fault {
        Value::String(text) => text.split_once(": ").map_or(text.as_str(), |(_, done)| done).to_owned(),
        other => other.get("do").and_then(Value::as_str).unwrap_or_default().to_owned(),
    };
    match value {
        Value::Array(several) if several.is_empty() => "no fault".to_owned(),
        Value::Array(several) => several.iter().map(done).collect::<Vec<_>>().join(" and "),
        one => done(one),
    }
}

/// An axis and its value in a cell's name; for architectures, workloads and faults only the value.
fn piece(key: &str, value: &Value) -> String {
    let word = word(key, value);
    let text = match key.rsplit('.').next() {
        // The path of a file, perhaps.
        Some("arch" | "workload") | None => {
            let name = word.rsplit('/').next().unwrap_or(&word);
            name.strip_suffix(".toml").unwrap_or(name).to_owned()
        }
        Some("fault") => word,
        Some(last) => format!("{last}-{word}"),
    };
    text.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '.' { letter } else { '-' }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::combine;

    const TEXT: &str = "repetitions = 2\npaired = true\n[base]\nworkload = 'dstream'\nmessages = 64\n\
                        [axes]\narch = ['dts', 'prs-haproxy', 'prs-stunnel']\nconsumers = [1, 2]";

    fn experiment(text: &str) -> Result<Experiment, ProfileError> {
        Experiment::read("mine.toml", |_| Ok(text.to_owned()))
    }

    fn names(experiment: &Experiment) -> Vec<String> {
        experiment.points(1).into_iter().map(|point| point.name).collect()
    }

    #[test]
    fn every_cell_comes_once_before_any_comes_again_and_each_time_in_another_order() {
        let experiment = experiment(TEXT).unwrap();
        let names = names(&experiment);
        assert_eq!(names.len(), 12);
        let (first, second) = names.split_at(6);
        let cells = |names: &[String]| names.iter().cloned().collect::<BTreeSet<_>>();
        assert_eq!(cells(first).len(), 6);
        assert_eq!(cells(first), cells(second));
        assert_ne!(first, second);
        assert!(first.contains(&"prs-haproxy_consumers-2".to_owned()), "{first:?}");
        assert_eq!(names, self::names(&experiment), "the same seed is the same order");
    }

    #[test]
    fn cells_of_different_rates_have_names_of_their_own_and_files_those_without_their_path() {
        let text = "[axes]\narch = ['../my-dts.toml']\n'load.rate' = ['500/s', '2000/s']";
        let names: BTreeSet<String> = names(&experiment(text).unwrap()).into_iter().collect();
        assert_eq!(names.into_iter().collect::<Vec<_>>(), ["my-dts_rate-2000-s", "my-dts_rate-500-s"]);
    }

    #[test]
    fn a_point_is_a_profile() {
        let points = experiment(TEXT).unwrap().points(1);
        let point = points.iter().find(|point| point.name == "dts_consumers-2").unwrap();
        let profile = combine(&[point.base.clone(), point.cell.clone()], |_| unreachable!()).unwrap();
        assert_eq!((profile.producers, profile.consumers), (Some(2), Some(2)));
        assert_eq!(profile.messages.map(|messages| messages.get()), Some(64));
        assert_eq!(profile.arch.as_deref(), Some("dts"));
    }

    #[test]
    fn one_rests_on_another() {
        let files = |name: &str| {
            match name {
            "quick.toml" => {
                Ok("like = 'full.toml'\nrepetitions = 1\nassert = ['lost < 1%']\n[base]\nmessages = 8\n[axes]\nconsumers = [2]".to_owned())
            }
            _ => Ok(TEXT.to_owned()),
        }
        };
        let quick = Experiment::read("quick.toml", files).unwrap();
        assert_eq!((quick.name.as_str(), quick.assert.as_slice()), ("quick", &["lost < 1%".to_owned()][..]));
        assert_eq!(quick.points(1).len(), 3);
        let circle = Experiment::read("a.toml", |_| Ok("like = 'a.toml'".to_owned())).unwrap_err();
        assert!(circle.to_string().contains("circle"), "{circle}");
    }

    #[test]
    fn only_keeps_what_is_named_or_begins_so() {
        let kept = |only: &[&str]| {
            let mut experiment = experiment(TEXT).unwrap();
            only.iter().try_for_each(|only| experiment.keep(only)).map(|()| names(&experiment).len() / 2)
        };
        assert_eq!(kept(&["arch=prs"]).unwrap(), 4);
        assert_eq!(kept(&["arch=dts,prs-stunnel", "consumers=2"]).unwrap(), 2);
        for (only, expected) in [
            ("arch", "AXIS=VALUE"),
            ("arhc=dts", "did you mean `arch`?"),
            ("arch=prs-stunel", "did you mean `prs-stunnel`?"),
            ("consumers=3", "use 1, 2"),
        ] {
            let error = kept(&[only]).unwrap_err();
            assert!(error.is_usage() && error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn what_is_wrong_is_refused_with_what_would_be_right() {
        for (text, expected) in [
            ("[axes]\nprodusers = [1]", "did you mean `producers`?"),
            ("[axes]\nconsumers = 4", "axes.consumers: give a list"),
            ("[axes]\nmessages = [0]", "a whole number of at least 1"),
            ("[base]\nmessages = 4", "needs [axes]"),
            ("paired = true\n[axes]\narch = ['dts']", "need an axis `consumers`"),
            ("repetition = 4", "did you mean `repetitions`?"),
            ("[axes]\nfault = ['at 1s: kill node 1', 'at 2s: kill node 1']", "have the name `kill-node-1`"),
            ("[axes]\nfault = ['at 1s: kil node 1']", "did you mean `kill`?"),
        ] {
            let error = experiment(text).unwrap_err().to_string();
            assert!(error.starts_with("mine.toml: ") && error.contains(expected), "{error}");
        }
        let error = Experiment::read("dstream-work-shring", |_| unreachable!()).unwrap_err().to_string();
        assert!(error.contains("did you mean `dstream-work-sharing`?"), "{error}");
    }

    #[test]
    fn a_fault_is_one_text_several_or_none_and_its_cell_is_named_by_what_is_done() {
        let text = "[base]\nduration = '9s'\n[axes]\nfault = ['at 5s: kill node 1 for 2s', 'at 5s: close connections', [], \
                    ['at 2s: stop node 1 for 1s', 'at 5s: move leader']]";
        let mut experiment = experiment(text).unwrap();
        let points = experiment.points(1);
        let faults = |name: &str| {
            let point = points.iter().find(|point| point.name == name).unwrap_or_else(|| panic!("{points:?}"));
            let profile = combine(&[point.base.clone(), point.cell.clone()], |_| unreachable!()).unwrap();
            profile.fault.unwrap().iter().map(ToString::to_string).collect::<Vec<_>>()
        };
        assert_eq!(faults("kill-node-1-for-2s"), ["at 5s: kill node 1 for 2s"]);
        assert_eq!(faults("no-fault"), [""; 0]);
        let both = ["at 2s: stop node 1 for 1s", "at 5s: move leader"];
        assert_eq!(faults("stop-node-1-for-1s-and-move-leader"), both);
        experiment.keep("fault=kill,close connections").unwrap();
        assert_eq!(names(&experiment).len(), 2);
    }

    #[test]
    fn settings_in_tables_are_axes_too() {
        let experiment = experiment("[axes]\n'service.confirms' = ['each', 'batch:8']").unwrap();
        let mut names = names(&experiment);
        names.sort();
        assert_eq!(names, ["confirms-batch-8", "confirms-each"]);
    }
}
