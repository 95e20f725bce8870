//! A file as built by libhdf5, and the places of the data of each event.

use engine::ports::PayloadError;
use hdf5::{
    Dataset, H5Type,
    plist::dataset_create::{AllocTime, FillTime, Layout},
};
use profile::{
    Dtype, Storage,
    sizes::{FRAME_PEAKS, PEAK_BYTES},
};
use std::ops::Range;

/// One file, without its data.
#[derive(Debug)]
pub struct Template {
    bytes: usize,
    frame_bytes: usize,
    events: Vec<Places>,
    /// The structure that libhdf5 wrote: the bytes between the data.
    structure: Vec<(usize, Box<[u8]>)>,
}

/// Byte offsets of the data of one event.
#[derive(Debug, Clone, Copy)]
pub struct Places {
    /// The frame.
    pub frame: usize,
    /// The time, 8 bytes.
    pub timestamp: usize,
    /// The wavelength, 8 bytes.
    pub wavelength: Option<usize>,
    /// The peaks.
    pub peaks: Option<usize>,
}

impl Template {
    /// Builds a file of `events` events with libhdf5 and records the places of their data.
    pub fn new(plan: &profile::Frames, events: u32) -> Result<Self, PayloadError> {
        build(plan, events).map_err(|error| {
            PayloadError(format!("libhdf5 cannot build a file of {events} event(s) for this workload: {error}"))
        })
    }

    /// Size of the file.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Size of a frame.
    pub fn frame_bytes(&self) -> usize {
        self.frame_bytes
    }

    /// The places of the data of each event.
    pub fn events(&self) -> impl Iterator<Item = &Places> {
        self.events.iter()
    }

    /// Bytes that are not data.
    pub fn structure_bytes(&self) -> usize {
        self.structure.iter().map(|(_, bytes)| bytes.len()).sum()
    }

    /// Writes the structure.
    pub fn write_structure(&self, body: &mut [u8]) {
        for (at, bytes) in &self.structure {
            body[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
    }

    /// The offset of the first byte of the structure that differs.
    pub fn first_difference(&self, body: &[u8]) -> Option<usize> {
        self.structure.iter().find_map(|(at, bytes)| {
            let found = &body[*at..*at + bytes.len()];
            // Whole slices first, because memcmp is fast on them.
            (*found != **bytes).then(|| at + found.iter().zip(bytes).take_while(|(a, b)| a == b).count())
        })
    }
}

fn build(plan: &profile::Frames, events: u32) -> Result<Template, Box<dyn std::error::Error>> {
    let count = events as usize;
    let frame: Vec<usize> = plan.shape.iter().map(|extent| *extent as usize).collect();
    let frame_bytes = frame.iter().product::<usize>() * plan.dtype.bytes() as usize;
    let peaks_bytes = FRAME_PEAKS * PEAK_BYTES;

    let file = hdf5_image::create()?;
    let dataset = |path: &str, shape: &[usize], bytes: usize, create: Create| {
        let dataset = create(&file, path, &[&[count], shape].concat(), plan.storage)?;
        let places = places(&dataset, count, bytes);
        places.ok_or_else(|| hdf5::Error::from(format!("it does not report the offset of `{path}`")))
    };
    let frames = dataset(
        &plan.data,
        &frame,
        frame_bytes,
        match plan.dtype {
            Dtype::U16 => create::<u16>,
            Dtype::U32 => create::<u32>,
            Dtype::F32 => create::<f32>,
            Dtype::F64 => create::<f64>,
        },
    )?;
    let timestamps = dataset(&plan.timestamp, &[], 8, create::<f64>)?;
    let wavelengths = plan.wavelength.as_ref().map(|path| dataset(path, &[], 8, create::<f64>)).transpose()?;
    let peaks =
        plan.peaks.as_ref().map(|path| dataset(path, &[FRAME_PEAKS, 3], peaks_bytes, create::<u16>)).transpose()?;
    let bytes = hdf5_image::bytes(&file)?;
    let events: Vec<Places> = (0..count)
        .map(|event| Places {
            frame: frames[event],
            timestamp: timestamps[event],
            wavelength: wavelengths.as_ref().map(|places| places[event]),
            peaks: peaks.as_ref().map(|places| places[event]),
        })
        .collect();
    let data = events.iter().flat_map(|places| {
        let part = |at: usize, bytes: usize| at..at + bytes;
        [part(places.frame, frame_bytes), part(places.timestamp, 8)]
            .into_iter()
            .chain(places.wavelength.map(|at| part(at, 8)))
            .chain(places.peaks.map(|at| part(at, peaks_bytes)))
    });
    let structure = between(data.collect(), bytes.len()).ok_or("its data overlap, or end after the file")?;
    let structure = structure.into_iter().map(|gap| (gap.start, bytes[gap].into())).collect();
    Ok(Template { bytes: bytes.len(), frame_bytes, events, structure })
}

type Create = fn(&hdf5::File, &str, &[usize], Storage) -> hdf5::Result<Dataset>;

fn create<T: H5Type>(file: &hdf5::File, path: &str, shape: &[usize], storage: Storage) -> hdf5::Result<Dataset> {
    let builder = file
        .new_dataset_builder()
        .create_intermediate_group(true)
        // Early allocation, so that the data have a place; no fill values, since everything is written; no times, so
        // that the same file has the same bytes.
        .alloc_time(Some(AllocTime::Early))
        .fill_time(FillTime::Never)
        .obj_track_times(false);
    let builder = match storage {
        Storage::Contiguous => builder.layout(Layout::Contiguous),
        Storage::Chunked => builder.chunk([&[1], &shape[1..]].concat()),
    };
    builder.empty::<T>().shape(shape).create(path)
}

/// Byte offset of each event in the file.
fn places(dataset: &Dataset, events: usize, event_bytes: usize) -> Option<Vec<usize>> {
    if let Some(start) = dataset.offset() {
        return Some((0..events).map(|event| start as usize + event * event_bytes).collect());
    }
    let mut places = vec![None; events];
    for index in 0..dataset.num_chunks()? {
        let chunk = dataset.chunk_info(index)?;
        *places.get_mut(*chunk.offset.first()? as usize)? = Some(chunk.addr as usize);
    }
    places.into_iter().collect()
}

/// The gaps between the parts of a whole of `bytes` bytes; `None` if parts overlap or extend beyond it.
fn between(mut parts: Vec<Range<usize>>, bytes: usize) -> Option<Vec<Range<usize>>> {
    parts.sort_by_key(|part| part.start);
    parts.push(bytes..bytes);
    let mut gaps = Vec::new();
    let mut end = 0;
    for part in parts {
        if part.start < end || part.end > bytes {
            return None;
        }
        if part.start > end {
            gaps.push(end..part.start);
        }
        end = part.end;
    }
    Some(gaps)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_all_that_the_parts_leave() {
        let check = |parts: &[(usize, usize)], expected: Option<Vec<Range<usize>>>| {
            assert_eq!(between(parts.iter().map(|(start, end)| *start..*end).collect(), 10), expected, "{parts:?}");
        };
        check(&[(6, 8), (2, 4), (4, 5)], Some(vec![0..2, 5..6, 8..10]));
        check(&[(0, 10)], Some(vec![]));
        check(&[(0, 4), (3, 5)], None);
        check(&[(8, 11)], None);
    }
}
