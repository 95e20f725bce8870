//! The `streamharness` program: arguments to adapters to engine to exit code.

// Both panic where nobody reads or nothing more can be written; `stdout` and `stderr` do not.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod cli;
mod commands;
mod files;
mod host;
mod launch;
mod rank0;
mod route;
mod terminal;

use clap::{CommandFactory, Parser};
use cli::arguments::{Command, Streamharness};
use host::environment;
use launch::world;
use std::process::ExitCode;
use terminal::{
    exit::{Exit, Failure},
    stderr, stdout,
};

fn main() -> ExitCode {
    stderr::report_panics();
    // Before all else, since a process with threads cannot enter a user namespace.
    if let Some(code) = testbed::run_hidden(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = match Streamharness::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let done = match arguments.command {
        None => commands::run::run(&arguments.run),
        Some(Command::Run(run)) => commands::run::run(&run),
        Some(Command::Sweep(sweep)) => commands::sweep::sweep(&sweep),
        Some(Command::Plan { ranks, hosts, run }) => commands::plan::plan(&run, ranks, hosts),
        Some(Command::Predict(predict)) => commands::predict::predict(&predict),
        Some(Command::Assert(assert)) => commands::assert::run(&assert),
        Some(Command::Compare(compare)) => commands::compare::run(&compare),
        Some(Command::Payload(payload)) => commands::payload::payload(payload),
        Some(Command::Profiles { effort: true, .. }) => commands::profiles::effort(),
        Some(Command::Profiles { show, .. }) => commands::profiles::profiles(show),
        Some(Command::Export(export)) => commands::export::export(&export),
        Some(Command::Report(report)) => commands::report::report(&report),
        Some(Command::Rerun(rerun)) => commands::rerun::rerun(&rerun),
        Some(Command::S2cs(s2cs)) => commands::scistream::s2cs(s2cs),
        Some(Command::S2uc { command }) => commands::scistream::s2uc(command),
        Some(Command::S3m { command }) => commands::s3m::s3m(command),
        Some(Command::Ejfat { command }) => commands::ejfat::ejfat(command),
        Some(Command::Hold) => commands::hold::hold(),
        Some(Command::Neighbour { out }) => commands::neighbour::neighbour(out),
        Some(Command::Testbed { command }) => commands::testbed::testbed(command),
        Some(Command::Doctor(doctor)) => commands::doctor::doctor(&doctor),
        Some(Command::Meet) => commands::doctor::meet(),
        Some(Command::Man { dir }) => commands::man::man(&dir, Streamharness::command()),
        Some(Command::Completions { shell }) => completions(shell),
    };
    exit_code(done)
}

fn exit_code(done: Result<Exit, Failure>) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.report(),
    }
}

/// The script goes to memory first: clap panics if its writer fails.
fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Streamharness::command(), "streamharness", &mut script);
    stdout::print(&String::from_utf8_lossy(&script)).and(Ok(Exit::Pass))
}

/// Help goes to stdout; a mistake goes to stderr, as one sentence. If a launcher started many
/// ranks, one of them writes.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        if environment::speaks_for_the_launch() {
            return exit_code(stdout::print_styled(&error.render()).and(Ok(Exit::Pass)));
        }
        return Exit::Pass.into();
    }
    if !environment::speaks_for_the_launch() {
        world::let_rank_0_report();
        return Exit::Usage.into();
    }
    Failure::new(Exit::Usage, in_one_line(&error.to_string())).report()
}

/// An error message of clap, which has several lines, in one line and without the usage.
fn in_one_line(message: &str) -> String {
    let message = message.trim_start_matches("error: ").split("\n\nUsage:").next().unwrap_or_default();
    let parts = message.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts: Vec<String> = parts.filter(|part| !part.starts_with("For more information, try")).collect();
    format!("{}; see `streamharness --help`", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelled_option_is_reported_in_one_line_with_the_right_one() {
        let error = Streamharness::try_parse_from(["streamharness", "--mesages", "5"]).unwrap_err();
        let line = in_one_line(&error.to_string());
        assert!(
            !line.contains('\n')
                && line.contains("found; tip: ")
                && line.ends_with("'--messages'; see `streamharness --help`"),
            "{line}"
        );
    }
}
