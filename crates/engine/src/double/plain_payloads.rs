//! Bodies of plain bytes: every byte of a body has the same value, which follows from (producer, sequence).

use crate::ports::{Body, Corruption, CorruptionKind, PayloadError, Payloads, Source};

/// Plain bodies of one size.
#[derive(Debug, Clone, Copy)]
pub struct PlainPayloads {
    /// Size of a body.
    pub bytes: usize,
    /// Inspections report every n-th message as corrupt.
    pub spoilt_every: Option<u64>,
}

/// Plain bodies of one producer.
#[derive(Debug)]
pub struct PlainSource {
    bytes: usize,
    producer: u32,
}

fn value(producer: u32, sequence: u64) -> u8 {
    (u64::from(producer).wrapping_mul(31) + sequence) as u8
}

fn checksum(body: &[u8]) -> u32 {
    body.iter().fold(body.len() as u32, |sum, byte| sum.wrapping_mul(31).wrapping_add(u32::from(*byte)))
}

impl Payloads for PlainPayloads {
    type Source = PlainSource;

    fn source(&self, producer: u32) -> Result<PlainSource, PayloadError> {
        Ok(PlainSource { bytes: self.bytes, producer })
    }

    fn body(&self, producer: u32, sequence: u64) -> Body {
        PlainSource { bytes: self.bytes, producer }.take(sequence)
    }

    fn events(&self, _producer: u32, _sequence: u64) -> u32 {
        1
    }

    fn verify(&self, producer: u32, sequence: u64, sum: u32, body: &[u8]) -> Result<(), Corruption> {
        let kind = if body.len() != self.bytes {
            CorruptionKind::Length
        } else if checksum(body) != sum {
            CorruptionKind::Checksum
        } else if body.iter().any(|byte| *byte != value(producer, sequence)) {
            CorruptionKind::Structure
        } else {
            return Ok(());
        };
        Err(Corruption::new(kind, format!("message {sequence} of producer {producer}")))
    }

    fn inspects(&self) -> bool {
        self.spoilt_every.is_some()
    }

    fn inspect(&self, producer: u32, sequence: u64, _body: &[u8]) -> Result<(), Corruption> {
        assert_ne!(std::thread::current().name(), Some(crate::WORKERS_THREAD), "that thread serves the network");
        match self.spoilt_every {
            Some(n) if sequence.is_multiple_of(n) => Err(Corruption::new(
                CorruptionKind::Content,
                format!("spoilt: message {sequence} of producer {producer}"),
            )),
            _ => Ok(()),
        }
    }
}

impl Source for PlainSource {
    fn take(&mut self, sequence: u64) -> Body {
        let bytes = vec![value(self.producer, sequence); self.bytes];
        let checksum = checksum(&bytes);
        Body { bytes, checksum, events: 1 }
    }

    fn give_back(&mut self, _sequence: u64, _bytes: Vec<u8>) {}
}
