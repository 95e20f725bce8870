//! One end only: programs of others, as users write them, at the other end. The examples of docs/examples are run as they are.

use crate::support::{Launch, Outcome, Turn, mpirun, place, program, service, single, slow, within, workspace};
use measure::record::External;
use serde_json::json;
use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

const LIMIT: Duration = Duration::from_secs(120);
const BUILD_LIMIT: Duration = Duration::from_secs(1200);
const MESSAGES: u64 = 1500;

fn examples() -> PathBuf {
    workspace().join("docs/examples")
}

/// A program of another, with the variables that `testbed env` prints and no others of ours. It ends with this value.
struct Theirs(Child);

impl Theirs {
    fn start(words: &[&Path]) -> Self {
        let printed = Command::new(program())
            .args(["testbed", "env"])
            .env("STREAMHARNESS_TESTBED", service().dir())
            .output()
            .unwrap();
        let printed = String::from_utf8(printed.stdout).unwrap();
        let variable = |line: &str| {
            let (name, value) = line.strip_prefix("export ")?.split_once('=')?;
            Some((name.to_owned(), value.trim_matches('\'').to_owned()))
        };
        let variables: BTreeMap<String, String> = printed.lines().filter_map(variable).collect();
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).envs(variables).env("PYTHONDONTWRITEBYTECODE", "1").stdin(Stdio::null());
        Self(command.spawn().unwrap_or_else(|error| panic!("{words:?}: {error}")))
    }

    /// It ends by itself, and well.
    #[track_caller]
    fn ends(mut self) {
        let status = within(LIMIT, || self.0.try_wait().unwrap());
        assert!(status.expect("it ends once the queue is gone").success(), "{status:?}");
    }
}

