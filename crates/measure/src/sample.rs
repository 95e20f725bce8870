//! One record with a value in every field, for the tests of code that reads records.

use crate::{
    ConsumerSpan, Deliveries, Histograms, Metric, Record, Sent, Throughput, Volume, join,
    record::{
        AssertionOutcome, Backpressure, Broker, Environment, Failure, Harness, Hop, Labels, LeftBehind, Machine, Point,
        RankSummary, Repetition, Route, SCHEMA, Spread, Status, Tls, Totals,
    },
};

pub(crate) fn record() -> Record {
    let mut histograms = Histograms::new();
    for step in 1..=20_000 {
        histograms.record(Metric::Confirm, step * 100);
    }
    histograms.record(Metric::OneWay, 250_000);
    histograms.record_signed(Metric::OneWay, -3);
    let mut sent = Sent::new(true);
    let mut deliveries = Deliveries::new();
    for _ in 0..20_000 {
        let sequence = sent.publish();
        sent.confirm(sequence);
        if sequence != 17 {
            deliveries.observe(0, sequence, false);
        }
    }
    let integrity = join(&[(0, sent.finish())], vec![deliveries]);
    let reason = integrity.verdict().expect_err("sequence 17 is missing");
    let span = ConsumerSpan { messages: 19_999, first_ns: 0, last_ns: 4_000_000_000 };
    let volume = Volume { messages: 19_999, bytes: 19_999 * 16_000, events: 19_999 * 8 };
    Record {
        schema: SCHEMA.to_owned(),
        run_id: "5eed0001".to_owned(),
        started: "2026-11-23T18:31:18Z".to_owned(),
        point: Some(Point { experiment: "dstream-work-sharing".into(), name: "dts_consumers-2".into() }),
        repetition: Some(Repetition { number: 2, first_run_id: "5eed0000".to_owned() }),
        status: Status { pass: false, reason: reason.clone(), exit_code: 4 },
        prediction: None,
        plan: serde_json::json!({
            "architecture": "dts",
            "workload": "dstream",
            "pattern": "work-sharing",
            "placement": { "world": 2, "producers": 1, "consumers": 1 },
            "length": { "Messages": 20000 },
            "verify": "all",
            "message": { "format": "geb-raw", "event_bytes": 2000, "events": 8, "body_bytes": 16000, "fill": "ring" },
            "service": {
                "confirms": "batch:64", "acks": "multiple:64", "prefetch": 64,
                "queues": [{ "name": "work.0" }], "in_flight": 64,
            },
        }),
        route: Route {
            architecture: "dts".to_owned(),
            hops: vec![Hop {
                from: "client".into(),
                to: "broker".into(),
                protocol: "amqps".to_owned(),
                address: Some("127.0.0.1:30671".to_owned()),
                tls: None,
                process: None,
                limits: None,
                distance: None,
            }],
            tls: Some(Tls { version: "TLSv1.3".to_owned(), cipher: "TLS_AES_256_GCM_SHA384".to_owned() }),
            broker: Some(Broker { product: "RabbitMQ".to_owned(), version: "3.13.7".to_owned() }),
            provisioned: None,
            parts: Vec::new(),
            between_parts: None,
            firewall: Vec::new(),
            effort: None,
            producer_connection: None,
            consumer_connection: None,
        },
        environment: Environment {
            hosts: vec!["node1".to_owned(), "node2".to_owned()],
            world_size: 2,
            cpu_model: Some("AMD EPYC 7302".to_owned()),
            cores: Some(32),
            kernel: Some("6.8.0".to_owned()),
            mpi_library: Some("Open MPI v4.1.4".to_owned()),
            launcher: Some("mpirun".to_owned()),
            slurm_job_id: None,
            slurm_nodes: None,
            slurm_partition: None,
            machines: vec![Machine { host: "node1".to_owned(), cores: 32, ..Machine::default() }],
            crates: [("lapin".to_owned(), "4.12.3".to_owned())].into(),
            hdf5_library: Some("1.14.5".to_owned()),
            service: Some(crate::record::ServiceSettings {
                product: Some("RabbitMQ".to_owned()),
                ..Default::default()
            }),
            harness_version: "0.1.0".to_owned(),
            git_commit: None,
            seed: u64::MAX,
            clock_error_ns: Some(900),
            clocks: Some(crate::record::Clocks { hosts: 2, pair_error_ns: 900, residual_ns: 2_100, drift_ppb: 640 }),
        },
        throughput: Throughput::over_span(&[span], &volume),
        completion: crate::record::Completion { total_s: Some(4.25), first_rank_s: Some(4.0) },
        totals: Totals {
            sent: Volume { messages: 20_000, bytes: 20_000 * 16_000, events: 20_000 * 8 },
            received: volume,
        },
        latency: histograms.summaries(),
        integrity,
        backpressure: Backpressure::default(),
        reconnection: None,
        service: Some(crate::record::ServiceView {
            management: "http://127.0.0.1:15672".to_owned(),
            samples: 4,
            interval_s: 1.0,
            ready_max: Some(70),
            ..Default::default()
        }),
        labels: Labels {
            architecture: Some("DTS".to_owned()),
            workload: Some("Dstream".to_owned()),
            colour: Some("#0072b2".to_owned()),
            marker: Some("disc".to_owned()),
        },
        neighbours: Vec::new(),
        external: None,
        faults: Vec::new(),
        links: Vec::new(),
        cpu_limits: Vec::new(),
        transport: std::collections::BTreeMap::new(),
        load_balancer: None,
        harness: Harness {
            schedule: Some("kept".to_owned()),
            ceiling_messages_per_second: Some(812_345.5),
            own_producer_us_per_message: Some(0.5),
            own_consumer_us_per_message: Some(1.75),
            cpu_us_per_message: Some(12.25),
            over_ranks: [("cpu_s".to_owned(), Spread { min: 0.2, median: 0.2, max: 0.2 })].into(),
            ..Harness::default()
        },
        phases: [("connect".to_owned(), 0.125), ("stream".to_owned(), 4.0)].into(),
        ranks: vec![
            RankSummary {
                rank: 0,
                host: "node1".to_owned(),
                pid: 41,
                role: "producer".to_owned(),
                producers: vec![0],
                sent: 20_000,
                confirmed: 20_000,
                bytes: 320_000_000,
                cpu_us_per_message: Some(10.0),
                cpu_s: 0.2,
                wall_s: 4.0,
                max_rss_bytes: Some(50_000_000),
                cpu_user_s: 0.15,
                cpu_system_s: 0.05,
                voluntary_switches: 900,
                involuntary_switches: 30,
                cores: Some(2),
                busiest_thread: Some("lapin-io-loop".to_owned()),
                busiest_thread_of_core: Some(0.85),
                cpu_wait_s: Some(0.125),
                schedule_lag_p50_ns: Some(900),
                schedule_lag_p99_ns: Some(70_000),
                schedule_lag_max_ns: Some(120_000),
                ..RankSummary::default()
            },
            RankSummary {
                rank: 1,
                host: "node2".to_owned(),
                pid: 42,
                role: "consumer".to_owned(),
                consumers: vec![0, 1],
                received: 19_999,
                failure: Some("the broker closed the connection: \"gone\", twice".to_owned()),
                ..RankSummary::default()
            },
        ],
        assertions: vec![AssertionOutcome {
            expression: "lost == 0".to_owned(),
            holds: false,
            measured: "lost is 1".to_owned(),
        }],
        left_behind: vec![LeftBehind { kind: "stream".to_owned(), name: "work.0".to_owned(), expires_s: None }],
        failures: vec![Failure { rank: 1, message: "the broker closed\nthe connection".to_owned() }],
        warnings: vec!["the run is short".to_owned()],
    }
}

/// The same for a run without confirms.
pub(crate) fn without_confirms() -> Record {
    let mut record = record();
    record.plan["service"]["confirms"] = "none".into();
    (record.integrity.confirmed, record.ranks[0].confirmed) = (0, 0);
    record
}
