//! Reads a file from its bytes with libhdf5, as any consumer would.

use super::detector::Peak;
use engine::ports::{Corruption, CorruptionKind};
use hdf5_image::Image;
use profile::{Dtype, sizes::FRAME_PEAKS};

/// Reads files of one workload.
#[derive(Debug, Clone)]
pub struct Reader {
    plan: profile::Frames,
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
    /// [`FRAME_PEAKS`] of each event; empty if the workload has none.
    pub peaks: Vec<Peak>,
}

#[derive(Debug)]
enum Pixels {
    U16(Vec<u16>),
    U32(Vec<u32>),
    F32(Vec<f32>),
    F64(Vec<f64>),
}

impl Contents {
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
}

impl Reader {
    /// For files of such frames.
    pub fn new(plan: &profile::Frames) -> Self {
        Self { plan: plan.clone() }
    }

    /// Reads all of a file that should have `events` events.
    pub fn read(&self, body: &[u8], events: u32) -> Result<Contents, Corruption> {
        debug_assert_ne!(std::thread::current().name(), Some(engine::WORKERS_THREAD), "that thread serves the network");
        let wrong = |what: String| Corruption::new(CorruptionKind::Structure, what);
        let image = Image::open(body).map_err(|error| wrong(format!("it is not an HDF5 file: {error}")))?;
        self.contents(&image, events).map_err(wrong)
    }

    fn contents(&self, image: &Image<'_>, events: u32) -> Result<Contents, String> {
        let shape = |rest: &[usize]| [&[events as usize], rest].concat();
        let frame: Vec<usize> = self.plan.shape.iter().map(|extent| *extent as usize).collect();
        let (data, frames) = (&self.plan.data, shape(&frame));
        let pixels = match self.plan.dtype {
            Dtype::U16 => Pixels::U16(image.read(data, &frames)?),
            Dtype::U32 => Pixels::U32(image.read(data, &frames)?),
            Dtype::F32 => Pixels::F32(image.read(data, &frames)?),
            Dtype::F64 => Pixels::F64(image.read(data, &frames)?),
        };
        let peaks: Vec<u16> = match &self.plan.peaks {
            Some(path) => image.read(path, &shape(&[FRAME_PEAKS, 3]))?,
            None => Vec::new(),
        };
        Ok(Contents {
            pixels,
            frame_pixels: frame.iter().product(),
            timestamps: image.read(&self.plan.timestamp, &shape(&[]))?,
            wavelengths: match &self.plan.wavelength {
                Some(path) => image.read(path, &shape(&[]))?,
                None => Vec::new(),
            },
            peaks: peaks.chunks_exact(3).map(|peak| Peak { row: peak[0], column: peak[1], height: peak[2] }).collect(),
        })
    }

    /// Its datasets.
    pub fn describe(&self) -> Vec<String> {
        let plan = &self.plan;
        let extents: String = plan.shape.iter().map(|extent| format!(", {extent}")).collect();
        let mut lines = vec![
            format!("{}: {} [events{extents}], {}, {}", plan.data, plan.dtype, plan.content, plan.storage),
            format!("{}: f64 [events], seconds since 1970", plan.timestamp),
        ];
        lines.extend(plan.wavelength.as_ref().map(|path| format!("{path}: f64 [events], Angstrom")));
        let peaks = |path| format!("{path}: u16 [events, {FRAME_PEAKS}, 3], row, column and height of each true peak");
        lines.extend(plan.peaks.as_ref().map(peaks));
        lines
    }
}
