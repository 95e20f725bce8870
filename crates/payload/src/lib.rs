//! Message bodies with the byte layouts of real instruments, built from a seed or taken from files, and their checks.
//!
//! A workload is a [`Workload`]; the bodies of one producer are its [`Source`]. Bodies are made from a seed, or taken from files.
//! Each layout of made ones is one module and one variant of `Layout`; storage, event counts and checksums of bodies are the same
//! for all of them.
//!
//! ```no_run
//! use engine::ports::Payloads;
//! use payload::Workload;
//! use profile::{Layer, Origin, Plan, combine};
//!
//! let layer = Layer::parse(Origin::CommandLine, "workload = 'dstream'").unwrap();
//! let profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).unwrap();
//! let plan = Plan::resolve(&profile, 2, 7).unwrap();
//! let workload = Workload::new(&plan).unwrap();
//! let body = workload.body(0, 42); // message 42 of producer 0
//! assert_eq!(workload.verify(0, 42, body.checksum, &body.bytes), Ok(()));
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod adara;
mod bodies;
mod draws;
mod event_count;
mod frames;
mod geb;
mod layout;
mod made;
mod noise;
mod replay;
mod sequence_crc;
mod sink;
mod variables;

pub use replay::survey;

use crate::{made::Made, replay::Replayed, sink::Sink};
use engine::ports::{Body, Corruption, PayloadError, Payloads};
use profile::Plan;
use std::{
    sync::Arc,
    task::{Context, Poll},
};

/// Version of the libhdf5 that is linked, such as `1.14.5`.
pub fn hdf5_version() -> String {
    let (major, minor, patch) = hdf5::library_version();
    format!("{major}.{minor}.{patch}")
}

/// The bodies of one run, for producers to send and consumers to check.
#[derive(Debug, Clone)]
pub struct Workload {
    kind: Kind,
    sink: Option<Arc<Sink>>,
}

#[derive(Debug, Clone)]
enum Kind {
    Made(Made),
    Replayed(Replayed),
}

/// Bodies of one producer.
pub struct Source(OfOne);

enum OfOne {
    Made(bodies::Bodies),
    Ahead(replay::Ahead),
    Streamed(replay::Streamed),
}

impl Workload {
    /// The workload of a plan. Builds the parts that need a library; call it before the clock starts.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the plan's bodies cannot be built, such as larger ones than planned.
    pub fn new(plan: &Plan) -> Result<Self, PayloadError> {
        let kind = match &plan.message.replay {
            Some(replay) => Kind::Replayed(Replayed::new(replay, plan.service.in_flight)),
            None => Kind::Made(Made::new(plan)?),
        };
        Ok(Self { kind, sink: None })
    }

    /// The same workload, which writes what arrives on rank `rank` if the plan says so.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if it cannot be written there.
    pub fn with_sink(self, plan: &Plan, rank: usize) -> Result<Self, PayloadError> {
        Ok(Self { sink: Sink::open(plan, rank)?.map(Arc::new), ..self })
    }

    /// Sizes of the smallest and the largest body, for numbers of events from `least` to `most`.
    pub fn body_bytes(&self, least: u32, most: u32) -> (usize, usize) {
        match &self.kind {
            Kind::Made(made) => (made.body_bytes(least), made.body_bytes(most)),
            Kind::Replayed(replayed) => replayed.body_bytes(),
        }
    }

    /// The body of message `sequence`, as [`Payloads::body`] returns it.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if its file cannot be read.
    pub fn read(&self, producer: u32, sequence: u64) -> Result<Body, PayloadError> {
        match &self.kind {
            Kind::Made(made) => Ok(made.body(producer, sequence)),
            Kind::Replayed(replayed) => replayed.read(producer, sequence),
        }
    }

    /// A checksum with which nodes check that their bodies are equal: HDF5 files depend on the library.
    pub fn fingerprint(&self) -> u32 {
        match &self.kind {
            Kind::Made(made) => made.body(0, 0).checksum,
            // Only ranks with a producer need the files, and the plan has their hash.
            Kind::Replayed(_) => 0,
        }
    }

    /// The layout of a body, one line per part.
    pub fn describe(&self) -> Vec<String> {
        match &self.kind {
            Kind::Made(made) => made.describe(),
            Kind::Replayed(replayed) => replayed.describe(),
        }
    }
}

impl Payloads for Workload {
    type Source = Source;

    fn source(&self, producer: u32) -> Result<Source, PayloadError> {
        Ok(Source(match &self.kind {
            Kind::Made(made) => OfOne::Made(bodies::Bodies::new(made, producer)),
            Kind::Replayed(replayed) if replayed.is_streamed() => OfOne::Streamed(replayed.stream(producer)?),
            Kind::Replayed(replayed) => OfOne::Ahead(replayed.read_ahead(producer)?),
        }))
    }

    fn body(&self, producer: u32, sequence: u64) -> Body {
        match &self.kind {
            Kind::Made(made) => made.body(producer, sequence),
            Kind::Replayed(replayed) => replayed.body(producer, sequence),
        }
    }

    fn events(&self, producer: u32, sequence: u64) -> u32 {
        match &self.kind {
            Kind::Made(made) => made.events(producer, sequence),
            Kind::Replayed(replayed) => replayed.record(producer, sequence).events,
        }
    }

    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        match &self.kind {
            Kind::Made(made) => made.verify(producer, sequence, checksum, body),
            Kind::Replayed(replayed) => replayed.verify(producer, sequence, checksum, body),
        }
    }

    fn inspects(&self) -> bool {
        match &self.kind {
            Kind::Made(made) => made.inspects(),
            Kind::Replayed(_) => false,
        }
    }

    fn inspect(&self, producer: u32, sequence: u64, body: &[u8]) -> Result<(), Corruption> {
        match &self.kind {
            Kind::Made(made) => made.inspect(producer, sequence, body),
            Kind::Replayed(_) => Ok(()),
        }
    }

    fn keep(&self, consumer: u32, message: (u32, u64), body: &[u8], sound: bool) -> Result<(), PayloadError> {
        self.sink.as_ref().map_or(Ok(()), |sink| sink.keep(consumer, message, body, sound))
    }
}

impl engine::ports::Source for Source {
    fn take(&mut self, sequence: u64) -> Body {
        match &mut self.0 {
            OfOne::Made(bodies) => bodies.take(sequence),
            OfOne::Ahead(ahead) => ahead.take(sequence),
            OfOne::Streamed(streamed) => streamed.take(sequence),
        }
    }

    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        match &mut self.0 {
            OfOne::Made(bodies) => bodies.give_back(sequence, bytes),
            OfOne::Ahead(ahead) => ahead.give_back(sequence, bytes),
            OfOne::Streamed(streamed) => streamed.give_back(bytes),
        }
    }

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PayloadError>> {
        match &mut self.0 {
            OfOne::Made(_) | OfOne::Ahead(_) => Poll::Ready(Ok(())),
            OfOne::Streamed(streamed) => streamed.poll_ready(context),
        }
    }

    fn rewind(&mut self) -> Result<(), PayloadError> {
        match &mut self.0 {
            OfOne::Made(_) | OfOne::Ahead(_) => Ok(()),
            OfOne::Streamed(streamed) => streamed.rewind(),
        }
    }
}
