//! Any bytes as a file of a run: a JSON object as its record, with all that is made of one, else its histograms and its
//! series.

use figures::{Loaded, Measured, Points, Report, Run, compare};
use measure::{Assertion, Record, read_hlog, tables};
use profile::Plan;
use std::{fs, path::Path, sync::LazyLock};
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| TempDir::new().expect("there is room for a folder"));
/// A run whose other files are looked at.
static RECORD: LazyLock<Record> = LazyLock::new(|| {
    let json = include_str!("../../../analysis/example/dts-1/record.json");
    Record::from_json(json).expect("the example is a record")
});

pub fn run(data: &[u8]) {
    if !data.starts_with(b"{") {
        return beside(data);
    }
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(record) = Record::from_json(text) else { return };
    assert_eq!(Record::from_json(&record.to_json()).expect("it was just written"), record);
    let _ = serde_json::from_value::<Plan>(record.plan.clone());
    shown(&record);
}

/// What people see of it.
fn shown(record: &Record) {
    let _ = (tables::osu_table(record), tables::ranks_csv(record));
    assert!(record.done_differently(record).is_empty());
    let bound = Assertion::parse("rtt_p99 < 5ms and throughput > 100/s and lost == 0").expect("it is well formed");
    let _ = bound.of(record);
    let runs = ["a", "b"].map(|dir| Run { dir: dir.into(), record: record.clone() });
    if let Ok(points) = Points::of(runs.to_vec()) {
        let quantities = compare::compared();
        for point in points.iter() {
            let _ = compare::compare(point, point, &quantities, 0.05);
        }
    }
    if let Ok(report) =
        Report::of(Loaded { runs: runs.into(), ..Loaded::default() }, &figures::report::shipped_figures(), false)
    {
        let _ = (report.text(), figures::page(&report, "fuzz", Path::new("/")));
    }
}

fn beside(data: &[u8]) {
    let _ = read_hlog(data);
    fs::write(PLACE.path().join("series.csv"), data).expect("there is room for it");
    let run = Run { dir: PLACE.path().to_owned(), record: RECORD.clone() };
    let _ = Measured::default().series(&run, "sent");
}
