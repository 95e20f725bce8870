//! Result files, exports, standard streams and input files that are not what they should be.

use crate::support::{
    Launch, Outcome, Running, Turn, broker::queues_of, by_shell, mpirun, place, processes, service, single, slow,
    within, workspace,
};
use measure::Record;
use nix::sys::signal::Signal;
use std::{fs, net::TcpListener, os::unix::fs::symlink, path::Path, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const PARTIAL: u8 = 7;

/// A record that is there, whole, and says this of its run.
fn says(record: &Path, reason: &str) -> Option<Record> {
    let text = fs::read_to_string(record).ok()?;
    let record = Record::from_json(&text).unwrap_or_else(|error| panic!("{}: {error}", record.display()));
    record.status.reason.contains(reason).then_some(record)
}

/// Streams until the record in `dir` says so, kills one process of it, and returns the record that is left.
#[track_caller]
fn killed(launch: Launch, dir: &Path, turn: &Turn, process: impl FnOnce(&Running) -> i32) -> Record {
    let mut running = launch.start_beside(turn);
    let record = dir.join("record.json");
    assert!(within(LIMIT, || says(&record, "cut off")).is_some(), "a record before it streams");
    running.streams(LIMIT);
    let of_stream = || says(&record, "cut off while it streamed").filter(|record| record.integrity.delivered > 0);
    assert!(within(LIMIT, of_stream).is_some(), "and one that is kept up to date while it does");
    processes::send(process(&running), Signal::SIGKILL);
    let outcome = running.wait(LIMIT);
    assert!(!outcome.status.success(), "{outcome}");
    let kept = says(&record, "cut off while it streamed").unwrap_or_else(|| panic!("{outcome}"));
    assert_eq!((kept.status.pass, kept.status.exit_code), (false, PARTIAL), "{:?}", kept.status);
    assert!(kept.integrity.sent >= kept.integrity.delivered && kept.integrity.delivered > 0, "{:?}", kept.integrity);
    assert_eq!(kept.ranks.len(), 3);
    let left: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(left.iter().all(|name| !name.to_string_lossy().ends_with(".partial")), "{left:?}");
    kept
}

#[test]
fn a_run_that_is_killed_whole_leaves_a_record_and_what_it_leaves_on_the_service_is_named_or_expires() {
    let turn = Turn::take();
    let place = place();
    let out = place.path().join("out").display().to_string();
    let launch = |dir: &str, more: &[&str]| {
        let out = format!("{out}/{dir}");
        mpirun(3, &[&["--arch", "dts-plain", "--duration", "60s", "--rate", "200/s", "--out", &out], more].concat())
            .through(service())
    };
    let dir = |name: &str| place.path().join("out").join(name);

    let record = killed(launch("rank", &[]), &dir("rank"), &turn, |running| running.rank(0));
    let prefix = record.plan["service"]["queues"][0]["name"].as_str().unwrap().trim_end_matches("work.0").to_owned();
    let named = |record: &Record, what: &str| record.warnings.iter().any(|warning| warning.contains(what));
    assert!(named(&record, "deletes its queues 300 s after") && named(&record, &prefix), "{:?}", record.warnings);
    for queue in queues_of(&record) {
        let left = service().queue(&queue).expect("nobody was left to delete it");
        assert_eq!(left["arguments"]["x-expires"], 300_000, "{left}");
        service().delete(&queue);
    }
    if !slow() {
        return;
    }
    let by_launcher = killed(launch("launcher", &[]), &dir("launcher"), &turn, |running| running.pid());
    queues_of(&by_launcher).iter().for_each(|queue| service().delete(queue));
    let repeated =
        killed(launch("repeated", &["--repeat", "3"]), &dir("repeated/run-001"), &turn, |running| running.rank(0));
    assert_eq!(repeated.repetition.as_ref().map(|repetition| repetition.number), Some(1));
    queues_of(&repeated).iter().for_each(|queue| service().delete(queue));
    let stream =
        killed(launch("stream", &["--queue-type", "stream"]), &dir("stream"), &turn, |running| running.rank(0));
    assert!(named(&stream, "stay until somebody deletes them"), "{:?}", stream.warnings);
    queues_of(&stream).iter().for_each(|queue| service().delete(queue));
}

/// A port where nobody listens.
fn closed_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[test]
fn a_launch_whose_route_cannot_be_opened_leaves_a_record() {
    if !slow() {
        return;
    }
    let refused = |outcome: &Outcome, reason: &str| {
        outcome.fails(3, &["streamharness: ", reason]);
        outcome.leaves_a_failed_record(3, reason)
    };
    let port = closed_port();
    let managed = format!("[route.s3m]\nurl = 'http://127.0.0.1:{port}'\n");
    let outcome =
        mpirun(3, &["--arch", "mine.toml"]).file("mine.toml", &managed).variable("S3M_TOKEN", "any").run(LIMIT);
    refused(&outcome, &format!("127.0.0.1:{port} cannot be reached"));
    let certificate = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap().cert.pem();
    let side = |name: &str| format!("[route.scistream.{name}]\ns2cs = '127.0.0.1:{port}'\ncertificate = 'mine.pem'\n");
    let tunnel = format!(
        "[route]\nconsumer_urls = ['amqp://bench@127.0.0.1:{port}']\n[route.scistream]\nservice = ['127.0.0.1:{port}']\n{}{}",
        side("consumer_side"),
        side("producer_side")
    );
    let launch = single(&["--arch", "mine.toml"]).file("mine.toml", &tunnel).file("mine.pem", &certificate);
    refused(
        &launch.variable("STREAMHARNESS_PASSWORD", "any").run(LIMIT),
        &format!("no S2CS answers at 127.0.0.1:{port}"),
    );
    let outcome = single(&[]).variable("STREAMHARNESS_RABBITMQ", "/nowhere").run(LIMIT);
    refused(&outcome, "apt-get install rabbitmq-server");
}

#[test]
fn links_that_were_planted_in_the_result_directory_lead_nowhere() {
    if !slow() {
        return;
    }
    let place = place();
    let (precious, out) = (place.path().join("precious"), place.path().join("out"));
    let elsewhere = place.path().join("elsewhere");
    fs::write(&precious, "thesis").unwrap();
    fs::create_dir_all(&out).unwrap();
    fs::create_dir(&elsewhere).unwrap();
    for name in [".probe", "record.json", ".record.json.partial", ".series.csv.partial", "cdf.csv", "summary.json"] {
        symlink(&precious, out.join(name)).unwrap();
    }
    let run = |more: &[&str]| {
        let out = out.display().to_string();
        single(&[&["--arch", "dts-plain", "--messages", "50", "--out", &out], more].concat())
            .through(service())
            .run(LIMIT)
    };
    assert!(run(&[]).status.success());
    assert!(says(&out.join("record.json"), "50 of 50").is_some());
    symlink(&elsewhere, out.join("run-001")).unwrap();
    run(&["--repeat", "2", "--idle", "0s"]).fails(1, &["run-001` is a link", "--out"]);
    assert_eq!(fs::read_to_string(&precious).unwrap(), "thesis");
    assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
}

/// A launch for which the directory `small` is a file system with room for so much, of which `kept` is what is left.
fn with_room_for(size: &str, script: &str, arguments: &[&str]) -> Launch {
    let inside = format!(
        "mkdir small && mount -t tmpfs -o size={size} none small || exit 99; {script}\ncode=$?; rm -f small/fill; \
         cp -R small kept; exit $code"
    );
    by_shell(&format!("exec unshare -Urm sh -c '{inside}' \"$0\" \"$@\""), arguments)
}

#[test]
fn a_full_disk_is_an_error_of_whoever_writes_and_leaves_no_half_a_file() {
    let example = workspace().join("analysis/example");
    let example = example.to_str().unwrap();
    let export = ["export", example, "--hdf5", "small/sweep.h5"];
    let outcome = with_room_for("64k", "\"$0\" \"$@\"", &export).run(LIMIT);
    outcome.fails(1, &["`small/sweep.h5` cannot be written", "No space left", "--hdf5"]);
    let kept =
        |outcome: &Outcome| outcome.files.keys().filter(|file| file.starts_with("kept/")).cloned().collect::<Vec<_>>();
    assert_eq!(kept(&outcome), [""; 0]);
    let outcome = with_room_for("4m", "\"$0\" \"$@\"", &export).run(LIMIT);
    assert!(outcome.status.success() && kept(&outcome) == ["kept/sweep.h5"], "{outcome}");
    if !slow() {
        return;
    }
    for (arguments, file) in [
        (vec!["report", example, "--figures", "broadcast", "--out", "small/report"], "small/report/"),
        (vec!["payload", "lstream", "--out", "small/body"], "small/body"),
        (vec!["--messages", "10", "--out", "small/out"], "small/out"),
    ] {
        let outcome = with_room_for("16k", "\"$0\" \"$@\"", &arguments).run(LIMIT);
        outcome.fails(1, &[file, "cannot be written", "No space left", "--out"]);
        let half = kept(&outcome).into_iter().find(|file| !file.ends_with(".svg") && !file.ends_with(".png"));
        assert_eq!(half, None, "{outcome}");
    }
    let outcome = single(&["payload", "dstream", "--out", "/dev/full"]).run(LIMIT);
    outcome.fails(1, &["`/dev/full`", "No space left", "--out"]);
}

#[test]
fn a_disk_that_fills_during_a_run_leaves_the_record_that_was_kept_and_no_pass() {
    if !slow() {
        return;
    }
    let script = "\"$0\" \"$@\" & for i in $(seq 300); do grep -qs \"delivered [0-9]* s after\" small/out/record.json \
                  && break; sleep 0.1; done; cat /dev/zero > small/fill; wait $!";
    let arguments = ["--arch", "dts-plain", "--duration", "8s", "--rate", "100/s", "--out", "small/out"];
    let outcome = with_room_for("1m", script, &arguments).through(service()).run(LIMIT);
    outcome
        .fails(PARTIAL.into(), &["streamharness: results cannot be written to `small/out`", "No space left", "--out"]);
    assert!(outcome.stdout.lines().last().is_some_and(|line| line.starts_with("# STATUS: FAIL results")), "{outcome}");
    let record = std::str::from_utf8(&outcome.files["kept/out/record.json"]).unwrap();
    let record = Record::from_json(record).unwrap();
    assert!(record.status.reason.starts_with("cut off while it streamed"), "{:?}", record.status);
    assert!(!outcome.files.keys().any(|file| file.ends_with(".partial")), "{:?}", outcome.files.keys());
}
