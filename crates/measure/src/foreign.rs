//! Makes foreign text (of services, records, profiles, hosts) safe to print: without control characters and line
//! breaks, and of limited length.

use std::borrow::Cow;

/// Most characters of a line; a longer one is cut in its middle, because its end has the remedy.
const LINE_MAX: usize = 2000;
/// Characters that remain at its begin and at its end.
const BEGIN: usize = 1200;
const END: usize = 600;
/// Most lines of a sentence: it may quote the end of a log.
const LINES_MAX: usize = 40;

/// Text of several lines. Control characters are escaped as in JSON, so that JSON stays valid.
pub fn lines(text: &str) -> Cow<'_, str> {
    escaped(text, |character| matches!(character, '\n' | '\t'))
}

/// The same in one line.
pub fn line(text: &str) -> Cow<'_, str> {
    escaped(text, |_| false)
}

/// A sentence with its quotations, at most 40 lines of 2,000 characters.
pub fn sentence(text: &str) -> String {
    let shown = lines(text.trim_end());
    shown.lines().take(LINES_MAX).map(cut).collect::<Vec<_>>().join("\n")
}

fn cut(line: &str) -> Cow<'_, str> {
    let length = line.chars().count();
    if length <= LINE_MAX {
        return line.into();
    }
    let begin: String = line.chars().take(BEGIN).collect();
    let end: String = line.chars().skip(length - END).collect();
    format!("{begin} ... ({} characters left out) ... {end}", length - BEGIN - END).into()
}

fn escaped(text: &str, keeps: impl Fn(char) -> bool) -> Cow<'_, str> {
    let steers = |character: char| character.is_control() || is_invisible(character);
    if !text.chars().any(|character| steers(character) && !keeps(character)) {
        return text.into();
    }
    let mut shown = String::new();
    for character in text.chars() {
        match character {
            '\n' if !keeps(character) => shown.push_str("\\n"),
            _ if steers(character) && !keeps(character) => shown += &format!("\\u{:04x}", u32::from(character)),
            _ => shown.push(character),
        }
    }
    shown.into()
}

/// Characters that change the direction of writing or break a line without being control characters.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_steers_a_terminal_is_shown_and_the_rest_is_as_it_was() {
        assert_eq!(lines("two\nlines\tof größe"), "two\nlines\tof größe");
        assert_eq!(lines("a\x1b[31mred\u{9b}\x07\r\u{202e}"), "a\\u001b[31mred\\u009b\\u0007\\u000d\\u202e");
        assert_eq!(line("one\n# STATUS: PASS"), "one\\n# STATUS: PASS");
        let json = serde_json::to_string("\u{9b}\u{7f}\x1b").unwrap();
        assert_eq!(serde_json::from_str::<String>(&lines(&json)).unwrap(), "\u{9b}\u{7f}\x1b");
    }

    #[test]
    fn a_long_sentence_keeps_its_begin_and_what_to_do() {
        let long = format!("`{}` is no rate; write it as 5/s", "ä".repeat(1 << 20));
        let shown = sentence(&long);
        assert!(shown.starts_with("`ää") && shown.ends_with("is no rate; write it as 5/s"), "{shown}");
        assert!(shown.contains("characters left out") && shown.chars().count() <= LINE_MAX, "{shown}");
        assert_eq!(sentence(&shown), shown, "once is enough");
        assert_eq!(sentence("it ended:\nlast words\n"), "it ended:\nlast words");
        assert_eq!(sentence(&"x\n".repeat(1 << 20)).lines().count(), LINES_MAX);
    }
}
