//! What the runs came to: a line for each, a folder for each violation, and the counts at the end.

use crate::run::Finished;
use std::{collections::BTreeMap, fs, path::Path};

/// The counts so far.
#[derive(Default)]
pub struct Report {
    runs: u64,
    by_fault: BTreeMap<&'static str, u64>,
    missed: u64,
    by_ending: BTreeMap<String, u64>,
    violations: Vec<String>,
    unset: Vec<String>,
}

impl Report {
    /// Takes in a run and what is wrong about it.
    pub fn take(&mut self, number: u64, finished: &Finished, wrong: &[String], dir: &Path, repeat_by: &str) {
        self.runs += 1;
        for done in &finished.done {
            *self.by_fault.entry(done.kind).or_default() += 1;
        }
        self.missed += finished.missed.len() as u64;
        *self.by_ending.entry(ending(finished)).or_default() += 1;
        if wrong.is_empty() {
            return;
        }
        let folder = dir.join(format!("run-{number}"));
        self.violations.extend(wrong.iter().map(|what| format!("run {number}: {what}")));
        match keep(&folder, finished, wrong, repeat_by) {
            Ok(()) => println!("  kept in {}", folder.display()),
            Err(error) => println!("  not kept: {error}"),
        }
    }

    /// Takes in a run that could not be set up.
    pub fn not_set_up(&mut self, number: u64, why: &str) {
        self.unset.push(format!("run {number}: {why}"));
    }

    /// Whether nothing is wrong.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.runs > 0
    }

    /// All of it, for people.
    pub fn print(&self) {
        let faults: u64 = self.by_fault.values().sum();
        println!("\n{} runs, {faults} faults, {} more that found nothing to strike", self.runs, self.missed);
        for (fault, count) in &self.by_fault {
            println!("  {count:5}  {fault}");
        }
        println!("endings");
        for (ending, count) in &self.by_ending {
            println!("  {count:5}  {ending}");
        }
        for why in &self.unset {
            println!("not set up: {why}");
        }
        println!("{} violation(s)", self.violations.len());
        for violation in &self.violations {
            println!("  {violation}");
        }
    }
}

/// How a run ended, in words.
pub fn ending(finished: &Finished) -> String {
    match finished.ended.outcome.status.code() {
        _ if !finished.ended.in_time => "not by itself".to_owned(),
        Some(code) => format!("exit code {code}"),
        None => finished.ended.outcome.status.to_string(),
    }
}

/// Keeps what is needed to find out why.
pub fn keep(folder: &Path, finished: &Finished, wrong: &[String], repeat_by: &str) -> std::io::Result<()> {
    if folder.exists() {
        fs::remove_dir_all(folder)?;
    }
    fs::create_dir_all(folder)?;
    let done: String =
        finished.done.iter().map(|done| format!("{:.1} s: {}\n", done.after.as_secs_f64(), done.what)).collect();
    let outcome = &finished.ended.outcome;
    let text = format!(
        "{}\n{}\n{done}missed: {:?}\ninjected: {:?}\nbroker saw: {:#?}\nbroker has: {:#?} {:?}\nleft: {:#?}\n{}\n{repeat_by}\n{outcome}\n",
        wrong.join("\n"),
        finished.plan,
        finished.missed,
        finished.injected,
        finished.seen.queues,
        finished.left,
        finished.left_exchanges,
        finished.ended.left,
        finished.diagnosis,
    );
    fs::write(folder.join("what.txt"), text)?;
    for (name, bytes) in &outcome.files {
        let path = folder.join(name);
        fs::create_dir_all(path.parent().expect("it is below"))?;
        fs::write(path, bytes)?;
    }
    Ok(())
}
