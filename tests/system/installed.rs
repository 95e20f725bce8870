//! A tarball is whole: unpacked anywhere, with nothing of the project in the environment, its program streams.

use crate::support::{Launch, place, program, service, workspace};
use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);

#[track_caller]
fn run(folder: &Path, program: &str, words: &[&str]) -> String {
    let output = Command::new(program).args(words).current_dir(folder).output().unwrap();
    assert!(output.status.success(), "{program} {words:?}: {output:?}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[track_caller]
fn only(folder: &Path, extension: &str) -> PathBuf {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<PathBuf> = entries.filter(|path| path.extension().unwrap_or_default() == extension).collect();
    assert_eq!(found.len(), 1, "{found:?}");
    found.remove(0)
}

#[test]
fn the_program_of_an_unpacked_tarball_streams_and_everything_is_beside_it() {
    let place = place();
    let (out, empty) = (place.path().join("out"), place.path().join("empty"));
    fs::create_dir(&empty).unwrap();
    let program = program();
    let words = ["xtask", "dist", "--out", out.to_str().unwrap(), "--program", program.to_str().unwrap()];
    run(workspace(), &std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), &words);
    run(&out, "sha256sum", &["--check", only(&out, "sha256").to_str().unwrap()]);
    run(&empty, "tar", &["-xzf", only(&out, "gz").to_str().unwrap(), "--strip-components=1"]);

    for file in [
        "share/man/man1/streamharness.1",
        "share/man/man1/streamharness-testbed-up.1",
        "share/bash-completion/completions/streamharness",
        "share/zsh/site-functions/_streamharness",
        "share/fish/vendor_completions.d/streamharness.fish",
        "share/modulefiles/streamharness/0.1.0.lua",
        "share/streamharness/profiles/architectures/dts.toml",
        "share/streamharness/reframe/streamharness.py",
        "share/doc/streamharness/LICENSE-APACHE",
        "share/doc/streamharness/CITATION.cff",
    ] {
        assert!(fs::metadata(empty.join(file)).is_ok_and(|file| file.len() > 0), "{file}");
    }
    let licences = fs::read_to_string(empty.join("share/doc/streamharness/LICENSES-OF-CRATES.txt")).unwrap();
    assert!(licences.lines().any(|line| line.starts_with("lapin ") && line.ends_with(" MIT")), "{licences}");

    let words: [OsString; 2] = ["-i", "PATH=/usr/bin:/bin"].map(Into::into);
    let unpacked = empty.join("bin/streamharness");
    let before =
        [&words[..], &[format!("STREAMHARNESS_TESTBED={}", service().dir().display()).into(), unpacked.into()]];
    let launch = Launch::new(Path::new("env"), &before.concat(), &["--messages", "200", "--arch", "dts"]);
    launch.run(LIMIT).passes();
}
