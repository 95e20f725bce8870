//! Simulated channels of a germanium crystal: consistent energies, and matching traces.
//!
//! Integer arithmetic only: exponentials of the C library differ between platforms, and these bytes must not.

use super::shape::CHANNELS_MAX;
use crate::{draws::Draws, noise::Noise};
use std::sync::Arc;

/// One unit of the energy word is 1/32 of an ADC count.
const UNITS_PER_COUNT_BITS: u32 = 5;
/// Energies of a hit, in ADC counts: with baseline and noise a pulse stays inside a 14-bit ADC.
const ENERGY_COUNTS: std::ops::Range<u32> = 200..6000;
/// Most segments that a gamma ray scatters into.
const HITS_MAX: u32 = 3;
const BASELINE_COUNTS: u32 = 100;
/// Charge collection takes about 160 ns.
const RISE_SAMPLES: usize = 16;
/// The preamplifier discharges with a time constant of 50 us.
const DECAY_SAMPLES: i64 = 5000;
/// Energy words of a hit, by channel: `is_core` marks the channels that are core contacts. Each core contact collects
/// the sum of the segments with the opposite sign, as the electrodes of a crystal do.
pub fn energies(draws: &mut Draws, is_core: &[bool]) -> [i32; CHANNELS_MAX] {
    let counts = ENERGY_COUNTS.start + draws.below(ENERGY_COUNTS.end - ENERGY_COUNTS.start);
    let total = counts << UNITS_PER_COUNT_BITS | draws.below(1 << UNITS_PER_COUNT_BITS);
    let mut energies = [0; CHANNELS_MAX];
    let segments = is_core.iter().filter(|core| !**core).count() as u32;
    if segments > 0 {
        let mut left = total;
        let hits = 1 + draws.below(HITS_MAX);
        for hit in 0..hits {
            let share = if hit + 1 == hits { left } else { draws.below(left + 1) };
            let segment = draws.below(segments) as usize;
            let channel = (0..is_core.len()).filter(|channel| !is_core[*channel]).nth(segment);
            energies[channel.expect("the segment is one of those counted")] -= share as i32;
            left -= share;
        }
    }
    for (energy, _) in energies.iter_mut().zip(is_core).filter(|(_, core)| **core) {
        *energy = total as i32;
    }
    energies
}

/// Number of samples that are computed together.
const LANES: usize = 8;

/// Pulses of one length: a shape, scaled to each energy, on a baseline with noise.
#[derive(Debug, Clone)]
pub struct Pulses {
    /// A pulse of height 1 in 2^-15, in the order of the bytes: each pair of samples is swapped.
    shape: Arc<[i16]>,
    noise: Noise,
}

impl Pulses {
    /// Pulses over `samples` samples, an even number.
    pub fn new(samples: usize, noise: Noise) -> Self {
        // In 2^-30 of the shape's unit, so that the slow decay is not lost to rounding.
        let mut level = 0i64;
        let mut sample = |index: usize| {
            level = match index.checked_sub(start(samples)) {
                None => 0,
                Some(since) if since < RISE_SAMPLES => {
                    (i64::from(i16::MAX) << 30) / RISE_SAMPLES as i64 * (since as i64 + 1)
                }
                Some(_) => level - level / DECAY_SAMPLES,
            };
            (level >> 30) as i16
        };
        let in_order: Vec<i16> = (0..samples).map(&mut sample).collect();
        Self { shape: (0..samples).map(|index| in_order[index ^ 1]).collect(), noise }
    }

    /// The sample at which pulses start.
    pub fn crossing(&self) -> u16 {
        start(self.shape.len()) as u16
    }

