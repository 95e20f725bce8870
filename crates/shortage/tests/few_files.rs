//! A process that may open no more files. A binary of its own, since the limit is the process's.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on panics")]

use nix::sys::resource::{Resource, getrlimit, setrlimit};

#[test]
fn a_runtime_that_would_lack_files_is_not_begun_and_what_to_type_is_named() {
    let (soft, hard) = getrlimit(Resource::RLIMIT_NOFILE).unwrap();
    // What is open stays open.
    setrlimit(Resource::RLIMIT_NOFILE, 3, hard).unwrap();
    let runtime = shortage::runtime(|| -> std::io::Result<()> { panic!("there is no room for it") });
    setrlimit(Resource::RLIMIT_NOFILE, soft, hard).unwrap();
    let sentence = runtime.unwrap_err().to_string();
    assert!(sentence.contains("may open 3 files") && sentence.contains("`ulimit -n 1024`"), "{sentence}");
    assert_eq!(shortage::runtime(|| Ok(7)).unwrap(), 7);
}
