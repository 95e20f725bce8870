//! One file for each command.

pub mod assert;
pub mod compare;
pub mod doctor;
pub mod ejfat;
pub mod export;
pub mod hold;
pub mod man;
pub mod neighbour;
pub mod payload;
pub mod plan;
pub mod predict;
pub mod profiles;
pub mod report;
pub mod rerun;
pub mod run;
pub mod s3m;
pub mod scistream;
pub mod span;
pub mod sweep;
pub mod testbed;
