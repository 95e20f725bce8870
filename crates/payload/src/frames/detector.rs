//! The simulated detector: a pedestal per pixel, noise, and known peaks.
//!
//! Integer arithmetic only, so that pixels are the same on every machine.

use crate::{
    draws::Draws,
    noise::{Noise, STRETCH_MAX, Silence},
};
use profile::{
    Content,
    sizes::{FRAME_PEAKS as PEAKS, PEAK_BYTES},
};
use std::sync::Arc;

/// Cells of the grid along each extent; each cell has at most one peak.
const GRID: u32 = PEAKS.isqrt() as u32;
/// Least number of peaks in a frame with peaks.
const PEAKS_MIN: u32 = 4;
/// Heights of a peak above its surroundings: pedestal, height and noise stay inside a 14-bit converter.
const HEIGHTS: std::ops::Range<u32> = 500..12_000;
/// Mean of the pedestal, and its range over pixels.
const PEDESTAL: u16 = 1000;
const PEDESTAL_SPREAD: u32 = 200;
/// Counts at the centre of a diffraction pattern, and its width as a fraction of the frame's.
const CENTRE_COUNTS: u64 = 4000;
const CENTRE_PART: u64 = 12;
/// A peak's counts by distance from its centre, in 1/64 of its height: its shoulders stay below the centre.
const SHAPE: [[u32; 5]; 5] =
    [[1, 3, 5, 3, 1], [3, 14, 26, 14, 3], [5, 26, 64, 26, 5], [3, 14, 26, 14, 3], [1, 3, 5, 3, 1]];

/// A detector and its image.
#[derive(Debug, Clone)]
pub struct Detector {
    columns: u32,
    content: Content,
    /// Counts of each pixel without noise and peaks.
    pedestal: Arc<[u16]>,
    noise: Noise,
}

/// The place and height of a peak. A height of 0 means no peak.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Peak {
    /// Row, counted through all panels.
    pub row: u16,
    /// Column.
    pub column: u16,
    /// Counts of the central pixel above its pedestal.
    pub height: u16,
}

impl Peak {
    /// Its bytes in a file.
    pub fn to_bytes(self) -> [u8; PEAK_BYTES] {
        let [[a, b], [c, d], [e, f]] = [self.row, self.column, self.height].map(u16::to_le_bytes);
        [a, b, c, d, e, f]
    }
}

impl Detector {
    /// The detector of a plan. In the fraction `compressible` of it, all pixels have the same pedestal.
    pub fn new(plan: &profile::Frames, noise: Noise, compressible: f64) -> Self {
        let columns = *plan.shape.last().expect("a frame has extents");
        let rows = plan.shape[..plan.shape.len() - 1].iter().product::<u32>().max(1);
        let pixels = rows as usize * columns as usize;
        let pedestal = match plan.content {
            Content::Crystal => spread_pedestal(pixels, compressible),
            Content::Diffraction => diffraction(rows, columns),
        };
        Self { columns, content: plan.content, pedestal, noise }
    }

    /// The peaks of the next frame.
    pub fn peaks(&self, draws: &mut Draws) -> Vec<Peak> {
        let rows = self.pedestal.len() as u32 / self.columns;
        let (cell_rows, cell_columns) = ((rows / GRID).min(u32::from(u16::MAX) / GRID), self.columns / GRID);
        // A peak keeps two pixels from the edge of its cell, so that no two touch.
        let room = cell_rows > 4 && cell_columns > 4 && self.columns <= u32::from(u16::MAX);
        if self.content != Content::Crystal || !room || draws.below(2) == 0 {
            return Vec::new();
        }
        let (count, first) = (PEAKS_MIN + draws.below(PEAKS as u32 - PEAKS_MIN + 1), draws.below(PEAKS as u32));
        let mut peak = |index: u32| {
            // 5 and 16 have no common factor: each cell is used once.
            let cell = (first + 5 * index) % PEAKS as u32;
            Peak {
                row: (cell / GRID * cell_rows + 2 + draws.below(cell_rows - 4)) as u16,
                column: (cell % GRID * cell_columns + 2 + draws.below(cell_columns - 4)) as u16,
                height: (HEIGHTS.start + draws.below(HEIGHTS.end - HEIGHTS.start)) as u16,
            }
        };
        (0..count).map(&mut peak).collect()
    }

