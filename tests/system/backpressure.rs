//! A service that holds its producers back: reported as backpressure, and never waited for without end.

use crate::support::{Broker, Turn, service, single};
use std::{thread::sleep, time::Duration};

const LIMIT: Duration = Duration::from_secs(60);
const HELD: Duration = Duration::from_secs(3);

/// A node in alarm for memory stops all that publish.
fn alarm(broker: &Broker) {
    broker.control(&["set_vm_memory_high_watermark", "absolute", "1MB"]);
}

fn no_alarm(broker: &Broker) {
    broker.control(&["set_vm_memory_high_watermark", "0.6"]);
}

#[test]
fn a_memory_alarm_is_in_the_series_and_in_the_record_as_what_it_is() {
    let broker = Broker::start(1);
    // Consumers that work keep the run going for some seconds after the alarm, whenever its end takes effect.
    let load = ["--arch", "dts-plain", "--pattern", "work-sharing-feedback", "--producers", "1", "--consumers", "1"];
    let work = ["--messages", "300", "--prefetch", "1", "--acks", "each", "--service-time", "constant:20ms"];
    alarm(&broker);
    let mut running = single(&[&load[..], &work].concat()).through(&broker).start();
    running.says("blocked by the service", LIMIT);
    sleep(HELD);
    no_alarm(&broker);
    let outcome = running.wait(LIMIT);
    let record = outcome.passes();
    let pressure = &record.backpressure;
    assert!(pressure.blocked_times >= 1 && pressure.blocked_s > 0.5, "{pressure:?}");
    assert_eq!(pressure.rejected, 0, "{pressure:?}");
    let service = record.service.as_ref().expect("a testbed's management API is known");
    // A busy machine replies late now and then, which is a note and no more.
    assert!(service.notes.iter().all(|note| note.contains("no reply within")), "{service:?}");
    assert!(service.samples >= 4 && service.connections_max >= Some(3), "{service:?}");
    assert!(service.alarms.keys().any(|alarm| alarm.starts_with("memory alarm on ")), "{service:?}");
    assert!(record.warnings.iter().any(|warning| warning.starts_with("memory alarm on ")), "{:?}", record.warnings);
    let settings = record.environment.service.as_ref().expect("it reported its settings");
    assert_eq!(settings.version, record.route.broker.as_ref().map(|broker| broker.version.clone()));
    assert!(settings.nodes[0].plugins.iter().any(|plugin| plugin == "rabbitmq_management"), "{settings:?}");
    let table = outcome.text("series.csv");
    let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let head = rows.next().unwrap();
    let column = |name: &str| head.iter().position(|column| *column == name).expect("a column of that name");
    let (blocked, errors) = (column("blocked_s"), column("errors"));
    let (alarms, published) = (column("service_alarms"), column("service_publish_per_second"));
    let rows: Vec<_> = rows.collect();
    assert!(rows.iter().any(|row| row[alarms] == "1") && rows.iter().any(|row| row[alarms] == "0"), "{table}");
    assert!(rows.iter().any(|row| row[published].parse::<f64>().is_ok_and(|rate| rate > 0.0)), "{table}");
    let sum: f64 = rows.iter().map(|row| row[blocked].parse::<f64>().unwrap()).sum();
    assert!((sum - pressure.blocked_s).abs() < 0.2, "{sum} s in the series, {pressure:?}");
    assert!(rows.iter().all(|row| row[errors] == "0"), "{table}");
    assert!(outcome.stdout.contains("\n# blocked "), "{outcome}");
    assert!(outcome.stderr.contains("blocked by the service"), "{outcome}");

    // A service that never lets go ends the run at the limit, with the service as the cause.
    alarm(&broker);
    let outcome = single(&[&load[..], &["--messages", "10", "--timeout", "5s"]].concat()).through(&broker).run(LIMIT);
    outcome.fails(7, &["s on streaming passed while the service kept", "connection.blocked"]);
    outcome.leaves_a_failed_record(7, "connection.blocked");
}

#[test]
fn a_queue_that_stays_full_is_in_the_series_as_rejections_and_ends_in_a_verdict() {
    // Nobody takes from the queue for long: its consumer works for a second on the first message.
    let arguments = [
        "--arch",
        "dts-plain",
        "--messages",
        "30",
        "--producers",
        "1",
        "--consumers",
        "1",
        "--prefetch",
        "1",
        "--acks",
        "each",
        "--confirms",
        "window:30",
        "--service-time",
        "constant:1s",
        "--set",
        "service.max_length=1",
        "--set",
        "service.republish_limit=2",
    ];
    let outcome = single(&arguments).through(service()).run(LIMIT);
    outcome.fails(4, &["messages were given up after the broker refused them"]);
    let record = outcome.leaves_a_failed_record(4, "given up");
    assert!(record.integrity.abandoned > 0 && record.backpressure.rejected > 0, "{:?}", record.integrity);
    assert_eq!(record.integrity.lost, 0);
    let table = outcome.text("series.csv");
    let rejected = table.lines().skip(1).map(|line| line.split(',').nth(3).unwrap().parse::<u64>().unwrap());
    assert_eq!(rejected.sum::<u64>(), record.backpressure.rejected, "{table}");
}

#[test]
fn a_broadcast_of_which_one_consumer_loses_its_queue_ends() {
    let turn = Turn::take();
    let before = service().queues();
    // Exclusive queues cannot be taken away; quorum queues can.
    let load = ["--arch", "dts-plain", "--duration", "8s", "--timeout", "12s", "--consumers", "2"];
    let arguments = [&load[..], &["--pattern", "broadcast-gather", "--queue-type", "quorum"]].concat();
    let mut running = single(&arguments).through(service()).start_in(turn);
    running.streams(LIMIT);
    let new = service().queues().into_iter().filter(|queue| !before.contains(queue));
    let queue = new.into_iter().find(|queue| queue.ends_with(".consumer.1")).expect("a consumer has its queue");
    service().delete(&queue);
    // The consumer is told that its subscription ended, or the producer finds the service failing over the queue that is
    // gone, or neither is told and rank 0 finds the queue gone at the limit: which is first depends on the service.
    let outcome = running.wait(LIMIT);
    outcome.fails(3, &["streamharness: rank 0: the service at "]);
    outcome.leaves_a_failed_record(3, "rank 0: the service at ");
}
