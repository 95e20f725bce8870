//! Result files, exports, standard streams and input files that are not what they should be.

use crate::support::{
    Launch, Outcome, Running, Turn, broker::queues_of, by_shell, mpirun, place, processes, program, service, single,
    slow, within, workspace,
};
use measure::Record;
use nix::sys::signal::Signal;
use std::{fs, net::TcpListener, os::unix::fs::symlink, path::Path, process::Command, time::Duration};

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
    // The kill may come while a file is written; those of earlier seconds are gone.
    let partial = left.iter().filter(|name| name.to_string_lossy().ends_with(".partial")).count();
    assert!(partial <= 1, "{left:?}");
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
    let in_record: Vec<_> = record.left_behind.iter().map(|left| (left.name.clone(), left.expires_s)).collect();
    let queues = queues_of(&record).into_iter().map(|queue| (queue, Some(300.0))).collect::<Vec<_>>();
    assert_eq!(in_record, queues, "what is left is named: {:?}", record.left_behind);
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
    assert!(named(&stream, "streams stay, with all messages, until somebody deletes them"), "{:?}", stream.warnings);
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
        &format!("no S2CS responds at 127.0.0.1:{port}"),
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
    let piped = "mkfifo pipe; \"$0\" \"$@\"; code=$?; test -p pipe && exit $code";
    let outcome = by_shell(piped, &["export", example, "--hdf5", "pipe"]).run(LIMIT);
    outcome.fails(1, &["`pipe` is no file, but a device, pipe or socket", "--hdf5"]);
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

#[test]
fn a_stdout_without_room_is_an_error_and_one_without_a_reader_is_none() {
    let example = workspace().join("analysis/example");
    let (a, b) = (example.join("dts-1"), example.join("dts-2"));
    let (a, b) = (a.to_str().unwrap(), b.to_str().unwrap());
    let commands: [&[&str]; 9] = [
        &["completions", "zsh"],
        &["--help"],
        &["plan"],
        &["profiles", "show", "dts"],
        &["payload", "lstream", "--describe"],
        &["assert", a, "delivered > 0"],
        &["compare", a, b],
        &["compare", "--json", a, b],
        &["sweep", "dstream-work-sharing-quick", "--plan"],
    ];
    let turn = Turn::take();
    for arguments in commands {
        let outcome = by_shell("exec \"$0\" \"$@\" > /dev/full", arguments).start_beside(&turn).wait(LIMIT);
        outcome.fails(PARTIAL.into(), &["streamharness: standard output cannot be written", "No space left"]);
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let unread = Command::new(program()).args(arguments).stdout(writer).output().unwrap();
        assert!(unread.status.success() && unread.stderr.is_empty(), "{arguments:?}: {unread:?}");
    }
    let run = ["--arch", "dts-plain", "--messages", "50"];
    let outcome = by_shell("exec \"$0\" \"$@\" > /dev/full", &run).through(service()).start_beside(&turn).wait(LIMIT);
    outcome.fails(PARTIAL.into(), &["streamharness: standard output cannot be written"]);
    assert!(outcome.record().status.pass, "the run was good, and its record says so");
}

#[test]
fn a_profile_that_is_no_file_and_unreadable_values_are_reported_in_a_short_sentence() {
    if !slow() {
        return;
    }
    let launch = |arguments: &[&str]| by_shell("mkfifo pipe; ln -s pipe linked; exec \"$0\" \"$@\"", arguments);
    for (arguments, file, reason) in [
        (&["pipe"][..], "`pipe`", "it is a pipe, not a file"),
        (&["linked"], "`linked`", "it is a pipe, not a file"),
        (&["/dev/zero"], "`/dev/zero`", "it is a device, not a file"),
        (&["plan", "/dev/zero"], "`/dev/zero`", "it is a device, not a file"),
        (&["--arch", "./pipe.toml"], "pipe.toml", "No such file"),
    ] {
        launch(arguments).run(LIMIT).fails(1, &["streamharness: ", file, reason]);
    }
    let long = format!("workload = '{}'\n", "x".repeat(900_000));
    for (arguments, file) in [(&["mine.toml"][..], long.as_str()), (&["mine.toml"], &long[12..])] {
        let outcome = single(arguments).file("mine.toml", file).run(LIMIT);
        outcome.fails(2, &["streamharness: mine.toml"]);
        assert!(outcome.stderr.contains("characters left out"), "{outcome}");
        assert!(outcome.stderr.len() < 9000, "{} bytes", outcome.stderr.len());
    }
}

#[test]
fn what_records_hold_steers_no_terminal_and_forges_no_line() {
    if !slow() {
        return;
    }
    let place = place();
    let evil = "a\u{1b}[31m\u{9b}2Jb\n# STATUS: PASS forged\r\u{202e}";
    for side in ["a", "b"] {
        let mut record: serde_json::Value =
            serde_json::from_slice(&fs::read(workspace().join("analysis/example/dts-1/record.json")).unwrap()).unwrap();
        for pointer in ["/plan/pattern", "/plan/workload", "/route/architecture", "/environment/hosts/0", "/started"] {
            *record.pointer_mut(pointer).unwrap() = evil.into();
        }
        record["plan"][evil] = side.into();
        record["status"] = serde_json::json!({"pass": false, "reason": evil, "exit_code": 4});
        for (run, failed) in [("sound", false), ("failed", true)] {
            if !failed {
                record["status"] = serde_json::json!({"pass": true, "reason": evil, "exit_code": 0});
            }
            let dir = place.path().join(side).join(run);
            fs::create_dir_all(&dir).unwrap();
            fs::write(dir.join("record.json"), record.to_string()).unwrap();
            record["status"] = serde_json::json!({"pass": false, "reason": evil, "exit_code": 4});
        }
    }
    let path = |name: &str| place.path().join(name).display().to_string();
    let commands: [&[&str]; 5] = [
        &["compare", &path("a"), &path("b")],
        &["compare", "--json", &path("a"), &path("b")],
        &["assert", &path("a"), "route.architecture == 'x'"],
        &["report", &path("a"), "--text"],
        &["rerun", &path("a/sound")],
    ];
    for arguments in commands {
        let outcome = single(arguments).run(LIMIT);
        let shown = format!("{}{}", outcome.stdout, outcome.stderr);
        let steering = |character: char| (character.is_control() && character != '\n') || character == '\u{202e}';
        assert!(!shown.contains(steering), "{outcome}");
        assert!(!shown.lines().any(|line| line.contains("forged") && line.starts_with("# STATUS")), "{outcome}");
        assert!(arguments[0] == "rerun" || shown.contains("\\u001b[31m"), "it is shown, as what it is {outcome}");
    }
}
