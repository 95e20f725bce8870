//! Where messages begin and end in a file of bytes.

use engine::ports::PayloadError;
use profile::{Cut, FoundFile, Prefix, Record, sizes::BODY_BYTES_MAX, sizes::GEB_HEADER_BYTES};
use std::{
    fs::File,
    io::{BufReader, Read},
};

/// Files cut into more messages than this take more memory to list than to send.
pub const RECORDS_MAX: usize = 1 << 20;
/// GEB types known so far are below 0x2c.
const GEB_TYPE_MAX: i32 = 0xff;

/// Appends the messages of file `index`.
pub fn records(index: u32, file: &FoundFile, cut: Cut, into: &mut Vec<Record>) -> Result<(), PayloadError> {
    let mut add = |from: u64, bytes: u64, events: u32| {
        if bytes > BODY_BYTES_MAX {
            return Err(PayloadError(format!(
                "`{}` has a message of {bytes} B, and a broker takes at most {} MiB: cut it with records = \"size:1MiB\", or for HDF5 \
                 \"frames:8\"",
                file.path,
                BODY_BYTES_MAX >> 20
            )));
        }
        if into.len() == RECORDS_MAX {
            return Err(PayloadError(format!(
                "the files are cut into more than {RECORDS_MAX} messages: use fewer files, or more for each message, such as \
                 records = \"geb:64\" or \"size:1MiB\""
            )));
        }
        into.push(Record { file: index, from, bytes: bytes as u32, events, checksum: 0 });
        Ok(())
    };
    match cut {
        Cut::Whole => add(0, file.bytes, 1),
        Cut::Size(size) => {
            (0..file.bytes.div_ceil(size.0)).try_for_each(|n| add(n * size.0, size.0.min(file.bytes - n * size.0), 1))
        }
        Cut::Prefix(prefix) => {
            let mut walk = Walk::open(file)?;
            while let Some(head) = walk.head(prefix.bytes(), "a length")? {
                let bytes = prefix.value(&head);
                walk.skip(bytes, "a message")?;
                // A record without bytes is a keep-alive, not a message.
                if bytes > 0 {
                    add(walk.at - bytes, bytes, 1)?;
                }
            }
            Ok(())
        }
        Cut::Geb(events) => {
            let mut walk = Walk::open(file)?;
            let (mut from, mut held) = (0, 0);
            while let Some(head) = walk.head(GEB_HEADER_BYTES, "a GEB header")? {
                let word =
                    |at: usize| i32::from_le_bytes(head[at..at + 4].try_into().expect("the header has 16 bytes"));
                let (kind, bytes) = (word(0), word(4));
                if !(0..=GEB_TYPE_MAX).contains(&kind) || bytes < 0 {
                    return Err(PayloadError(format!(
                        "`{}` has no GEB header at byte {}: type {kind}, length {bytes}; use another rule for records",
                        file.path,
                        walk.at - GEB_HEADER_BYTES as u64
                    )));
                }
                walk.skip(bytes as u64, "an event")?;
                held += 1;
                if held == events.get() {
                    add(from, walk.at - from, held)?;
                    (from, held) = (walk.at, 0);
                }
            }
            if held > 0 { add(from, walk.at - from, held) } else { Ok(()) }
        }
        Cut::Frames(_) => unreachable!("frames are cut by the HDF5 library"),
    }
}

/// A walk over a file from header to header.
struct Walk<'a> {
    file: &'a FoundFile,
    reader: BufReader<File>,
    at: u64,
}

impl<'a> Walk<'a> {
    fn open(file: &'a FoundFile) -> Result<Self, PayloadError> {
        let handle = File::open(&file.path).map_err(|error| super::reader::unreadable(&file.path, &error))?;
        Ok(Self { file, reader: BufReader::new(handle), at: 0 })
    }

    /// The next header; `None` at the end of the file.
    fn head(&mut self, bytes: usize, what: &str) -> Result<Option<Vec<u8>>, PayloadError> {
        if self.at == self.file.bytes {
            return Ok(None);
        }
        if self.at + bytes as u64 > self.file.bytes {
            return Err(self.cut_short(what));
        }
        let mut head = vec![0; bytes];
        self.reader.read_exact(&mut head).map_err(|error| super::reader::unreadable(&self.file.path, &error))?;
        self.at += bytes as u64;
        Ok(Some(head))
    }

    /// Goes over what belongs to the header.
    fn skip(&mut self, bytes: u64, what: &str) -> Result<(), PayloadError> {
        if bytes > self.file.bytes - self.at {
            return Err(self.cut_short(what));
        }
        let skipped = self.reader.seek_relative(bytes as i64);
        skipped.map_err(|error| super::reader::unreadable(&self.file.path, &error))?;
        self.at += bytes;
        Ok(())
    }

    fn cut_short(&self, what: &str) -> PayloadError {
        PayloadError(format!(
            "`{}` ends inside {what} that begins before byte {}: it is cut short, or made by another rule for records",
            self.file.path, self.at
        ))
    }
}

/// How a length is written.
trait Length {
    fn bytes(self) -> usize;
    fn value(self, head: &[u8]) -> u64;
}

impl Length for Prefix {
    fn bytes(self) -> usize {
        match self {
            Self::U16Le | Self::U16Be => 2,
            Self::U32Le | Self::U32Be => 4,
            Self::U64Le | Self::U64Be => 8,
        }
    }

    fn value(self, head: &[u8]) -> u64 {
        let add = |value: u64, byte: &u8| value << 8 | u64::from(*byte);
        match self {
            Self::U16Le | Self::U32Le | Self::U64Le => head.iter().rev().fold(0, add),
            Self::U16Be | Self::U32Be | Self::U64Be => head.iter().fold(0, add),
        }
    }
}
