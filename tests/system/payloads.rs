//! What workloads send, seen by others: clients and readers that are not ours, and a wire that damages.

use crate::support::{broker::queues_of, relay::Relay, service, single, words, workspace};
use serde_json::Value;
use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(60);
/// Messages that are looked at.
const TAKEN: usize = 4;

/// Runs a program of the system, which must succeed.
#[track_caller]
fn succeeds(command: &mut Command) -> String {
    let Output { status, stdout, stderr } = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
    assert!(status.success(), "{command:?}\n{status}\n{stdout}\n{stderr}");
    stdout.into_owned()
}

/// A script of `tests/readers`, by the system's Python, which has the packages that `launch/setup` installs.
fn reader(name: &str) -> Command {
    let mut command = Command::new("/usr/bin/python3");
    command.arg(workspace().join("tests/readers").join(name));
    command
}

/// Messages of a run, taken from the broker by a client that is not ours, with their properties.
#[track_caller]
fn from_the_wire(workload: &str, dir: &Path) -> Vec<(PathBuf, Value)> {
    // A consumer that takes one at a time leaves some to others, and no backlog stays that it takes long to clear.
    let load = ["--duration", "10s", "--rate", "500/s", "--prefetch", "1", "--acks", "each"];
    let arguments = [&["--workload", workload, "--arch", "dts-plain"], load.as_slice()].concat();
    let (running, queues) = single(&arguments).streaming_with_queues(LIMIT);
    let (port, count) = (service().plain_port().to_string(), TAKEN.to_string());
    succeeds(reader("tap.py").args([&port, "bench", &service().password_file(), &queues[0], &count]).arg(dir));
    let record = running.wait(LIMIT).passes();
    assert_eq!(queues_of(&record), queues);
    assert!(record.integrity.redelivered >= TAKEN as u64, "what was taken came back: {:?}", record.integrity);
    assert_eq!(record.totals.received.messages, record.integrity.delivered);
    let message = |number: usize| {
        let properties = fs::read_to_string(dir.join(format!("{number}.json"))).unwrap();
        (dir.join(format!("{number}.body")), serde_json::from_str(&properties).unwrap())
    };
    (0..TAKEN).map(message).collect()
}

/// Producer and sequence, as the envelope has them.
fn identity(properties: &Value) -> (u64, u64) {
    let envelope = properties["correlation_id"].as_str().unwrap();
    let field = |index| u64::from_str_radix(envelope.split('-').nth(index).unwrap(), 16).unwrap();
    (field(1), field(2))
}

/// `streamharness payload` writes the very bytes that were on the wire.
#[track_caller]
fn is_what_the_command_writes(workload: &str, messages: &[(PathBuf, Value)], dir: &Path) {
    for (path, properties) in messages {
        let (producer, sequence) = identity(properties);
        let out = dir.join("written");
        let (producer, sequence, out_arg) = (producer.to_string(), sequence.to_string(), out.display().to_string());
        let arguments = ["payload", workload, "--producer", &producer, "--sequence", &sequence, "--out", &out_arg];
        let outcome = single(&arguments).run(LIMIT);
        assert_eq!(outcome.status.code(), Some(0), "{outcome}");
        assert!(fs::read(&out).unwrap() == fs::read(path).unwrap(), "message {sequence} of {producer} differs");
    }
}

#[test]
fn lstreams_messages_are_hdf5_files_to_h5py_and_h5dump() {
    let dir = tempfile::tempdir().unwrap();
    let messages = from_the_wire("lstream", dir.path());
    assert!(messages.iter().all(|(_, properties)| properties["content_type"] == "application/x-hdf5"));
    let paths: Vec<&PathBuf> = messages.iter().map(|(path, _)| path).collect();
    let said = succeeds(reader("frames.py").args(&paths));
    assert_eq!(said.lines().filter(|line| line.contains("events=8 first=16")).count(), TAKEN, "{said}");
    assert!(!said.lines().all(|line| line.ends_with("peaks=0")), "no peak in any frame\n{said}");
    for path in &paths {
        let dump = succeeds(Command::new("h5dump").args(["-d", "/data/timestamp"]).arg(path));
        assert!(dump.contains("DATASPACE  SIMPLE { ( 8 ) / ( 8 ) }"), "{dump}");
        // Every dataset is read to its last byte.
        succeeds(Command::new("h5dump").args(["-o", "/dev/null"]).arg(path));
    }
    is_what_the_command_writes("lstream", &messages, dir.path());
}

