//! The table that a run prints: comments, fixed columns and a last line with the verdict, in the manner of the OSU
//! micro-benchmarks.
//!
//! Every line of numbers begins with its name, so `awk '$1 == "rtt_from_due" { print $6 }'` reads it, and every other
//! line begins with `#`. Unmeasured values are `n/a`.

use crate::{
    LatencySummary, Metric, Record, Volume,
    record::{Environment, Fault, LoadBalancer, Reconnection, ServicePart},
};
use serde_json::Value;
use std::{collections::BTreeMap, fmt::Write};

/// Wide enough for `rtt_from_sent` and for the longest label of the head.
const NAME_WIDTH: usize = 15;
/// Wide enough for an hour in microseconds, with its blank.
const CELL_WIDTH: usize = 14;
/// More hosts than this are only counted: the record lists them.
const HOSTS_NAMED_MAX: usize = 4;

/// The table of a run.
pub fn osu_table(record: &Record) -> String {
    let mut table = Table::default();
    head(&mut table, record);
    throughput(&mut table, record);
    latency(&mut table, record);
    integrity(&mut table, record);
    notes(&mut table, record);
    let status = &record.status;
    let verdict = if status.pass { "PASS" } else { "FAIL" };
    table.line(format!("# STATUS: {verdict} {}", one_line(&status.reason)).trim_end());
    table.text
}

fn head(table: &mut Table, record: &Record) {
    let plan = |pointer: &str| plain(record.plan.pointer(pointer));
    let environment = &record.environment;
    table.line(&format!(
        "# streamharness {} run {} started {}",
        environment.harness_version, record.run_id, record.started
    ));
    table.comment("architecture", &record.route.architecture);
    table.comment(
        "route",
        &record
            .route
            .hops
            .iter()
            .map(|hop| format!("{} -> {} ({})", hop.from, hop.to, hop.protocol))
            .collect::<Vec<_>>()
            .join(", "),
    );
    if !record.route.parts.is_empty() {
        table.comment("parts", &parts(&record.route.parts));
    }
    table.comment("workload", &plan("/workload"));
    table.comment("pattern", &plan("/pattern"));
    table.comment("producers", &plan("/placement/producers"));
    table.comment("consumers", &plan("/placement/consumers"));
    if let Some(external) = &record.external {
        table.comment("one end", &format!("{} are programs of others: {}", external.side, external.proves));
    }
    table.comment("ranks", &ranks(environment));
    table.comment(
        "message",
        &format!(
            "{} bytes, {} events, {}, {}",
            body_bytes(record).unwrap_or_else(|| plan("/message/body_bytes")),
            plan("/message/events"),
            plan("/message/format"),
            plan("/message/fill")
        ),
    );
    if let Some(replay) = record.plan.pointer("/message/replay") {
        table.comment("files", &files(replay));
    }
    table.comment("length", &length(&record.plan));
    table.comment("load", &load(&record.plan));
    table.comment("service", &service(&record.plan));
    if !record.transport.is_empty() {
        table.comment("packets", &packets(&record.transport));
    }
    if let Some(balancer) = &record.load_balancer {
        table.comment("balancer", &balancer_in_words(balancer));
    }
    table.comment("verify", &format!("{}{}", plan("/verify"), inspected(record)));
    table.comment(
        "broker",
        &record.route.broker.as_ref().map_or_else(String::new, |b| format!("{} {}", b.product, b.version)),
    );
    table.comment(
        "tls",
        &match (&record.route.tls, &record.route.broker) {
            (Some(tls), _) => format!("{} {}", tls.version, tls.cipher),
            (None, Some(_)) => "none".to_owned(),
            // The connections of a run without a result are unknown.
            (None, None) => String::new(),
        },
    );
}