impl Drop for Theirs {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn launch(arguments: &[&str]) -> Launch {
    single(arguments).through(service())
}

fn external(outcome: &Outcome) -> External {
    outcome.record().external.expect("the record says which half it proves")
}

/// Each line of a consumer's log: the producer and the number of a message, and the time from its delivery to its reply.
fn own_times(log: &Path) -> BTreeMap<(u32, u64), u64> {
    let text = fs::read_to_string(log).unwrap();
    let lines: Vec<Vec<u64>> =
        text.lines().map(|line| line.split(' ').map(|word| word.parse().unwrap()).collect()).collect();
    let times: BTreeMap<_, _> = lines.iter().map(|line| ((line[0] as u32, line[1]), line[2])).collect();
    assert_eq!(times.len(), lines.len(), "no message came twice");
    times
}

/// A consumer replies, and round trips go through it.
fn check_consumer(name: &str, words: &[&Path], place: &Path) {
    let (log, messages) = (place.join("log"), MESSAGES.to_string());
    let names = format!("service.names=own.{name}");
    let mut arguments = vec!["--consumers", "0", "--producers", "2", "--pattern", "work-sharing-feedback"];
    arguments.extend(["--messages", &messages, "--rate", "1000/s", "--wait-for-peers", "60s", "--set", &names]);
    let queue = format!("own.{name}.work.0");
    // It waits for the queue.
    let consumer = Theirs::start(&[words, &[Path::new(&queue), log.as_path()]].concat());
    let outcome = mpirun(2, &arguments).through(service()).run(LIMIT);
    let record = outcome.passes();
    consumer.ends();
    let integrity = &record.integrity;
    let counts = [integrity.sent, integrity.confirmed, integrity.copies, integrity.expected, integrity.foreign];
    assert_eq!(counts, [MESSAGES, MESSAGES, 0, 0, 0], "{outcome}");
    let replies = integrity.replies.as_ref().unwrap();
    assert_eq!([replies.expected, replies.delivered, replies.duplicated], [MESSAGES, MESSAGES, 0], "{outcome}");
    assert_eq!(external(&outcome).side, "consumers");
    assert!(record.phases.contains_key("peers"), "{outcome}");

    let own = own_times(&log);
    let each = MESSAGES / 2;
    let all: Vec<_> = (0..2).flat_map(|producer| (0..each).map(move |sequence| (producer, sequence))).collect();
    assert_eq!(own.keys().copied().collect::<Vec<_>>(), all, "it had each message once");
    // What it reports in its replies is what it has logged, and each round trip is at least that.
    let reported = &record.latency["consumer_own"];
    assert_eq!(reported.count, MESSAGES);
    assert_eq!(reported.min_ns.zip(reported.max_ns), own.values().min().copied().zip(own.values().max().copied()));
    let rest = &record.latency["rtt_without_consumer"];
    assert_eq!((rest.count, rest.negative), (MESSAGES, 0), "{outcome}");
    assert!(record.latency["service"].max_ns >= reported.max_ns, "{outcome}");
    for part in ["consumer of queue", &queue, "amqps://bench@", "password"] {
        assert!(outcome.stderr.contains(part), "{part}: {outcome}");
    }
    assert!(service().queue(&queue).is_none(), "the run has deleted its queue");
}

#[test]
fn a_consumer_in_python_replies_and_round_trips_are_measured_through_it() {
    if !slow() {
        return;
    }
    let place = place();
    check_consumer("python", &[Path::new("/usr/bin/python3"), &examples().join("consumer.py")], place.path());
}

/// Builds a program, at a lower priority: other tests measure.
fn build(words: &[&str], variables: &[(&str, &str)], place: &Path) {
    let mut command = Command::new("nice");
    command.args(words).envs(variables.iter().copied()).env("HOME", place).current_dir(place);
    let mut building = command.spawn().unwrap();
    let status = within(BUILD_LIMIT, || building.try_wait().unwrap());
    let _ = building.kill();
    assert!(status.is_some_and(|status| status.success()), "{words:?}: {status:?}");
}

#[test]
fn a_consumer_in_c_replies_and_round_trips_are_measured_through_it() {
    if !slow() {
        return;
    }
    let (place, source) = (place(), examples().join("consumer.c"));
    let source = source.to_str().unwrap();
    build(&["cc", "-O2", "-Wall", "-Werror", "-o", "consumer", source, "-lrabbitmq"], &[], place.path());
    check_consumer("c", &[&place.path().join("consumer")], place.path());
}

#[test]
fn a_consumer_in_go_replies_and_round_trips_are_measured_through_it() {
    if !slow() {
        return;
    }
    let (place, source) = (place(), examples().join("consumer.go"));
    let source = source.to_str().unwrap();
    let debian = [("GO111MODULE", "off"), ("GOPATH", "/usr/share/gocode"), ("GOFLAGS", "-p=1")];
    build(&["go", "build", "-o", "consumer", source], &debian, place.path());
    check_consumer("go", &[&place.path().join("consumer")], place.path());
}

#[test]
fn messages_of_a_producer_in_python_are_counted_with_sizes_rate_and_latency() {
    if !slow() {
        return;
    }
    let script = examples().join("producer.py");
    let words = ["/usr/bin/python3", script.to_str().unwrap(), "own.producer.work.0", "500", "700"];
    let producer = Theirs::start(&words.map(Path::new));
    let outcome = launch(&[
        "--producers",
        "0",
        "--consumers",
        "1",
        "--messages",
        "500",
        "--wait-for-peers",
        "60s",
        "--set",
        "service.names=own.producer",
        "--set",
        "service.timestamp=header:sent_ns:ns",
    ])
    .run(LIMIT);
    // Nothing is sent by the run itself.
    assert_eq!(outcome.status.code(), Some(0), "{outcome}");
    let record = outcome.record();
    producer.ends();
    assert_eq!([record.integrity.foreign, record.integrity.sent, record.totals.received.bytes], [500, 0, 500 * 700]);
    let external = external(&outcome);
    assert_eq!((external.side.as_str(), external.bytes_min.zip(external.bytes_max)), ("producers", Some((700, 700))));
    assert_eq!(external.without_timestamp, Some(0));
    let latency = &record.latency["from_timestamp"];
    assert_eq!((latency.count, latency.negative), (500, 0), "one clock: {outcome}");
    assert!(record.throughput.messages_per_second.is_some() && record.throughput.events_per_second.is_none());
}

#[test]
fn a_run_is_attached_to_what_exists_and_leaves_it_as_it_was() {
    let turn = Turn::take();
    let queue = "own.existing";
    service().set(&format!("queues/%2f/{queue}"), &json!({"durable": true}));
    service().publish(queue, "somebody else's");
    let both = launch(&["--producers", "1", "--consumers", "1", "--messages", "100", "--queue", queue]);
    let outcome = both.start_beside(&turn).wait(LIMIT);
    let integrity = outcome.passes().integrity;
    assert_eq!([integrity.delivered, integrity.foreign], [100, 1], "{outcome}");
    assert!(outcome.stderr.contains("holds 1 messages already"), "{outcome}");
    let sending = launch(&["--consumers", "0", "--producers", "1", "--messages", "70", "--queue", queue]);
    let outcome = sending.start_beside(&turn).wait(LIMIT);
    let record = outcome.passes();
    assert_eq!((record.integrity.confirmed, record.integrity.in_service), (70, Some(70)), "{outcome}");
    assert_eq!(external(&outcome).taken, None, "others may put messages there, too");
    // The service counts every few seconds.
    let waiting =
        || service().queue(queue).expect("it is still there")["messages"].as_u64().filter(|count| *count == 70);
    within(LIMIT, waiting).expect("what was sent waits in it");
    service().delete(queue);
}

#[test]
fn what_is_not_there_or_has_others_is_refused_before_anything_is_sent() {
    let turn = Turn::take();
    let refused = |arguments: &[&str], expected: &str| {
        let outcome = launch(arguments).start_beside(&turn).wait(LIMIT);
        assert_eq!(outcome.status.code(), Some(3), "{outcome}");
        assert!(outcome.stderr.contains(expected), "{expected}: {outcome}");
        assert_eq!(outcome.record().integrity.sent, 0, "{outcome}");
    };
    refused(&["--messages", "10", "--queue", "own.nowhere"], "there is no queue `own.nowhere`");
    refused(
        &["--messages", "10", "--consumers", "0", "--exchange", "own.nowhere"],
        "there is no exchange `own.nowhere`",
    );
    let alone = ["--messages", "10", "--consumers", "0", "--wait-for-peers", "1s"];
    refused(&alone, "no program consumes from streamharness.");
    let mut other =
        launch(&["--duration", "20s", "--producers", "1", "--consumers", "1", "--set", "service.names=own.busy"])
            .start_beside(&turn);
    other.streams(LIMIT);
    refused(&["--messages", "10", "--queue", "own.busy.work.0"], "has 1 other consumer(s)");
    other.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(other.wait(LIMIT).status.code(), Some(7));
}