#[test]
fn dstreams_messages_are_gretina_events_to_a_reader_of_the_published_table() {
    for (workload, expected) in [("dstream", "events=8 parts=64"), ("dstream-decomposed", "events=")] {
        let dir = tempfile::tempdir().unwrap();
        let messages = from_the_wire(workload, dir.path());
        assert!(messages.iter().all(|(_, properties)| properties["content_type"] == "application/octet-stream"));
        let said = succeeds(reader("geb.py").args(messages.iter().map(|(path, _)| path)));
        assert_eq!(said.lines().filter(|line| line.contains(expected)).count(), TAKEN, "{said}");
        is_what_the_command_writes(workload, &messages, dir.path());
    }
}

#[test]
fn neutron_events_are_adara_packets_to_a_reader_of_the_published_definition() {
    let dir = tempfile::tempdir().unwrap();
    let messages = from_the_wire("sns-adara", dir.path());
    let said = succeeds(reader("adara.py").args(messages.iter().map(|(path, _)| path)));
    assert_eq!(said.lines().filter(|line| line.contains("first=10000")).count(), TAKEN, "{said}");
    is_what_the_command_writes("sns-adara", &messages, dir.path());
}

#[test]
fn totals_of_events_are_exact_however_they_vary() {
    for (events, fill) in [("uniform:4-12", "ring"), ("poisson:8", "ring"), ("poisson:8", "fresh"), ("8", "fresh")] {
        let set = format!("message.events={events}");
        let arguments = ["--messages", "2000", "--set", &set, "--fill", fill, "--producers", "2", "--consumers", "2"];
        let record = single(&arguments).through(service()).run(LIMIT).passes();
        let (sent, received) = (record.totals.sent, record.totals.received);
        assert_eq!(sent, received, "{events} {fill}");
        assert_eq!(sent.bytes, 2000 * sent.events, "an event has 2,000 B: {events} {fill}");
        let mean = sent.events as f64 / sent.messages as f64;
        assert!((mean - 8.0).abs() < 0.6 && (events != "8" || mean == 8.0), "{events} {fill}: {mean}");
    }
}

#[test]
fn every_shipped_workload_streams_with_all_checks() {
    for workload in ["dstream-greta", "generic", "aps-ptychography", "lstream"] {
        for fill in ["ring", "fresh"] {
            let arguments =
                ["--workload", workload, "--messages", "40", "--fill", fill, "--verify", "all", "--producers", "2"];
            let record = single(&arguments).through(service()).run(LIMIT).passes();
            assert_eq!(record.totals.received.messages, 40, "{workload} {fill}");
            assert_eq!(record.plan["message"]["fill"], fill);
        }
    }
}

#[test]
fn by_default_every_body_is_checked_and_a_sample_is_read_by_libhdf5() {
    let lstream = |verify: &[&str]| {
        let arguments = [&["--workload", "lstream", "--messages", "40", "--producers", "2"], verify].concat();
        let outcome = single(&arguments).through(service()).run(LIMIT);
        let record = outcome.passes();
        let line = outcome.stdout.lines().find(|line| line.starts_with("# verify ")).unwrap().to_owned();
        (record, line)
    };
    let (record, line) = lstream(&[]);
    assert_eq!(record.plan["verify"], "sampled");
    let inspected = record.integrity.inspected.expect("the first body of each producer is always inspected");
    assert!((2..=40).contains(&inspected), "{inspected}");
    assert_eq!(record.integrity.inspected_one_in, Some(40.0 / inspected as f64));
    assert!(record.harness.inspection_us.is_some_and(|us| us > 0.0));
    assert!(
        line.contains(&format!("sampled; the library of the format inspected {inspected} bodies, 1 in ")),
        "{line}"
    );

    let (record, line) = lstream(&["--verify", "all"]);
    assert_eq!((record.integrity.inspected, record.integrity.inspected_one_in), (Some(40), Some(1.0)));
    assert!(line.contains("all; the library of the format inspected 40 bodies, 1 in 1.0"), "{line}");
    let (record, line) = lstream(&["--verify", "off"]);
    assert!(record.integrity.inspected.is_none() && line.ends_with(" off"), "{line}");
}

