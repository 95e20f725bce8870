//! The testbed by hand and for its tests: `testbed up|status|env|exec|down`, and `hold`, an ephemeral one.

use std::{ffi::OsString, process::ExitCode};
use testbed::{Error, Options, Result};

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().skip(1).collect();
    if let Some(code) = testbed::run_hidden(arguments.clone()) {
        return code;
    }
    // `testbed up` and `testbed testbed up` alike.
    if arguments.first().is_some_and(|word| word == "testbed") {
        arguments.remove(0);
    }
    run(&arguments).unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::from(3)
    })
}

fn run(arguments: &[OsString]) -> Result<ExitCode> {
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    let nodes = |rest: &[&str]| match rest {
        ["--nodes", nodes] => nodes.parse().unwrap_or(0),
        _ => 3,
    };
    let mut progress = |line: &str| eprintln!("{line}");
    let running = || testbed::find(&testbed::default_dir())?.ok_or_else(|| Error::NotUp(testbed::default_dir()));
    match words.as_slice() {
        ["up", rest @ ..] => {
            testbed::up(&Options::new(nodes(rest))?, &mut progress)?;
        }
        ["hold", rest @ ..] => {
            let owned = testbed::ephemeral(&Options::new(nodes(rest))?, &mut progress)?;
            println!("{}", owned.testbed().dir().display());
            let _ = std::io::stdin().read_line(&mut String::new());
            owned.close()?;
        }
        ["status"] => print!("{}", running()?.status()?),
        ["env"] => print!("{}", running()?.env_lines()),
        ["exec", "--", ..] => return Ok(ExitCode::from(running()?.exec(&arguments[2..])?)),
        ["down"] => {
            testbed::down(&testbed::default_dir(), &mut progress)?;
        }
        _ => {
            eprintln!("testbed up [--nodes N] | hold [--nodes N] | status | env | exec -- CMD | down");
            return Ok(ExitCode::from(1));
        }
    }
    Ok(ExitCode::SUCCESS)
}
