//! The summary of a sweep: `sweep.json`, lines on the terminal, and the exit code.

use crate::{
    files::whole,
    rank0::sweep::search::Searches,
    terminal::{
        exit::{Exit, Failure},
        stderr, stdout,
    },
};
use profile::Search;
use serde_json::json;
use std::path::Path;

/// The version of `sweep.json`. New fields do not change it.
const SCHEMA: &str = "streamharness/sweep/1";

/// The result of a point.
pub struct Outcome {
    /// The point.
    pub title: String,
    /// The exit code of a single run of it.
    pub exit: Exit,
    /// Why it failed.
    pub reason: String,
}

/// The results of all points.
pub struct Summary<'a> {
    /// The experiment.
    pub name: &'a str,
    /// Its description.
    pub about: &'a str,
    /// The number of its points.
    pub points: usize,
    /// The points of an earlier launch that passed.
    pub found: usize,
    /// The points of this launch.
    pub done: &'a [Outcome],
    /// The searches, if it is a sweep of searches.
    pub searches: Option<&'a Searches>,
    /// The signal that stopped it.
    pub stopped: Option<&'a str>,
}

impl Summary<'_> {
    fn failed(&self) -> impl Iterator<Item = &Outcome> {
        self.done.iter().filter(|done| done.exit != Exit::Pass)
    }

    fn passed(&self) -> usize {
        self.found + self.done.len() - self.failed().count()
    }

    fn left(&self) -> usize {
        self.points - self.found - self.done.len()
    }

    fn found(&self) -> impl Iterator<Item = (&(String, u32), Result<Option<String>, &str>)> {
        self.searches.iter().flat_map(|searches| searches.found())
    }

    fn all_known(&self) -> bool {
        self.found().all(|(_, highest)| highest.is_ok())
    }

    /// Writes `sweep.json` to `out`.
    pub fn write(&self, out: &Path) -> Result<(), Failure> {
        let summary = json!({
            "schema": SCHEMA,
            "experiment": self.name,
            "about": self.about,
            "points": self.points,
            "passed": self.passed(),
            "failed": self.failed().map(|one| json!({"point": one.title, "reason": one.reason})).collect::<Vec<_>>(),
            "left": self.left(),
            "searched": self.found().map(|((cell, repetition), highest)| match highest {
                Ok(highest) => json!({"cell": cell, "repetition": repetition, "highest": highest}),
                Err(why) => json!({"cell": cell, "repetition": repetition, "highest": null, "unknown": why}),
            }).collect::<Vec<_>>(),
            "ended": jiff::Timestamp::now().to_string(),
        });
        let text = serde_json::to_string_pretty(&summary).expect("plain data") + "\n";
        let path = out.join("sweep.json");
        std::fs::create_dir_all(out)
            .and_then(|()| whole::write(&path, text.as_bytes()))
            .map_err(|error| Failure::new(Exit::Partial, format!("cannot write {}: {error}", path.display())))
    }

    /// Prints the results of searches, and reports failed points.
    pub fn print(&self, out: &Path) -> Result<(), Failure> {
        let mut printed = Ok(());
        if let Some(Searches { search: Search { key, keeps, .. }, .. }) = self.searches {
            let mut text = format!("# the highest {key} with {keeps}\n");
            for ((cell, repetition), highest) in self.found() {
                let highest = match highest {
                    Ok(highest) => highest.unwrap_or_else(|| "none".to_owned()),
                    Err(why) => format!("unknown: {why}"),
                };
                text += &format!("{cell:32} {repetition:3}  {highest}\n");
            }
            printed = stdout::print(&text);
        }
        if !self.all_known() {
            let remedy = "a longer base.duration or a higher search.from gives a point more samples";
            stderr::say(format_args!("not every search has a result: {remedy}"));
        }
        for one in self.failed() {
            stderr::say(format_args!("failed: {}: {}", one.title, one.reason));
        }
        let resumes = |by| format!(", stopped by {by} with {} left: --resume goes on", self.left());
        let stopped = self.stopped.map(resumes).unwrap_or_default();
        let (passed, points) = (self.passed(), self.points);
        stderr::say(format_args!("{passed} of {points} points passed{stopped}; results in {}", out.display()));
        printed
    }

    /// The exit code of the sweep: that of the points, if all fail alike.
    pub fn exit(&self) -> Exit {
        let mut failed = self.failed();
        match failed.next() {
            None if self.left() == 0 && self.all_known() => Exit::Pass,
            Some(first) if self.passed() == 0 && self.left() == 0 && failed.all(|one| one.exit == first.exit) => {
                first.exit
            }
            _ => Exit::Partial,
        }
    }
}
