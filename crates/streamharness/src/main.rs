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
        Some(Command::Plan { ranks, run }) => commands::plan::plan(&run, ranks),
        Some(Command::Assert(assert)) => commands::assert::run(&assert),
        Some(Command::Compare(compare)) => commands::compare::run(&compare),
        Some(Command::Payload(payload)) => commands::payload::payload(payload),
        Some(Command::Profiles { show }) => commands::profiles::profiles(show),
        Some(Command::Export(asked)) => commands::export::export(&asked),
        Some(Command::Report(asked)) => commands::report::report(&asked),
        Some(Command::Rerun(rerun)) => commands::rerun::rerun(&rerun),
        Some(Command::S2cs(s2cs)) => commands::scistream::s2cs(s2cs),
        Some(Command::S2uc { command }) => commands::scistream::s2uc(command),
        Some(Command::S3m { command }) => commands::s3m::s3m(command),
        Some(Command::Hold) => commands::hold::hold(),
        Some(Command::Testbed { command }) => commands::testbed::testbed(command),
        Some(Command::Completions { shell }) => completions(shell),
    };
    told(done)
}

fn told(done: Result<Exit, Failure>) -> ExitCode {
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(),
    }
}

/// The script goes to memory first: clap panics where its writer fails.
fn completions(shell: clap_complete::Shell) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Streamharness::command(), "streamharness", &mut script);
    stdout::print(&String::from_utf8_lossy(&script)).and(Ok(Exit::Pass))
}

/// Help goes to stdout; a mistake goes to stderr, as one sentence. Where a launcher started many
/// ranks, one of them speaks.
fn usage(error: &clap::Error) -> ExitCode {
    if !error.use_stderr() {
        if environment::speaks_for_the_launch() {
            return told(stdout::print_styled(&error.render()).and(Ok(Exit::Pass)));
        }
        return Exit::Pass.into();
    }
    if !environment::speaks_for_the_launch() {
        world::let_rank_0_speak();
        return Exit::Usage.into();
    }
    Failure::new(Exit::Usage, in_one_line(&error.to_string())).tell()
}

/// What clap says over several lines, without the usage.
fn in_one_line(said: &str) -> String {
    let said = said.trim_start_matches("error: ").split("\n\nUsage:").next().unwrap_or_default();
    let parts = said.split("\n\n").map(|part| part.split_whitespace().collect::<Vec<_>>().join(" "));
    let parts: Vec<String> = parts.filter(|part| !part.starts_with("For more information, try")).collect();
    format!("{}; see `streamharness --help`", parts.join("; "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mistake_in_typing_is_told_in_one_line_with_what_was_meant() {
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
