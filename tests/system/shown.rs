//! A launch that is shown while it runs: metrics and a page, from real ranks, and nothing of it without the flags.

use crate::support::{browser::Browser, mpirun, service, single, slow, within};
use nix::sys::signal::Signal;
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

/// Everything that is served once each rank has counted something, which a busy machine may take a while for.
#[track_caller]
fn counted(address: &str) -> Vec<String> {
    let all = ["sent_total", "received_total", "replies_total"].into_iter().map(str::to_owned);
    // Of the producer, which is rank 0, and of the consumer, which is not.
    let latencies = ["confirm", "rtt_from_due", "one_way"].map(|metric| format!("{metric}_seconds_count"));
    let names: Vec<String> = all.chain(latencies).map(|name| format!("streamharness_{name}")).collect();
    let found = within(LIMIT, || {
        let text = get(address, "/metrics", "# EOF");
        names.iter().all(|name| value(&text, name).is_some_and(|count| count > 0.0)).then_some(text)
    });
    found.unwrap_or_else(|| panic!("{names:?}: {:?}", get(address, "/metrics", "# EOF")))
}

#[test]
fn a_launch_serves_its_counters_latencies_and_page_until_it_ends() {
    let load = ["--pattern", "work-sharing-feedback", "--rate", "200/s", "--duration", "300s"];
    let shown = ["--metrics", "127.0.0.1:0", "--live", "127.0.0.1:0"];
    let running = mpirun(2, &[&load[..], &shown].concat()).streaming(LIMIT);
    let stderr = running.stderr();
    let metrics = address(&stderr, "metrics at http://");
    let page = address(&stderr, "this launch is shown at http://");
    assert!(get(&page, "/", "</html>").iter().any(|line| line.contains("EventSource")));
    let before = counted(&metrics);
    // The sums of all ranks grow, on the page too. Those of two ranks are not of the same moment, so they are not compared.
    let news = get(&page, "/events", "data: ").pop().unwrap();
    let news: serde_json::Value = serde_json::from_str(news.split_once("data: ").unwrap().1).unwrap();
    assert_eq!(news["run"]["pattern"], "work-sharing-feedback", "{news}");
    let received = value(&before, "streamharness_received_total").unwrap();
    assert!(news["received"].as_f64().unwrap() >= received, "{received} {news}");
    running.signal(Signal::SIGINT);
    let outcome = running.wait(LIMIT);
    assert!(!outcome.status.success(), "{outcome}");
    outcome.leaves_a_failed_record(7, "stopped by SIG");
    assert!(TcpStream::connect(&page).is_err(), "it ends with the launch");
}

#[test]
fn the_page_of_a_launch_is_drawn_in_a_browser_and_asks_nobody_else() {
    if !slow() {
        return;
    }
    let load = ["--pattern", "work-sharing-feedback", "--rate", "200/s", "--duration", "300s", "--live", "127.0.0.1:0"];
    let running = mpirun(2, &load).streaming(LIMIT);
    let page = format!("http://{}/", address(&running.stderr(), "this launch is shown at http://"));
    let mut browser = Browser::open(&page);
    // Counts in the table, and a line in every chart: a pixel of one of their colours.
    let coloured = "Array.from(document.querySelectorAll('#rates, #bands, #queues'), canvas => { \
        const lines = ['--a', '--b', '--c'].map(name => getComputedStyle(document.documentElement).getPropertyValue(name).trim()), \
            pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data; \
        for (let at = 0; at < pixels.length; at += 4) { \
            const hex = Array.from(pixels.slice(at, at + 3), part => part.toString(16).padStart(2, '0')).join(''); \
            if (pixels[at + 3] === 255 && lines.includes('#' + hex)) return true; \
        } \
        return false; })";
    let drawn = within(LIMIT, || {
        let title = browser.value("document.getElementById('title').textContent");
        let counts = browser.value("document.getElementById('counters').textContent");
        let seen =
            title.as_str()?.contains("feedback") && counts.as_str()?.contains(|letter: char| letter.is_ascii_digit());
        (seen && browser.value(coloured) == serde_json::json!([true, true, true])).then_some(())
    });
    assert!(drawn.is_some(), "{} {:?}", browser.value("document.body.innerText"), browser.thrown);
    let asked = browser.value("performance.getEntriesByType('resource').map(entry => entry.name)");
    assert!(asked.as_array().unwrap().iter().all(|name| name.as_str().unwrap().starts_with(&page)), "{asked}");
    assert!(browser.thrown.is_empty(), "{:?}", browser.thrown);
    running.signal(Signal::SIGINT);
    // It says so, rather than to show old numbers as if they were new.
    let ended = within(LIMIT, || {
        let text = browser.value("document.body.innerText");
        text.as_str()?.contains("the launch is over").then_some(())
    });
    assert!(ended.is_some(), "{}", browser.value("document.body.innerText"));
    assert!(!running.wait(LIMIT).status.success());
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