/// The hosts of a service that is spread over several, each with its parts.
fn parts(parts: &[ServicePart]) -> String {
    let mut hosts: Vec<(&str, Vec<&str>, bool)> = Vec::new();
    for part in parts.iter().filter(|part| !part.name.starts_with("epmd")) {
        match hosts.iter_mut().find(|(host, ..)| *host == part.host) {
            Some((_, names, _)) => names.push(&part.name),
            None => hosts.push((&part.host, vec![&part.name], part.beside_workers)),
        }
    }
    hosts.sort_unstable();
    let shown = |(host, names, beside): &(&str, Vec<&str>, bool)| {
        format!("{host}: {}{}", names.join(", "), if *beside { " (beside workers)" } else { "" })
    };
    hosts.iter().map(shown).collect::<Vec<_>>().join("; ")
}

fn throughput(table: &mut Table, record: &Record) {
    let t = &record.throughput;
    table.columns("Throughput", &["messages/s", "Gbit/s", "events/s", "window_s", "sum_of_rates", "ratio"]);
    table.row(
        "throughput",
        &[
            decimals(t.messages_per_second, 2),
            decimals(t.bits_per_second.map(|bits| bits / 1e9), 4),
            decimals(t.events_per_second, 2),
            decimals(Some(t.window_s), 3),
            decimals(t.sum_of_rates_messages_per_second, 2),
            decimals(t.sum_of_rates_ratio, 3),
        ],
    );
}

fn latency(table: &mut Table, record: &Record) {
    // In the order of the metrics, not of the alphabet.
    let rows: Vec<(&str, &LatencySummary)> =
        Metric::ALL.iter().filter_map(|metric| Some((metric.name(), record.latency.get(metric.name())?))).collect();
    if rows.is_empty() {
        return;
    }
    table.columns("Latency (us)", &["count", "min", "p50", "p90", "p99", "p99.9", "max"]);
    for (name, latency) in rows {
        let us = |ns: Option<u64>| decimals(ns.map(|ns| ns as f64 / 1e3), 2);
        table.row(
            name,
            &[
                latency.count.to_string(),
                us(latency.min_ns),
                us(latency.p50_ns),
                us(latency.p90_ns),
                us(latency.p99_ns),
                us(latency.p999_ns),
                us(latency.max_ns),
            ],
        );
    }
}

fn integrity(table: &mut Table, record: &Record) {
    let i = &record.integrity;
    let confirms = |count: u64| record.has_confirms().then_some(count);
    table.known_counts(
        "Integrity",
        "sent",
        &[
            ("messages", Some(i.sent)),
            ("confirmed", confirms(i.confirmed)),
            ("unconfirmed", confirms(i.unconfirmed)),
            ("rejected", Some(i.rejected)),
            ("returned", Some(i.returned)),
            ("republished", Some(i.republished)),
            ("abandoned", Some(i.abandoned)),
        ],
    );
    table.counts(
        "",
        "delivered",
        &[
            ("messages", i.delivered),
            ("expected", i.expected),
            ("lost", i.lost),
            ("duplicated", i.duplicated),
            ("redelivered", i.redelivered),
            ("reordered", i.reordered),
            ("undetermined", i.undetermined),
        ],
    );
    if let Some(r) = &i.replies {
        table.counts(
            "",
            "replies",
            &[
                ("messages", r.delivered),
                ("expected", r.expected),
                ("lost", r.lost),
                ("duplicated", r.duplicated),
                ("reordered", r.reordered),
                ("corrupt", r.corrupt),
                ("foreign", r.foreign),
                ("undetermined", r.undetermined),
            ],
        );
    }
    table.counts("", "damaged", &[("corrupt", i.corrupt), ("foreign", i.foreign), ("unexpected", i.unexpected)]);
    let totals =
        |Volume { messages, bytes, events }: Volume| [("messages", messages), ("bytes", bytes), ("events", events)];
    table.counts("", "total_sent", &totals(record.totals.sent));
    table.counts("", "total_received", &totals(record.totals.received));
}

