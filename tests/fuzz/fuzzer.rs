//! libFuzzer over one target, which `STREAMHARNESS_FUZZ_TARGET` names.
#![no_main]

use fuzz::{Target, named};
use std::{
    env,
    sync::{Arc, LazyLock},
};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    // A program of Rust's own ignores it; libFuzzer's is ended by a write to a socket that is closed.
    let ignored = signal_hook::flag::register(signal_hook::consts::SIGPIPE, Arc::default());
    ignored.expect("SIGPIPE can be handled");
    let name = env::var("STREAMHARNESS_FUZZ_TARGET").expect("set STREAMHARNESS_FUZZ_TARGET; `cargo xtask fuzz` does");
    named(&name).expect("set STREAMHARNESS_FUZZ_TARGET to a target of tests/fuzz/src/lib.rs")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
