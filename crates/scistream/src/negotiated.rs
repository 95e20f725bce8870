//! The results of TLS handshakes in a stunnel's log.

/// A version and a cipher suite.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Negotiated {
    /// Such as `TLSv1.2`.
    pub version: String,
    /// Its IANA name if known, otherwise OpenSSL's name.
    pub cipher: String,
}

const IANA: [(&str, &str); 4] = [
    ("DHE-PSK-AES256-GCM-SHA384", "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384"),
    ("DHE-PSK-CHACHA20-POLY1305", "TLS_DHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-PSK-CHACHA20-POLY1305", "TLS_ECDHE_PSK_WITH_CHACHA20_POLY1305_SHA256"),
    ("ECDHE-PSK-NULL-SHA384", "TLS_ECDHE_PSK_WITH_NULL_SHA384"),
];

/// The last result in the log; `None` before the first connection.
pub fn negotiated(log: &str) -> Option<Negotiated> {
    log.lines().rev().find_map(|line| {
        let (before, after) = line.split_once(" ciphersuite: ")?;
        let version = before.rsplit(' ').next()?;
        let cipher = after.split_whitespace().next()?;
        let known = IANA.iter().find(|(openssl, _)| *openssl == cipher).map(|(_, iana)| *iana);
        Some(Negotiated { version: version.to_owned(), cipher: known.unwrap_or(cipher).to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_handshake_in_the_log_counts() {
        let log = "\
2026.01.02 03:04:05 LOG5[ui]: stunnel 5.68 on x86_64-pc-linux-gnu platform
2026.01.02 03:04:06 LOG6[0]: TLSv1.2 ciphersuite: ECDHE-PSK-NULL-SHA384 (0-bit encryption)
2026.01.02 03:04:07 LOG6[1]: TLSv1.2 ciphersuite: DHE-PSK-AES256-GCM-SHA384 (256-bit encryption)
2026.01.02 03:04:08 LOG5[1]: Connection closed
";
        let expected = Negotiated { version: "TLSv1.2".into(), cipher: "TLS_DHE_PSK_WITH_AES_256_GCM_SHA384".into() };
        assert_eq!(negotiated(log), Some(expected));
        assert_eq!(negotiated("LOG6[0]: TLSv1.3 ciphersuite: NEW (1-bit encryption)").unwrap().cipher, "NEW");
        assert_eq!(negotiated("LOG5[ui]: Configuration successful"), None);
    }
}
