//! Finds temporary text that must not be committed.

use crate::{
    cargo::root,
    files::{self, File},
};
use anyhow::{Result, bail};
use std::path::Path;

const LINE_CHARS_MAX: usize = 140;
const MODULE_LINES_MAX: usize = 700;

/// Notes to oneself, in halves, so that this file does not find itself.
const NOTES: [&str; 2] = [concat!("FIX", "ME"), concat!("XX", "X")];
/// Macros for debugging only.
const MACROS: [&str; 3] = [concat!("db", "g!("), concat!("to", "do!("), concat!("unimple", "mented!(")];
/// What may stand after `/tmp/` in a file of the project: everything else is someone's scratch folder.
const TMP_ALLOWED: &str = "streamharness";

/// Fails with every finding, one per line.
pub fn check() -> Result<()> {
    let own = own_paths(&root(), std::env::var("HOME").ok().as_deref());
    let mut findings = Vec::new();
    for file in files::all()? {
        find(&file, &own, &mut findings);
    }
    if !findings.is_empty() {
        bail!("{} found:\n  {}", findings.len(), findings.join("\n  "));
    }
    Ok(())
}

/// Folders of this machine that no committed file should name: the checkout, what is around it, and the home folder.
fn own_paths(root: &Path, home: Option<&str>) -> Vec<String> {
    const SHARED: [&str; 8] = ["/", "/home", "/opt", "/root", "/srv", "/tmp", "/usr/src", "/var/tmp"];
    let around = root.parent().map(|parent| parent.to_string_lossy().into_owned());
    let mut own: Vec<String> = around.into_iter().filter(|parent| !SHARED.contains(&parent.as_str())).collect();
    own.push(root.to_string_lossy().into_owned());
    own.extend(home.filter(|home| !SHARED.contains(home)).map(str::to_owned));
    for path in &mut own {
        path.push('/');
    }
    own
}

fn find(file: &File, own: &[String], findings: &mut Vec<String>) {
    let path = &file.path;
    let shell = file.is_shell();
    for (number, line) in file.text.lines().enumerate().map(|(index, line)| (index + 1, line)) {
        let mut found = |what: String| findings.push(format!("{path}:{number}: {what}"));
        for note in NOTES {
            if has_word(line, note) {
                found(format!("`{note}`"));
            }
        }
        if let Some(named) = own.iter().find(|folder| line.contains(*folder)) {
            found(format!("a path of this machine, `{named}`"));
        }
        if line.match_indices("/tmp/").any(|(at, tmp)| is_scratch(&line[at + tmp.len()..])) {
            found(format!("a scratch path; only /tmp/{TMP_ALLOWED}... is ours"));
        }
        if shell && line.trim_end() == "exit 1" {
            found("an `exit 1` that nothing guards: all after it is dead".to_owned());
        }
        if file.is_rust() {
            if let Some(name) = MACROS.iter().find(|name| line.contains(*name)) {
                found(format!("`{name}...)`"));
            }
            let chars = line.chars().count();
            if chars > LINE_CHARS_MAX {
                found(format!("{chars} characters in a line, {LINE_CHARS_MAX} at most"));
            }
        }
        if path == "Cargo.lock"
            && line.starts_with("source = ")
            && !line.contains("\"registry+https://github.com/rust-lang/crates.io-index\"")
        {
            found("a crate that is not from crates.io".to_owned());
        }
    }
    let lines = file.text.lines().count();
    if file.is_rust() && lines > MODULE_LINES_MAX {
        findings.push(format!("{path}: {lines} lines in a module, {MODULE_LINES_MAX} at most"));
    }
}

/// `mktemp` patterns and `XXXX` in prose hold the letters of a note, but not its word.
fn has_word(line: &str, word: &str) -> bool {
    let part = |char: Option<char>| char.is_some_and(|char| char.is_alphanumeric() || char == '_');
    line.match_indices(word)
        .any(|(at, word)| !part(line[..at].chars().next_back()) && !part(line[at + word.len()..].chars().next()))
}

/// One letter stands for any folder, in tests: it is nobody's.
fn is_scratch(after_tmp: &str) -> bool {
    let folder = after_tmp.split(|char: char| !char.is_ascii_alphanumeric()).next().unwrap_or_default();
    folder.len() > 1 && folder != TMP_ALLOWED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(path: &str, text: &str, expected: &[&str]) {
        let file = File { path: path.to_owned(), text: text.to_owned() };
        let mut findings = Vec::new();
        find(&file, &["/data/clone/".to_owned()], &mut findings);
        assert_eq!(findings, expected);
    }

    #[test]
    fn a_note_is_found_as_a_word_only() {
        check("a.md", concat!("FIX", "ME: later\nmktemp run.XX", "XX\n"), &[concat!("a.md:1: `FIX", "ME`")]);
    }

    #[test]
    fn a_bench_macro_is_found_in_rust_and_not_in_prose() {
        check("a.rs", concat!("db", "g!(x);\n"), &[concat!("a.rs:1: `db", "g!(...)`")]);
        check("a.md", concat!("never `db", "g!(x)`\n"), &[]);
    }

    #[test]
    fn a_lone_exit_is_found_and_a_guarded_one_is_not() {
        let text = "#!/bin/sh\nexit 1\nif :; then\n    exit 1\nfi\n";
        check("a", text, &["a:2: an `exit 1` that nothing guards: all after it is dead"]);
    }

    #[test]
    fn paths_of_this_machine_and_scratch_paths_are_found() {
        check("a.md", "see /data/clone/x\n", &["a.md:1: a path of this machine, `/data/clone/`"]);
        check("a.md", concat!("see /tm", "p/mine\n"), &["a.md:1: a scratch path; only /tmp/streamharness... is ours"]);
        check("a.md", "in /tmp/streamharness-0/slurm, /tmp/t/run or /tmp\n", &[]);
    }

    #[test]
    fn the_folders_that_everyone_has_are_nobodys() {
        assert_eq!(own_paths(Path::new("/home/streamharness"), Some("/root")), ["/home/streamharness/"]);
        assert_eq!(own_paths(Path::new("/data/a/b"), Some("/home/ann")), ["/data/a/", "/data/a/b/", "/home/ann/"]);
    }

    #[test]
    fn long_lines_and_long_modules_are_found() {
        check("a.rs", &"x".repeat(141), &["a.rs:1: 141 characters in a line, 140 at most"]);
        check("a.rs", &"x".repeat(140), &[]);
        check("a.rs", &"x\n".repeat(701), &["a.rs: 701 lines in a module, 700 at most"]);
    }

    #[test]
    fn a_crate_from_elsewhere_is_found() {
        let text = "source = \"registry+https://github.com/rust-lang/crates.io-index\"\nsource = \"git+https://example.org/a\"\n";
        check("Cargo.lock", text, &["Cargo.lock:2: a crate that is not from crates.io"]);
    }
}
