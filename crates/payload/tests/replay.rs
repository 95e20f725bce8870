//! Files replayed: what is found in them, what is sent, and what is refused.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use engine::ports::{CorruptionKind, Payloads, Source};
use payload::{Workload, survey};
use profile::{Cut, FilesProfile, Layer, Origin, Plan, Reading, combine};
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
    task::{Context, Poll, Waker},
    time::{Duration, Instant},
};

/// A plan that replays files of a directory, with these keys of `[message.files]`.
fn plan(dir: &Path, files: &str, keys: &str, producers: u32) -> Result<Plan, String> {
    let paths = dir.join(files).display().to_string();
    let text = format!("producers = {producers}\nconsumers = 1\n[message.files]\npaths = ['{paths}']\n{keys}");
    let layer = Layer::parse(Origin::CommandLine, &text).map_err(|error| error.to_string())?;
    let mut profile =
        combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).map_err(|error| error.to_string())?;
    profile.message.files.found = Some(survey::find(&profile.message.files).map_err(|error| error.0)?);
    Plan::resolve(&profile, 1, 7).map_err(|error| error.to_string())
}

fn found(paths: &[&PathBuf], records: &str) -> Result<profile::Found, String> {
    let paths = paths.iter().map(|path| path.display().to_string()).collect();
    let records = Some(records.parse::<Cut>().unwrap());
    survey::find(&FilesProfile { paths: Some(paths), records, ..FilesProfile::default() }).map_err(|error| error.0)
}

fn write(dir: &Path, name: &str, bytes: &[u8]) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, bytes).unwrap();
    path
}

/// Bytes that differ from place to place.
fn noise(count: usize, seed: u32) -> Vec<u8> {
    (0..count as u32).map(|at| (at.wrapping_add(seed).wrapping_mul(2_654_435_761) >> 11) as u8).collect()
}

/// GEB events of these payload sizes, by the published layout.
fn geb(sizes: &[u32]) -> Vec<u8> {
    let event = |(index, size): (usize, &u32)| {
        let header = [&3i32.to_le_bytes()[..], &size.to_le_bytes(), &(index as i64).to_le_bytes()].concat();
        [header, noise(*size as usize, index as u32)].concat()
    };
    sizes.iter().enumerate().flat_map(event).collect()
}

/// Waits for the next body of a source.
fn next(source: &mut impl Source, sequence: u64) -> engine::ports::Body {
    let begun = Instant::now();
    while source.poll_ready(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
        assert!(begun.elapsed() < Duration::from_secs(30), "message {sequence} is not read");
        std::thread::sleep(Duration::from_millis(1));
    }
    source.take(sequence)
}

#[test]
fn a_file_is_cut_where_its_rule_says() {
    let dir = tempfile::tempdir().unwrap();
    let check = |bytes: &[u8], records: &str, expected: &[(u64, u32, u32)]| {
        let path = write(dir.path(), "run", bytes);
        let found = found(&[&path], records).unwrap();
        let records: Vec<_> = found.records.iter().map(|record| (record.from, record.bytes, record.events)).collect();
        assert_eq!(records, expected);
    };
    check(&noise(250, 0), "whole", &[(0, 250, 1)]);
    check(&noise(250, 0), "size:100B", &[(0, 100, 1), (100, 100, 1), (200, 50, 1)]);
    check(&geb(&[10, 0, 30]), "geb", &[(0, 26, 1), (26, 16, 1), (42, 46, 1)]);
    check(&geb(&[10, 20, 30]), "geb:2", &[(0, 62, 2), (62, 46, 1)]);
    check(&[0, 3, 7, 7, 7, 0, 0, 0, 1, 9], "prefix:u16be", &[(2, 3, 1), (9, 1, 1)]);
    check(&[3, 0, 0, 0, 7, 7, 7, 1, 0, 0, 0, 9], "prefix:u32le", &[(4, 3, 1), (11, 1, 1)]);
}

