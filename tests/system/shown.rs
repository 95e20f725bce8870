//! A launch that is shown while it runs: metrics and a page, from real ranks, and nothing of it without the flags.

use crate::support::{mpirun, service, single};
use std::{
    io::{BufRead, BufReader, Write},
    net::TcpStream,
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(90);

/// The address that stderr names behind these words.
#[track_caller]
fn address(stderr: &str, words: &str) -> String {
    let line = stderr.lines().find_map(|line| line.split_once(words)).unwrap_or_else(|| panic!("{words}: {stderr}"));
    line.1.split_once('/').expect("a path follows").0.to_owned()
}

/// What comes from there, up to and with the first line that holds this.
#[track_caller]
fn get(address: &str, path: &str, until: &str) -> Vec<String> {
    let mut stream = TcpStream::connect(address).unwrap_or_else(|error| panic!("{address}: {error}"));
    stream.set_read_timeout(Some(LIMIT)).unwrap();
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n").unwrap();
    let mut lines = Vec::new();
    for line in BufReader::new(stream).lines() {
        lines.push(line.unwrap());
        if lines.last().unwrap().contains(until) {
            return lines;
        }
    }
    panic!("{address}{path} without {until}: {lines:?}");
}

fn value(metrics: &[String], name: &str) -> Option<f64> {
    metrics.iter().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ')?.parse().ok())
}

#[test]
fn a_launch_serves_its_counters_latencies_and_page_until_it_ends() {
    let load = ["--pattern", "work-sharing-feedback", "--rate", "200/s", "--duration", "8s"];
    let shown = ["--metrics", "127.0.0.1:0", "--live", "127.0.0.1:0"];
    let running = mpirun(2, &[&load[..], &shown].concat()).streaming(LIMIT);
    let stderr = running.stderr();
    let metrics = address(&stderr, "metrics at http://");
    let page = address(&stderr, "this launch is shown at http://");
    assert!(get(&page, "/", "</html>").iter().any(|line| line.contains("EventSource")));
    // News come each second, and the sums of all ranks grow.
    let mut seen: Vec<u64> = Vec::new();
    while seen.iter().filter(|received| **received > 0).count() < 2 {
        let news = get(&page, "/events", "data: ").pop().unwrap();
        let news: serde_json::Value = serde_json::from_str(news.split_once("data: ").unwrap().1).unwrap();
        assert_eq!(news["run"]["pattern"], "work-sharing-feedback", "{news}");
        seen.push(news["received"].as_u64().unwrap());
        assert!(seen.is_sorted(), "{seen:?}");
    }
    let text = get(&metrics, "/metrics", "# EOF");
    // Sums of two ranks are not of the same moment, so they are not compared with each other.
    let [sent, received, replies] = ["sent", "received", "replies"]
        .map(|name| value(&text, &format!("streamharness_{name}_total")).unwrap_or_else(|| panic!("{name}: {text:?}")));
    assert!([sent, received, replies].iter().all(|count| *count > 0.0), "{sent} {received} {replies}");
    // Of the producer, which is rank 0, and of the consumer, which is not.
    for metric in ["confirm", "rtt_from_due", "one_way"] {
        let samples = value(&text, &format!("streamharness_{metric}_seconds_count"));
        assert!(samples.is_some_and(|samples| samples > 0.0), "{metric}: {samples:?}");
    }
    let record = running.wait(LIMIT).passes();
    let all = record.integrity.delivered as f64;
    assert!([sent, received, replies].iter().all(|count| *count <= all), "{all}: {sent} {received} {replies}");
    assert!(TcpStream::connect(&page).is_err(), "it ends with the launch");
}

#[test]
fn an_address_that_others_reach_or_that_is_taken_is_refused_before_anything_starts() {
    let outcome = single(&["--live", "0.0.0.0:8080", "--messages", "10"]).through(service()).run(LIMIT);
    outcome.fails(1, &["0.0.0.0:8080 is not local", "127.0.0.1:8080, or add --expose"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let outcome = single(&["--metrics", &address, "--messages", "10"]).through(service()).run(LIMIT);
    outcome.fails(1, &[&format!("nothing can be shown at {address}"), "127.0.0.1:0 for a free port"]);
    single(&["--expose", "--messages", "10"]).through(service()).run(LIMIT).fails(1, &["--expose is for --metrics"]);
}