    /// Writes a trace whose pulse has the height of the energy word: big-endian 32-bit words, each with the earlier
    /// sample of a pair in its low half.
    pub fn trace(&self, draws: &mut Draws, energy: i32, bytes: &mut [u8]) {
        let baseline = draws.below(2 * BASELINE_COUNTS + 1) as i16 - BASELINE_COUNTS as i16;
        let noise = self.noise.stretch(draws, self.shape.len());
        // In halves of a count: then the product's upper 16 bits are the pulse, and processors have an instruction for
        // eight of those at once. The compiler finds it only if it cannot see that all eight heights are the same.
        let heights = std::hint::black_box([(energy >> (UNITS_PER_COUNT_BITS - 1)) as i16; LANES]);
        let mut words = bytes.chunks_exact_mut(2 * LANES);
        let (mut noises, mut shapes) = (noise.chunks_exact(LANES), self.shape.chunks_exact(LANES));
        for ((words, noise), shape) in (&mut words).zip(&mut noises).zip(&mut shapes) {
            samples(words, baseline, noise, &heights, shape);
        }
        let (noise, shape) = (noises.remainder(), shapes.remainder());
        samples(words.into_remainder(), baseline, noise, &heights, shape);
    }
}

/// Writes at most [`LANES`] samples.
#[inline]
fn samples(words: &mut [u8], baseline: i16, noise: &[i16], heights: &[i16; LANES], shape: &[i16]) {
    for (((word, noise), height), shape) in words.chunks_exact_mut(2).zip(noise).zip(heights).zip(shape) {
        let pulse = ((i32::from(*height) * i32::from(*shape)) >> 16) as i16;
        word.copy_from_slice(&(baseline + pulse + noise).to_be_bytes());
    }
}

/// A quarter of the trace shows the baseline before the pulse.
fn start(samples: usize) -> usize {
    samples / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    fn samples(bytes: &[u8]) -> Vec<i32> {
        let word = |j: usize| i32::from(i16::from_be_bytes([bytes[2 * j], bytes[2 * j + 1]]));
        (0..bytes.len() / 2).map(|j| word(j ^ 1)).collect()
    }

    fn mean(samples: &[i32]) -> f64 {
        f64::from(samples.iter().sum::<i32>()) / samples.len() as f64
    }

    #[test]
    fn the_segments_share_the_energy_of_the_core() {
        let mut draws = Draws::new(1, "test", 0, 0);
        for channels in 1..=CHANNELS_MAX {
            let is_core: Vec<_> = (0..channels).map(|i| i % 10 == 9 || i + 1 == channels).collect();
            for _ in 0..100 {
                let energies = energies(&mut draws, &is_core);
                let segments: i32 = (0..channels).filter(|i| !is_core[*i]).map(|i| energies[i]).sum();
                for core in (0..channels).filter(|i| is_core[*i]) {
                    assert!(energies[core] >= 200 * 32 && energies[core] < 6000 * 32);
                    assert!(segments == -energies[core] || channels == 1);
                }
            }
        }
    }

    #[test]
    fn a_pulse_is_as_high_as_its_energy_and_stays_inside_the_converter() {
        let (mut draws, pulses) = (Draws::new(2, "test", 0, 0), Pulses::new(1000, Noise::new(2, 0.0)));
        for energy in [-5999 * 32, -1000 * 32, 0, 1000 * 32, 5999 * 32] {
            let mut bytes = [0; 2 * 1000];
            pulses.trace(&mut draws, energy, &mut bytes);
            let samples = samples(&bytes);
            let step = mean(&samples[270..300]) - mean(&samples[..250]);
            let height = f64::from(energy) / 32.0;
            assert!((step - height).abs() < 3.0 + height.abs() / 100.0, "{energy}: {step}");
            assert!(samples.iter().all(|sample| (-8192..8192).contains(sample)));
        }
    }

    #[test]
    fn a_pulse_decays_to_its_e_th_part_in_50_us() {
        let mut bytes = [0; 2 * 8000];
        Pulses::new(8000, Noise::new(3, 0.0)).trace(&mut Draws::new(3, "test", 0, 0), 5000 * 32, &mut bytes);
        let samples = samples(&bytes);
        let (baseline, later) = (mean(&samples[..2000]), mean(&samples[2016 + 4950..2016 + 5050]));
        assert!(((later - baseline) / 5000.0 - (-1.0f64).exp()).abs() < 0.01, "{later}");
    }
}
