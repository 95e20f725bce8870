//! How much of a body a compressor can save, and that the knob for it works on every format.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in their helpers")]

mod common;

use common::plan;
use engine::ports::Payloads;
use payload::Workload;

/// Size after deflate over size before.
fn ratio(text: &str) -> f64 {
    let body = Workload::new(&plan(text)).unwrap().body(0, 3).bytes;
    miniz_oxide::deflate::compress_to_vec(&body, 6).len() as f64 / body.len() as f64
}

#[test]
fn bodies_compress_like_an_instruments_and_more_with_compressible() {
    for (workload, natural) in [
        ("dstream", 0.3..0.8),
        ("dstream-greta", 0.3..0.8),
        ("dstream-decomposed", 0.1..0.5),
        ("lstream", 0.3..0.8),
        ("generic", 0.8..1.01),
        ("sns-adara", 0.4..0.9),
    ] {
        let at =
            |compressible: &str| ratio(&format!("workload = '{workload}'\n[message]\ncompressible = {compressible}"));
        let ratios = ["0.0", "0.5", "1.0"].map(at);
        assert!(natural.contains(&ratios[0]), "{workload}: {ratios:?}");
        assert!(ratios.is_sorted_by(|less, more| less > more), "{workload}: {ratios:?}");
        assert!(ratios[2] < 0.75 * ratios[0], "{workload}: {ratios:?}");
    }
}

#[test]
fn a_body_holds_no_block_twice() {
    for workload in ["dstream", "lstream", "generic", "sns-adara", "aps-ptychography"] {
        let body = Workload::new(&plan(&format!("workload = '{workload}'"))).unwrap().body(0, 0).bytes;
        let mut blocks: Vec<&[u8]> = body.chunks_exact(512).collect();
        let all = blocks.len();
        blocks.sort();
        blocks.dedup();
        assert!(all - blocks.len() <= all / 100, "{workload}: {} of {all} blocks are alike", all - blocks.len());
    }
}
