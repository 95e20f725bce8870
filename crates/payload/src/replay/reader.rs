//! Reads messages from their files, in windows where they are small and follow each other.

use engine::ports::PayloadError;
use hdf5_image::Stack;
use profile::{Cut, Found, FoundFile, Record};
use std::{fs::File, os::unix::fs::FileExt, path::Path, sync::Arc};

/// What is read at once for messages that follow each other.
const WINDOW: usize = 1 << 20;
/// Larger messages gain nothing by a window.
const SMALL: u32 = 256 << 10;

/// Reads messages; one file is open at a time.
#[derive(Debug)]
pub struct Reader {
    found: Arc<Found>,
    cut: Cut,
    open: Option<(u32, Open)>,
}

#[derive(Debug)]
enum Open {
    Bytes { file: File, window: Vec<u8>, from: u64, last_end: u64 },
    Frames(Stack),
}

impl Reader {
    /// Reads messages of these files.
    pub fn new(found: Arc<Found>, cut: Cut) -> Self {
        Self { found, cut, open: None }
    }

    /// Reads a message into `bytes`, whose memory is used again, and returns its CRC-32C.
    pub fn read(&mut self, record: &Record, bytes: &mut Vec<u8>) -> Result<u32, PayloadError> {
        let found = self.found.clone();
        let file = &found.files[record.file as usize];
        if self.open.as_ref().is_none_or(|(index, _)| *index != record.file) {
            self.open = Some((record.file, open(&found, file, self.cut)?));
        }
        let (_, open) = self.open.as_mut().expect("it was opened");
        match open {
            Open::Bytes { file: handle, window, from, last_end } => {
                bytes.resize(record.bytes as usize, 0);
                let end = record.from + u64::from(record.bytes);
                let follows = record.bytes <= SMALL && record.from >= *last_end && record.from - *last_end < 64;
                let inside = record.from >= *from && end <= *from + window.len() as u64;
                let read = if inside {
                    let start = (record.from - *from) as usize;
                    bytes.copy_from_slice(&window[start..start + record.bytes as usize]);
                    Ok(())
                } else if follows {
                    window.resize(WINDOW.min((file.bytes - record.from) as usize), 0);
                    *from = record.from;
                    let read = handle.read_exact_at(window, record.from);
                    read.map(|()| bytes.copy_from_slice(&window[..record.bytes as usize]))
                } else {
                    handle.read_exact_at(bytes, record.from)
                };
                *last_end = end;
                read.map_err(|error| {
                    PayloadError(format!("`{}` cannot be read from byte {}: {error}", file.path, record.from))
                })?;
            }
            Open::Frames(stack) => {
                let from = record.from as usize;
                *bytes = stack.slice(from, from + record.events as usize).map_err(PayloadError)?;
                if bytes.len() > record.bytes as usize {
                    return Err(PayloadError(format!(
                        "frames {from} of `{}` make {} B, more than the {} B that were planned for: use fewer frames per message",
                        file.path,
                        bytes.len(),
                        record.bytes
                    )));
                }
            }
        }
        let checksum = crc32c::crc32c(bytes);
        if found.hashed && checksum != record.checksum {
            return Err(PayloadError(format!(
                "`{}` has changed since it was listed: its message at {} has another checksum; start again when nothing writes to it",
                file.path, record.from
            )));
        }
        Ok(checksum)
    }
}

fn open(found: &Found, file: &FoundFile, cut: Cut) -> Result<Open, PayloadError> {
    unchanged(file)?;
    let path = Path::new(&file.path);
    if let Cut::Frames(_) = cut {
        return Stack::open(path, found.dataset.as_deref(), Some(&found.with)).map(Open::Frames).map_err(PayloadError);
    }
    let handle = File::open(path).map_err(|error| unreadable(&file.path, &error))?;
    Ok(Open::Bytes { file: handle, window: Vec::new(), from: 0, last_end: 0 })
}

/// Checks that a file has the size with which it was listed.
pub fn unchanged(file: &FoundFile) -> Result<(), PayloadError> {
    let now = std::fs::metadata(&file.path).map_err(|error| unreadable(&file.path, &error))?.len();
    if now == file.bytes {
        return Ok(());
    }
    Err(PayloadError(format!(
        "`{}` has changed from {} B to {now} B since it was listed: start again when nothing writes to it, or replay a copy",
        file.path, file.bytes
    )))
}

/// A file that cannot be read, as a sentence.
pub fn unreadable(path: &str, error: &std::io::Error) -> PayloadError {
    PayloadError(format!("`{path}` cannot be read: {error}; every host with a producer needs it under this path"))
}
