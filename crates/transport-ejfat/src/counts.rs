//! The counts of a sender and of a receiver, under the names of a record.

use ejfat::{ReceiverCounts, Sent};
use engine::ports::Counts;

pub fn of_sender(sent: &Sent) -> Counts {
    let Sent { packets, failed, refused, full } = *sent;
    let named = [
        ("packets_sent", packets),
        ("packets_not_sent", failed),
        ("packets_refused", refused),
        ("send_buffer_full", full),
    ];
    named.into_iter().map(|(name, count)| (name.to_owned(), count)).collect()
}

/// Every packet that arrived is in one count, whose name begins with `packets_`, beside `packets_received` itself.
pub fn of_receiver(counts: &ReceiverCounts) -> Counts {
    let ReceiverCounts { packets, queue_full, unreadable, kernel_drops } = *counts;
    let ends = packets.ends().map(|(reason, count)| (format!("packets_{}", reason.replace(' ', "_")), count));
    let named = [
        ("packets_received", packets.packets + unreadable),
        ("packets_unreadable", unreadable),
        ("events_whole", packets.events_whole),
        ("events_timed_out", packets.events_timed_out),
        ("events_without_room", packets.events_without_room),
        ("events_consumer_full", queue_full),
    ];
    let named = named.into_iter().map(|(name, count)| (name.to_owned(), count));
    let kernel = kernel_drops.map(|dropped| ("kernel_drops".to_owned(), dropped));
    named.chain(ends).chain(kernel).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn packets_add_up_under_the_names_of_a_record() {
        let packets = ejfat::Counts { packets: 9, in_whole: 5, in_timed_out: 3, bad_header: 1, ..Default::default() };
        let counts = of_receiver(&ReceiverCounts { packets, unreadable: 2, ..ReceiverCounts::default() });
        let ends = counts.iter().filter(|(name, _)| name.starts_with("packets_") && *name != "packets_received");
        assert_eq!(ends.map(|(_, count)| count).sum::<u64>(), counts["packets_received"]);
        assert_eq!((counts["packets_in_whole"], counts.get("kernel_drops")), (5, None));
    }
}
