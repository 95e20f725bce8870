//! The bodies of a few messages of every workload, by fingerprint: a change is deliberate, or it is a fault.
//!
//! `cargo xtask golden` (or UPDATE_GOLDEN=1) writes the file anew.
//!
//! Of an HDF5 file all but the structure is compared: that is libhdf5's, and differs between its versions.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in their helpers")]

mod common;

use common::plan;
use engine::ports::Payloads;
use payload::Workload;
use profile::{Format, Kind};
use sha2::{Digest, Sha256};
use std::{fmt::Write, fs};

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/golden/workloads.sha256");

#[test]
fn bodies_of_every_workload_are_those_of_the_golden_file() {
    let shipped = profile::list(Kind::Workload).map(|shipped| (shipped.name, ""));
    let options = [
        ("dstream", "[message]\nevents = 'uniform:4-12'"),
        ("dstream", "[message]\nfill = 'fresh'"),
        ("dstream", "[message]\ncompressible = 0.5"),
        ("dstream", "[message]\nevent_bytes = '52B'\nevents = 1"),
        ("lstream", "[message.frames]\ndtype = 'f64'\nshape = [2, 32, 48]\nstorage = 'contiguous'"),
    ];
    let mut lines = String::new();
    for (workload, text) in shipped.chain(options) {
        for (seed, producer, sequence) in [(1, 0, 0), (1, 0, 1_000_000), (1, 63, 5), (2, 0, 0)] {
            let plan = plan(&format!("seed = {seed}\nworkload = '{workload}'\n{text}"));
            let body = Workload::new(&plan).unwrap().body(producer, sequence);
            let bytes = if plan.message.format == Format::Hdf5 { data(&plan, &body.bytes) } else { body.bytes };
            let hash: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
            let options = text.replace(['\n', ' '], "");
            writeln!(
                lines,
                "sha256={hash} bytes={} events={} {workload} {options} seed={seed} producer={producer} sequence={sequence}",
                bytes.len(),
                body.events,
            )
            .unwrap();
        }
    }
    if std::env::var_os("UPDATE_GOLDEN").is_some_and(|value| value == "1") {
        fs::write(PATH, &lines).unwrap();
    }
    let golden = fs::read_to_string(PATH).unwrap();
    let meant = "if this is meant, run with UPDATE_GOLDEN=1 and explain it in the commit";
    for (found, kept) in lines.lines().zip(golden.lines()) {
        assert_eq!(found, kept, "{meant}");
    }
    assert_eq!(lines.len(), golden.len(), "{meant}");
}

/// The data of all datasets, read by libhdf5.
fn data(plan: &profile::Plan, body: &[u8]) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("body.h5");
    fs::write(&path, body).unwrap();
    let file = hdf5::File::open(&path).unwrap();
    let frames = plan.message.frames.as_ref().unwrap();
    let mut bytes = Vec::new();
    let paths = [Some(&frames.data), Some(&frames.timestamp), frames.wavelength.as_ref(), frames.peaks.as_ref()];
    for path in paths.into_iter().flatten() {
        let dataset = file.dataset(path).unwrap();
        // As 64-bit floats, which hold all of the types exactly.
        let values = dataset.as_reader().conversion(hdf5::Conversion::Hard).read_raw::<f64>().unwrap();
        bytes.extend(values.iter().flat_map(|value| value.to_le_bytes()));
    }
    bytes
}
