//! Any bytes as an envelope: none, or exactly what would be written again.

#![no_main]

use engine::envelope::Envelope;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    if let Some(envelope) = Envelope::decode(data) {
        assert_eq!(envelope.encode().as_str().as_bytes(), data);
    }
});
