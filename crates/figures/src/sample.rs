//! Records made up for tests: what a run of a given speed would have left.

use measure::{
    Record, Throughput,
    record::{Environment, Harness, Route, SCHEMA, Status},
};

/// A sound run of dstream work sharing that delivered `rate` messages a second.
pub(crate) fn record(architecture: &str, consumers: u32, rate: f64) -> Record {
    Record {
        schema: SCHEMA.to_owned(),
        run_id: format!("{architecture}-{consumers}-{rate}"),
        started: "2026-11-23T18:31:18Z".to_owned(),
        repetition: None,
        point: None,
        status: Status { pass: true, ..Status::default() },
        plan: serde_json::json!({
            "architecture": architecture, "workload": "dstream", "pattern": "work-sharing", "seed": 1,
            "placement": { "producers": consumers, "consumers": consumers },
            "service": { "prefetch": 64, "queues": [{ "name": "one" }] },
        }),
        route: Route { architecture: architecture.to_owned(), ..Route::default() },
        environment: Environment { cores: Some(2), ..Environment::default() },
        throughput: Throughput {
            messages_per_second: Some(rate),
            bits_per_second: Some(rate * 128_000.0),
            events_per_second: Some(rate * 8.0),
            window_s: 1.0,
            sum_of_rates_messages_per_second: Some(rate * 1.1),
            sum_of_rates_ratio: Some(1.1),
            ..Throughput::default()
        },
        totals: Default::default(),
        latency: Default::default(),
        integrity: Default::default(),
        service: None,
        completion: Default::default(),
        labels: Default::default(),
        prediction: None,
        links: Vec::new(),
        cpu_limits: Vec::new(),
        neighbours: Vec::new(),
        external: None,
        faults: Vec::new(),
        transport: std::collections::BTreeMap::new(),
        load_balancer: None,
        backpressure: Default::default(),
        reconnection: None,
        harness: Harness { ceiling_messages_per_second: Some(900_000.0), ..Harness::default() },
        phases: Default::default(),
        ranks: Vec::new(),
        assertions: Vec::new(),
        failures: Vec::new(),
        left_behind: Vec::new(),
        warnings: Vec::new(),
    }
}
