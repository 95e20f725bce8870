//! The checks of all hosts as lines: hosts that agree share one. Pure.

use super::judge::{Check, State};
use serde::{Deserialize, Serialize};

/// What was found on one host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Examined {
    /// Its name.
    pub host: String,
    /// In the order in which they are shown.
    pub checks: Vec<Check>,
}

/// A check, and the hosts that agree on it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Line {
    /// What they agree on.
    #[serde(flatten)]
    pub check: Check,
    /// Their names.
    pub hosts: Vec<String>,
    /// Whether there are others.
    #[serde(skip)]
    of_some: bool,
}

/// Joins the checks of all hosts, in the order of the first host that has each.
pub fn joined(all: Vec<Examined>) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    let hosts = all.len();
    for Examined { host, checks } in all {
        for check in checks {
            if let Some(line) = lines.iter_mut().find(|line| line.check == check) {
                line.hosts.push(host.clone());
                continue;
            }
            // Beside what other hosts have of the same.
            let behind = lines.iter().rposition(|line| line.check.name == check.name).map(|at| at + 1);
            let line = Line { check, hosts: vec![host.clone()], of_some: false };
            lines.insert(behind.unwrap_or(lines.len()), line);
        }
    }
    for line in &mut lines {
        line.of_some = line.hosts.len() < hosts;
    }
    lines
}

/// The lines for people, each with its command below it.
pub fn text(lines: &[Line]) -> String {
    let width = lines.iter().map(|line| line.check.name.len()).max().unwrap_or_default();
    let count = |state| lines.iter().filter(|line| line.check.state == state).count();
    let mut text = String::new();
    for line in lines {
        let Check { name, state, found, mend } = &line.check;
        let word = match state {
            State::Has => "has  ",
            State::Note => "note ",
            State::Lacks => "LACKS",
        };
        let hosts = if line.of_some { format!("[{}] ", line.hosts.join(", ")) } else { String::new() };
        text += &format!("{word}  {name:width$}  {hosts}{}\n", found.replace('\n', " "));
        if let Some(mend) = mend {
            text += &format!("{:7}{:width$}    {mend}\n", "", "");
        }
    }
    match count(State::Lacks) {
        0 => text + &format!("# runs can start here; {} thing(s) to note\n", count(State::Note)),
        lacks => text + &format!("# {lacks} thing(s) that a run needs are missing: type what stands below each\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(name: &str, state: State, found: &str, mend: Option<&str>) -> Check {
        Check { name: name.to_owned(), state, found: found.to_owned(), mend: mend.map(str::to_owned) }
    }

    fn host(name: &str, checks: &[Check]) -> Examined {
        Examined { host: name.to_owned(), checks: checks.to_vec() }
    }

    #[test]
    fn hosts_that_agree_share_a_line_and_others_are_named_beside_it() {
        let (tsc, hpet) =
            (check("clock", State::Has, "tsc", None), check("clock", State::Note, "hpet", Some("echo tsc")));
        let files = check("files", State::Lacks, "256", Some("ulimit -n 1024"));
        let lines = joined(vec![
            host("n1", &[tsc.clone(), files.clone()]),
            host("n2", &[hpet, files.clone()]),
            host("n3", &[tsc, files]),
        ]);
        assert_eq!(
            text(&lines),
            "has    clock  [n1, n3] tsc\n\
             note   clock  [n2] hpet\n                echo tsc\n\
             LACKS  files  256\n                ulimit -n 1024\n\
             # 1 thing(s) that a run needs are missing: type what stands below each\n"
        );
        let json = serde_json::to_value(&lines).unwrap();
        assert_eq!(
            json[1],
            serde_json::json!({
                "name": "clock", "state": "note", "found": "hpet", "mend": "echo tsc", "hosts": ["n2"]
            })
        );
    }

    #[test]
    fn one_host_needs_no_name() {
        let lines = joined(vec![host("n1", &[check("clock", State::Has, "tsc", None)])]);
        assert_eq!(text(&lines), "has    clock  tsc\n# runs can start here; 0 thing(s) to note\n");
    }
}
