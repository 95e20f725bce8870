//! Lstream's files, read by libhdf5 from disk and by nothing of the crate.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in their helpers")]

mod common;

use common::{RING_BODIES, plan};
use engine::ports::{CorruptionKind, Payloads};
use payload::Workload;
use std::collections::HashSet;

const SMALL: &str = "workload = 'lstream'\n[message]\nevents = 3\n[message.frames]\nshape = [48, 64]";

/// Opens a body as a file on disk.
fn open(body: &[u8]) -> (tempfile::TempDir, hdf5::File) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.h5");
    std::fs::write(&path, body).unwrap();
    (folder, hdf5::File::open(path).unwrap())
}

fn small(text: &str) -> Workload {
    Workload::new(&plan(&format!("{SMALL}\n{text}"))).unwrap()
}

/// A consumer's report of a body that was damaged before its checksum was taken.
fn found(workload: &Workload, body: &[u8]) -> (CorruptionKind, String) {
    let corruption = workload.inspect(0, 0, body).unwrap_err();
    (corruption.kind, corruption.detail)
}

#[test]
fn the_shipped_message_is_a_file_of_about_1_mib_with_a_chunk_for_each_event() {
    let workload = Workload::new(&plan("workload = 'lstream'")).unwrap();
    let body = workload.body(0, 0).bytes;
    assert!((1 << 20..(1 << 20) + 24_000).contains(&body.len()), "{}", body.len());
    let (_folder, file) = open(&body);
    let data = file.dataset("/data/data").unwrap();
    assert_eq!((data.shape(), data.chunk()), (vec![8, 256, 256], Some(vec![1, 256, 256])));
    assert!(data.dtype().unwrap().is::<u16>());
    assert_eq!(file.dataset("/data/timestamp").unwrap().shape(), [8]);
    assert_eq!(file.dataset("/data/wavelength").unwrap().shape(), [8]);
    assert_eq!(file.dataset("/data/peaks").unwrap().shape(), [8, 16, 3]);
}

#[test]
fn the_bound_of_the_plan_holds_whatever_the_events_and_the_storage() {
    for storage in ["chunked", "contiguous"] {
        for events in [1, 2, 7, 8, 31, 64, 200, 256] {
            for (shape, more) in [
                ("[8, 8]", ""),
                ("[4096]", "content = 'diffraction'"),
                ("[1, 4, 8, 8]", "wavelength = '/a/b/c/d'\npeaks = ''"),
                ("[1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 8, 8]", ""),
                (
                    "[8, 8]",
                    "data='/a/b/c/d/e/f/g'\ntimestamp='/b/b/c/d/e/f/g'\nwavelength='/c/b/c/d/e/f/g'\npeaks='/d/b/c/d/e/f/g'",
                ),
            ] {
                let plan = plan(&format!(
                    "workload = 'lstream'\n[message]\nevents = {events}\n[message.frames]\nshape = {shape}\n\
                     storage = '{storage}'\n{more}"
                ));
                let bytes = Workload::new(&plan).unwrap().body_bytes(events, events).0 as u64;
                assert!(
                    bytes <= plan.message.body_bytes,
                    "{events} {storage} {shape}: {bytes} > {}",
                    plan.message.body_bytes
                );
            }
        }
    }
}

#[test]
fn pixels_are_pedestal_noise_and_the_peaks_that_the_file_names() {
    let workload = Workload::new(&plan("workload = 'lstream'")).unwrap();
    let (_folder, file) = open(&workload.body(2, 7).bytes);
    let frames = file.dataset("/data/data").unwrap().read_raw::<u16>().unwrap();
    let peaks = file.dataset("/data/peaks").unwrap().read_raw::<u16>().unwrap();
    let mut with_peaks = 0;
    for (frame, peaks) in frames.chunks(256 * 256).zip(peaks.chunks(16 * 3)) {
        assert!(frame.iter().all(|pixel| *pixel < 1 << 14), "a 14-bit converter");
        // A finder that knows nothing: pixels far above the pedestal that no neighbour exceeds.
        let at = |row: usize, column: usize| frame[row * 256 + column];
        let top = |row: usize, column: usize| {
            let around = (row - 1..=row + 1).flat_map(|r| (column - 1..=column + 1).map(move |c| (r, c)));
            around.into_iter().all(|(r, c)| at(r, c) <= at(row, column))
        };
        let places = (1..255).flat_map(|row| (1..255).map(move |column| (row, column)));
        let found: HashSet<_> = places.filter(|(r, c)| at(*r, *c) > 1_400 && top(*r, *c)).collect();
        let named =
            peaks.chunks(3).filter(|peak| peak[2] > 0).map(|p| (usize::from(p[0]), usize::from(p[1]))).collect();
        assert_eq!(found, named);
        with_peaks += usize::from(!found.is_empty());
    }
    assert!((1..8).contains(&with_peaks), "some frames have peaks: {with_peaks} of 8");
}

#[test]
fn pixels_mean_the_same_in_every_type() {
    let read = |dtype: &str| {
        let workload = small(&format!("dtype = '{dtype}'"));
        let (_folder, file) = open(&workload.body(0, 3).bytes);
        let data = file.dataset("/data/data").unwrap();
        data.as_reader().conversion(hdf5::Conversion::Hard).read_raw::<f64>().unwrap()
    };
    let pixels = read("u16");
    assert!(pixels.iter().any(|pixel| *pixel > 900.0));
    for dtype in ["u32", "f32", "f64"] {
        assert_eq!(read(dtype), pixels, "{dtype}");
    }
}