#[test]
fn a_workload_of_ones_own_needs_a_file_and_no_code() {
    let own = "messages = 50\n[message]\nformat = 'hdf5'\nevents = 'uniform:1-3'\nrate = '10/s'\n\
               [message.frames]\nshape = [2, 64, 96]\ndtype = 'f32'\ndata = '/entry/instrument/detector/data'\npeaks = ''\n";
    let outcome = single(&["--workload", "mine.toml"]).file("mine.toml", own).through(service()).run(LIMIT);
    let record = outcome.passes();
    assert_eq!((record.totals.sent.messages, record.plan["workload"].as_str()), (50, Some("mine.toml")));
    let outcome = single(&["payload", "mine.toml", "--describe"]).file("mine.toml", own).run(LIMIT);
    assert!(outcome.stdout.contains("/entry/instrument/detector/data: f32 [events, 2, 64, 96]"), "{outcome}");
}

/// The only entry of a folder.
#[track_caller]
fn only(dir: &Path) -> PathBuf {
    let entries: Vec<PathBuf> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 1, "{entries:?}");
    entries[0].clone()
}

#[test]
fn files_of_ones_own_arrive_as_they_are_and_can_be_looked_at() {
    let dir = tempfile::tempdir().unwrap();
    let content = [vec![1; 100], vec![2; 70_000], vec![3; 1]];
    for (number, bytes) in content.iter().enumerate() {
        fs::write(dir.path().join(format!("{number}.bin")), bytes).unwrap();
    }
    let (from, sink) = (format!("{}/*.bin", dir.path().display()), dir.path().join("sink"));
    let sink_arg = sink.display().to_string();
    let record = single(&["--from", &from, "--sink", &sink_arg]).through(service()).run(LIMIT).passes();
    assert_eq!((record.totals.sent.messages, record.totals.received.bytes), (3, 70_101), "each file once");
    let replay = &record.plan["message"]["replay"];
    assert_eq!(
        (&replay["hashed"], &replay["messages"], &replay["files"][1][1]),
        (&true.into(), &3.into(), &70_000.into())
    );
    assert!(record.status.reason.contains("no measurement: 3 messages were written to"), "{}", record.status.reason);
    assert_eq!(record.harness.sink.map(|sink| sink.messages), Some(3));
    let written = only(&only(&sink));
    for (number, bytes) in content.iter().enumerate() {
        let name = format!("consumer-0-producer-0-{number:08}.bin");
        assert!(fs::read(written.join(&name)).unwrap() == *bytes, "{name}");
    }
    fs::remove_dir_all(&sink).unwrap();

    // The same, read while they are sent; what arrives goes into one file.
    let settings = ["--set", "message.files.read=streamed", "--set", "sink.form=hdf5", "--messages", "30"];
    let arguments = [&["--from", &from, "--sink", &sink_arg], settings.as_slice()].concat();
    let record = single(&arguments).through(service()).run(LIMIT).passes();
    assert_eq!((record.integrity.delivered, record.totals.received.bytes), (30, 701_010));
    assert!(record.harness.reading_ns.is_some());
    let file = only(&only(&sink)).display().to_string();
    let dump = succeeds(Command::new("h5dump").args(["-d", "/consumer-0/producer-0/00000028", "-H", &file]));
    assert!(dump.contains("SIMPLE { ( 70000 ) / ( 70000 ) }"), "{dump}");

    let outcome = single(&["payload", "--from", &from, "--describe"]).run(LIMIT);
    assert!(outcome.stdout.contains("3 message(s) of 3 file(s), 70101 B in all"), "{outcome}");
    single(&["--from", "gone*.h5"]).run(LIMIT).fails(2, &["no file fits `gone*.h5`"]);
    single(&["--from", &from, "--set", "message.files.records=geb"]).run(LIMIT).fails(2, &["0.bin", "no GEB header"]);
}