fn notes(table: &mut Table, record: &Record) {
    table.line("#");
    for (name, latency) in &record.latency {
        if latency.saturated > 0 || latency.negative > 0 {
            table
                .comment("samples", &format!("{name}: {} above 1 h, {} negative", latency.saturated, latency.negative));
        }
    }
    if let Some(messages) = record.integrity.in_service {
        let replies = record.integrity.replies.as_ref().and_then(|replies| replies.in_service);
        let replies = replies.map_or_else(String::new, |replies| format!(", {replies} replies"));
        table.comment(
            "in service",
            &format!(
                "{messages} messages{replies} when the {}",
                if record.external.is_some() { "run ended" } else { "consumers were gone" }
            ),
        );
    }
    let pressure = &record.backpressure;
    if pressure.blocked_times > 0 {
        table.comment(
            "blocked",
            &format!("{} times by the service, {:.3} s in all", pressure.blocked_times, pressure.blocked_s),
        );
    }
    if let Some(Reconnection { all, by_cause, .. }) = record.reconnection.as_ref().filter(|lost| lost.all.times > 0) {
        let causes = by_cause.iter().map(|(cause, outages)| format!("{} {cause}", outages.times));
        let causes = causes.collect::<Vec<_>>().join(", ");
        let twice = record.integrity.duplicated_by_reconnection;
        table.comment(
            "reconnected",
            &format!(
                "{} of {} lost connections ({causes}) made again; {:.3} s without, {:.3} s at most; {twice} deliveries came twice for it",
                all.made_again, all.times, all.total_s, all.longest_s
            ),
        );
    }
    if let Some(total_s) = record.completion.total_s {
        let first_s = decimals(record.completion.first_rank_s, 3);
        table.comment(
            "completion",
            &format!("{total_s:.3} s from the first publish to the last delivery or reply; the first rank was done after {first_s} s"),
        );
    }
    for fault in &record.faults {
        table.comment("fault", &fault_line(fault));
    }
    harness(table, record);
    for warning in &record.warnings {
        table.comment("warning", warning);
    }
    for assertion in &record.assertions {
        let word = if assertion.holds { "holds" } else { "does not hold" };
        table.comment("assertion", &format!("{} {word}: {}", assertion.expression, assertion.measured));
    }
    for failure in &record.failures {
        table.comment("failure", &format!("rank {}: {}", failure.rank, failure.message));
    }
}

/// A fault that the run has caused, and what it cost.
fn fault_line(fault: &Fault) -> String {
    let at = |what: &str, at_s: Option<f64>| at_s.map(|at_s| format!("{what} {at_s:.3} s"));
    let after = |what: &str, after_s: Option<f64>| after_s.map(|after_s| format!("{what} after {after_s:.3} s"));
    let failure = fault.failure.as_ref().map(|why| format!("failed: {why}"));
    let times = [at("begun", fault.begun_s), at("complete", fault.complete_s), at("undone", fault.undone_s), failure];
    let mut line = format!("{}: {}", fault.fault, times.into_iter().flatten().collect::<Vec<_>>().join(", "));
    if let Some(cost) = &fault.cost {
        let count =
            |what: &str, count: Option<u64>| count.filter(|count| *count > 0).map(|count| format!("{count} {what}"));
        let parts = [
            Some(format!("{} of {} consumers stalled, {} recovered", cost.stalled, cost.consumers, cost.recovered)),
            after("noticed", cost.noticed_s),
            after("first delivery", cost.first_delivery_median_s),
            after("the last consumer's", cost.first_delivery_last_s),
            cost.longest_stall_s.map(|stall_s| format!("longest stall {stall_s:.3} s")),
            Some(format!("{} deliveries missed", cost.missed)),
            after("p99 back", cost.p99_back_s),
            count("lost", cost.lost),
            count("duplicated", cost.duplicated),
            count("undetermined", cost.undetermined),
        ];
        line += &format!("; {}", parts.into_iter().flatten().collect::<Vec<_>>().join(", "));
    }
    line + &fault.no_cost.as_ref().map(|why| format!("; {why}")).unwrap_or_default()
}