#[test]
fn what_cannot_be_sent_is_refused_in_a_sentence_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str, bytes: &[u8]| write(dir.path(), name, bytes);
    let large = dir.path().join("large.bin");
    fs::File::create(&large).unwrap().set_len(200 << 20).unwrap();
    for (paths, records, expected) in [
        (vec![&dir.path().join("run*.h5")], "whole", "no file fits"),
        (vec![&dir.path().join("gone.h5")], "whole", "no file fits"),
        (vec![&dir.path().join("run[.h5")], "whole", "not a valid pattern"),
        (vec![&path("empty.h5", b"")], "whole", "is empty"),
        (vec![&dir.path().to_owned()], "whole", "is not a file"),
        (vec![&large], "whole", "at most 128 MiB"),
        (vec![&path("short.geb", &geb(&[100, 50])[..150])], "geb", "ends inside an event"),
        (vec![&path("text.geb", b"this is a text and no run at all")], "geb", "no GEB header at byte 0"),
        (vec![&path("short.bin", &[9, 0, 0, 0, 1])], "prefix:u32le", "ends inside a message"),
        (vec![&path("head.bin", &[1, 0, 0, 0, 1, 7])], "prefix:u32le", "ends inside a length"),
        (vec![&path("none.bin", &[0, 0, 0, 0])], "prefix:u32le", "hold no message"),
        (vec![&path("text.h5", b"not HDF5")], "frames:2", "not readable as HDF5"),
    ] {
        let error = found(&paths, records).unwrap_err();
        assert!(error.contains(expected), "{error}");
        assert!(error.contains(&*paths[0].display().to_string()), "{error}");
    }
}

#[test]
fn every_producer_sends_its_part_over_and_over_whether_it_is_read_ahead_or_streamed() {
    let dir = tempfile::tempdir().unwrap();
    let bytes = geb(&(0..3000).map(|n| n % 700).collect::<Vec<u32>>());
    write(dir.path(), "a.geb", &bytes[..]);
    write(dir.path(), "b.geb", &geb(&[5, 6, 7]));
    for order in ["listed", "shuffled"] {
        for read in ["ahead", "streamed"] {
            let settings = format!("records = 'geb:2'\norder = '{order}'\nread = '{read}'");
            let mut plan = plan(dir.path(), "*.geb", &settings, 1).unwrap_or_else(|error| panic!("{error}"));
            if read == "streamed" {
                // The bound of the plan itself is one for larger messages.
                plan.message.replay.as_mut().unwrap().memory_bytes = 64 << 10;
            }
            let workload = Workload::new(&plan).unwrap();
            let mut source = workload.source(0).unwrap();
            let mut seen = BTreeSet::new();
            for sequence in 0..3500 {
                let body = next(&mut source, sequence);
                assert_eq!(
                    workload.verify(0, sequence, body.checksum, &body.bytes),
                    Ok(()),
                    "{order} {read} {sequence}"
                );
                assert_eq!(body.events, workload.events(0, sequence));
                seen.insert(body.bytes.clone());
                source.give_back(sequence, body.bytes);
            }
            assert_eq!(seen.len(), 1502, "each message of both files");
            source.rewind().unwrap();
            assert_eq!(next(&mut source, 0).bytes, workload.read(0, 0).unwrap().bytes, "again from the first");
        }
    }
}

#[test]
fn a_stream_that_begins_anew_is_read_ahead_again() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "run.bin", &noise(300, 3));
    let plan = plan(dir.path(), "run.bin", "records = 'size:100B'\nread = 'streamed'", 1).unwrap();
    let workload = Workload::new(&plan).unwrap();
    let mut source = workload.source(0).unwrap();
    (0..5).for_each(|sequence| drop(next(&mut source, sequence)));
    source.rewind().unwrap();
    assert_eq!(next(&mut source, 0).bytes, noise(300, 3)[..100]);
    // What comes next has been read already.
    fs::remove_file(dir.path().join("run.bin")).unwrap();
    assert_eq!(source.take(1).bytes, noise(300, 3)[100..200]);
}

