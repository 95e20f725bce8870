//! Queues and exchanges of others that a run is attached to, and queues whose names others may use: checked before anything is declared.

use crate::{connect::Connector, link::Link, purpose::Purpose, support::Requested, topology};
use engine::ports::{Fault, FaultKind, Look};
use profile::{Exchange, QueuePlan, Side};

/// Checks that what is somebody else's is there, and that nobody else takes or has put messages where the run would miss or find them.
/// Returns notes for the user.
pub(crate) async fn check(
    connector: &Connector,
    exchanges: &[Exchange],
    queues: &[QueuePlan],
    requested: &Requested,
) -> Result<Vec<String>, Fault> {
    let attached = exchanges.iter().any(|exchange| exchange.attached) || queues.iter().any(|queue| queue.attached);
    if !attached && !requested.names_are_given {
        return Ok(Vec::new());
    }
    let mut link = connector.open(Purpose::Topology(0)).await?;
    let checked = check_through(&mut link, exchanges, queues, requested).await;
    link.close().await;
    checked
}

async fn check_through(
    link: &mut Link,
    exchanges: &[Exchange],
    queues: &[QueuePlan],
    requested: &Requested,
) -> Result<Vec<String>, Fault> {
    for exchange in exchanges.iter().filter(|exchange| exchange.attached) {
        let found = topology::look_for_exchange(link, &exchange.name).await;
        found.map_err(|fault| absent(fault, "exchange", &exchange.name))?;
    }
    let mut notes = Vec::new();
    for queue in queues.iter().filter(|queue| queue.attached || requested.names_are_given) {
        match topology::look_at(link, &queue.name).await {
            Ok(look) => notes.extend(usable(queue, look, requested.external)?),
            Err(fault) if queue.attached => return Err(absent(fault, "queue", &queue.name)),
            // It does not exist yet. The refusal has closed the channel.
            Err(fault) if is_absent(&fault) => link.renew().await?,
            Err(fault) => return Err(fault),
        }
    }
    Ok(notes)
}

fn is_absent(fault: &Fault) -> bool {
    fault.sentence.contains("NOT_FOUND")
}

fn absent(fault: Fault, kind: &str, name: &str) -> Fault {
    if !is_absent(&fault) {
        return fault;
    }
    let sentence = format!(
        "there is no {kind} `{name}` on this virtual host: have it created first, or leave --{kind} out and the run declares its own"
    );
    Fault::new(FaultKind::Refused, sentence)
}

/// Whether the run may use a queue that exists; a note where that has a side effect.
fn usable(queue: &QueuePlan, look: Look, external: Option<Side>) -> Result<Option<String>, Fault> {
    let (name, Look { messages, consumers }) = (&queue.name, look);
    let refused = |sentence: String| Err(Fault::new(FaultKind::Refused, sentence));
    if consumers > 0 && external != Some(Side::Consumer) {
        return refused(format!(
            "queue `{name}` has {consumers} other consumer(s), which would take part of the messages: stop them, or let them have all \
             with --consumers 0"
        ));
    }
    if messages > 0 && !queue.attached {
        return refused(format!(
            "queue `{name}` exists and holds {messages} messages, of a run that was killed or of another one with the same \
             service.names: wait 300 s, delete it, or use another name"
        ));
    }
    let is_note = messages > 0 && external != Some(Side::Producer);
    Ok(is_note.then(|| format!("queue `{name}` holds {messages} messages already, which are not of this run")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::{Layer, Origin, Plan, combine};

    #[test]
    fn a_queue_of_others_is_used_only_if_nobody_takes_or_gets_the_wrong_messages() {
        let queue = |text: &str| {
            let layer = Layer::parse(Origin::CommandLine, text).unwrap();
            let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
            Plan::resolve(&profile, 1, 7).unwrap().service.queues.remove(0)
        };
        let (theirs, named) = (queue("[service]\nqueue = 'frames'"), queue("[service]\nnames = 'lcls'"));
        let look = |messages, consumers| Look { messages, consumers };
        for queue in [&theirs, &named] {
            assert_eq!(usable(queue, look(0, 0), None), Ok(None));
            assert!(usable(queue, look(0, 2), None).unwrap_err().sentence.contains("2 other consumer"));
            assert!(usable(queue, look(0, 2), Some(Side::Producer)).is_err());
            assert_eq!(usable(queue, look(0, 2), Some(Side::Consumer)), Ok(None));
        }
        assert!(usable(&theirs, look(5, 0), None).unwrap().unwrap().contains("5 messages already"));
        assert_eq!(usable(&theirs, look(5, 0), Some(Side::Producer)), Ok(None), "these are what it waits for");
        assert!(usable(&named, look(5, 0), Some(Side::Consumer)).unwrap_err().sentence.contains("service.names"));
    }
}
