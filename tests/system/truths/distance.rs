//! Over a distance the throughput of a confirm window is arithmetic: what is in flight, once each round trip.

use super::row;
use crate::{
    facility::{Down, done, has_tun, run_over, testbed},
    support::{place, slow},
};
use std::{fs, path::Path};

const ROUND_TRIP_S: f64 = 0.06;
/// So small that a window of them needs no more than what TCP sends at first.
const WORKLOAD: &str = "[message]\nformat = 'variables'\nevent_bytes = '256B'\nevents = 1";
/// Messages in flight: so few that neither the machine nor TCP's window limits them.
const WINDOWS: [u32; 2] = [4, 16];

/// Messages a second with a confirm window of this size.
fn messages_per_second(dir: &Path, place: &Path, window: u32) -> f64 {
    let (confirms, workload) = (format!("window:{window}"), place.join("small.toml").display().to_string());
    let words = ["--workload", &workload, "--duration", "5s", "--warmup", "1s", "--confirms", &confirms];
    let record = run_over(dir, &place.join(&confirms), &words);
    record.throughput.messages_per_second.expect("there is a window")
}

#[test]
fn over_sixty_milliseconds_a_window_carries_itself_once_each_round_trip() {
    if !has_tun() {
        return println!("skipped: this machine has no TUN");
    }
    let place = place();
    let dir = &place.path().join("testbed");
    let _down = Down(dir);
    fs::write(place.path().join("small.toml"), WORKLOAD).unwrap();
    let up = ["up", "--network", "facility", "--nodes", "1", "--link", "unlimited", "--delay", "30ms"];
    // BBR would hold back a stream that sends so little.
    done(&testbed(dir, &[up.as_slice(), &["--congestion", "reno"]].concat()));
    // Up to three of each, alternately, so that other work meets both.
    let rounds: Vec<[f64; 2]> = (0..if slow() { 3 } else { 1 })
        .map(|round| {
            let folder = place.path().join(format!("round-{round}"));
            fs::create_dir(&folder).unwrap();
            fs::copy(place.path().join("small.toml"), folder.join("small.toml")).unwrap();
            WINDOWS.map(|window| messages_per_second(dir, &folder, window))
        })
        .collect();
    let median = |index: usize| {
        let mut rates: Vec<f64> = rounds.iter().map(|round| round[index]).collect();
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let ratio = median(1) / median(0);
    let predicted = f64::from(WINDOWS[1]) / f64::from(WINDOWS[0]);
    let held = (ratio / predicted - 1.0).abs() <= 0.1;
    row(
        "30 ms each way: throughput of a confirm window of 16 over that of 4",
        &format!("{predicted}"),
        &format!("{ratio:.2}"),
        held,
    );
    for (index, window) in WINDOWS.into_iter().enumerate() {
        let most = f64::from(window) / ROUND_TRIP_S;
        let measured = median(index);
        let what = format!("30 ms each way, a confirm window of {window}: messages a second");
        row(&what, &format!("{most:.1}"), &format!("{measured:.1}"), measured <= most * 1.02 && measured > most * 0.9);
        // What is in flight cannot arrive sooner, whatever the machine does.
        assert!(measured <= most * 1.1, "{measured} of at most {most}");
    }
    // How much more depends on what else the machine does.
    assert!(ratio > 1.5, "four times the window carries more: {ratio}");
}
