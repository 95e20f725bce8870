//! Any bytes as an envelope: none, or exactly what would be written again.

use engine::envelope::Envelope;

pub fn run(data: &[u8]) {
    if let Some(envelope) = Envelope::decode(data) {
        assert_eq!(envelope.encode().as_str().as_bytes(), data);
    }
}
