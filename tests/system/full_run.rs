//! One full run, looked at from every side.

use crate::support::{Outcome, broker::queues_of, mpirun, service};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use measure::{Record, record::RankSummary};
use std::{collections::BTreeMap, sync::LazyLock, time::Duration};

const FILES: [&str; 5] = ["record.json", "series.csv", "ranks.csv", "cdf.csv", "histograms.hlog"];

/// The launch that the README begins with.
static RUN: LazyLock<Outcome> =
    LazyLock::new(|| mpirun(4, &["--messages", "20000"]).through(service()).run(Duration::from_secs(90)));

#[test]
fn every_message_is_sent_confirmed_and_delivered_exactly_once() {
    let integrity = RUN.passes().integrity;
    assert_eq!([integrity.sent, integrity.confirmed, integrity.expected, integrity.delivered], [20_000; 4]);
    assert_eq!([integrity.reordered, integrity.foreign, integrity.returned, integrity.rejected], [0; 4]);
}

#[test]
fn the_result_directory_is_named_after_the_run_and_holds_the_five_files_and_nothing_else() {
    let directories: Vec<&str> = RUN.files.keys().filter_map(|path| Some(path.rsplit_once('/')?.0)).collect();
    assert!(directories.iter().all(|dir| dir.starts_with("results/") && dir.ends_with("-dts-dstream-work-sharing")));
    assert_eq!(RUN.files.len(), FILES.len(), "{:?}", RUN.files.keys());
    for name in FILES {
        assert!(!RUN.file(name).is_empty(), "{name} is empty");
    }
}

#[test]
fn stdout_holds_the_table_and_nothing_else() {
    let lines: Vec<&str> = RUN.stdout.lines().collect();
    assert_eq!(lines.last(), Some(&"# STATUS: PASS 20000 of 20000 messages delivered, none lost"));
    assert_eq!(RUN.stdout.matches("# STATUS:").count(), 1, "{}", *RUN);
    assert!(lines[0].starts_with("# streamharness "), "{}", *RUN);
    for line in lines.iter().filter(|line| !line.starts_with('#')) {
        let (name, cells) = line.split_once(' ').unwrap_or((line, ""));
        assert!(!name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c == '_'), "`{line}` in {}", *RUN);
        let mut cells = cells.split_whitespace().peekable();
        assert!(cells.peek().is_some(), "`{line}` in {}", *RUN);
        assert!(cells.all(|cell| cell == "n/a" || cell.parse::<f64>().is_ok()), "`{line}` in {}", *RUN);
    }
}

#[test]
fn progress_goes_to_stderr_in_plain_lines() {
    let lines: Vec<&str> = RUN.stderr.lines().collect();
    assert!(lines.iter().all(|line| line.starts_with("streamharness: ")), "{}", *RUN);
    assert!(lines[0].contains("dstream over dts: 20000 messages of 16000 B"), "{}", *RUN);
    let progress = lines.iter().filter(|line| line.contains(" delivered ")).collect::<Vec<_>>();
    assert!(!progress.is_empty(), "{}", *RUN);
    assert!(progress.iter().all(|line| line.contains("msg/s") && line.contains("s left")), "{}", *RUN);
    assert!(!RUN.stderr.contains(['\r', '\u{1b}']), "{}", *RUN);
}

#[test]
fn the_queues_of_the_run_are_gone_afterwards() {
    let queues = queues_of(&RUN.record());
    assert_eq!(queues.len(), 2);
    let there = service().queues();
    assert!(queues.iter().all(|queue| !there.contains(queue)), "{queues:?} among {there:?}");
}

#[test]
fn half_of_the_ranks_produce_and_half_consume() {
    let record = RUN.record();
    let roles: Vec<&str> = record.ranks.iter().map(|rank| rank.role.as_str()).collect();
    assert_eq!(roles, ["producer", "producer", "consumer", "consumer"]);
    let sum = |part: fn(&RankSummary) -> u64| record.ranks.iter().map(part).sum::<u64>();
    assert_eq!((sum(|rank| rank.sent), sum(|rank| rank.received)), (20_000, 20_000));
    assert!(record.ranks.iter().all(|rank| rank.pid > 0 && rank.cpu_s > 0.0 && rank.failure.is_none()));

    let table = RUN.text("ranks.csv");
    let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(rows.len(), 1 + 4, "{table}");
    assert_eq!(rows[0][..4], ["rank", "host", "pid", "role"]);
    assert_eq!(rows[1..].iter().map(|row| row[3]).collect::<Vec<_>>(), roles);
}

