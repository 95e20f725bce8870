//! The `streamharness` program: arguments to adapters to engine to exit code.

mod arguments;
mod environment;
mod exit;
mod flags;
mod launch;
mod lead;
mod output;
mod plan_command;
mod profiles_command;
mod progress;
mod record;
mod route;
mod series;
mod signals;
mod testbed_command;

use arguments::{Command, Streamharness};
use clap::{CommandFactory, Parser};
use exit::Exit;
use std::process::ExitCode;

fn main() -> ExitCode {
    // First of all, since a process with threads cannot enter a user namespace.
    if let Some(code) = testbed::run_hidden(std::env::args_os().skip(1)) {
        return code;
    }
    let arguments = match Streamharness::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return usage(&error),
    };
    let done = match arguments.command {
        None => launch::run(&arguments.run),
        Some(Command::Run(run)) => launch::run(&run),
        Some(Command::Plan { ranks, run }) => plan_command::plan(&run, ranks),
        Some(Command::Profiles { show }) => profiles_command::profiles(show),
        Some(Command::Testbed { command }) => testbed_command::testbed(command),
        Some(Command::Completions { shell }) => {
            clap_complete::generate(shell, &mut Streamharness::command(), "streamharness", &mut std::io::stdout());
            Ok(Exit::Pass)
        }
    };
    match done {
        Ok(exit) => exit.into(),
        Err(failure) => failure.tell(),
    }
}

/// Help goes to stdout; a mistake goes to stderr. Where a launcher started many ranks, one of them
/// speaks.
fn usage(error: &clap::Error) -> ExitCode {
    if environment::speaks_for_the_launch() {
        // Nowhere to say that stderr is closed.
        let _ = error.print();
    }
    if error.use_stderr() { Exit::Usage.into() } else { Exit::Pass.into() }
}
