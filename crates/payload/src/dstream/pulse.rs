//! What a germanium crystal's channels would show: energies that add up and traces to go with them.
//!
//! Whole-number arithmetic only: exponentials of the C library differ between platforms, these bytes must not.

use super::shape::CHANNELS_MAX;
use rand_chacha::{ChaCha8Rng, rand_core::Rng};

/// One unit of the energy word is 1/32 of an ADC count.
const UNITS_PER_COUNT_BITS: u32 = 5;
/// Energies of a hit, in ADC counts: with baseline and noise a pulse stays inside a 14-bit ADC.
const ENERGY_COUNTS: std::ops::Range<u32> = 200..6000;
/// Segments that a gamma ray scatters into at most.
const HITS_MAX: u32 = 3;
const BASELINE_COUNTS: i32 = 100;
/// Charge collection takes about 160 ns.
const RISE_SAMPLES: usize = 16;
/// The preamplifier discharges with a time constant of 50 us.
const DECAY_SAMPLES: i32 = 5000;
/// Pulses are computed in 1/65,536 of a count, so that the slow decay is not lost to rounding.
const FRACTION_BITS: u32 = 16;

/// Energy words of a hit, by channel: `is_core` says which channels are core contacts. Each core contact collects the
/// sum of the segments with the opposite sign, as the electrodes of a crystal do.
pub fn energies(random: &mut ChaCha8Rng, is_core: &[bool]) -> [i32; CHANNELS_MAX] {
    let counts = ENERGY_COUNTS.start + below(random, ENERGY_COUNTS.end - ENERGY_COUNTS.start);
    let total = counts << UNITS_PER_COUNT_BITS | below(random, 1 << UNITS_PER_COUNT_BITS);
    let mut energies = [0; CHANNELS_MAX];
    let segments = is_core.iter().filter(|core| !**core).count() as u32;
    if segments > 0 {
        let mut left = total;
        let hits = 1 + below(random, HITS_MAX);
        for hit in 0..hits {
            let share = if hit + 1 == hits { left } else { below(random, left + 1) };
            let segment = below(random, segments) as usize;
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

/// Sample at which the pulse of a trace starts: a quarter of the trace shows the baseline before it.
pub fn start(samples: usize) -> usize {
    samples / 4
}

/// Writes a trace whose pulse is as high as the energy word says: big-endian 32-bit words, each with the earlier sample
/// of a pair in its low half.
pub fn trace(random: &mut ChaCha8Rng, energy: i32, bytes: &mut [u8]) {
    let baseline = below(random, 2 * BASELINE_COUNTS as u32 + 1) as i32 - BASELINE_COUNTS;
    let start = start(bytes.len() / 2);
    let top = energy << (FRACTION_BITS - UNITS_PER_COUNT_BITS);
    let mut level = 0i32;
    let mut pulse = |sample: usize| {
        level = match sample.checked_sub(start) {
            None => 0,
            Some(since) if since < RISE_SAMPLES => top / RISE_SAMPLES as i32 * (since as i32 + 1),
            Some(_) => level - level / DECAY_SAMPLES,
        };
        baseline + (level >> FRACTION_BITS)
    };
    for (pair, word) in bytes.chunks_exact_mut(4).enumerate() {
        let draw = random.next_u32();
        let earlier = (pulse(2 * pair) + noise(draw as u16)) as u16;
        let later = (pulse(2 * pair + 1) + noise((draw >> 16) as u16)) as u16;
        word.copy_from_slice(&(u32::from(later) << 16 | u32::from(earlier)).to_be_bytes());
    }
}

/// Near enough to a normal distribution of 2 counts: the number of heads in 16 tosses, less 8.
fn noise(draw: u16) -> i32 {
    draw.count_ones() as i32 - 8
}

/// A number below `limit`. Our own, because `rand` may change how it draws from a range; the bias of at most
/// limit / 2^32 does not matter here.
pub fn below(random: &mut ChaCha8Rng, limit: u32) -> u32 {
    ((u64::from(random.next_u32()) * u64::from(limit)) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand_chacha::rand_core::SeedableRng;

    fn samples(bytes: &[u8]) -> Vec<i32> {
        let word = |j: usize| i32::from(i16::from_be_bytes([bytes[2 * j], bytes[2 * j + 1]]));
        (0..bytes.len() / 2).map(|j| word(j ^ 1)).collect()
    }

    fn mean(samples: &[i32]) -> f64 {
        f64::from(samples.iter().sum::<i32>()) / samples.len() as f64
    }

    #[test]
    fn the_segments_share_the_energy_of_the_core() {
        let mut random = ChaCha8Rng::seed_from_u64(1);
        for channels in 1..=CHANNELS_MAX {
            let is_core: Vec<_> = (0..channels).map(|i| i % 10 == 9 || i + 1 == channels).collect();
            for _ in 0..100 {
                let energies = energies(&mut random, &is_core);
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
        let mut random = ChaCha8Rng::seed_from_u64(2);
        for energy in [-5999 * 32, -1000 * 32, 0, 1000 * 32, 5999 * 32] {
            let mut bytes = [0; 2 * 1000];
            trace(&mut random, energy, &mut bytes);
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
        trace(&mut ChaCha8Rng::seed_from_u64(3), 5000 * 32, &mut bytes);
        let samples = samples(&bytes);
        let (baseline, later) = (mean(&samples[..2000]), mean(&samples[2016 + 4950..2016 + 5050]));
        assert!(((later - baseline) / 5000.0 - (-1.0f64).exp()).abs() < 0.01, "{later}");
    }
}
