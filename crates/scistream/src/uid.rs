//! The name of a request, which is also the tunnel's pre-shared key: anyone with it can join.

use crate::{Error, Result};
use rand::{TryRng, rngs::SysRng};
use shortage::SystemContext;
use std::{fmt, io};

/// 128 bits. It appears only on the wire and in key files.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uid([u8; 16]);

impl Uid {
    /// All its bits are random: one made from the time and a network card could be guessed.
    ///
    /// # Errors
    ///
    /// [`Error::System`] if the system has no randomness.
    pub fn random() -> Result<Self> {
        let mut bytes = [0; 16];
        SysRng.try_fill_bytes(&mut bytes).map_err(io::Error::other).when("draw a random number")?;
        Ok(Self(bytes))
    }

    /// Parses a UUID, with or without its dashes. The error does not repeat the text.
    ///
    /// # Errors
    ///
    /// [`Error::Uid`] if the text is not a UUID.
    pub fn parse(text: &str) -> Result<Self> {
        let digits: String = text.trim().chars().filter(|c| *c != '-').collect();
        if digits.len() != 32 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Error::Uid);
        }
        let byte = |at: usize| u8::from_str_radix(&digits[2 * at..2 * at + 2], 16).map_err(|_| Error::Uid);
        let mut bytes = [0; 16];
        for (at, slot) in bytes.iter_mut().enumerate() {
            *slot = byte(at)?;
        }
        Ok(Self(bytes))
    }

    /// Its form on the wire: 8-4-4-4-12 digits.
    pub fn hyphenated(&self) -> String {
        let hex = self.hex();
        [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
    }

    /// The one line of a data server's key file.
    pub(crate) fn key_line(&self) -> String {
        format!("{KEY_NAME}:{}\n", self.hex())
    }

    fn hex(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// The name that goes with the key, the same on both sides.
pub(crate) const KEY_NAME: &str = "client1";

impl fmt::Debug for Uid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Uid(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_is_read_back_with_and_without_dashes_and_is_not_shown() {
        let text = "0123abcd-4567-89ab-cdef-0123456789ab";
        let uid = Uid::parse(text).unwrap();
        assert_eq!(uid.hyphenated(), text);
        assert_eq!(Uid::parse(&text.replace('-', "")).unwrap(), uid);
        assert_eq!(uid.key_line(), "client1:0123abcd456789abcdef0123456789ab\n");
        assert!(!format!("{uid:?}").contains("0123"));
        assert_ne!(Uid::random().unwrap(), Uid::random().unwrap());
    }

    #[test]
    fn what_is_no_uuid_is_refused_and_not_repeated() {
        for text in [
            "",
            "../../etc/passwd",
            "0123",
            "0123abcd-4567-89ab-cdef-0123456789ag",
            "0123abcd456789abcdef0123456789abc",
        ] {
            let sentence = Uid::parse(text).unwrap_err().to_string();
            assert!(sentence.contains("UUID") && (text.is_empty() || !sentence.contains(text)), "{sentence}");
        }
    }
}
