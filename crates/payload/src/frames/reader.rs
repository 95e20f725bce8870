//! Reads a file from its bytes with libhdf5, as any consumer would.

use super::detector::Peak;
use engine::ports::{Corruption, CorruptionKind};
use hdf5_image::Image;
use profile::{Dtype, EventClock, sizes::FRAME_PEAKS};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Reads files of one workload, one at a time: libhdf5 has one lock, and readers that took it in turn would only wait
/// for each other.
#[derive(Debug, Clone)]
pub struct Reader {
    plan: profile::Frames,
    /// Its memory is used again: page faults of fresh memory would take longer than reading.
    contents: Arc<Mutex<Contents>>,
}

/// The contents of a file.
#[derive(Debug)]
pub struct Contents {
    pixels: Pixels,
    frame_pixels: usize,
    /// Seconds since 1970, of each event.
    pub timestamps: Vec<f64>,
    /// Angstrom, of each event; empty if the workload has none.
    pub wavelengths: Vec<f64>,
    peaks: Vec<u16>,
}

#[derive(Debug)]
enum Pixels {
    U16(Vec<u16>),
    U32(Vec<u32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Contents {
    fn new(plan: &profile::Frames) -> Self {
        Self {
            pixels: match plan.dtype {
                Dtype::U16 => Pixels::U16(Vec::new()),
                Dtype::U32 => Pixels::U32(Vec::new()),
                Dtype::F32 => Pixels::F32(Vec::new()),
                Dtype::F64 => Pixels::F64(Vec::new()),
            },
            frame_pixels: plan.shape.iter().map(|extent| *extent as usize).product(),
            timestamps: Vec::new(),
            wavelengths: Vec::new(),
            peaks: Vec::new(),
        }
    }

    /// One pixel of one frame.
    pub fn pixel(&self, event: usize, pixel: usize) -> f64 {
        let at = event * self.frame_pixels + pixel;
        match &self.pixels {
            Pixels::U16(pixels) => f64::from(pixels[at]),
            Pixels::U32(pixels) => f64::from(pixels[at]),
            Pixels::F32(pixels) => f64::from(pixels[at]),
            Pixels::F64(pixels) => pixels[at],
        }
    }

    /// [`FRAME_PEAKS`] of each event; none if the workload has none.
    pub fn peaks(&self) -> impl Iterator<Item = Peak> {
        self.peaks.chunks_exact(3).map(|peak| Peak { row: peak[0], column: peak[1], height: peak[2] })
    }

    fn read(&mut self, plan: &profile::Frames, image: &Image<'_>, events: u32) -> Result<(), String> {
        let shape = |rest: &[usize]| [&[events as usize], rest].concat();
        let frame: Vec<usize> = plan.shape.iter().map(|extent| *extent as usize).collect();
        let (data, frames) = (&plan.data, shape(&frame));
        match &mut self.pixels {
            Pixels::U16(pixels) => image.read(data, &frames, pixels),
            Pixels::U32(pixels) => image.read(data, &frames, pixels),
            Pixels::F32(pixels) => image.read(data, &frames, pixels),
            Pixels::F64(pixels) => image.read(data, &frames, pixels),
        }?;
        if let Some(path) = &plan.peaks {
            image.read(path, &shape(&[FRAME_PEAKS, 3]), &mut self.peaks)?;
        }
        image.read(&plan.timestamp, &shape(&[]), &mut self.timestamps)?;
        if let Some(path) = &plan.wavelength {
            image.read(path, &shape(&[]), &mut self.wavelengths)?;
        }
        Ok(())
    }
}

impl Reader {
    /// For files of such frames.
    pub fn new(plan: &profile::Frames) -> Self {
        Self { plan: plan.clone(), contents: Arc::new(Mutex::new(Contents::new(plan))) }
    }

    /// Reads all of a file that should have `events` events.
    pub fn read(&self, body: &[u8], events: u32) -> Result<MutexGuard<'_, Contents>, Corruption> {
        debug_assert_ne!(std::thread::current().name(), Some(engine::WORKERS_THREAD), "that thread serves the network");
        // A body that made the library panic leaves contents that the next one overwrites.
        let mut contents = self.contents.lock().unwrap_or_else(PoisonError::into_inner);
        let wrong = |what: String| Corruption::new(CorruptionKind::Structure, what);
        let image = Image::open(body).map_err(|error| wrong(format!("it is not an HDF5 file: {error}")))?;
        contents.read(&self.plan, &image, events).map_err(wrong)?;
        Ok(contents)
    }

    /// Its datasets.
    pub fn describe(&self) -> Vec<String> {
        let plan = &self.plan;
        let extents: String = plan.shape.iter().map(|extent| format!(", {extent}")).collect();
        let mut lines = vec![
            format!("{}: {} [events{extents}], {}, {}", plan.data, plan.dtype, plan.content, plan.storage),
            format!("{}: f64 [events], {}", plan.timestamp, times(plan.clock)),
        ];
        lines.extend(plan.wavelength.as_ref().map(|path| format!("{path}: f64 [events], Angstrom")));
        let peaks = |path| format!("{path}: u16 [events, {FRAME_PEAKS}, 3], row, column and height of each true peak");
        lines.extend(plan.peaks.as_ref().map(peaks));
        lines
    }
}

/// What the times of events are.
fn times(clock: EventClock) -> &'static str {
    match clock {
        EventClock::Unix => "seconds since 1970",
        EventClock::Psana2 => "times of psana2 (seconds since 1990 times 2^32, plus nanoseconds)",
    }
}
