//! Names: suggestions for misspelt ones, and the prefix of a run's own objects on the service.

/// The candidate nearest to `word`, if any is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word, candidate), candidate))
        .filter(|(distance, candidate)| *distance <= 1 + candidate.len().max(word.len()) / 4)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// ` (did you mean `x`?)`, or nothing.
pub(crate) fn hint<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> String {
    nearest(word, candidates).map_or_else(String::new, |name| format!(" (did you mean `{name}`?)"))
}

/// Adds the nearest right name to serde's "unknown field" sentence, which lists the known fields
/// in back-quotes.
pub(crate) fn with_hint(message: &str) -> String {
    let quoted: Vec<&str> = message.split('`').skip(1).step_by(2).collect();
    match quoted.split_first() {
        Some((word, known)) if message.starts_with("unknown field") || message.starts_with("unknown variant") => {
            format!("{message}{}", hint(word, known.iter().copied()))
        }
        _ => message.to_owned(),
    }
}

/// The prefix of a run's queues and exchanges, which may be given.
pub(crate) fn prefix(given: Option<&str>, run: u32) -> String {
    given.map_or_else(|| own_prefix(run), |given| format!("{given}."))
}

/// The prefix that no other run has.
pub(crate) fn own_prefix(run: u32) -> String {
    format!("streamharness.{run:08x}.")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_misspelt_name_finds_the_right_one_and_a_strange_one_finds_none() {
        for (word, expected) in
            [("dstrem", Some("dstream")), ("lsteram", Some("lstream")), ("DSTREAM", Some("dstream")), ("kafka", None)]
        {
            assert_eq!(nearest(word, ["dstream", "lstream", "generic"]), expected, "{word}");
        }
    }

    #[test]
    fn serde_sentences_gain_a_hint() {
        let message = with_hint("unknown field `produsers`, expected one of `producers`, `consumers`");
        assert!(message.ends_with("(did you mean `producers`?)"), "{message}");
        assert_eq!(with_hint("invalid type: string"), "invalid type: string");
    }
}
