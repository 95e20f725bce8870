//! Features of the service's version, checked before the run starts.

use engine::ports::{Fault, FaultKind, Service};
use profile::{QueuePlan, QueueType, Side};

/// The first two numbers of a version.
type Version = (u32, u32);

const QUORUM_FROM: Version = (3, 8);
const STREAM_FROM: Version = (3, 9);
const QUORUM_TTL_FROM: Version = (3, 10);
/// From this version on, all queue types use the same argument for the place of their leader.
const ONE_LEADER_ARGUMENT_FROM: Version = (4, 0);
/// From this version on, the largest message is 16 MiB by default instead of 128 MiB.
const SMALL_MESSAGES_FROM: Version = (4, 0);
const SMALL_MESSAGE_BYTES: u64 = 16 << 20;

/// Requested settings besides queues.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Requested {
    pub body_bytes: u64,
    pub prefetch_channel: u16,
    /// Whether another run may have queues of the same names.
    pub names_are_given: bool,
    /// The end that belongs to programs of others.
    pub external: Option<Side>,
}

/// Checks that the service supports the requested settings. Returns the settings that it applies differently, each as a
/// sentence. For a product other than RabbitMQ nothing is checked.
pub(crate) fn check(service: &Service, queues: &[QueuePlan], requested: &Requested) -> Result<Vec<String>, Fault> {
    let Some(version) = rabbitmq(service) else { return Ok(Vec::new()) };
    let any = |kind| queues.iter().any(|queue| queue.kind == kind);
    let needs = |what: &str, (major, minor): Version, instead: &str| {
        format!("{what} needs RabbitMQ {major}.{minor}, and this service is {}: {instead}", service.version)
    };
    let refused = [
        (any(QueueType::Quorum) && version < QUORUM_FROM)
            .then(|| needs("a quorum queue", QUORUM_FROM, "use --queue-type classic")),
        (any(QueueType::Stream) && version < STREAM_FROM)
            .then(|| needs("a stream", STREAM_FROM, "use --queue-type classic")),
        (queues.iter().any(|queue| queue.kind == QueueType::Quorum && queue.ttl.is_some())
            && version < QUORUM_TTL_FROM)
            .then(|| {
                needs("service.ttl on a quorum queue", QUORUM_TTL_FROM, "leave it out, or use --queue-type classic")
            }),
    ];
    if let Some(sentence) = refused.into_iter().flatten().next() {
        return Err(Fault::new(FaultKind::Refused, sentence));
    }
    let large = requested.body_bytes > SMALL_MESSAGE_BYTES && version >= SMALL_MESSAGES_FROM;
    let note = large.then(|| {
        format!(
            "messages of {} B are over the 16 MiB that RabbitMQ {} takes by default: if it ends the connection, \
             raise its max_message_size",
            requested.body_bytes, service.version
        )
    });
    Ok(note.into_iter().collect())
}

/// Whether the service refused a queue because it is transient and not exclusive. RabbitMQ 4 can be configured to do
/// so, and does by default from 4.3 on; so it is tried, not guessed from the version.
pub(crate) fn refuses_transient(fault: &Fault) -> bool {
    fault.kind == FaultKind::Refused && fault.sentence.contains("transient_nonexcl_queues")
}

/// The argument that places a leader, and its value for `balanced` or `client-local`.
pub(crate) fn leader_argument(service: &Service, kind: QueueType, place: &'static str) -> (&'static str, &'static str) {
    let old = kind == QueueType::Classic && rabbitmq(service).is_some_and(|version| version < ONE_LEADER_ARGUMENT_FROM);
    match (old, place) {
        (true, "balanced") => ("x-queue-master-locator", "min-masters"),
        (true, place) => ("x-queue-master-locator", place),
        (false, place) => ("x-queue-leader-locator", place),
    }
}

fn rabbitmq(service: &Service) -> Option<Version> {
    let mut parts = service.version.split(['.', '-', '+']).map_while(|part| part.parse().ok());
    (service.product == "RabbitMQ").then(|| (parts.next().unwrap_or(0), parts.next().unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, Plan, combine};

    fn service(product: &str, version: &str) -> Service {
        Service { product: product.into(), version: version.into(), notes: Vec::new() }
    }

    fn checked(version: &str, knobs: &str, body_bytes: u64) -> Result<Vec<String>, String> {
        let layer = Layer::parse(Origin::CommandLine, &format!("[service]\n{knobs}")).unwrap();
        let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
        let plan = Plan::resolve(&profile, 4, 7).unwrap();
        let requested = Requested {
            body_bytes,
            prefetch_channel: plan.service.prefetch_channel,
            names_are_given: false,
            external: None,
        };
        check(&service("RabbitMQ", version), &plan.service.queues, &requested).map_err(|fault| fault.sentence)
    }

    #[test]
    fn what_a_version_has_not_is_refused_with_what_to_use_instead() {
        for (version, knobs, expected) in [
            ("3.7.28", "queue_type = 'quorum'", "a quorum queue needs RabbitMQ 3.8"),
            ("3.8.9", "queue_type = 'stream'", "--queue-type classic"),
            ("3.9.1", "queue_type = 'quorum'\nttl = '1s'", "service.ttl"),
        ] {
            let error = checked(version, knobs, 1).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn differences_of_a_version_are_reported() {
        assert_eq!(checked("3.10.8", "", 20 << 20), Ok(vec![]));
        assert_eq!(checked("4.3.1", "", 1), Ok(vec![]));
        assert!(checked("4.1.0", "", 20 << 20).unwrap()[0].contains("max_message_size"));
    }
}