/// The harness's own limits, beside every result.
fn harness(table: &mut Table, record: &Record) {
    let harness = &record.harness;
    let costs = [
        harness.ceiling_messages_per_second.map(|ceiling| format!("ceiling {ceiling:.0} messages/s")),
        harness.own_producer_us_per_message.map(|us| format!("{us:.2} us of its own to send")),
        harness.own_consumer_us_per_message.map(|us| format!("{us:.2} us to receive")),
        harness.cpu_us_per_message.map(|us| format!("{us:.2} us of CPU per message")),
        harness.generator_limited.then(|| "generator-limited: not a result about the system".to_owned()),
        harness.reading_limited.then(|| "reading-limited: the rate is that of reading files".to_owned()),
        harness.sink.as_ref().map(|sink| {
            format!(
                "no measurement: {} messages were written to {}, for {:.2} s",
                sink.messages, sink.dir, sink.seconds
            )
        }),
        harness.saturated.then(|| "saturated: the offered load exceeds the capacity".to_owned()),
        (harness.catchup_messages > 0).then(|| {
            format!(
                "{} messages caught up with a stall, at most {} on end",
                harness.catchup_messages, harness.catchup_run_max
            )
        }),
    ];
    table.comment("harness", &costs.into_iter().flatten().collect::<Vec<_>>().join(", "));
}

/// How many bodies the library of their format inspected.
fn inspected(record: &Record) -> String {
    let Some((inspected, one_in)) = record.integrity.inspected.zip(record.integrity.inspected_one_in) else {
        return String::new();
    };
    let cost = record.harness.inspection_us.map_or_else(String::new, |us| format!(", {us:.0} us of CPU each"));
    format!("; the library of the format inspected {inspected} bodies, 1 in {one_in:.1}{cost}")
}

/// The mean size of a sent body, if any was sent.
fn body_bytes(record: &Record) -> Option<String> {
    let Volume { messages, bytes, .. } = record.totals.sent;
    (messages > 0).then(|| format!("{:.0}", bytes as f64 / messages as f64))
}

fn ranks(environment: &Environment) -> String {
    let (ranks, hosts) = (environment.world_size, &environment.hosts);
    if hosts.len() <= HOSTS_NAMED_MAX {
        format!("{ranks} on {}", hosts.join(" "))
    } else {
        format!("{ranks} on {} hosts", hosts.len())
    }
}

/// What the transport is set to do.
fn service(plan: &Value) -> String {
    let of = |section: &str, key: &str| plain(plan.pointer(&format!("/{section}/{key}")));
    if plan.get("ejfat").is_some_and(Value::is_object) {
        let part =
            |unit: &str| plan.pointer(&format!("/ejfat/give_up/{unit}")).and_then(Value::as_f64).unwrap_or_default();
        let give_up = part("secs") + part("nanos") / 1e9;
        return format!(
            "EJFAT header version {}, MTU {}, {} sockets of a producer, 2^{} ports of a consumer, events given up after {give_up} s",
            of("ejfat", "version"),
            of("ejfat", "mtu"),
            of("ejfat", "sockets"),
            of("ejfat", "port_bits"),
        );
    }
    let queues = plan.pointer("/service/queues").and_then(Value::as_array);
    format!(
        "confirms {}, acks {}, prefetch {}, queues {}, in flight {}",
        of("service", "confirms"),
        of("service", "acks"),
        of("service", "prefetch"),
        queues.map_or_else(|| MISSING.to_owned(), |queues| queues.len().to_string()),
        of("service", "in_flight"),
    )
}

/// What became of packets.
fn packets(counts: &BTreeMap<String, u64>) -> String {
    let count = |name: &str| counts.get(name).copied().unwrap_or_default();
    format!(
        "{} sent, {} received, {} dropped by the kernel; {} events given up, {} without room, {} at a consumer that was full",
        count("packets_sent"),
        count("packets_received"),
        count("kernel_drops"),
        count("events_timed_out"),
        count("events_without_room"),
        count("events_consumer_full"),
    )
}

