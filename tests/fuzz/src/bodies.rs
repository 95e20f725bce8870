//! Any bytes as the body of any format: accepted or named as a corruption.
//!
//! The first byte chooses the format. The body of message 0 is XORed with the rest, so that a fuzzer starts from bodies
//! that are right and need not find their structure; bytes beyond it make it longer, a flag makes it shorter.

use engine::ports::Payloads;
use payload::Workload;
use profile::{Layer, Origin, Plan, combine};
use std::sync::LazyLock;

const FORMATS: [&str; 5] = [
    "[message]\nevents = 2",
    "workload = 'dstream-decomposed'\n[message]\nevents = 2",
    "workload = 'generic'\n[message]\nevent_bytes = '256B'\nevents = 2",
    "workload = 'sns-adara'\n[message]\nevents = 20",
    "workload = 'lstream'\n[message]\nevents = 2\n[message.frames]\nshape = [24, 32]",
];

static WORKLOADS: LazyLock<Vec<Workload>> = LazyLock::new(|| {
    let workload = |text: &&str| {
        let layer = Layer::parse(Origin::CommandLine, text).expect("it is well formed");
        let profile =
            combine(&[layer], |_| Err(std::io::ErrorKind::NotFound.into())).expect("it names what is shipped");
        Workload::new(&Plan::resolve(&profile, 1, 1).expect("it resolves")).expect("it can be built")
    };
    FORMATS.iter().map(workload).collect()
});

pub fn run(data: &[u8]) {
    let [format, flags, difference @ ..] = data else { return };
    let workload = &WORKLOADS[usize::from(*format) % FORMATS.len()];
    let mut body = workload.body(0, 0).bytes;
    if flags & 1 == 1 {
        body.truncate(difference.len());
    } else if difference.len() > body.len() {
        body.resize(difference.len(), 0);
    }
    body.iter_mut().zip(difference).for_each(|(byte, other)| *byte ^= other);
    // libhdf5 is given only what has its own structure, as in a run.
    if workload.verify(0, 0, crc32c::crc32c(&body), &body).is_ok() && workload.inspects() {
        let _ = workload.inspect(0, 0, &body);
    }
}