#[test]
fn the_series_adds_up_to_the_run() {
    let received: u64 = RUN.numbers::<u64>("series.csv", "received").iter().sum();
    assert_eq!(received, 20_000, "{}", RUN.text("series.csv"));
}

#[test]
fn what_tls_agreed_on_is_in_the_record() {
    let route = RUN.record().route;
    assert_eq!(route.architecture, "dts");
    let tls = route.tls.expect("dts has TLS");
    assert!(tls.version.starts_with("TLSv1"), "{tls:?}");
    assert!(tls.cipher.contains("_WITH_") || tls.cipher.starts_with("TLS"), "{tls:?}");
    assert!(route.hops.iter().all(|hop| hop.protocol == "amqps" && hop.tls.as_ref() == Some(&tls)), "{:?}", route.hops);
    assert_eq!(route.broker.expect("a broker answered").product, "RabbitMQ");
}

#[test]
fn every_confirm_and_every_way_is_timed() {
    let record = RUN.record();
    let confirm = &record.latency["confirm"];
    assert_eq!(confirm.count, 20_000);
    assert!(confirm.min_ns > Some(0) && confirm.min_ns <= confirm.max_ns, "{confirm:?}");
    assert_eq!(record.latency.get("one_way").map(|one_way| one_way.count), Some(20_000), "one host, one clock");
    assert!(record.throughput.messages_per_second > Some(0.0));
    assert!(record.harness.ceiling_messages_per_second > record.throughput.messages_per_second);
}

#[test]
fn the_record_has_the_place_and_the_versions_of_its_run() {
    let record = RUN.record();
    let environment = &record.environment;
    let [machine] = environment.machines.as_slice() else { panic!("{:?}", environment.machines) };
    assert_eq!((&machine.host, machine.cores > 0), (&record.ranks[0].host, true));
    assert!(machine.interfaces.iter().any(|interface| interface.name == "lo"), "all connect to localhost: {machine:?}");
    assert!(environment.crates.contains_key("lapin") && environment.hdf5_library.is_some(), "{environment:?}");
    let connection = record.route.consumer_connection.expect("there are consumers");
    assert!(connection.nodelay == Some(true) && connection.congestion_control.is_some(), "{connection:?}");
    assert!(record.ranks.iter().all(|rank| rank.busiest_thread.is_some() && rank.voluntary_switches > 0));
    assert_eq!(record.harness.over_ranks["cpu_us_per_message"].max, {
        record.ranks.iter().filter_map(|rank| rank.cpu_us_per_message).fold(0.0, f64::max)
    });
}

#[test]
fn the_record_survives_its_json() {
    let record = RUN.record();
    assert_eq!(record.to_json(), RUN.text("record.json"));
    assert_eq!(Record::from_json(&record.to_json()).unwrap(), record);
    assert_eq!((record.environment.world_size, record.environment.launcher.as_deref()), (4, Some("mpirun")));
}

#[test]
fn the_histogram_log_holds_every_sample_of_the_record() {
    let log = RUN.file("histograms.hlog");
    let mut counts = BTreeMap::new();
    for entry in IntervalLogIterator::new(log) {
        if let LogEntry::Interval(interval) = entry.expect("every line can be read") {
            let bytes = base64(interval.encoded_histogram());
            let histogram: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
            counts.insert(interval.tag().expect("each has its metric").as_str().to_owned(), histogram.len());
        }
    }
    let recorded: BTreeMap<String, u64> =
        RUN.record().latency.iter().map(|(name, summary)| (name.clone(), summary.count)).collect();
    assert_eq!(counts, recorded);
}

/// Enough of RFC 4648 for what the log holds.
fn base64(text: &str) -> Vec<u8> {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let (mut bits, mut held, mut bytes) = (0u32, 0, Vec::new());
    for digit in text.bytes().filter(|digit| *digit != b'=') {
        let value = DIGITS.iter().position(|known| *known == digit).expect("a digit of base 64");
        bits = bits << 6 | value as u32;
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}
