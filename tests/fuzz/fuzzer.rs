//! libFuzzer over one target, which `STREAMHARNESS_FUZZ_TARGET` names.
#![no_main]

use fuzz::{Target, named};
use std::{env, sync::LazyLock};

static TARGET: LazyLock<Target> = LazyLock::new(|| {
    let name = env::var("STREAMHARNESS_FUZZ_TARGET").expect("set STREAMHARNESS_FUZZ_TARGET; `cargo xtask fuzz` does");
    named(&name).expect("set STREAMHARNESS_FUZZ_TARGET to a target of tests/fuzz/src/lib.rs")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| TARGET(data));
