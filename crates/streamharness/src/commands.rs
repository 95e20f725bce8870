//! One file for each command that starts no run by itself, or that starts it in another way.

pub mod assert;
pub mod compare;
pub mod export;
pub mod payload;
pub mod plan;
pub mod profiles;
pub mod report;
pub mod rerun;
pub mod s3m;
pub mod scistream;
pub mod sweep;
pub mod testbed;
