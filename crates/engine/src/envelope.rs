//! The harness's own data about a message, as a fixed-width text that rides beside the body.
//!
//! `run(8)-producer(6)-sequence(12)-due(16)-sent(16)-checksum(8)-seal(8)`, all lower-case hexadecimal: 80 characters,
//! formatted and parsed without allocating. It is text because it travels in the basic property `correlation_id`, a
//! short string, where other clients can read it. Other clients cannot write the seal: a message with another seal was
//! sent by no producer of the run, whatever its other fields claim, and changes only one count.

use std::{
    collections::hash_map::{DefaultHasher, RandomState},
    fmt,
    hash::{BuildHasher, Hash, Hasher},
};

/// Length of the text.
pub const LEN: usize = 8 + 1 + 6 + 1 + 12 + 1 + 16 + 1 + 16 + 1 + 8 + 1 + 8;

const WIDTHS: [usize; 7] = [8, 6, 12, 16, 16, 8, 8];

/// The harness's own data about one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Envelope {
    /// The run it belongs to.
    pub run: u32,
    /// Its producer, below 2^24.
    pub producer: u32,
    /// Its number from this producer, below 2^48.
    pub sequence: u64,
    /// When it was due, in nanoseconds of the run's common clock.
    pub due_ns: u64,
    /// When publishing it began, in nanoseconds of the run's common clock.
    pub sent_ns: u64,
    /// CRC-32C of the body.
    pub checksum: u32,
    /// Seal that only the ranks of the run can write ([`SealKey`]).
    pub seal: u32,
}

/// The key with which the ranks of a run seal its envelopes. It distinguishes the run's own messages from messages that
/// others put into its queues, by mistake or on purpose. It encrypts nothing, and is in no record and no message.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
pub struct SealKey(u64);

impl SealKey {
    /// A random key.
    pub fn random() -> Self {
        Self(RandomState::new().hash_one(()))
    }

    /// Its bytes, for the other ranks.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }

    /// The key that another rank drew.
    pub fn from_bytes(bytes: [u8; 8]) -> Self {
        Self(u64::from_le_bytes(bytes))
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey")
    }
}

/// An encoded [`Envelope`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct EnvelopeText([u8; LEN]);

impl EnvelopeText {
    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits and dashes are ASCII")
    }
}

impl Envelope {
    /// This envelope with its seal.
    pub fn sealed(self, key: SealKey) -> Self {
        Self { seal: self.seal_by(key), ..self }
    }

    /// Whether a rank with this key wrote it.
    pub fn is_sealed(&self, key: SealKey) -> bool {
        self.seal == self.seal_by(key)
    }

    fn seal_by(&self, key: SealKey) -> u32 {
        let Self { run, producer, sequence, due_ns, sent_ns, checksum, seal: _ } = *self;
        let mut hasher = DefaultHasher::new();
        [key.0, u64::from(run) << 32 | u64::from(producer), sequence, due_ns, sent_ns, u64::from(checksum)]
            .hash(&mut hasher);
        hasher.finish() as u32
    }

    /// The text of this envelope.
    pub fn encode(&self) -> EnvelopeText {
        let fields = [
            u64::from(self.run),
            u64::from(self.producer),
            self.sequence,
            self.due_ns,
            self.sent_ns,
            u64::from(self.checksum),
            u64::from(self.seal),
        ];
        let mut text = [b'-'; LEN];
        let mut at = 0;
        for (mut value, width) in fields.into_iter().zip(WIDTHS) {
            for digit in text[at..at + width].iter_mut().rev() {
                *digit = b"0123456789abcdef"[(value & 0xf) as usize];
                value >>= 4;
            }
            debug_assert_eq!(value, 0, "each field fits its width");
            at += width + 1;
        }
        EnvelopeText(text)
    }

    /// Reads an envelope; `None` if the text is not one.
    pub fn decode(text: &[u8]) -> Option<Self> {
        if text.len() != LEN {
            return None;
        }
        let mut fields = [0u64; 7];
        let mut at = 0;
        for (field, width) in fields.iter_mut().zip(WIDTHS) {
            if at > 0 && text[at - 1] != b'-' {
                return None;
            }
            for &digit in &text[at..at + width] {
                *field = *field << 4 | u64::from(HEX_VALUE[usize::from(digit)]?);
            }
            at += width + 1;
        }
        let [run, producer, sequence, due_ns, sent_ns, checksum, seal] = fields;
        let (run, producer, checksum, seal) = (run as u32, producer as u32, checksum as u32, seal as u32);
        Some(Self { run, producer, sequence, due_ns, sent_ns, checksum, seal })
    }
}

/// Value of each hexadecimal digit; a table, since branches on 74 digits cost more than the rest.
const HEX_VALUE: [Option<u8>; 256] = {
    let mut table = [None; 256];
    let mut digit = 0;
    while digit < 16 {
        table[b"0123456789abcdef"[digit] as usize] = Some(digit as u8);
        digit += 1;
    }
    table
};

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: Envelope = Envelope {
        run: 0xdead_beef,
        producer: 65,
        sequence: 0x1234_5678_9abc,
        due_ns: 1_000_000_007,
        sent_ns: u64::MAX,
        checksum: 0x0bad_cafe,
        seal: 0x5ea1,
    };

    #[test]
    fn an_envelope_survives_its_text() {
        let text = SAMPLE.encode();
        assert_eq!(text.as_str(), "deadbeef-000041-123456789abc-000000003b9aca07-ffffffffffffffff-0badcafe-00005ea1");
        assert_eq!(Envelope::decode(text.as_str().as_bytes()), Some(SAMPLE));
    }

    #[test]
    fn what_is_not_an_envelope_is_foreign_and_not_a_crash() {
        let text = SAMPLE.encode();
        let good = text.as_str();
        for bad in [
            "",
            "hello",
            &good[1..],
            &good.replace('-', "_"),
            &good.replace("dead", "DEAD"),
            &good.replace("0041", "004g"),
        ] {
            assert_eq!(Envelope::decode(bad.as_bytes()), None, "{bad}");
        }
    }

    #[test]
    fn a_seal_covers_every_field_and_needs_the_key() {
        let key = SealKey::from_bytes(*b"12345678");
        let sealed = SAMPLE.sealed(key);
        assert!(sealed.is_sealed(key) && !sealed.is_sealed(SealKey::default()));
        let changed = [
            Envelope { run: 1, ..sealed },
            Envelope { producer: 64, ..sealed },
            Envelope { sequence: (1 << 48) - 1, ..sealed },
            Envelope { due_ns: 0, ..sealed },
            Envelope { sent_ns: 0, ..sealed },
            Envelope { checksum: 0, ..sealed },
            Envelope { seal: sealed.seal ^ 1, ..sealed },
        ];
        for forged in changed {
            assert!(!forged.is_sealed(key), "{forged:?}");
        }
        assert_ne!(SealKey::random(), SealKey::random());
        assert_eq!(format!("{key:?}"), "SealKey", "it shows in no output");
    }
}
