//! When the next bytes are due, so that no burst is longer than an event or a packet. Pure: the caller owns the clock.

/// How a sender spreads its packets over time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pacing {
    /// As fast as the socket takes them: nothing else holds a sender back.
    #[default]
    None,
    /// After each event a pause, so that its packets leave in a burst. Bits per second.
    Event(u64),
    /// After each packet a pause. Bits per second.
    Packet(u64),
}

/// The time at which bytes are due at a rate.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    bits_per_s: u64,
    due_ns: u64,
}

impl Pacer {
    /// One whose first bytes are due at once.
    pub fn new(bits_per_s: u64) -> Self {
        Self { bits_per_s: bits_per_s.max(1), due_ns: 0 }
    }

    /// Takes that bytes leave, and returns when the next ones are due. What was late is not caught up beyond a
    /// millisecond: a burst is what pacing is to avoid.
    pub fn after(&mut self, bytes: usize, now_ns: u64) -> u64 {
        const CATCH_UP_NS: u64 = 1_000_000;
        let spent = u128::try_from(bytes).unwrap_or(u128::MAX).saturating_mul(8_000_000_000);
        let spent = u64::try_from(spent / u128::from(self.bits_per_s)).unwrap_or(u64::MAX);
        self.due_ns = self.due_ns.max(now_ns.saturating_sub(CATCH_UP_NS)).saturating_add(spent);
        self.due_ns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_due_at_the_rate_and_a_late_sender_catches_up_by_a_millisecond() {
        let mut pacer = Pacer::new(8_000_000);
        let start = 5_000_000_000;
        // A byte takes a microsecond.
        assert_eq!(pacer.after(1000, start), start - 1_000_000 + 1_000_000);
        assert_eq!(pacer.after(1000, start), start + 1_000_000);
        assert_eq!(pacer.after(1000, start + 500_000), start + 2_000_000, "early or late within the limit is made up");
        let late = start + 60_000_000;
        assert_eq!(pacer.after(1000, late), late, "a minute's events do not leave at once");
    }
}
