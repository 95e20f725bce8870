//! What files hold, found out before a run: their sizes, the messages in them, and a hash.

use super::{
    cut::{self, RECORDS_MAX},
    reader::{Reader, unchanged, unreadable},
};
use engine::ports::PayloadError;
use hdf5_image::Stack;
use profile::{Cut, FilesProfile, Found, FoundFile, Record, sizes::BODY_BYTES_MAX};
use sha2::{Digest, Sha256};
use std::{fs, path::Path, sync::Arc};

/// More than this is not read for its hash before a run: it would take longer than ranks wait for each other.
const HASHED_MAX: u64 = 2 << 30;
/// What libhdf5 adds to frames at most, beside their datasets: groups, attributes, and the index of chunks.
const AROUND_FRAMES: u64 = 256 << 10;

/// Finds the files of a workload and the messages in them.
///
/// # Errors
///
/// [`PayloadError`] if a pattern fits no file, or a file cannot be read, is empty, changes, or cannot be cut by the rule.
pub fn find(written: &FilesProfile) -> Result<Found, PayloadError> {
    let cut = written.records.unwrap_or(Cut::Whole);
    let paths = written.paths.as_deref().unwrap_or_default();
    let mut found = Found::default();
    for pattern in paths {
        found.files.extend(files(pattern)?);
    }
    for (index, file) in found.files.iter().enumerate() {
        match cut {
            Cut::Frames(frames) => {
                let dataset = found.dataset.as_deref().or(written.dataset.as_deref());
                let with = if index == 0 { written.with.as_deref() } else { Some(&found.with[..]) };
                let stack = Stack::open(Path::new(&file.path), dataset, with).map_err(PayloadError)?;
                of_frames(index as u32, file, &stack, frames.get(), &mut found.records)?;
                (found.dataset, found.with) = (Some(stack.path().to_owned()), stack.with().to_vec());
            }
            _ => cut::records(index as u32, file, cut, &mut found.records)?,
        }
    }
    if found.records.is_empty() {
        return Err(PayloadError(format!("{} hold no message: use another rule for records", paths.join(", "))));
    }
    hash(found, cut)
}

/// The files of a path or of a pattern, by name.
fn files(pattern: &str) -> Result<Vec<FoundFile>, PayloadError> {
    let error = |what: String| PayloadError(what);
    let plain = fs::symlink_metadata(pattern).is_ok();
    let mut paths: Vec<String> = if plain {
        vec![pattern.to_owned()]
    } else {
        let walk =
            glob::glob(pattern).map_err(|why| error(format!("`{pattern}` is not a valid pattern of paths: {why}")))?;
        let path = |path: glob::GlobResult| {
            let path = path.map_err(|why| unreadable(&why.path().display().to_string(), why.error()))?;
            let text = path.to_str().map(str::to_owned);
            text.ok_or_else(|| error(format!("the name of `{}` is not text: rename it", path.display())))
        };
        walk.map(path).collect::<Result<_, _>>()?
    };
    paths.sort();
    let mut files = Vec::new();
    for path in paths {
        let data = fs::metadata(&path).map_err(|why| unreadable(&path, &why))?;
        if data.is_dir() && !plain {
            continue;
        }
        if !data.is_file() {
            return Err(error(format!("`{path}` is not a file: name files, or a pattern such as `{path}/*.h5`")));
        }
        if data.len() == 0 {
            return Err(error(format!("`{path}` is empty: leave it out, or wait until it is written")));
        }
        fs::File::open(&path).map_err(|why| unreadable(&path, &why))?;
        files.push(FoundFile { path, bytes: data.len() });
    }
    if files.is_empty() {
        return Err(error(format!(
            "no file fits `{pattern}`: give paths as seen from {}",
            std::env::current_dir().unwrap_or_default().display()
        )));
    }
    Ok(files)
}

fn of_frames(
    index: u32,
    file: &FoundFile,
    stack: &Stack,
    each: u32,
    into: &mut Vec<Record>,
) -> Result<(), PayloadError> {
    if let Some(chunk) = stack.whole_chunk().filter(|chunk| !(each as usize).is_multiple_of(*chunk)) {
        return Err(PayloadError(format!(
            "`{}` stores {chunk} frames of `{}` in one compressed chunk, which is kept as it is: use records = \"frames:{}\"",
            file.path,
            stack.path(),
            (each as usize).next_multiple_of(chunk)
        )));
    }
    let bytes = u64::from(each) * stack.frame_bytes() as u64 + AROUND_FRAMES;
    if bytes > BODY_BYTES_MAX {
        return Err(PayloadError(format!(
            "{each} frames of {} B are more than the {} MiB that a broker takes: use records = \"frames:{}\"",
            stack.frame_bytes(),
            BODY_BYTES_MAX >> 20,
            (BODY_BYTES_MAX - AROUND_FRAMES) / (stack.frame_bytes() as u64).max(1)
        )));
    }
    let slices = (stack.len() as u64).div_ceil(u64::from(each));
    if into.len() as u64 + slices > RECORDS_MAX as u64 {
        return Err(PayloadError(format!("the files make more than {RECORDS_MAX} messages: use more frames for each")));
    }
    into.extend((0..slices).map(|slice| {
        let from = slice * u64::from(each);
        let events = u64::from(each).min(stack.len() as u64 - from) as u32;
        Record { file: index, from, bytes: bytes as u32, events, checksum: 0 }
    }));
    Ok(())
}

/// Reads all messages, if they are not too many, for their checksums and exact sizes.
fn hash(mut found: Found, cut: Cut) -> Result<Found, PayloadError> {
    let mut digest = Sha256::new();
    for file in &found.files {
        let name = Path::new(&file.path).file_name().unwrap_or_default();
        digest.update(name.as_encoded_bytes());
        digest.update(file.bytes.to_le_bytes());
    }
    let hashed = found.files.iter().map(|file| file.bytes).sum::<u64>() <= HASHED_MAX;
    if hashed {
        let mut records = found.records.clone();
        let shared = Arc::new(found);
        let mut reader = Reader::new(shared.clone(), cut);
        let mut bytes = Vec::new();
        for record in &mut records {
            record.checksum = reader.read(record, &mut bytes)?;
            record.bytes = bytes.len() as u32;
            digest.update(&bytes);
        }
        drop(reader);
        found = Arc::into_inner(shared).expect("its reader is gone");
        found.records = records;
    }
    found.files.iter().try_for_each(unchanged)?;
    found.hashed = hashed;
    found.sha256 = digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(found)
}