#[test]
fn a_workload_chooses_its_paths() {
    let workload =
        small("data = '/entry/data/data'\ntimestamp = '/t'\nwavelength = ''\npeaks = ''\nstorage = 'contiguous'");
    let (_folder, file) = open(&workload.body(0, 0).bytes);
    assert_eq!(file.dataset("/entry/data/data").unwrap().shape(), [3, 48, 64]);
    assert_eq!(file.member_names().unwrap(), ["entry", "t"]);
}

#[test]
fn times_of_psana2_are_its_whole_numbers_as_floats() {
    let workload = small("clock = 'psana2'");
    let mut before = 0;
    for sequence in 0..2 * u64::from(RING_BODIES) {
        let body = workload.body(1, sequence).bytes;
        workload.inspect(1, sequence, &body).unwrap();
        let (_folder, file) = open(&body);
        for time in file.dataset("/data/timestamp").unwrap().read_raw::<f64>().unwrap() {
            // As psana takes its numbers apart: seconds since 1990, nanoseconds.
            let (seconds, nanoseconds) = (time as u64 >> 32, time as u64 & 0xffff_ffff);
            assert!(seconds + 631_152_000 > 1_704_067_200 && nanoseconds < 1_000_000_000, "{time}: 2024 or later");
            assert!(time as u64 > before, "{time}");
            before = time as u64;
        }
    }
}

#[test]
fn no_two_messages_are_equal_even_when_a_slot_recurs() {
    let workload = small("");
    let mut seen = HashSet::new();
    for (producer, sequence) in (0..3).flat_map(|producer| (0..3 * u64::from(RING_BODIES)).map(move |s| (producer, s)))
    {
        assert!(seen.insert(workload.body(producer, sequence).bytes), "{producer} {sequence}");
    }
}

#[test]
fn a_fresh_message_has_frames_of_its_own() {
    let fresh = "workload = 'lstream'\n[message]\nevents = 1\nfill = 'fresh'\n[message.frames]\nshape = [48, 64]";
    let workload = Workload::new(&plan(fresh)).unwrap();
    let mut seen = HashSet::new();
    for sequence in 0..3 * u64::from(RING_BODIES) {
        let (_folder, file) = open(&workload.body(0, sequence).bytes);
        assert!(seen.insert(file.dataset("/data/data").unwrap().read_raw::<u16>().unwrap()), "{sequence}");
    }
}

#[test]
fn what_is_no_such_file_is_a_corruption_of_its_structure() {
    let workload = small("");
    let body = workload.body(0, 0).bytes;
    for (what, bytes) in
        [("nothing", &[][..]), ("a text", b"Dataset: FileContent"), ("half of it", &body[..body.len() / 2])]
    {
        let (kind, detail) = found(&workload, bytes);
        assert_eq!(kind, CorruptionKind::Structure, "{what}: {detail}");
    }
    for (text, expected) in [
        ("data = '/data/image'", "no dataset `/data/data`"),
        ("peaks = ''", "no dataset `/data/peaks`"),
        ("dtype = 'f32'", "`/data/data` is of another type"),
        ("shape = [64, 48]", "`/data/data` should be [3, 48, 64] and is [3, 64, 48]"),
    ] {
        let shape = if text.starts_with("shape") { "" } else { "shape = [48, 64]\n" };
        let other = format!("workload = 'lstream'\n[message]\nevents = 3\n[message.frames]\n{shape}{text}");
        let other = Workload::new(&plan(&other)).unwrap();
        let (kind, detail) = found(&workload, &other.body(0, 0).bytes);
        assert_eq!(kind, CorruptionKind::Structure);
        assert!(detail.contains(expected), "{text}: {detail}");
    }
}

#[test]
fn another_message_is_a_corruption_of_its_content() {
    let workload = small("");
    let (kind, detail) = found(&workload, &workload.body(0, 1).bytes);
    assert_eq!(kind, CorruptionKind::Content);
    assert!(detail.starts_with("event 0 has the time 16"), "{detail}");
}

#[test]
fn a_peak_outside_of_its_stored_position_is_a_corruption_of_the_content() {
    let workload = small("");
    let sequence = (0..).find(|sequence| !peak_places(&workload.body(0, *sequence).bytes).is_empty()).unwrap();
    let mut body = workload.body(0, sequence).bytes;
    let (row, column, height) = peak_places(&body)[0];
    let named: Vec<u8> = [row, column, height].iter().flat_map(|part| part.to_le_bytes()).collect();
    let at = body.windows(6).position(|window| window == named).unwrap();
    body[at] ^= 1;
    let corruption = workload.inspect(0, sequence, &body).unwrap_err();
    assert_eq!(corruption.kind, CorruptionKind::Content);
    assert!(corruption.detail.contains("peak"), "{}", corruption.detail);
}

fn peak_places(body: &[u8]) -> Vec<(u16, u16, u16)> {
    let (_folder, file) = open(body);
    let peaks = file.dataset("/data/peaks").unwrap().read_raw::<u16>().unwrap();
    peaks.chunks(3).filter(|peak| peak[2] > 0).map(|peak| (peak[0], peak[1], peak[2])).collect()
}

#[test]
fn a_diffraction_pattern_is_brightest_in_its_middle() {
    let workload = Workload::new(&plan("workload = 'aps-ptychography'")).unwrap();
    let (_folder, file) = open(&workload.body(0, 0).bytes);
    let frame = file.dataset("/entry/data/data").unwrap().read_raw::<u16>().unwrap();
    let mean =
        |row: usize| frame[row * 516..(row + 1) * 516].iter().map(|pixel| f64::from(*pixel)).sum::<f64>() / 516.0;
    assert!(mean(258) > 10.0 * mean(150) && mean(150) > mean(0), "{} {} {}", mean(258), mean(150), mean(0));
}
