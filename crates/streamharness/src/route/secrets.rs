//! Passwords: from a variable, or from the file that another variable names.

use crate::{
    files::small_file,
    terminal::exit::{Exit, Failure},
};
use std::{env, path::Path};
use transport_amqp::Secret;

/// Byte order mark, which some editors put before a text.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The password in a variable, otherwise in the file named by the variable with `_FILE`. An empty variable counts as
/// unset.
pub fn of_variable(variable: &str) -> Result<Option<Secret>, Failure> {
    let of = |name: &str| env::var_os(name).filter(|value| !value.is_empty());
    let file = format!("{variable}_FILE");
    if let Some(text) = of(variable) {
        return match text.into_string() {
            Ok(text) => Ok(Some(Secret::new(text))),
            Err(_) => Err(Failure::new(
                Exit::Route,
                format!(
                    "the password in {variable} is not UTF-8: put it in UTF-8 into a file, and its name into {file}"
                ),
            )),
        };
    }
    of(&file).map(|path| of_file(Path::new(&path), "password")).transpose()
}

/// The password or the token in a file, without the end of its line.
pub fn of_file(path: &Path, kind: &str) -> Result<Secret, Failure> {
    let wrong = |what: String| Failure::new(Exit::Route, format!("the {kind} file `{}` {what}", path.display()));
    let bytes = small_file::read(path).map_err(|error| {
        Failure::new(Exit::Route, format!("cannot read the {kind} file `{}`: {error}", path.display()))
    })?;
    let text = String::from_utf8(bytes)
        .map_err(|_| wrong("is not UTF-8: save it as UTF-8 (`iconv -t UTF-8` converts it)".to_owned()))?;
    match text.trim_start_matches(BYTE_ORDER_MARK).trim_end_matches(['\r', '\n']) {
        "" => Err(wrong(format!("is empty: write the {kind} into it"))),
        secret => Ok(Secret::new(secret)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn of_bytes(bytes: &[u8]) -> Result<Secret, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("password");
        std::fs::write(&path, bytes).unwrap();
        of_file(&path, "password")
    }

    #[test]
    fn what_an_editor_puts_around_a_password_is_dropped() {
        for bytes in [&b"hunter2"[..], b"hunter2\n", b"hunter2\r\n", b"\xef\xbb\xbfhunter2\r\n"] {
            assert_eq!(of_bytes(bytes).unwrap().expose(), "hunter2");
        }
        assert_eq!(of_bytes(b" hunter 2 ").unwrap().expose(), " hunter 2 ");
    }

    #[test]
    fn a_file_without_a_password_is_rejected_with_the_reason() {
        for (bytes, part) in [
            (&b""[..], "is empty"),
            (b"\xef\xbb\xbf\n", "is empty"),
            (b"hunter2\xff", "iconv"),
            (b"\xff\xfeh\0u\0", "iconv"),
        ] {
            let failure = of_bytes(bytes).unwrap_err();
            assert!(failure.sentence.contains(part) && !failure.sentence.contains("hunter2"), "{failure:?}");
        }
    }
}
