//! What became of the packets that a reassembler took.

use std::iter::Sum;

/// Each packet is in exactly one of the counts of [`Counts::ends`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// All packets.
    pub packets: u64,
    /// Bytes of events in packets whose header could be read.
    pub bytes: u64,
    /// Packets without a reassembly header.
    pub bad_header: u64,
    /// Segments that lie outside of the length they state, or have no bytes.
    pub misfit: u64,
    /// Segments that state another length than the first one of their event.
    pub other_length: u64,
    /// Segments that were there already.
    pub duplicate: u64,
    /// Segments that cover bytes that were there already, with other bytes or only in part.
    pub overlapping: u64,
    /// Segments of events that were whole already.
    pub after_whole: u64,
    /// Segments of events that were given up already.
    pub after_given_up: u64,
    /// First segments of events for which there was no room.
    pub no_room: u64,
    /// Segments of events that became whole.
    pub in_whole: u64,
    /// Segments of events that timed out.
    pub in_timed_out: u64,
    /// Segments of events in assembly.
    pub in_assembly: u64,
    /// Events that became whole.
    pub events_whole: u64,
    /// Events given up because segments were missing for too long.
    pub events_timed_out: u64,
    /// Events given up because there was no room for them.
    pub events_without_room: u64,
    /// Events whose first segment to arrive was not the first one of their bytes.
    pub events_begun_inside: u64,
}

impl Counts {
    /// Every way in which a packet can end; their sum is [`Counts::packets`].
    pub fn ends(&self) -> [(&'static str, u64); 11] {
        [
            ("bad header", self.bad_header),
            ("misfit", self.misfit),
            ("other length", self.other_length),
            ("duplicate", self.duplicate),
            ("overlapping", self.overlapping),
            ("after whole", self.after_whole),
            ("after given up", self.after_given_up),
            ("no room", self.no_room),
            ("in whole", self.in_whole),
            ("in timed out", self.in_timed_out),
            ("in assembly", self.in_assembly),
        ]
    }
}

impl Sum for Counts {
    fn sum<I: Iterator<Item = Self>>(counts: I) -> Self {
        counts.fold(Self::default(), |sum, next| Self {
            packets: sum.packets + next.packets,
            bytes: sum.bytes + next.bytes,
            bad_header: sum.bad_header + next.bad_header,
            misfit: sum.misfit + next.misfit,
            other_length: sum.other_length + next.other_length,
            duplicate: sum.duplicate + next.duplicate,
            overlapping: sum.overlapping + next.overlapping,
            after_whole: sum.after_whole + next.after_whole,
            after_given_up: sum.after_given_up + next.after_given_up,
            no_room: sum.no_room + next.no_room,
            in_whole: sum.in_whole + next.in_whole,
            in_timed_out: sum.in_timed_out + next.in_timed_out,
            in_assembly: sum.in_assembly + next.in_assembly,
            events_whole: sum.events_whole + next.events_whole,
            events_timed_out: sum.events_timed_out + next.events_timed_out,
            events_without_room: sum.events_without_room + next.events_without_room,
            events_begun_inside: sum.events_begun_inside + next.events_begun_inside,
        })
    }
}
