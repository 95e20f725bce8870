//! Records made up for tests.

use measure::{Integrity, Record, Throughput, record::Harness};
use serde_json::json;

/// A run that delivered `rate` messages a second and exited with `exit_code`.
pub fn record(number: u64, rate: f64, exit_code: u8) -> Record {
    let mut record: Record = serde_json::from_value(json!({
        "schema": measure::record::SCHEMA, "run_id": format!("r{number}"), "started": "2026-11-23T18:31:18Z", "plan": {},
        "status": { "pass": exit_code == 0, "reason": format!("code {exit_code}"), "exit_code": exit_code },
        "route": { "architecture": "dts", "hops": [] },
        "environment": { "hosts": [], "world_size": 1, "harness_version": "0", "seed": 1 },
        "throughput": Throughput::default(), "latency": {}, "integrity": Integrity::default(), "ranks": [],
        "harness": Harness::default(),
    }))
    .unwrap();
    record.throughput.messages_per_second = Some(rate);
    record
}