/// What a load balancer did.
fn balancer_in_words(balancer: &LoadBalancer) -> String {
    let count = |name: &str| balancer.packets.get(name).copied();
    let packets = count("received").zip(count("passed")).map(|(received, passed)| {
        let drops: Vec<String> = balancer.drops().map(|(reason, count)| format!("{reason} {count}")).collect();
        let drops = if drops.is_empty() { "none dropped".to_owned() } else { format!("dropped: {}", drops.join(", ")) };
        format!("{received} packets received, {passed} passed on, {drops}")
    });
    let shares = balancer.mean_shares().map(|(name, share)| format!("{name} {:.1} %", share * 100.0));
    let epochs = format!("{} epochs", balancer.epochs);
    [epochs].into_iter().chain(packets).chain([shares.collect::<Vec<_>>().join(", ")]).collect::<Vec<_>>().join("; ")
}

/// The run length as the plan has it: `{"Messages": n}` or `{"Window": {...}}`.
/// The files of a replay.
fn files(replay: &Value) -> String {
    let of = |key: &str| plain(replay.get(key));
    format!(
        "{}: {} messages of {} files, {} bytes, {}, read {}, SHA-256 {}",
        of("records"),
        of("messages"),
        of("file_count"),
        of("bytes"),
        of("order"),
        of("read"),
        of("sha256")
    )
}

fn length(plan: &Value) -> String {
    let seconds =
        |pointer: &str| plan.pointer(pointer).and_then(Value::as_u64).map(|ns| format!("{:.3} s", ns as f64 / 1e9));
    if let Some(messages) = plan.pointer("/length/Messages") {
        format!("{} messages", plain(Some(messages)))
    } else if let Some(window) = seconds("/length/Window/window_ns") {
        let warmup = seconds("/length/Window/warmup_ns").unwrap_or_else(|| MISSING.to_owned());
        let messages = plan.pointer("/length/Window/warmup_messages").and_then(Value::as_u64).unwrap_or_default();
        let messages = if messages > 0 { format!(", {messages} messages") } else { String::new() };
        let steady = plan.pointer("/length/Window/steady_percent").and_then(Value::as_f64);
        let steady = steady.map_or_else(String::new, |percent| format!(", steady to {percent} %"));
        format!("{window} after {warmup}{messages}{steady} of warm-up")
    } else {
        MISSING.to_owned()
    }
}

/// How messages were offered, with the window of a closed loop. Older plans have no load.
fn load(plan: &Value) -> String {
    if plan.pointer("/load").is_none() {
        return String::new();
    }
    let kind = |kind: &str| match plan.pointer("/service/confirms").and_then(Value::as_str) {
        Some("none") | None => kind.to_owned(),
        Some("each") => format!("{kind}(window=1)"),
        Some(confirms) => format!("{kind}(window={})", confirms.split(':').nth(1).unwrap_or(confirms)),
    };
    let rate = |pointer: &str| plan.pointer(pointer).and_then(Value::as_f64);
    match rate("/load/messages_per_second") {
        None => format!("{}, no schedule", kind("closed")),
        Some(per_second) => {
            let mean = rate("/load/mean_messages_per_second").filter(|mean| *mean != per_second);
            let mean = mean.map_or_else(String::new, |mean| format!(" ({mean:.3} in the long run)"));
            let phased =
                plan.pointer("/load/phases").and_then(Value::as_array).is_some_and(|phases| !phases.is_empty());
            let up_to = if phased { "up to " } else { "" };
            format!(
                "{}, {up_to}{per_second:.3} messages/s{mean}, {}",
                kind("open"),
                plain(plan.pointer("/load/arrivals"))
            )
        }
    }
}

const MISSING: &str = "n/a";

/// A value of the plan without its quotes. Older and newer plans may lack it.
fn plain(value: Option<&Value>) -> String {
    match value {
        None | Some(Value::Null) => MISSING.to_owned(),
        Some(Value::String(text)) => text.clone(),
        Some(other) => other.to_string(),
    }
}

fn decimals(value: Option<f64>, places: usize) -> String {
    value.map_or_else(|| MISSING.to_owned(), |value| format!("{value:.places$}"))
}

/// A line feed in a reason would start a line that no parser expects.
fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[derive(Default)]
struct Table {
    text: String,
}

