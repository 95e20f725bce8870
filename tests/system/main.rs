//! Real processes: the released program under its launchers, with real brokers, kills included.
//!
//! One testbed of three nodes serves most tests; it ends with this process, however that ends.
//! One launch runs at a time: two would measure each other. Each prints its command when it fails.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod backpressure;
mod bad_input;
mod clients;
mod cut_short;
mod doctor;
mod ejfat;
mod ephemeral;
mod facility;
mod faults;
mod full_run;
mod hosts;
mod installed;
mod knobs;
mod kubernetes;
mod limits;
mod managed;
mod many_ranks;
mod mpis;
mod neighbours;
mod own_programs;
mod pacing;
mod patterns;
mod payloads;
mod placement;
mod predicted;
mod proxied;
mod reconnect;
mod repeated;
mod report;
mod resilience;
mod routes;
mod scistream;
mod secrets;
mod settings;
mod shown;
mod swept;
mod truths;
mod unpacked;

use tests::support;
