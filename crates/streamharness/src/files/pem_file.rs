//! Files of certificates and keys: PEM, with any other text between the blocks.

use crate::{
    files::small_file,
    terminal::exit::{Exit, Failure},
};
use std::path::Path;

/// The first byte of a certificate, a key or a PKCS #12 store that is not PEM.
const DER_SEQUENCE: u8 = 0x30;
const BYTE_ORDER_MARK: char = '\u{feff}';

/// The text of the file of `flag`. Bytes that are not UTF-8 can only be comments, and are left out.
pub fn read(flag: &str, path: &str) -> Result<String, Failure> {
    let bytes = small_file::read(Path::new(path))
        .map_err(|error| Failure::new(Exit::Route, format!("cannot read {flag} `{path}`: {error}")))?;
    let remedy = match bytes.first_chunk() {
        Some([DER_SEQUENCE, 0x80..=0x84]) => format!(
            "is DER or PKCS #12, and PEM is needed: convert it with `{}`, or with `openssl pkcs12 -nodes` where it \
            is a .p12 or .pfx file",
            match flag.ends_with("key") {
                true => "openssl pkey -inform DER -in FILE -out FILE.pem",
                false => "openssl x509 -inform DER -in FILE -out FILE.pem",
            }
        ),
        Some([0xff, 0xfe] | [0xfe, 0xff]) => {
            "is UTF-16, and PEM in ASCII is needed: convert it with `iconv -f UTF-16 -t ASCII`".to_owned()
        }
        _ => return Ok(String::from_utf8_lossy(&bytes).trim_start_matches(BYTE_ORDER_MARK).to_owned()),
    };
    Err(Failure::new(Exit::Route, format!("the file `{path}` of {flag} {remedy}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_bytes(flag: &str, bytes: &[u8]) -> Result<String, Failure> {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("file");
        std::fs::write(&path, bytes).unwrap();
        read(flag, path.to_str().unwrap())
    }

    #[test]
    fn comments_may_be_in_any_encoding() {
        let text = of_bytes("--ca", b"# Beh\xf6rde\n-----BEGIN CERTIFICATE-----\n").unwrap();
        assert!(text.ends_with("-----BEGIN CERTIFICATE-----\n"), "{text}");
        assert_eq!(of_bytes("--ca", b"\xef\xbb\xbf-----BEGIN").unwrap(), "-----BEGIN");
    }

    #[test]
    fn a_file_that_is_not_pem_is_rejected_with_the_command_that_converts_it() {
        for (flag, bytes, part) in [
            ("--ca", &b"\x30\x82\x01\x00"[..], "openssl x509 -inform DER"),
            ("--key", b"\x30\x81\x80", "openssl pkey -inform DER"),
            ("--cert", b"\xff\xfe-\0", "iconv"),
        ] {
            let failure = of_bytes(flag, bytes).unwrap_err();
            assert!(failure.sentence.contains(part) && failure.sentence.contains(flag), "{failure:?}");
        }
    }
}
