//! Messages taken from files: found before the run, read ahead of it or while it streams, and checked by their hash.

mod ahead;
mod cut;
mod reader;
mod stream;
pub mod survey;

pub use ahead::Ahead;
pub use stream::Streamed;

use engine::ports::{Body, Corruption, CorruptionKind, PayloadError};
use profile::{Cut, Reading, Record, Replay};
use reader::Reader;
use std::{path::Path, sync::Arc};

/// The messages of a replay.
#[derive(Debug, Clone)]
pub struct Replayed {
    plan: Arc<Replay>,
    /// Bodies that a producer has on loan at most.
    in_flight: u32,
}

impl Replayed {
    /// Those of a plan. Opens nothing: a consumer's host may lack the files.
    pub fn new(plan: &Replay, in_flight: u32) -> Self {
        Self { plan: Arc::new(plan.clone()), in_flight }
    }

    /// Whether files are read while they are sent.
    pub fn is_streamed(&self) -> bool {
        self.plan.read == Reading::Streamed
    }

    /// The bodies of a producer, read now.
    pub fn read_ahead(&self, producer: u32) -> Result<Ahead, PayloadError> {
        Ahead::new(self.clone(), producer)
    }

    /// The bodies of a producer, read while it sends.
    pub fn stream(&self, producer: u32) -> Result<Streamed, PayloadError> {
        Streamed::new(self.clone(), producer)
    }

    /// Sizes of the smallest and the largest body.
    pub fn body_bytes(&self) -> (usize, usize) {
        (self.plan.least_bytes as usize, self.plan.most_bytes() as usize)
    }

    /// Where a message is in its file.
    pub fn record(&self, producer: u32, sequence: u64) -> &Record {
        self.plan.record(self.plan.place(producer, sequence))
    }

    /// Reads one message.
    pub fn read(&self, producer: u32, sequence: u64) -> Result<Body, PayloadError> {
        self.read_with(&mut self.reader(), producer, sequence)
    }

    fn read_with(&self, reader: &mut Reader, producer: u32, sequence: u64) -> Result<Body, PayloadError> {
        let record = self.record(producer, sequence);
        let mut bytes = Vec::new();
        let checksum = reader.read(record, &mut bytes)?;
        Ok(Body { bytes, checksum, events: record.events })
    }

    /// One message, or as many zeros on a host that lacks its file. There it only serves to measure the cost of a consumer.
    pub fn body(&self, producer: u32, sequence: u64) -> Body {
        self.read(producer, sequence).unwrap_or_else(|_| {
            let record = self.record(producer, sequence);
            let bytes = vec![0; record.bytes as usize];
            Body { checksum: crc32c::crc32c(&bytes), bytes, events: record.events }
        })
    }

    /// Checks a body by its length, by the checksum of its envelope, and by that of the message in its file.
    pub fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        let record = self.record(producer, sequence);
        let sized = self.plan.hashed || !matches!(self.plan.records, Cut::Frames(_));
        if sized && body.len() != record.bytes as usize {
            return Err(Corruption::new(
                CorruptionKind::Length,
                format!("{} B instead of {}", body.len(), record.bytes),
            ));
        }
        let found = crc32c::crc32c(body);
        if found != checksum {
            let detail = format!("CRC-32C {found:08x} instead of {checksum:08x}");
            return Err(Corruption::new(CorruptionKind::Checksum, detail));
        }
        if self.plan.hashed && found != record.checksum {
            let file = &self.plan.found.files[record.file as usize].path;
            let detail = format!("it is not the message at {} of {file}", record.from);
            return Err(Corruption::new(CorruptionKind::Content, detail));
        }
        Ok(())
    }

    /// What is sent, one line per part.
    pub fn describe(&self) -> Vec<String> {
        let plan = &*self.plan;
        let mut lines = vec![format!(
            "{} message(s) of {} file(s), {} B in all, SHA-256 {} over {}",
            plan.messages,
            plan.file_count,
            plan.bytes,
            plan.sha256,
            if plan.hashed { "names, sizes and messages" } else { "names and sizes" }
        )];
        lines.extend(plan.files.iter().take(8).map(|(path, bytes)| format!("{path}: {bytes} B")));
        if plan.file_count > 8 {
            lines.push(format!("and {} more", plan.file_count - 8));
        }
        if let (Cut::Frames(_), Some(file)) = (plan.records, plan.found.files.first()) {
            let stack = hdf5_image::Stack::open(Path::new(&file.path), plan.dataset.as_deref(), Some(&plan.with));
            lines.extend(stack.map_or_else(|error| vec![error], |stack| stack.describe()));
        }
        lines
    }

    fn reader(&self) -> Reader {
        Reader::new(self.plan.found.clone(), self.plan.records)
    }
}
