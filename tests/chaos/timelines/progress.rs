//! What the timelines of a seed have come to, on disk after each of them, so that the next start goes on there.

use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    fs::{self, OpenOptions},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// A line of text for each timeline; the last one of a number counts.
pub struct Progress {
    file: PathBuf,
    done: BTreeMap<u64, Value>,
}

impl Progress {
    /// What was done before in this directory.
    pub fn open(dir: &Path) -> io::Result<Self> {
        fs::create_dir_all(dir)?;
        let file = dir.join("timelines.jsonl");
        let text = match fs::read_to_string(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            read => read.unwrap_or_default(),
        };
        // A line that was cut off counts as not done.
        let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        let done = lines.filter_map(|line| Some((line["number"].as_u64()?, line))).collect();
        Ok(Self { file, done })
    }

    pub fn has(&self, number: u64) -> bool {
        self.done.contains_key(&number)
    }

    /// Takes in what a timeline has come to.
    pub fn add(&mut self, number: u64, mut entry: Value) -> io::Result<()> {
        entry["number"] = json!(number);
        let mut file = OpenOptions::new().create(true).append(true).open(&self.file)?;
        file.write_all(format!("{entry}\n").as_bytes())?;
        self.done.insert(number, entry);
        Ok(())
    }

    /// What does not hold, by the number of the timeline, up to `most`.
    pub fn violations(&self, most: u64) -> Vec<(u64, String)> {
        let of = |entry: &Value| -> Vec<String> {
            let all = entry["wrong"].as_array().into_iter().flatten();
            all.filter_map(|what| what.as_str().map(str::to_owned)).collect()
        };
        let counted = self.done.range(..=most);
        counted.flat_map(|(number, entry)| of(entry).into_iter().map(|what| (*number, what))).collect()
    }

    /// For people: how many there are, and how many of each kind, up to `most`.
    pub fn print(&self, most: u64) {
        let mut counts: BTreeMap<(&str, &str), u64> = BTreeMap::new();
        let (mut number, mut seconds) = (0, 0.0);
        for entry in self.done.range(..=most).map(|(_, entry)| entry) {
            number += 1;
            seconds += entry["seconds"].as_f64().unwrap_or_default();
            for kind in ["route", "queue", "confirms", "pattern", "ending"] {
                *counts.entry((kind, entry[kind].as_str().unwrap_or("?"))).or_default() += 1;
            }
            for verb in entry["faults"].as_array().into_iter().flatten().filter_map(Value::as_str) {
                *counts.entry(("fault", verb)).or_default() += 1;
            }
        }
        println!("\n{number} timelines in {:.1} minutes", seconds / 60.0);
        for ((kind, value), count) in counts {
            println!("  {count:5}  {kind:8}  {value}");
        }
        let violations = self.violations(most);
        println!("{} violation(s)", violations.len());
        for (number, what) in violations {
            println!("  timeline {number}: {what}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_done_is_there_at_the_next_start_and_a_repeated_timeline_counts_once() {
        let dir = tempfile::tempdir().unwrap();
        let mut progress = Progress::open(dir.path()).unwrap();
        progress.add(1, json!({"wrong": ["it hung"]})).unwrap();
        progress.add(2, json!({"wrong": []})).unwrap();
        // As if it had ended while it wrote.
        OpenOptions::new().append(true).open(&progress.file).unwrap().write_all(b"{\"number\":3,").unwrap();
        let mut progress = Progress::open(dir.path()).unwrap();
        assert_eq!([1, 2, 3].map(|number| progress.has(number)), [true, true, false]);
        assert_eq!(progress.violations(9), [(1, "it hung".to_owned())]);
        progress.add(1, json!({"wrong": []})).unwrap();
        assert!(progress.violations(9).is_empty());
    }
}
