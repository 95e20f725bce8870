//! Refusals by versions of the service that this machine does not have: detected by trying, and reported in the service's own
//! words.
#![allow(clippy::unwrap_used)]

mod support;

use engine::{
    envelope::Envelope,
    ports::{Fault, Outgoing, Publisher, Role, Service, Transport, Worker},
};
use profile::{Layer, Origin, Plan, QueuePlan, combine};
use std::time::Duration;
use support::{Fake, Manners};
use transport_amqp::{Amqp, AmqpRoute, Endpoint, Secret};

/// The message of RabbitMQ 4.2, cut at 255 bytes.
const TRANSIENT_REFUSAL: &str = "INTERNAL_ERROR - Feature `transient_nonexcl_queues` is deprecated.\n\
    Its use is not permitted per the configuration (overriding the default, which is permitted):\n    \
    \"deprecated_features.permit.transient_nonexcl_queues = false\"\nIts use will not be permi...";

fn plan(knobs: &str) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, &format!("[service]\n{knobs}")).unwrap();
    let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
    Plan::resolve(&profile, 2, 7).unwrap()
}

async fn transport(fake: &Fake, plan: &Plan) -> Amqp {
    let endpoint = Endpoint::parse(&format!("amqp://bench@127.0.0.1:{}", fake.serve().await)).unwrap();
    let route = AmqpRoute {
        producer: vec![endpoint.clone()],
        consumer: vec![endpoint],
        connect_to: Vec::new(),
        ca_pem: None,
        client_cert: None,
        password: Secret::new("hunter2"),
        token_file: None,
    };
    Amqp::new(route, plan).unwrap()
}

async fn declared(fake: &Fake, knobs: &str) -> Result<Service, Fault> {
    let plan = plan(knobs);
    let queues: Vec<_> = plan.shared_queues().cloned().collect();
    assert!(!queues.is_empty());
    transport(fake, &plan).await.declare(&plan.service.exchanges, &queues).await
}

#[tokio::test]
async fn transient_queues_that_are_refused_become_durable_ones() {
    let fake = Fake::new(Manners { transient_refusal: Some(TRANSIENT_REFUSAL), ..Manners::default() });
    let service = declared(&fake, "").await.unwrap();
    assert!(service.notes[0].starts_with("queues are durable: this service refuses transient"), "{service:?}");
    assert!(service.notes[0].contains("--set service.durable=true"), "{service:?}");
    assert!(fake.declared().iter().all(|(_, durable)| *durable), "{:?}", fake.declared());
    let fake = Fake::default();
    assert_eq!(declared(&fake, "").await.unwrap().notes, Vec::<String>::new());
    assert!(fake.declared().iter().all(|(_, durable)| !durable), "{:?}", fake.declared());
}

#[tokio::test]
async fn a_prefetch_per_channel_that_would_be_ignored_is_refused() {
    let ignores = Fake::new(Manners { ignores_channel_prefetch: true, ..Manners::default() });
    let fault = declared(&ignores, "prefetch_channel = 100").await.unwrap_err();
    assert!(fault.sentence.contains("leave service.prefetch_channel out, and use --prefetch"), "{fault}");
    let keeps = Fake::default();
    assert_eq!(declared(&keeps, "prefetch_channel = 100").await.unwrap().notes, Vec::<String>::new());
}

#[tokio::test]
async fn a_refusal_is_reported_even_if_no_confirm_is_awaited() {
    const WORDS: &str = "PRECONDITION_FAILED - message size 7 is larger than configured max size 6";
    let fake = Fake::new(Manners { publish_refusal: Some(WORDS), ..Manners::default() });
    let plan = plan("confirms = 'none'");
    let transport = transport(&fake, &plan).await;
    let worker = Worker { role: Role::Producer, index: 0, attempt: 0 };
    let mut publisher = transport.connect_publisher(worker, &plan.target_of(0)).await.unwrap();
    let envelope = Envelope { run: 1, producer: 0, sequence: 0, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 };
    let mut publish = || publisher.publish(Outgoing { body: vec![1; 7], envelope: envelope.encode(), reply: None });
    let (_, first) = publish().await;
    first.unwrap();
    let second = async {
        loop {
            if let (_, Err(fault)) = publish().await {
                return fault;
            }
        }
    };
    let fault = tokio::time::timeout(Duration::from_secs(30), second).await.unwrap();
    assert!(fault.sentence.contains(WORDS) && fault.sentence.contains("max_message_size"), "{fault}");
    // And to publishers that have finished.
    assert_eq!(publisher.alarms()[0].fault(), Some(fault));
}

#[tokio::test]
async fn a_refusal_that_crosses_a_goodbye_is_reported() {
    const WORDS: &str = "ACCESS_REFUSED - access to exchange 'amq.default' in vhost '/' refused for user 'u'";
    // lapin keeps most of these reasons, and drops one now and then.
    for _ in 0..200 {
        let fake = Fake::new(Manners { goodbye_refusal: Some(WORDS), ..Manners::default() });
        let plan = plan("confirms = 'none'");
        let transport = transport(&fake, &plan).await;
        let worker = Worker { role: Role::Producer, index: 0, attempt: 0 };
        let mut publisher = transport.connect_publisher(worker, &plan.target_of(0)).await.unwrap();
        let alarm = publisher.alarms()[0].clone();
        let envelope = Envelope { run: 1, producer: 0, sequence: 0, due_ns: 0, sent_ns: 0, checksum: 0, seal: 0 };
        let written = publisher.publish(Outgoing { body: vec![1; 7], envelope: envelope.encode(), reply: None });
        written.await.1.unwrap();
        publisher.close().await;
        let reported = async {
            while alarm.fault().is_none() {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(30), reported).await.unwrap();
        assert!(alarm.fault().unwrap().sentence.contains(WORDS), "{:?}", alarm.fault());
    }
}

#[tokio::test]
async fn a_service_that_falls_silent_while_queues_are_deleted_gets_one_request_and_all_queues_are_named() {
    let fake = Fake::default();
    let mut plan = plan("");
    plan.limits.broker = Duration::from_millis(300);
    let one = plan.shared_queues().next().unwrap();
    let names = ["one", "two", "three"];
    let queues = names.map(|name| QueuePlan { name: name.to_owned(), ..one.clone() });
    let undeleted = transport(&fake, &plan).await.delete(&[], &queues).await.unwrap();
    assert_eq!(undeleted.iter().map(|undeleted| undeleted.name.clone()).collect::<Vec<_>>(), names);
    assert_eq!(
        fake.to_delete(),
        names[..1],
        "a service that does not reply to one request would not reply to the next"
    );
    let sentence = &undeleted[0].fault.sentence;
    assert!(sentence.contains(&format!("does not delete queue {} within 0.3 s", names[0])), "{sentence}");
}
