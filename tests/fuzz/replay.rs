//! Every input that was kept, through its target once more.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use fuzz::TARGETS;
use std::{
    fs,
    path::{Path, PathBuf},
};

/// What the repository has room for.
const CORPUS_BYTES_MAX: u64 = 500_000;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus")
}

fn inputs(folder: &Path) -> Vec<PathBuf> {
    let mut inputs: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    inputs.sort();
    inputs
}

#[test]
fn every_kept_input_is_still_taken_or_refused_in_order() {
    for (name, target) in TARGETS {
        let inputs = inputs(&corpus().join(name));
        assert!(!inputs.is_empty(), "no input is kept for {name}");
        for input in inputs {
            // Captured by the test, so it is seen for the one that fails.
            println!("{}", input.display());
            target(&fs::read(input).unwrap());
        }
    }
}

#[test]
fn the_corpus_is_small_and_all_of_it_has_a_target() {
    let folders = inputs(&corpus());
    for folder in &folders {
        let name = folder.file_name().unwrap().to_string_lossy();
        assert!(TARGETS.iter().any(|(target, _)| *target == name), "no target takes {}", folder.display());
    }
    let bytes: u64 =
        folders.iter().flat_map(|folder| inputs(folder)).map(|input| fs::metadata(input).unwrap().len()).sum();
    assert!(bytes <= CORPUS_BYTES_MAX, "{bytes} bytes are kept: minimise, see `cargo xtask fuzz`");
}
