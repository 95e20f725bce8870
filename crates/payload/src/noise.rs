//! Noise drawn once and shared by all bodies: each reads it from a place of its own.
//!
//! Drawing a number for every sample of every message would cost more than sending it. A stretch from a random place
//! of a long tape, laid over what differs anyway (a pedestal, a pulse), makes bodies as different, and as hard to
//! compress, as fresh noise does.

use crate::draws::Draws;
use std::sync::Arc;

/// Places to read from: 1 MiB of samples, so that a tape stays in the second-level cache or near it.
const PLACES: usize = 1 << 19;
/// The longest stretch that is read in one piece.
pub const STRETCH_MAX: usize = 8192;
/// Samples that have noise or have none together.
const PATCH: usize = 256;

/// A tape of noise, in counts of the digitizer: symmetric about 0, with a standard deviation of 2.
#[derive(Debug, Clone)]
pub struct Noise(Arc<[i16]>);

impl Noise {
    /// A tape of which the share `compressible` is silent.
    pub fn new(seed: u64, compressible: f64) -> Self {
        let mut draws = Draws::new(seed, "noise", 0, 0);
        let silent = Silence::new(compressible);
        let mut tape = Vec::with_capacity(PLACES + STRETCH_MAX);
        while tape.len() < PLACES + STRETCH_MAX {
            let quiet = silent.draw(&mut draws);
            for _ in 0..PATCH / 4 {
                let bits = draws.bits();
                // Near enough to a normal distribution: the number of heads in 16 tosses, less 8.
                let sample = |part: u32| (bits >> (16 * part) & 0xffff).count_ones() as i16 - 8;
                tape.extend((0..4).map(|part| if quiet { 0 } else { sample(part) }));
            }
        }
        Self(tape.into())
    }

    /// `length` samples, at most [`STRETCH_MAX`], from a place that `draws` decides.
    #[inline]
    pub fn stretch(&self, draws: &mut Draws, length: usize) -> &[i16] {
        let start = draws.below(PLACES as u32) as usize;
        &self.0[start..start + length]
    }
}

/// Decides which patches are silent.
#[derive(Debug, Clone, Copy)]
pub struct Silence(u32);

impl Silence {
    /// The share `compressible` of all patches is.
    pub fn new(compressible: f64) -> Self {
        Self((compressible * f64::from(1u32 << 16)) as u32)
    }

    /// Whether the next one is.
    pub fn draw(self, draws: &mut Draws) -> bool {
        draws.below(1 << 16) < self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_symmetric_with_a_deviation_of_two_counts_and_the_requested_share_of_zeros() {
        for compressible in [0.0, 0.25, 1.0] {
            let tape = Noise::new(1, compressible).0;
            let sum: f64 = tape.iter().map(|sample| f64::from(*sample)).sum();
            let squares: f64 = tape.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            let (mean, variance) = (sum / tape.len() as f64, squares / tape.len() as f64);
            assert!(mean.abs() < 0.02, "{compressible}: mean {mean}");
            assert!((variance - 4.0 * (1.0 - compressible)).abs() < 0.15, "{compressible}: variance {variance}");
        }
    }
}
