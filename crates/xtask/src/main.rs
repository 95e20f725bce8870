//! One command per chore: `cargo xtask ci | fuzz | golden | docs | chaos | install | dist`.

#![forbid(unsafe_code)]

mod cargo;
mod chaos;
mod ci;
mod dist;
mod files;
mod fuzz;
mod golden;
mod install;
mod leftovers;
mod licences;
mod scripts;
mod system;

use std::{env, process::ExitCode};

const USAGE: &str = "usage: cargo xtask COMMAND
  ci       every check and test, cheapest first; stops at the first failure
  fuzz     [--seconds N] [TARGET...]: libFuzzer on what reads other people's bytes, each target for N seconds
  golden   writes all golden files anew; the diff is the review
  chaos    [--seed N] [--minutes M] [--runs R] [--timelines T] [--only K]: random faults on random runs of real parts
  docs     builds the documentation of every crate into target/doc
  install  --prefix DIR [--program FILE]: the program with manual pages, completions, profiles and licences, built or as given
  dist     [--out DIR] [--program FILE]: the same as a tarball with its checksum, in target/dist or DIR";

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        ["ci"] => ci::run(),
        ["chaos", ref flags @ ..] => chaos::run(flags),
        ["fuzz", ref rest @ ..] => fuzz::run(rest),
        ["golden"] => golden::refresh(),
        ["install", ref flags @ ..] => install::run(flags),
        ["dist", ref flags @ ..] => dist::run(flags),
        ["docs"] => cargo::cargo(&["doc", "--workspace", "--no-deps"]),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