impl Table {
    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }

    /// A `# label value` line; no line if the value is empty.
    fn comment(&mut self, label: &str, value: &str) {
        let value = one_line(value);
        if !value.is_empty() {
            let width = NAME_WIDTH - 2;
            self.line(&format!("# {label:<width$} {value}"));
        }
    }

    /// The head of a section, with a title for each column.
    fn columns(&mut self, title: &str, columns: &[&str]) {
        self.line("#");
        self.heads(title, columns);
    }

    fn heads(&mut self, title: &str, columns: &[&str]) {
        let name = format!("# {title}");
        self.cells(&name, columns.iter().map(|column| (*column).to_owned()));
    }

    fn row(&mut self, name: &str, cells: &[String]) {
        self.cells(name, cells.iter().cloned());
    }

    /// A row of counts under a head of its own; only the first row of a section has a title.
    fn counts(&mut self, title: &str, name: &str, counts: &[(&str, u64)]) {
        let known: Vec<(&str, Option<u64>)> = counts.iter().map(|(column, count)| (*column, Some(*count))).collect();
        self.known_counts(title, name, &known);
    }

    /// The same if some counts are unknown.
    fn known_counts(&mut self, title: &str, name: &str, counts: &[(&str, Option<u64>)]) {
        let columns: Vec<&str> = counts.iter().map(|(column, _)| *column).collect();
        if title.is_empty() {
            self.heads(title, &columns);
        } else {
            self.columns(title, &columns);
        }
        let values: Vec<String> = counts
            .iter()
            .map(|(_, count)| count.map_or_else(|| MISSING.to_owned(), |count| count.to_string()))
            .collect();
        self.row(name, &values);
    }

    /// The blank before a cell belongs to it: two long cells never touch. A name that is too long takes space from its
    /// first cell, which is a count.
    fn cells(&mut self, name: &str, cells: impl Iterator<Item = String>) {
        let mut taken = name.len().saturating_sub(NAME_WIDTH);
        let mut line = format!("{name:<NAME_WIDTH$}");
        for cell in cells {
            let width = CELL_WIDTH - 1 - std::mem::take(&mut taken);
            write!(line, " {cell:>width$}").expect("writing to a string cannot fail");
        }
        self.line(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    #[test]
    fn the_table_of_a_failed_run() {
        let expected = "\
# streamharness 0.1.0 run 5eed0001 started 2026-11-23T18:31:18Z
# architecture  dts
# route         client -> broker (amqps)
# workload      dstream
# pattern       work-sharing
# producers     1
# consumers     1
# ranks         2 on node1 node2
# message       16000 bytes, 8 events, geb-raw, ring
# length        20000 messages
# service       confirms batch:64, acks multiple:64, prefetch 64, queues 1, in flight 64
# verify        all
# broker        RabbitMQ 3.13.7
# tls           TLSv1.3 TLS_AES_256_GCM_SHA384
#
# Throughput       messages/s        Gbit/s      events/s      window_s  sum_of_rates         ratio
throughput            4999.50        0.6399      39996.00         4.000       4999.75         1.000
#
# Latency (us)          count           min           p50           p90           p99         p99.9           max
confirm                 20000          0.10       1000.45       1800.19       1980.41       1998.85       2000.00
one_way                     1        250.00        250.00           n/a           n/a           n/a        250.00
#
# Integrity          messages     confirmed   unconfirmed      rejected      returned   republished     abandoned
sent                    20000         20000             0             0             0             0             0
#                    messages      expected          lost    duplicated   redelivered     reordered  undetermined
delivered               19999         20000             1             0             0             0             0
#                     corrupt       foreign    unexpected
damaged                     0             0             0
#                    messages         bytes        events
total_sent              20000     320000000        160000
#                    messages         bytes        events
total_received          19999     319984000        159992
#
# samples       one_way: 0 above 1 h, 1 negative
# completion    4.250 s from the first publish to the last delivery or reply; the first rank was done after 4.000 s
# harness       ceiling 812346 messages/s, 0.50 us of its own to send, 1.75 us to receive, 12.25 us of CPU per message
# warning       the run is short
# assertion     lost == 0 does not hold: lost is 1
# failure       rank 1: the broker closed the connection
# STATUS: FAIL 1 of 20000 messages was lost (first: producer 0 sequence 17)
";
        let table = osu_table(&sample::record());
        assert_eq!(table, expected, "\n{table}");
    }

    #[test]
    fn where_nothing_is_confirmed_no_number_of_confirms_is_shown() {
        let table = osu_table(&sample::without_confirms());
        let row = table.lines().find(|line| line.starts_with("sent ")).expect("a row of that name");
        let cells: Vec<&str> = row.split_whitespace().collect();
        assert_eq!(cells, ["sent", "20000", "n/a", "n/a", "0", "0", "0", "0"], "{table}");
    }

    #[test]
    fn the_verdict_is_the_last_line_and_one_line() {
        #[track_caller]
        fn check(pass: bool, reason: &str, last: &str) {
            let mut record = sample::record();
            record.status.pass = pass;
            record.status.reason = reason.to_owned();
            let table = osu_table(&record);
            assert_eq!(table.lines().last(), Some(last));
            assert!(table.ends_with('\n'));
        }
        check(true, "", "# STATUS: PASS");
        check(true, "20000 messages", "# STATUS: PASS 20000 messages");
        check(false, "rank 3\nfailed", "# STATUS: FAIL rank 3 failed");
    }

    #[test]
    fn numbers_of_any_length_stay_apart() {
        let mut record = sample::record();
        record.throughput.messages_per_second = Some(1e15);
        record.throughput.bits_per_second = Some(1e30);
        let confirm = record.latency.get_mut("confirm").expect("in the sample");
        confirm.max_ns = Some(u64::MAX);
        confirm.p999_ns = Some(u64::MAX);
        let table = osu_table(&record);
        for (name, cells) in [("throughput", 7), ("confirm", 8)] {
            let row = table.lines().find(|line| line.starts_with(name));
            let row = row.expect("every row is there").split_whitespace();
            assert_eq!(row.count(), cells);
        }
        let mut table = Table::default();
        table.row("confirm_from_due", &["7".to_owned(), "8".to_owned()]);
        table.row("confirm", &["7".to_owned(), "8".to_owned()]);
        let [long, short] = [0, 1].map(|row| table.text.lines().nth(row).map(|line| line.find('7')));
        assert_eq!(long, short, "columns stay below each other:\n{}", table.text);
    }

    #[test]
    fn a_record_with_an_empty_plan_can_still_be_printed() {
        let mut record = sample::record();
        record.plan = Value::Null;
        record.latency.clear();
        record.route = crate::record::Route::default();
        let table = osu_table(&record);
        assert!(table.contains("# length        n/a\n"), "\n{table}");
        assert!(!table.contains("# tls"), "it is not known:\n{table}");
        record.route.broker = Some(crate::record::Broker::default());
        let table = osu_table(&record);
        assert!(table.contains("# tls           none\n"), "\n{table}");
        assert!(!table.contains("Latency"), "\n{table}");
    }

    #[test]
    fn inspections_stand_beside_the_level_of_the_checks() {
        let mut record = sample::record();
        record.plan["verify"] = "sampled".into();
        (record.integrity.inspected, record.integrity.inspected_one_in) = (Some(57), Some(350.877));
        record.harness.inspection_us = Some(310.4);
        let line =
            "# verify        sampled; the library of the format inspected 57 bodies, 1 in 350.9, 310 us of CPU each\n";
        assert!(osu_table(&record).contains(line), "{}", osu_table(&record));
    }

    #[test]
    fn a_timed_run_shows_its_length() {
        let mut record = sample::record();
        record.plan["length"] = serde_json::json!({
            "Window": { "warmup_ns": 2_000_000_000u64, "window_ns": 30_500_000_000u64 }
        });
        assert!(osu_table(&record).contains("30.500 s after 2.000 s of warm-up"));
    }
}
