//! Neutron events of one accelerator pulse, as one banked-event packet of the SNS's ADARA streams.
//!
//! Source: the ADARA packet definitions that Mantid reads. Little-endian 32-bit words. A body of `n` events has
//! `80 + 8 n` bytes.
//!
//! | offset | field | here |
//! |---|---|---|
//! | 0 | payload length, header not counted | |
//! | 4 | (packet type << 8) + version | 0x4000, 1: banked events |
//! | 8 | seconds since 1990 (the EPICS epoch) | **stamped** |
//! | 12 | nanoseconds | **stamped**: 60 pulses a second |
//! | 16 | pulse charge, 10 pC | about 20 uC |
//! | 20 | pulse energy, eV | 1 GeV |
//! | 24 | cycle | **stamped**: 0 to 599 |
//! | 28 | veto (bits 31..20), flags (bits 19..0) | 0 |
//! | 32 | source id | producer |
//! | 36 | time within the pulse, 100 ns | 0 |
//! | 40 | TOF offset, bit 31: corrected | 0 |
//! | 44 | banks | 4 |
//! | 48 | each bank: bank id, event count, events | |
//! | | each event: time of flight in 100 ns, pixel id | bank in bits 31..16 of a pixel |

use crate::{draws::Draws, noise::Silence};
use profile::sizes::{ADARA_BANK_BYTES, ADARA_BANKS, ADARA_EVENT_BYTES, ADARA_HEAD_BYTES};

const PACKET: u32 = 0x4000 << 8 | 1;
const HEADER_BYTES: usize = 16;
const BANKS: u32 = ADARA_BANKS as u32;
const FIXED_BYTES: usize = ADARA_HEAD_BYTES + ADARA_BANKS * ADARA_BANK_BYTES;
const PULSES_PER_SECOND: u64 = 60;
const PULSE_NS: u64 = 16_666_667;
const CYCLES: u64 = 600;
/// 9 September 2021, in seconds since 1990.
const FIRST_PULSE_S: u64 = 1_000_000_000;
/// A sixtieth of a second in 100 ns.
const TOF_MAX: u32 = 166_667;
const PIXELS: u32 = 1 << 16;
/// Number of equal events in a compressible stretch.
const PATCH: usize = 64;

/// Bodies of neutron events.
#[derive(Debug, Clone)]
pub struct Adara {
    seed: u64,
    silence: Silence,
}

impl Adara {
    /// For packets in which the fraction `compressible` consists of repeated events.
    pub fn new(seed: u64, compressible: f64) -> Self {
        Self { seed, silence: Silence::new(compressible) }
    }

    /// Size of a body.
    pub fn body_bytes(&self, events: u32) -> usize {
        FIXED_BYTES + events as usize * ADARA_EVENT_BYTES
    }

    /// Writes everything except times and cycle.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64) {
        let mut draws = Draws::new(self.seed, "adara", producer, key);
        let payload = (body.len() - HEADER_BYTES) as u32;
        let mut left = (body.len() - FIXED_BYTES) / ADARA_EVENT_BYTES;
        let charge = 2_000_000 + draws.below(20_000) - 10_000;
        let head = [payload, PACKET, 0, 0, charge, 1_000_000_000, 0, 0, producer, 0, 0, BANKS];
        let mut rest = put(body, &head);
        for bank in 0..BANKS {
            let events = if bank + 1 == BANKS {
                left
            } else {
                // About its share of the remaining events.
                draws.below(2 * left as u32 / (BANKS - bank) + 1) as usize
            };
            left -= events;
            let (bank_bytes, others) = rest.split_at_mut(ADARA_BANK_BYTES + events * ADARA_EVENT_BYTES);
            let records = put(bank_bytes, &[bank + 1, events as u32]);
            for patch in records.chunks_mut(PATCH * ADARA_EVENT_BYTES) {
                let alike = self.silence.draw(&mut draws).then(|| event(&mut draws, bank));
                for record in patch.chunks_exact_mut(ADARA_EVENT_BYTES) {
                    put(record, &alike.unwrap_or_else(|| event(&mut draws, bank)));
                }
            }
            rest = others;
        }
    }

    /// Writes the time and cycle of pulse `sequence`.
    pub fn stamp(&self, body: &mut [u8], sequence: u64) {
        let [seconds, nanoseconds, cycle] = times(sequence);
        put(&mut body[8..], &[seconds, nanoseconds]);
        put(&mut body[24..], &[cycle]);
    }

    /// Checks that the packet is well formed and belongs to this message.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64) -> Result<(), String> {
        let head = words::<12>(body).ok_or("the packet ends before its banks")?;
        let [length, packet, seconds, nanoseconds, _, _, cycle, veto, source, within, offset, banks] = head;
        if (length as usize).checked_add(HEADER_BYTES) != Some(body.len()) || packet != PACKET {
            return Err(format!("the header has type {packet:#x} and {length} B of payload"));
        }
        if [seconds, nanoseconds, cycle] != times(sequence) {
            return Err(format!(
                "the pulse of {seconds}.{nanoseconds:09} s, cycle {cycle}, is not that of this message"
            ));
        }
        if [veto, source, within, offset, banks] != [0, producer, 0, 0, BANKS] {
            return Err(format!("source {source} with {banks} banks is not that of this message"));
        }
        let mut rest = &body[ADARA_HEAD_BYTES..];
        for bank in 1..=BANKS {
            let Some([id, events]) = words::<2>(rest) else {
                return Err(format!("the packet ends before bank {bank}"));
            };
            let end =
                (events as usize).checked_mul(ADARA_EVENT_BYTES).and_then(|bytes| bytes.checked_add(ADARA_BANK_BYTES));
            match end.and_then(|end| rest.get(end..)) {
                Some(after) if id == bank => rest = after,
                _ => return Err(format!("bank {bank} is labelled bank {id} with {events} events")),
            }
        }
        if rest.is_empty() { Ok(()) } else { Err(format!("{} B follow the last bank", rest.len())) }
    }

    /// The layout of a packet, one line per part.
    pub fn describe(&self) -> Vec<String> {
        vec![
            format!(
                "packet: header {HEADER_BYTES} B (type 0x4000), pulse 16 B, source 16 B, {BANKS} banks of {ADARA_BANK_BYTES} B"
            ),
            format!("event: time of flight in 100 ns and pixel id, {ADARA_EVENT_BYTES} B"),
        ]
    }
}

fn event(draws: &mut Draws, bank: u32) -> [u32; 2] {
    [draws.below(TOF_MAX), (bank + 1) << 16 | draws.below(PIXELS)]
}

/// Seconds, nanoseconds and cycle of a pulse.
fn times(sequence: u64) -> [u32; 3] {
    let seconds = FIRST_PULSE_S + sequence / PULSES_PER_SECOND;
    [seconds as u32, (sequence % PULSES_PER_SECOND * PULSE_NS) as u32, (sequence % CYCLES) as u32]
}

/// Writes words and returns the bytes after them.
fn put<'a>(bytes: &'a mut [u8], words: &[u32]) -> &'a mut [u8] {
    let (head, rest) = bytes.split_at_mut(4 * words.len());
    for (bytes, word) in head.chunks_exact_mut(4).zip(words) {
        bytes.copy_from_slice(&word.to_le_bytes());
    }
    rest
}

/// The first `N` words, if there are as many.
fn words<const N: usize>(bytes: &[u8]) -> Option<[u32; N]> {
    let bytes = bytes.get(..4 * N)?;
    Some(std::array::from_fn(|index| {
        u32::from_le_bytes(bytes[4 * index..4 * index + 4].try_into().expect("four bytes"))
    }))
}