#[test]
fn the_messages_in_flight_may_be_more_than_there_are() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "one.bin", &noise(100, 1));
    let plan = plan(dir.path(), "one.bin", "", 1).unwrap();
    let workload = Workload::new(&plan).unwrap();
    let mut source = workload.source(0).unwrap();
    fs::remove_file(dir.path().join("one.bin")).unwrap();
    // Without a copy for each, the file would be read again.
    let lent: Vec<_> = (0..64).map(|sequence| source.take(sequence)).collect();
    assert!(lent.iter().all(|body| body.bytes == noise(100, 1)));
    // A client library may give an emptied buffer back: the message is read again.
    write(dir.path(), "one.bin", &noise(100, 1));
    for sequence in 0..200 {
        source.give_back(sequence, Vec::new());
        assert_eq!(source.take(sequence).bytes, noise(100, 1), "{sequence}");
    }
}

#[test]
fn a_body_is_checked_by_the_hash_of_its_own_message() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "run.bin", &noise(300, 3));
    let plan = plan(dir.path(), "run.bin", "records = 'size:100B'", 1).unwrap();
    assert!(plan.message.replay.as_ref().unwrap().hashed);
    let workload = Workload::new(&plan).unwrap();
    let (one, other) = (workload.read(0, 0).unwrap(), workload.read(0, 1).unwrap());
    let kind = |checksum, bytes: &[u8]| workload.verify(0, 0, checksum, bytes).unwrap_err().kind;
    assert_eq!(workload.verify(0, 0, one.checksum, &one.bytes), Ok(()));
    assert_eq!(workload.verify(0, 3, one.checksum, &one.bytes), Ok(()), "in a loop");
    assert_eq!(kind(one.checksum, &one.bytes[1..]), CorruptionKind::Length);
    assert_eq!(kind(one.checksum, &other.bytes), CorruptionKind::Checksum);
    assert_eq!(kind(other.checksum, &other.bytes), CorruptionKind::Content);
}

#[test]
fn a_file_that_changes_after_it_was_found_is_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let (first, second) = (noise(4000, 1), noise(4000, 2));
    let path = write(dir.path(), "run.bin", &first);
    let settings = "records = 'size:100B'";
    let ahead = Workload::new(&plan(dir.path(), "run.bin", settings, 1).unwrap()).unwrap();
    fs::write(&path, [&first[..], b"more"].concat()).unwrap();
    let error = ahead.source(0).err().unwrap().0;
    assert!(error.contains("has changed from 4000 B to 4004 B"), "{error}");
    fs::write(&path, &second).unwrap();
    let error = ahead.source(0).err().unwrap().0;
    assert!(error.contains("has another checksum"), "{error}");
    // Not from a window, which is read once.
    let mut plan = plan(dir.path(), "run.bin", &format!("{settings}\norder = 'shuffled'"), 1).unwrap();
    plan.message.replay.as_mut().unwrap().read = Reading::Streamed;
    let mut source = Workload::new(&plan).unwrap().source(0).unwrap();
    // In place, without a moment in which the file is empty.
    fs::OpenOptions::new().write(true).open(&path).unwrap().write_all(&first).unwrap();
    let begun = Instant::now();
    let mut sequence = 0;
    let error = loop {
        assert!(begun.elapsed() < Duration::from_secs(30), "the change is not noticed");
        match source.poll_ready(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(Err(error)) => break error.0,
            Poll::Ready(Ok(())) => {
                source.take(sequence);
                sequence += 1;
            }
            Poll::Pending => std::thread::sleep(Duration::from_millis(1)),
        }
    };
    assert!(error.contains("has another checksum"), "{error}");
}

