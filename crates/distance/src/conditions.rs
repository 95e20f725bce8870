//! What happens to packets on their way, and the memory that this takes.

use std::{fmt, str::FromStr, time::Duration};

/// The way between two places, the same in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Conditions {
    /// One way.
    pub delay: Duration,
    /// The delay wanders by up to so much in both directions. Packets keep their order.
    pub jitter: Duration,
    /// The share of packets that are lost, each by a draw of its own.
    pub loss: f64,
    /// The share of packets that are held back for [`Conditions::HELD_BACK`] more, so that others overtake them.
    pub reorder: f64,
}

impl Conditions {
    /// How much later than its turn a packet arrives that others are to overtake.
    pub const HELD_BACK: Duration = Duration::from_millis(1);

    /// Whether single packets have a fate of their own, so that segments must not travel as one.
    pub fn act_on_single_packets(&self) -> bool {
        self.loss > 0.0 || self.reorder > 0.0
    }

    /// The longest time that a packet may wait.
    pub fn longest(&self) -> Duration {
        self.delay + self.jitter + if self.reorder > 0.0 { Self::HELD_BACK } else { Duration::ZERO }
    }
}

/// The queue of each direction for a link of this rate: what is in flight, a quarter more for headers and bursts, and a
/// few segments.
pub fn queue_bytes(conditions: Conditions, bits_per_second: f64) -> f64 {
    const LEAST: f64 = 4.0 * 1024.0 * 1024.0;
    bits_per_second / 8.0 * conditions.longest().as_secs_f64() * 1.25 + LEAST
}

/// The text for the forwarder's process.
impl fmt::Display for Conditions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{},{}", self.delay.as_nanos(), self.jitter.as_nanos(), self.loss, self.reorder)
    }
}

impl FromStr for Conditions {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let words: Vec<&str> = text.split(',').collect();
        let [delay, jitter, loss, reorder] = words[..] else { return Err(()) };
        let span = |text: &str| text.parse().map(Duration::from_nanos).map_err(|_| ());
        let share = |text: &str| text.parse().map_err(|_| ());
        Ok(Self { delay: span(delay)?, jitter: span(jitter)?, loss: share(loss)?, reorder: share(reorder)? })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_forwarder_reads_the_conditions_that_are_passed_to_it() {
        let conditions = Conditions {
            delay: Duration::from_millis(30),
            jitter: Duration::from_micros(500),
            loss: 0.0001,
            reorder: 1e-9,
        };
        assert_eq!(conditions.to_string().parse(), Ok(conditions));
        assert!("1,2,3".parse::<Conditions>().is_err());
    }

    #[test]
    fn the_queue_holds_more_than_is_in_flight() {
        let conditions = Conditions { delay: Duration::from_millis(40), ..Conditions::default() };
        let in_flight = 1e9 / 8.0 * 0.04;
        assert!(queue_bytes(conditions, 1e9) > in_flight * 1.25);
        assert!(queue_bytes(conditions, 1e9) < in_flight * 1.25 + 5e6);
    }
}
