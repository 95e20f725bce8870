//! What `report` makes of records, and of what is none.

use crate::support::{single, workspace};
use std::time::Duration;

/// More than a report over a few runs needs, on a busy machine.
const LIMIT: Duration = Duration::from_secs(60);
const USAGE: i32 = 1;

fn example() -> String {
    workspace().join("analysis/example").display().to_string()
}

#[test]
fn a_report_is_a_page_figures_and_verdicts() {
    let outcome = single(&["report", &example(), "-o", "rep", "--figures", "broadcast", "--claims"]).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    assert!(
        outcome.stdout.starts_with("9 runs of 9 points; none failed\nGeneric, broadcast"),
        "the answer comes first\n{outcome}"
    );
    assert!(outcome.stdout.contains("Claims of the paper: ") && outcome.stdout.contains("C36"), "{outcome}");
    let file = |name: &str| outcome.files.get(name).unwrap_or_else(|| panic!("no {name} {outcome}"));
    assert!(file("rep/figures/broadcast.png").starts_with(b"\x89PNG"));
    assert!(file("rep/figures/broadcast.svg").starts_with(b"<svg "));
    let page = String::from_utf8_lossy(file("rep/report.html"));
    assert!(page.starts_with("<!DOCTYPE html>") && page.contains("dts-4/record.json"), "links to records");
    assert!(page.contains("<title>example - streamharness</title>"), "called by its folder");
    assert!(page.find("id=\"figures\"") < page.find("id=\"claims\""), "claims come last");
    assert!(page.contains("<details><summary>44 claims"), "folded: these are no runs of the paper's experiments");
    assert!(outcome.stderr.contains("9 runs of 9 points; none failed"), "{outcome}");
}

#[test]
fn a_report_as_text_leaves_no_files() {
    let outcome = single(&["report", &example(), "--text"]).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    for part in
        ["Broadcast and gather: distribution of round trips", "● DTS", "Points (medians over runs)", "Not drawn"]
    {
        assert!(outcome.stdout.contains(part), "{part} {outcome}");
    }
    assert!(outcome.files.is_empty(), "{:?}", outcome.files.keys());
}

#[test]
fn an_unusable_record_is_reported_in_one_line_with_its_file() {
    let record = std::fs::read_to_string(workspace().join("analysis/example/dts-1/record.json")).unwrap();
    let older = record.replace("streamharness/record/1", "streamharness/record/0");
    for (text, parts) in [
        (&older[..], ["./record.json", "streamharness/record/0"]),
        (&record[..record.len() / 2], ["./record.json", "not a run record"]),
        (&record.replace("\"pass\": true", "\"pass\": false"), ["all 1 runs failed", "messages delivered"]),
    ] {
        single(&["report", "."]).file("record.json", text).run(LIMIT).fails(USAGE, &parts);
    }
    single(&["report", "tmp"]).run(LIMIT).fails(USAGE, &["no record.json in or under `tmp`", "give the directory"]);
    single(&["report", "gone"]).run(LIMIT).fails(USAGE, &["`gone` cannot be read"]);
    let figures = |name| single(&["report", &example(), "--figures", name]);
    figures("bandwidth").run(LIMIT).fails(USAGE, &["no figure is called `bandwidth`", "throughput, overhead"]);
    figures("throughput").run(LIMIT).fails(USAGE, &["`throughput` is empty", "work-sharing"]);
    let mine = "title = 'Mine'\nkind = 'lines'\ny = 'speed'\n";
    figures("mine.toml").file("mine.toml", mine).run(LIMIT).fails(USAGE, &["`mine.toml`", "`speed` cannot be drawn"]);
}

#[test]
fn a_sweep_becomes_one_file() {
    let outcome = single(&["export", "--hdf5", "sweep.h5", &example()]).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    assert!(outcome.files["sweep.h5"].starts_with(b"\x89HDF"), "{outcome}");
    single(&["export", "--hdf5", "gone/sweep.h5", &example()])
        .run(LIMIT)
        .fails(USAGE, &["`gone/sweep.h5` cannot be written"]);
}