#[test]
fn a_bit_that_flips_on_the_wire_is_counted_by_kind_and_its_message_is_kept() {
    // Far inside of a body of 1 MiB, whatever frames it is cut into.
    let relay = Relay::flipping(service().plain_port(), 3_300_000);
    let ends =
        format!("--producer-url amqp://bench@127.0.0.1:{} --consumer-url {}", relay.port(), service().plain_url());
    let arguments = [words("--workload lstream --arch dts-plain --messages 10"), words(&ends)].concat();
    let outcome = single(&arguments).variable("STREAMHARNESS_PASSWORD_FILE", service().password_file()).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(4), "{outcome}");
    let record = outcome.leaves_a_failed_record(4, "1 of the delivered bodies was corrupt (first: producer 0");
    assert_eq!((record.integrity.corrupt, record.integrity.delivered), (1, 10));
    assert_eq!(record.integrity.corrupt_by_kind, [("checksum".to_owned(), 1)].into());
    let first = record.integrity.first_corrupt.expect("there is one");
    assert_eq!(first.file.as_deref(), Some("first-corrupt.h5"));
    let kept = outcome.file("first-corrupt.h5");

    let sequence = first.sequence.to_string();
    let sent = single(&["payload", "lstream", "--sequence", &sequence, "--out", "sent.h5"]).run(LIMIT);
    let sent = &sent.files["sent.h5"];
    assert_eq!(kept.len(), sent.len());
    let differ = kept.iter().zip(sent).filter(|(kept, sent)| kept != sent);
    assert_eq!(differ.map(|(kept, sent)| kept ^ sent).collect::<Vec<_>>(), [1], "one bit");
}

#[test]
fn a_body_that_cannot_be_written_is_reported_and_leaves_nothing() {
    let outcome = single(&["payload", "dstream", "--out", "no/such/folder.geb"]).run(LIMIT);
    outcome.fails(1, &["no/such/folder.geb", "give another file with --out"]);
    assert!(outcome.files.is_empty(), "{:?}", outcome.files.keys());
    let outcome = single(&["payload", "dstream", "--out", "tmp"]).run(LIMIT);
    outcome.fails(1, &["`tmp`", "give another file with --out"]);
    assert!(outcome.files.is_empty(), "{:?}", outcome.files.keys());
    let outcome = single(&["payload", "dstream", "--out", "/dev/stdout"]).run(LIMIT);
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    assert!(outcome.stdout.len() > 10_000, "the body is on stdout");
}

#[test]
fn a_workload_that_makes_no_message_is_refused_with_what_to_change() {
    for (text, parts) in [
        ("[message]\nformat = 'geb-raw'\nevent_bytes = '2001B'\nevents = 8", ["2001 B", "set event_bytes to 2000B"]),
        ("[message]\nformat = 'geb-raw'\nevent_bytes = '2000B'\nevents = 0", ["mine.toml", "at least 1"]),
        ("[message]\nformat = 'variables'\nevent_bytes = '200MiB'\nevents = 1", ["that a broker takes", "128 MiB"]),
        ("[message]\nformat = 'hdf5'\nevents = 1", ["extents of a frame", "shape = [256, 256]"]),
        ("[message]\nformat = 'parquet'\nevents = 1", ["not a valid value for a format", "geb-raw"]),
        ("[message]\nformat = 'adara'", ["lacks the message", "`events`"]),
        ("[message]\nformat = 'hdf5'\nsize = 5", ["mine.toml", "unknown field `size`"]),
    ] {
        for arguments in [
            &["--workload", "mine.toml"][..],
            &["payload", "mine.toml", "--describe"],
            &["plan", "--workload", "mine.toml"],
        ] {
            single(arguments).file("mine.toml", text).run(LIMIT).fails(2, &parts);
        }
    }
}
