//! The numbers of channels and samples that fill an event of a given size exactly.

use engine::ports::PayloadError;
use profile::sizes::GEB_HEADER_BYTES;

pub const CHANNEL_HEADER_BYTES: usize = 32;
/// A crystal has four digitizer boards of ten channels.
pub const CHANNELS_MAX: usize = 40;
/// The length word has 11 bits.
const LENGTH_WORD_MAX: usize = 0x7ff;
/// The length word counts 32-bit words after the sync word, so L = 7 for the header and one for each pair of samples.
const LENGTH_WORD_MIN: usize = 8;
/// A trace of 0.8 us shows baseline, rise and decay. Of the shapes with at least this many samples, the one with most
/// channels is taken. This gives the published stand-ins: 8 x 108 samples for 2,000 B and 40 x 88 for 8,336 B.
const SAMPLES_WANTED: usize = 80;

/// Channels of an event and samples of each channel's trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shape {
    /// 1 to 40.
    pub channels: usize,
    /// Always even: samples travel in pairs.
    pub samples: usize,
}

impl Shape {
    /// The shape of an event of `event_bytes`; the error has nearby sizes that have one.
    pub fn of_event(event_bytes: u64) -> Result<Self, PayloadError> {
        let fits = |bytes: u64| usize::try_from(bytes).ok().and_then(Self::filling);
        fits(event_bytes).ok_or_else(|| {
            let largest = Self { channels: CHANNELS_MAX, samples: 2 * LENGTH_WORD_MAX - 14 }.event_bytes() as u64;
            let below = (0..event_bytes.min(largest + 1)).rev().find(|bytes| fits(*bytes).is_some());
            let above = (event_bytes..=largest).find(|bytes| fits(*bytes).is_some());
            let near: Vec<_> = below.into_iter().chain(above).map(|bytes| format!("{bytes}B")).collect();
            PayloadError(format!(
                "an event of {event_bytes} B cannot be filled with 1 to {CHANNELS_MAX} equal raw channels: \
                 set event_bytes to {}",
                near.join(" or ")
            ))
        })
    }

    /// Size of one channel in the event.
    pub fn channel_bytes(self) -> usize {
        CHANNEL_HEADER_BYTES + 2 * self.samples
    }

    /// Size of the event, its GEB header included.
    pub fn event_bytes(self) -> usize {
        GEB_HEADER_BYTES + self.channels * self.channel_bytes()
    }

    /// L, the value of the length word: T = 2 L - 14.
    pub fn length_word(self) -> u16 {
        ((self.samples + 14) / 2) as u16
    }

    fn filling(event_bytes: usize) -> Option<Self> {
        let payload = event_bytes.checked_sub(GEB_HEADER_BYTES)?;
        let shapes = (1..=CHANNELS_MAX).filter_map(|channels| {
            let words = (payload / 4).checked_sub(channels)? / channels;
            let shape = Self { channels, samples: (2 * words).checked_sub(14)? };
            let possible = (LENGTH_WORD_MIN..=LENGTH_WORD_MAX).contains(&words) && shape.event_bytes() == event_bytes;
            possible.then_some(shape)
        });
        // Events too small for a wanted trace get the longest one there is.
        shapes.max_by_key(
            |shape| {
                if shape.samples >= SAMPLES_WANTED { (1, shape.channels) } else { (0, shape.samples) }
            },
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(event_bytes: u64, channels: usize, samples: usize) {
        let shape = Shape::of_event(event_bytes).unwrap();
        assert_eq!(shape, Shape { channels, samples });
        assert_eq!(shape.event_bytes() as u64, event_bytes);
    }

    #[test]
    fn published_event_sizes_get_their_published_shapes() {
        check(2_000, 8, 108);
        check(8_336, 40, 88);
        assert_eq!(Shape::of_event(2_000).unwrap().length_word(), 61);
        assert_eq!(Shape::of_event(8_336).unwrap().length_word(), 51);
    }

    #[test]
    fn the_smallest_and_the_largest_events_have_a_shape() {
        check(52, 1, 2);
        check(16 + 40 * (32 + 2 * 4080), 40, 4080);
    }

    #[test]
    fn a_size_without_a_shape_names_the_sizes_on_both_sides() {
        for (event_bytes, near) in [
            (0, "to 52B"),
            (2_001, "to 2000B or 2004B"),
            (8_335, "to 8332B or 8336B"),
            (1 << 40, "to 327696B"),
            // 16 + 4 x 2053, a prime: no number of channels divides it.
            (8_228, "to 8224B or 8232B"),
        ] {
            let error = Shape::of_event(event_bytes).unwrap_err().to_string();
            assert!(error.ends_with(near), "{error}");
        }
    }

    #[test]
    fn every_size_named_by_an_error_works() {
        for event_bytes in 0..20_000 {
            if let Err(error) = Shape::of_event(event_bytes) {
                let (_, near) = error.0.rsplit_once(" to ").unwrap();
                for size in near.split(" or ") {
                    Shape::of_event(size.trim_end_matches('B').parse().unwrap()).unwrap();
                }
            }
        }
    }
}
