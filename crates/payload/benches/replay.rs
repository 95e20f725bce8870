//! Replayed files against what they are to keep up with: `cargo bench -p payload --bench replay`.
//!
//! Files that fit stand beside a ring of made bodies of the same size and number, both copied out as to a client library. Files that
//! are read while they are sent stand beside the same files read in order into one buffer, each for the same file once. Ratios are of
//! rounds next to each other, and the table has their medians. The kernel forgets the files before each round if it can be made to.

use engine::ports::{Payloads, Source};
use payload::{Workload, survey};
use profile::{Layer, Origin, Plan, combine};
use std::{
    fs::{self, File},
    io::Read,
    os::fd::AsFd,
    path::{Path, PathBuf},
    task::{Context, Poll, Waker},
    time::Instant,
};

const ROUNDS: usize = 9;
const ROUND_BYTES: u64 = 256 << 20;

fn main() {
    let dir = tempfile::tempdir_in(std::env::var_os("BENCH_DIR").unwrap_or_else(|| ".".into())).expect("a directory");
    println!("medians of {ROUNDS} rounds");
    println!(
        "{:<10} {:>9} {:>8} | {:>12} {:>14} {:>6}",
        "reading", "body B", "messages", "beside Gbit/s", "replay Gbit/s", "ratio"
    );
    for (body, messages) in [(16_000, 64), (16_000, 4_000), (1 << 20, 16), (1 << 20, 200), (8 << 20, 24)] {
        ahead(dir.path(), body, messages);
    }
    for (body, messages) in [(16_000, 32_000), (1 << 20, 512), (8 << 20, 64)] {
        for cached in [true, false] {
            streamed(dir.path(), body, messages, cached);
        }
    }
}

fn resolve(text: &str) -> Workload {
    let layer = Layer::parse(Origin::CommandLine, text).expect("it is well formed");
    let mut profile = combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("it names no files");
    if profile.message.files.paths.is_some() {
        profile.message.files.found = Some(survey::find(&profile.message.files).expect("the files are there"));
    }
    Workload::new(&Plan::resolve(&profile, 1, 1).expect("it resolves")).expect("it has bodies")
}

fn write(dir: &Path, bytes: u64) -> PathBuf {
    let path = dir.join("run.bin");
    let block: Vec<u8> = (0..1u32 << 20).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let whole = (bytes / block.len() as u64 + 1) as usize;
    let mut all = block.repeat(whole);
    all.truncate(bytes as usize);
    fs::write(&path, all).expect("there is room");
    File::open(&path).and_then(|file| file.sync_all()).expect("it is on disk");
    path
}

/// Takes and gives back as many bodies as make a round, each copied out once; returns Gbit/s.
fn copied_out(source: &mut impl Source, from: u64, body: u64, out: &mut [u8]) -> f64 {
    let messages = ROUND_BYTES / body;
    let begun = Instant::now();
    for sequence in from..from + messages {
        let taken = source.take(sequence);
        out[..taken.bytes.len()].copy_from_slice(std::hint::black_box(&taken.bytes));
        source.give_back(sequence, taken.bytes);
    }
    (messages * body) as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9
}

fn ahead(dir: &Path, body: u64, messages: u64) {
    let path = write(dir, body * messages);
    let replayed =
        resolve(&format!("[message.files]\npaths = ['{}']\nrecords = 'size:{body}B'\nread = 'ahead'", path.display()));
    let made = resolve(&format!(
        "workload = 'generic'\n[message]\nevents = 1\nevent_bytes = '{body}B'\nring_bodies = {messages}\nmemory = '1GiB'"
    ));
    let (mut replayed, mut made) = (replayed.source(0).expect("it is read"), made.source(0).expect("it is made"));
    let mut out = vec![0; body as usize];
    let mut rounds: Vec<(f64, f64)> = (0..ROUNDS as u64 + 1)
        .map(|round| {
            let from = round * (ROUND_BYTES / body);
            (copied_out(&mut made, from, body, &mut out), copied_out(&mut replayed, from, body, &mut out))
        })
        .collect();
    // The first is for the caches.
    rounds.remove(0);
    print("ahead", body, messages, &rounds);
}

fn streamed(dir: &Path, body: u64, messages: u64, cached: bool) {
    let path = write(dir, body * messages);
    let text = format!(
        "[message.files]\npaths = ['{}']\nrecords = 'size:{body}B'\nread = 'streamed'\n[message]\nmemory = '128MiB'",
        path.display()
    );
    let workload = resolve(&text);
    let mut out = vec![0; body as usize];
    let total = body * messages;
    let plain = |out: &mut Vec<u8>| {
        forget(&path, cached);
        let begun = Instant::now();
        let (mut file, mut buffer) = (File::open(&path).expect("it is there"), vec![0; 1 << 20]);
        let mut read = 0;
        while read < total {
            let now = file.read(&mut buffer).expect("it is readable");
            // As a producer does: checksum, and out.
            std::hint::black_box(crc32c::crc32c(&buffer[..now]));
            let copied = now.min(out.len());
            out[..copied].copy_from_slice(&buffer[..copied]);
            read += now as u64;
        }
        total as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9
    };
    let replay = |out: &mut Vec<u8>| {
        forget(&path, cached);
        let begun = Instant::now();
        let mut source = workload.source(0).expect("it is readable");
        for sequence in 0..messages {
            while source.poll_ready(&mut Context::from_waker(Waker::noop())) == Poll::Pending {
                std::thread::yield_now();
            }
            let taken = source.take(sequence);
            out[..taken.bytes.len()].copy_from_slice(&taken.bytes);
            source.give_back(sequence, taken.bytes);
        }
        total as f64 * 8.0 / begun.elapsed().as_secs_f64() / 1e9
    };
    let rounds: Vec<(f64, f64)> = (0..ROUNDS).map(|_| (plain(&mut out), replay(&mut out))).collect();
    print(if cached { "cached" } else { "from disk" }, body, messages, &rounds);
}

/// Makes the kernel forget a file's bytes, unless they shall be cached.
fn forget(path: &Path, cached: bool) {
    if !cached {
        let file = File::open(path).expect("it is there");
        let advice = nix::fcntl::PosixFadviseAdvice::POSIX_FADV_DONTNEED;
        nix::fcntl::posix_fadvise(file.as_fd(), 0, 0, advice).expect("the kernel takes advice");
    }
}

fn print(how: &str, body: u64, messages: u64, rounds: &[(f64, f64)]) {
    let median = |figure: &dyn Fn(&(f64, f64)) -> f64| {
        let mut figures: Vec<f64> = rounds.iter().map(figure).collect();
        figures.sort_by(f64::total_cmp);
        figures[figures.len() / 2]
    };
    println!(
        "{how:<10} {body:>9} {messages:>8} | {:>12.1} {:>14.1} {:>5.0} %",
        median(&|round| round.0),
        median(&|round| round.1),
        median(&|round| round.1 / round.0 * 100.0)
    );
}
