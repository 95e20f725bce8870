//! What came of a launch.

use measure::Record;
use std::{
    collections::BTreeMap,
    fmt::{self, Debug},
    process::ExitStatus,
    str::FromStr,
    time::Duration,
};

/// A launch that has ended.
pub struct Outcome {
    /// The command as it can be typed.
    pub shown: String,
    /// What the launcher, or the program where there is none, ended with.
    pub status: ExitStatus,
    /// All of its stdout.
    pub stdout: String,
    /// All of its stderr.
    pub stderr: String,
    /// From its start to its end.
    pub elapsed: Duration,
    /// All files that it left where it ran.
    pub files: BTreeMap<String, Vec<u8>>,
}

impl Outcome {
    /// A file of the one result directory.
    #[track_caller]
    pub fn file(&self, name: &str) -> &[u8] {
        let found: Vec<_> = self
            .files
            .iter()
            .filter(|(path, _)| path.starts_with("results/") && path.ends_with(&format!("/{name}")))
            // Those of other tenants are not the run's.
            .filter(|(path, _)| !path.contains("/neighbours/"))
            .collect();
        assert_eq!(found.len(), 1, "files called {name}: {:?} {self}", self.files.keys());
        found[0].1
    }

    /// A text of the result directory.
    #[track_caller]
    pub fn text(&self, name: &str) -> String {
        String::from_utf8(self.file(name).to_vec()).unwrap()
    }

    /// A column of a table of the result directory.
    #[track_caller]
    pub fn column(&self, table: &str, name: &str) -> Vec<String> {
        let table = self.text(table);
        let mut rows = table.lines().map(|line| line.split(',').map(str::to_owned).collect::<Vec<_>>());
        let head = rows.next().expect("a table has a head");
        let at = head.iter().position(|column| column == name);
        let at = at.unwrap_or_else(|| panic!("no column `{name}` in\n{table}"));
        rows.map(|mut row| row.swap_remove(at)).collect()
    }

    /// The same, of numbers.
    #[track_caller]
    pub fn numbers<T: FromStr<Err: Debug>>(&self, table: &str, name: &str) -> Vec<T> {
        self.column(table, name).iter().map(|cell| cell.parse().unwrap()).collect()
    }

    /// The record, which must be one by its version and its fields.
    #[track_caller]
    pub fn record(&self) -> Record {
        Record::from_json(&self.text("record.json")).unwrap_or_else(|error| panic!("{error} {self}"))
    }

    /// The run passed, delivered what it sent, and says so everywhere. Returns its record.
    #[track_caller]
    pub fn passes(&self) -> Record {
        assert_eq!(self.status.code(), Some(0), "{self}");
        let verdict = self.stdout.lines().last().unwrap_or_default();
        assert!(verdict.starts_with("# STATUS: PASS"), "{self}");
        let record = self.record();
        assert!(record.status.pass && record.status.exit_code == 0, "{:?} {self}", record.status);
        let integrity = &record.integrity;
        assert!(integrity.sent > 0, "nothing was sent {self}");
        assert_eq!(integrity.delivered, integrity.sent * integrity.copies, "{integrity:?} {self}");
        if let Some(replies) = &integrity.replies {
            // External consumers reply to what is delivered to them.
            let owed = if integrity.copies == 0 { integrity.sent } else { integrity.delivered };
            assert_eq!(replies.delivered, owed, "{replies:?} {self}");
            assert_eq!(
                [replies.lost, replies.duplicated, replies.corrupt, replies.foreign],
                [0; 4],
                "{replies:?} {self}"
            );
        }
        let wrong = [
            integrity.lost,
            integrity.duplicated,
            integrity.corrupt,
            integrity.abandoned,
            integrity.unconfirmed,
            integrity.unexpected,
        ];
        assert_eq!(wrong, [0; 6], "{integrity:?} {self}");
        record
    }

    /// It ends well, and a line on stdout begins with this.
    #[track_caller]
    pub fn prints(&self, beginning: &str) {
        assert_eq!(self.status.code(), Some(0), "{self}");
        assert!(self.stdout.lines().any(|line| line.starts_with(beginning)), "{self}");
    }

    /// It ends with `code`, and one line on stderr, not more, has all `parts`; nothing looks like a crash.
    #[track_caller]
    pub fn fails(&self, code: i32, parts: &[&str]) {
        assert_eq!(self.status.code(), Some(code), "{self}");
        let telling = self.stderr.lines().filter(|line| parts.iter().all(|part| line.contains(part))).count();
        assert_eq!(telling, 1, "lines with {parts:?} {self}");
        for sign in ["panicked", "backtrace", "RUST_BACKTRACE", "Segmentation fault"] {
            assert!(!self.stderr.contains(sign), "{sign} {self}");
        }
        assert!(!self.stdout.contains("STATUS: PASS"), "{self}");
    }

    /// The run was cut short: a record says so, and why.
    #[track_caller]
    pub fn leaves_a_failed_record(&self, code: u8, reason: &str) -> Record {
        let record = self.record();
        assert!(!record.status.pass && record.status.exit_code == code, "{:?} {self}", record.status);
        assert!(record.status.reason.contains(reason), "{:?} {self}", record.status);
        record
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shown, status, stdout, stderr, elapsed, .. } = self;
        write!(f, "in\n  {shown}\n{status} after {elapsed:?}, stdout:\n{stdout}\nstderr:\n{stderr}")
    }
}