#[test]
fn frames_of_an_hdf5_file_are_sent_as_files_that_libhdf5_reads() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.nxs");
    let file = hdf5::File::create(&path).unwrap();
    let frames: Vec<u16> = (0..7 * 12).collect();
    let dataset = file.new_dataset_builder().create_intermediate_group(true).chunk([1, 3, 4]).deflate(4);
    let dataset = dataset.empty::<u16>().shape([7, 3, 4]).create("entry/data/data").unwrap();
    dataset.write_raw(&frames).unwrap();
    let times: Vec<f64> = (0..7).map(f64::from).collect();
    file.group("entry").unwrap().new_dataset_builder().with_data(&times).create("timestamp").unwrap();
    drop((dataset, file));
    for read in ["ahead", "streamed"] {
        let settings = format!("records = 'frames:3'\nread = '{read}'");
        let plan = plan(dir.path(), "*.nxs", &settings, 1).unwrap();
        assert_eq!(plan.message.content_type(), "application/x-hdf5");
        let workload = Workload::new(&plan).unwrap();
        assert!(workload.describe().iter().any(|line| line.contains("/entry/timestamp")), "{:?}", workload.describe());
        let mut source = workload.source(0).unwrap();
        for sequence in 0..7 {
            let body = next(&mut source, sequence);
            let turn = sequence as usize % 3;
            let count = [3, 3, 1][turn];
            assert_eq!(body.events as usize, count);
            assert_eq!(workload.verify(0, sequence, body.checksum, &body.bytes), Ok(()));
            let image = hdf5_image::Image::open(&body.bytes).unwrap();
            let (mut pixels, mut times) = (Vec::<u16>::new(), Vec::<f64>::new());
            image.read("/entry/data/data", &[count, 3, 4], &mut pixels).unwrap();
            image.read("/entry/timestamp", &[count], &mut times).unwrap();
            assert_eq!(pixels, frames[36 * turn..36 * turn + 12 * count]);
            assert_eq!(times[0], 3.0 * turn as f64);
            source.give_back(sequence, body.bytes);
        }
    }
}

#[test]
fn compressed_chunks_of_several_frames_are_cut_at_their_ends_only() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("run.h5");
    let file = hdf5::File::create(&path).unwrap();
    let dataset =
        file.new_dataset_builder().chunk([4, 3]).deflate(4).empty::<u16>().shape([10, 3]).create("data").unwrap();
    dataset.write_raw(&(0..30).collect::<Vec<u16>>()).unwrap();
    drop((dataset, file));
    let error = found(&[&path], "frames:6").unwrap_err();
    assert!(error.contains("frames:8"), "{error}");
    let found = found(&[&path], "frames:8").unwrap();
    assert_eq!(found.records.iter().map(|record| record.events).collect::<Vec<_>>(), [8, 2]);
}

#[test]
fn the_hash_is_that_of_names_sizes_and_messages() {
    let dir = tempfile::tempdir().unwrap();
    let hash = |name: &str, bytes: &[u8], records: &str| {
        let path = write(dir.path(), name, bytes);
        found(&[&path], records).unwrap().sha256
    };
    let first = hash("a", &noise(100, 1), "whole");
    assert_eq!(first, hash("a", &noise(100, 1), "whole"));
    assert_ne!(first, hash("b", &noise(100, 1), "whole"));
    assert_ne!(first, hash("a", &noise(100, 2), "whole"));
    assert_eq!(first.len(), 64);
}

#[test]
fn more_producers_than_messages_share_them() {
    let dir = tempfile::tempdir().unwrap();
    write(dir.path(), "a.bin", &noise(100, 1));
    write(dir.path(), "b.bin", &noise(200, 2));
    let plan = plan(dir.path(), "*.bin", "", 3).unwrap();
    let workload = Workload::new(&plan).unwrap();
    let sizes: Vec<usize> = (0..3).map(|producer| workload.source(producer).unwrap().take(0).bytes.len()).collect();
    assert_eq!(sizes, [100, 200, 100]);
}
