//! Message bodies with the byte layouts of real instruments, built from a seed, and their checks.
//!
//! A workload is a [`Workload`]; the bodies of one producer are its [`Bodies`]. Each layout is one module and one
//! variant of `Layout`; storage, event counts and checksums of bodies are the same for all of them.
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
mod noise;
mod sequence_crc;
mod variables;

pub use bodies::Bodies;

use engine::ports::{Body, Corruption, CorruptionKind, PayloadError, Payloads};
use event_count::EventCount;
use layout::Layout;
use profile::{Fill, Plan};

/// Version of the libhdf5 that is linked, such as `1.14.5`.
pub fn hdf5_version() -> String {
    let (major, minor, patch) = hdf5::library_version();
    format!("{major}.{minor}.{patch}")
}

/// The bodies of one run, for producers to send and consumers to check.
#[derive(Debug, Clone)]
pub struct Workload {
    layout: Layout,
    count: EventCount,
    fill: Fill,
    ring_bodies: u32,
}

impl Workload {
    /// The workload of a plan. Builds the parts that need a library; call it before the clock starts.
    ///
    /// # Errors
    ///
    /// [`PayloadError`] if the plan's bodies cannot be built, such as larger ones than planned.
    pub fn new(plan: &Plan) -> Result<Self, PayloadError> {
        let message = &plan.message;
        if message.ring_bodies == 0 {
            return Err(PayloadError("a producer needs at least one body".to_owned()));
        }
        let layout = Layout::new(plan)?;
        let (largest, planned) = (layout.body_bytes(message.events.max()) as u64, message.body_bytes);
        if largest > planned {
            return Err(PayloadError(format!(
                "a body of {largest} B is larger than the {planned} B that were planned for: use shorter paths or fewer events"
            )));
        }
        Ok(Self {
            layout,
            count: EventCount::new(plan.seed, message.events),
            fill: message.fill,
            ring_bodies: message.ring_bodies,
        })
    }

    /// Size of the body with this many events.
    pub fn body_bytes(&self, events: u32) -> usize {
        self.layout.body_bytes(events)
    }

    /// A checksum with which nodes check that their bodies are equal: HDF5 files depend on the library.
    pub fn fingerprint(&self) -> u32 {
        self.body(0, 0).checksum
    }

    /// The layout of a body, one line per part.
    pub fn describe(&self) -> Vec<String> {
        self.layout.describe()
    }

    /// The key of a message's contents: in a ring, the slot.
    fn key(&self, sequence: u64) -> u64 {
        match self.fill {
            Fill::Ring => sequence % u64::from(self.ring_bodies),
            Fill::Fresh => sequence,
        }
    }
}

impl Payloads for Workload {
    type Source = Bodies;

    fn source(&self, producer: u32) -> Result<Bodies, PayloadError> {
        Ok(Bodies::new(self, producer))
    }

    fn body(&self, producer: u32, sequence: u64) -> Body {
        let (key, events) = (self.key(sequence), self.events(producer, sequence));
        let mut bytes = vec![0; self.layout.body_bytes(events)];
        self.layout.fill(&mut bytes, producer, key, events);
        self.layout.stamp(&mut bytes, producer, sequence, events);
        Body { checksum: crc32c::crc32c(&bytes), bytes, events }
    }

    fn events(&self, producer: u32, sequence: u64) -> u32 {
        self.count.of(producer, self.key(sequence))
    }

    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        let events = self.events(producer, sequence);
        let expected = self.layout.body_bytes(events);
        if body.len() != expected {
            return Err(Corruption::new(CorruptionKind::Length, format!("{} B instead of {expected}", body.len())));
        }
        // The only pass over all bytes; what follows reads headers. It costs about as much as copying the body.
        let found = crc32c::crc32c(body);
        if found != checksum {
            let detail = format!("CRC-32C {found:08x} instead of {checksum:08x}");
            return Err(Corruption::new(CorruptionKind::Checksum, detail));
        }
        let checked = self.layout.check(body, producer, sequence, events);
        checked.map_err(|detail| Corruption::new(CorruptionKind::Structure, detail))
    }

    fn inspects(&self) -> bool {
        self.layout.inspects()
    }

    fn inspect(&self, producer: u32, sequence: u64, body: &[u8]) -> Result<(), Corruption> {
        self.layout.inspect(body, producer, sequence, self.events(producer, sequence))
    }
}
