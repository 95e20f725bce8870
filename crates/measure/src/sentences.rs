//! Pieces of sentences about messages.

use crate::ledger::MessageId;

pub(crate) fn first(examples: &[MessageId]) -> String {
    examples
        .first()
        .map_or_else(String::new, |id| format!(" (first: producer {} sequence {})", id.producer, id.sequence))
}

pub(crate) fn were(count: u64) -> &'static str {
    if count == 1 { "was" } else { "were" }
}