    /// Writes a frame with these peaks; `encode` turns a pixel into its bytes.
    pub fn frame<const N: usize>(
        &self,
        draws: &mut Draws,
        peaks: &[Peak],
        bytes: &mut [u8],
        encode: impl Fn(u16) -> [u8; N],
    ) {
        for (bytes, pedestal) in bytes.chunks_mut(N * STRETCH_MAX).zip(self.pedestal.chunks(STRETCH_MAX)) {
            let noise = self.noise.stretch(draws, pedestal.len());
            for ((pixel, pedestal), noise) in bytes.chunks_exact_mut(N).zip(pedestal).zip(noise) {
                // No counts below 0, as in a photon counter.
                pixel.copy_from_slice(&encode((*pedestal as i16 + noise).max(0) as u16));
            }
        }
        for peak in peaks {
            for (row, shape) in (0..).zip(SHAPE) {
                for (column, part) in (0..).zip(shape) {
                    let at = self.index(u32::from(peak.row) + row - 2, u32::from(peak.column) + column - 2);
                    let counts = u32::from(self.pedestal[at]) + ((u32::from(peak.height) * part) >> 6);
                    bytes[N * at..N * (at + 1)].copy_from_slice(&encode(counts as u16));
                }
            }
        }
    }

    /// Checks that a frame has a peak: the highest pixel of its surroundings, with the right height.
    pub fn find(&self, peak: &Peak, pixel: impl Fn(usize) -> f64) -> Result<(), String> {
        let Peak { row, column, height } = *peak;
        let rows = self.pedestal.len() as u32 / self.columns;
        let inside = |at: u16, extent: u32| (2..extent.saturating_sub(2)).contains(&u32::from(at));
        if !inside(row, rows) || !inside(column, self.columns) {
            return Err(format!("a peak at row {row}, column {column} is outside of the frame"));
        }
        let pixel = |row: u32, column: u32| pixel(self.index(row, column));
        let (row, column) = (u32::from(row), u32::from(column));
        let middle = pixel(row, column);
        let around = (row - 2..=row + 2).flat_map(|r| (column - 2..=column + 2).map(move |c| (r, c)));
        if around.filter(|at| *at != (row, column)).any(|(r, c)| pixel(r, c) >= middle) {
            return Err(format!("no peak is at row {row}, column {column}"));
        }
        let found = middle - f64::from(self.pedestal[self.index(row, column)]);
        // Peaks are written without noise.
        if found != f64::from(height) {
            return Err(format!("the peak at row {row}, column {column} is {found} counts high, not {height}"));
        }
        Ok(())
    }

    fn index(&self, row: u32, column: u32) -> usize {
        row as usize * self.columns as usize + column as usize
    }
}

/// The pedestal of each pixel, the same for every run, as for a real detector.
fn spread_pedestal(pixels: usize, compressible: f64) -> Arc<[u16]> {
    const PATCH: usize = 256;
    let mut draws = Draws::new(0, "pedestal", 0, 0);
    let silence = Silence::new(compressible);
    let mut pedestal = Vec::with_capacity(pixels + PATCH);
    while pedestal.len() < pixels {
        let flat = silence.draw(&mut draws);
        pedestal
            .extend((0..PATCH).map(|_| if flat { PEDESTAL } else { PEDESTAL + draws.below(PEDESTAL_SPREAD) as u16 }));
    }
    pedestal.truncate(pixels);
    pedestal.into()
}

/// A bright centre that falls off with the fourth power of the distance.
fn diffraction(rows: u32, columns: u32) -> Arc<[u16]> {
    let width = (u64::from(rows.min(columns)) / CENTRE_PART).max(1).pow(2);
    let square = |at: u32, extent: u32| u64::from(at.abs_diff(extent / 2)).pow(2);
    let counts = |row: u32, column: u32| {
        let far = 1024 + 1024 * (square(row, rows) + square(column, columns)) / width;
        (CENTRE_COUNTS * 1024 * 1024 / far.saturating_mul(far)) as u16
    };
    (0..rows).flat_map(|row| (0..columns).map(move |column| counts(row, column))).collect()
}
