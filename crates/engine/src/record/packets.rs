//! What the counts of a stream of packets mean for whoever runs it: buffers that the kernel cut, and packets that met nobody.

use measure::{
    Record,
    record::{Connection, LoadBalancer},
};
use profile::Plan;

/// One sentence for each; none where a broker carries the messages.
pub(super) fn warnings(plan: &Plan, record: &Record) -> Vec<String> {
    let Some(ejfat) = &plan.ejfat else { return Vec::new() };
    let buffer = |connection: &Option<Connection>, of: fn(&Connection) -> Option<u64>| connection.as_ref().and_then(of);
    let (send, receive) = (
        buffer(&record.route.producer_connection, |connection| connection.send_buffer_bytes),
        buffer(&record.route.consumer_connection, |connection| connection.receive_buffer_bytes),
    );
    let capped = [("send", send, "wmem_max"), ("receive", receive, "rmem_max")].map(|(which, granted, limit)| {
        let granted = granted.filter(|granted| *granted < ejfat.buffer_bytes)?;
        Some(format!(
            "the kernel granted {granted} of {} bytes of each {which} buffer, and bursts that do not fit are lost: raise \
             net.core.{limit} (sysctl), or set a smaller route.ejfat.buffer",
            ejfat.buffer_bytes
        ))
    });
    let count = |name: &str| record.transport.get(name).copied().unwrap_or_default();
    let refused = Some(count("packets_refused")).filter(|refused| *refused > 0).map(|refused| {
        format!(
            "{refused} packets came to a host where nobody receives on their port: check that receiver, and its address"
        )
    });
    let (sent, received) = (count("packets_sent"), count("packets_received"));
    let dropped = record.load_balancer.as_ref().and_then(dropped);
    let nothing = (sent > 0 && received == 0 && refused.is_none() && dropped.is_none()).then(|| {
        format!(
            "none of {sent} packets arrived: check that UDP is let through to the load balancer and from it to every consumer, and \
             that no NAT is in between"
        )
    });
    capped.into_iter().chain([refused, dropped, nothing]).flatten().collect()
}

/// The most frequent reason for which a load balancer dropped packets, and what to do about it.
fn dropped(balancer: &LoadBalancer) -> Option<String> {
    let (reason, count) = balancer.drops().max_by_key(|(_, count)| *count)?;
    let remedy = match reason {
        "source_not_allowed" => {
            "they came from an address that is not among its senders: add it, and use no NAT between producers and it"
        }
        "no_header" | "unknown_version" => "somebody else sends to its port, or they were damaged",
        "no_epoch" | "empty_slot" | "unknown_member" | "member_left" => {
            "no consumer had their slot: check that consumers stay registered, and that their clocks are within 2 s of the control plane's"
        }
        "too_long" => "they are longer than it takes: use a smaller route.ejfat.mtu",
        _ => "it did not keep up: offer a lower rate, or give it more threads and larger buffers",
    };
    Some(format!("the load balancer dropped {count} packets as {reason}: {remedy}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sample;

    fn plan(text: &str) -> Plan {
        sample::plan(text, 2)
    }

    fn record(counts: &[(&str, u64)], drops: &[(&str, u64)]) -> Record {
        let owned = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let load_balancer = Some(LoadBalancer { packets: owned(drops), ..LoadBalancer::default() });
        Record { transport: owned(counts), load_balancer, ..Record::default() }
    }

    #[test]
    fn packets_that_met_nobody_say_where_to_look() {
        let over_ejfat = plan("arch = 'ejfat'");
        let sent = ("packets_sent", 9);
        for (counts, drops, expected) in [
            (&[sent, ("packets_received", 9)][..], &[("received", 9), ("passed", 9)][..], &[][..]),
            (&[sent], &[], &["none of 9 packets arrived"]),
            (&[sent, ("packets_refused", 8)], &[], &["8 packets came to a host where nobody receives"]),
            (&[sent], &[("source_not_allowed", 7), ("no_epoch", 2)], &["dropped 7 packets as source_not_allowed"]),
            (&[sent, ("packets_received", 1)], &[("empty_slot", 8)], &["no consumer had their slot"]),
        ] {
            let said = warnings(&over_ejfat, &record(counts, drops));
            assert_eq!(said.len(), expected.len(), "{counts:?} {drops:?}: {said:?}");
            assert!(said.iter().zip(expected).all(|(said, part)| said.contains(part)), "{said:?}");
        }
        assert!(warnings(&plan(""), &record(&[sent], &[("no_epoch", 2)])).is_empty(), "a broker has no packets");
    }

    #[test]
    fn a_buffer_that_the_kernel_cut_names_the_limit_to_raise() {
        let granted = |bytes| Connection { receive_buffer_bytes: Some(bytes), ..Connection::default() };
        let said = |bytes| {
            let mut record = record(&[], &[]);
            record.route.consumer_connection = Some(granted(bytes));
            warnings(&plan("arch = 'ejfat'"), &record)
        };
        let cut = said(212_992);
        assert!(cut.len() == 1 && cut[0].contains("212992 of 4194304") && cut[0].contains("rmem_max"), "{cut:?}");
        assert!(said(4 << 20).is_empty());
    }
}
