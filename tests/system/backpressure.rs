//! A service that holds its producers back: reported as backpressure, and never waited for without end.

use crate::support::{Broker, service, single, words};
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
    let column = |name: &str| outcome.column("series.csv", name);
    let alarms = column("service_alarms");
    assert!(["0", "1"].iter().all(|value| alarms.iter().any(|alarm| alarm == value)), "{table}");
    let published = column("service_publish_per_second");
    assert!(published.iter().any(|rate| rate.parse::<f64>().is_ok_and(|rate| rate > 0.0)), "{table}");
    let sum: f64 = outcome.numbers::<f64>("series.csv", "blocked_s").iter().sum();
    assert!((sum - pressure.blocked_s).abs() < 0.2, "{sum} s in the series, {pressure:?}");
    assert!(column("errors").iter().all(|errors| errors == "0"), "{table}");
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
    let arguments = words(
        "--arch dts-plain --messages 30 --producers 1 --consumers 1 --prefetch 1 --acks each --confirms window:30 \
         --service-time constant:1s --set service.max_length=1 --set service.republish_limit=2",
    );
    let outcome = single(&arguments).through(service()).run(LIMIT);
    outcome.fails(4, &["messages were given up after the broker refused them"]);
    let record = outcome.leaves_a_failed_record(4, "given up");
    assert!(record.integrity.abandoned > 0 && record.backpressure.rejected > 0, "{:?}", record.integrity);
    assert_eq!(record.integrity.lost, 0);
    let rejected: u64 = outcome.numbers::<u64>("series.csv", "rejected").iter().sum();
    assert_eq!(rejected, record.backpressure.rejected, "{}", outcome.text("series.csv"));
}

#[test]
fn a_broadcast_of_which_one_consumer_loses_its_queue_ends() {
    // Exclusive queues cannot be taken away; quorum queues can.
    let load = ["--arch", "dts-plain", "--duration", "8s", "--timeout", "12s", "--consumers", "2"];
    let arguments = [&load[..], &["--pattern", "broadcast-gather", "--queue-type", "quorum"]].concat();
    let (running, queues) = single(&arguments).streaming_with_queues(LIMIT);
    service().delete(queues.iter().find(|queue| queue.ends_with(".consumer.1")).expect("a consumer has its queue"));
    // The consumer is told that its subscription ended, or the producer finds the service failing over the queue that is
    // gone, or neither is told and rank 0 finds the queue gone at the limit: which is first depends on the service.
    let outcome = running.wait(LIMIT);
    outcome.fails(3, &["streamharness: rank 0: the service at "]);
    outcome.leaves_a_failed_record(3, "rank 0: the service at ");
}
