//! Lstream: one HDF5 file of detector frames per message, in the layout of LCLStream's serializer.
//!
//! Every dataset has the events as its first extent and, if chunked, one chunk for each event. Paths, the type of
//! pixels and the extents of a frame are the workload's; these are the usual ones:
//!
//! | path | type | extents | here |
//! |---|---|---|---|
//! | `/data/data` | u16 | events, rows, columns | pedestal, noise, and Bragg-like peaks in half of the frames |
//! | `/data/timestamp` | f64 | events | **stamped**: seconds since 1970, or psana2's times |
//! | `/data/wavelength` | f64 | events | Angstrom |
//! | `/data/peaks` | u16 | events, 16, 3 | row, column and height of each peak that is there; unused ones are 0 |
//!
//! `peaks` has the true peaks, with which the result of a consumer's peak finder can be compared; LCLStream has no such
//! dataset, and a workload can leave it out. For frames of more than two extents a row counts through all panels.
//!
//! libhdf5 builds one [`Template`] for each number of events before the clock starts; a message is a copy of its bytes
//! with new pixels, wavelengths, peaks and times at the recorded places. So no library call and no lock is on the path
//! of a message, and a consumer can read the file with libhdf5 ([`Reader`]).

mod detector;
mod reader;
mod template;
mod times;

use crate::{draws::Draws, noise::Noise};
use detector::{Detector, Peak};
use engine::ports::{Corruption, CorruptionKind, PayloadError};
use profile::{
    Dtype, Events,
    sizes::{FRAME_PEAKS, PEAK_BYTES},
};
use reader::Reader;
use std::sync::Arc;
use template::Template;
use times::Times;

/// LCLS's hard X-rays of 9.5 keV.
const WAVELENGTH_ANGSTROM: f64 = 1.305;

/// Bodies of HDF5 files.
#[derive(Debug, Clone)]
pub struct Frames {
    seed: u64,
    dtype: Dtype,
    times: Times,
    detector: Detector,
    /// By number of events, starting with the smallest.
    templates: Arc<[Template]>,
    least: u32,
    reader: Reader,
}

impl Frames {
    /// For files of frames as planned; `events_per_second` is the instrument's rate, if known.
    pub fn new(
        seed: u64,
        plan: &profile::Frames,
        events: Events,
        events_per_second: Option<f64>,
        noise: Noise,
        compressible: f64,
    ) -> Result<Self, PayloadError> {
        let templates =
            (events.min()..=events.max()).map(|count| Template::new(plan, count)).collect::<Result<_, _>>()?;
        Ok(Self {
            seed,
            dtype: plan.dtype,
            times: Times::new(seed, plan.clock, events.max(), events_per_second),
            detector: Detector::new(plan, noise, compressible),
            templates,
            least: events.min(),
            reader: Reader::new(plan),
        })
    }

    /// Size of a body.
    pub fn body_bytes(&self, events: u32) -> usize {
        self.template(events).bytes()
    }

    /// Writes everything except the times.
    pub fn fill(&self, body: &mut [u8], producer: u32, key: u64, events: u32) {
        let template = self.template(events);
        template.write_structure(body);
        let mut draws = Draws::new(self.seed, "frames", producer, key);
        for places in template.events() {
            let peaks = self.detector.peaks(&mut draws);
            let frame = &mut body[places.frame..places.frame + template.frame_bytes()];
            match self.dtype {
                Dtype::U16 => self.detector.frame(&mut draws, &peaks, frame, |pixel: u16| pixel.to_le_bytes()),
                Dtype::U32 => self.detector.frame(&mut draws, &peaks, frame, |pixel| u32::from(pixel).to_le_bytes()),
                Dtype::F32 => self.detector.frame(&mut draws, &peaks, frame, |pixel| f32::from(pixel).to_le_bytes()),
                Dtype::F64 => self.detector.frame(&mut draws, &peaks, frame, |pixel| f64::from(pixel).to_le_bytes()),
            }
            if let Some(at) = places.wavelength {
                // A bandwidth of 0.1 %.
                let wavelength = WAVELENGTH_ANGSTROM * (0.9995 + 0.001 * f64::from(draws.unit()));
                body[at..at + 8].copy_from_slice(&wavelength.to_le_bytes());
            }
            if let Some(at) = places.peaks {
                let written = peaks.iter().copied().chain(std::iter::repeat(Peak::default()));
                for (bytes, peak) in body[at..at + FRAME_PEAKS * PEAK_BYTES].chunks_exact_mut(PEAK_BYTES).zip(written) {
                    bytes.copy_from_slice(&peak.to_bytes());
                }
            }
        }
    }

    /// Writes the times of message `sequence`.
    pub fn stamp(&self, body: &mut [u8], producer: u32, sequence: u64, events: u32) {
        for (event, places) in (0..).zip(self.template(events).events()) {
            let time = self.times.of(producer, sequence, event);
            body[places.timestamp..places.timestamp + 8].copy_from_slice(&time.to_le_bytes());
        }
    }

    /// Checks that the file's structure is unchanged and that the times belong to this message. Calls no library.
    pub fn check(&self, body: &[u8], producer: u32, sequence: u64, events: u32) -> Result<(), String> {
        let template = self.template(events);
        if let Some(at) = template.first_difference(body) {
            return Err(format!("byte {at} is not as HDF5 laid the file out"));
        }
        let times = (0..).zip(template.events()).map(|(event, places)| {
            (event, &body[places.timestamp..places.timestamp + 8], self.times.of(producer, sequence, event))
        });
        for (event, found, expected) in times {
            if found != expected.to_le_bytes() {
                return Err(format!("the time of event {event} is not that of this message"));
            }
        }
        Ok(())
    }

    /// Reads the file with libhdf5: datasets, types, extents, times and peaks.
    pub fn inspect(&self, body: &[u8], producer: u32, sequence: u64, events: u32) -> Result<(), Corruption> {
        let content = |detail| Corruption::new(CorruptionKind::Content, detail);
        let file = self.reader.read(body, events)?;
        for (event, found) in (0..).zip(&file.timestamps) {
            let expected = self.times.of(producer, sequence, event);
            if found.to_bits() != expected.to_bits() {
                return Err(content(format!("event {event} has the time {found}, not {expected}")));
            }
        }
        if let Some(wavelength) =
            file.wavelengths.iter().find(|wavelength| !wavelength.is_finite() || **wavelength <= 0.0)
        {
            return Err(content(format!("a wavelength of {wavelength} Angstrom")));
        }
        file.peaks().enumerate().filter(|(_, peak)| peak.height > 0).try_for_each(|(index, peak)| {
            let event = index / FRAME_PEAKS;
            let found = self.detector.find(&peak, |pixel| file.pixel(event, pixel));
            found.map_err(|what| content(format!("event {event}: {what}")))
        })
    }

    /// The layout of a file, one line per part.
    pub fn describe(&self) -> Vec<String> {
        let template = self.template(self.least);
        let mut lines = self.reader.describe();
        lines.push(format!(
            "HDF5's own bytes, with {} event(s): {} of {}",
            self.least,
            template.structure_bytes(),
            template.bytes()
        ));
        lines
    }

    fn template(&self, events: u32) -> &Template {
        &self.templates[(events - self.least) as usize]
    }
}
