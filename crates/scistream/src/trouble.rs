//! Problems in a data server's log, as sentences for its operator and for its user.

use crate::Kind;

/// A problem that keeps connections from passing. Contains no key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Trouble {
    /// The two proxies offer different cipher suites.
    NoCommonCipher,
    /// The two proxies have different keys.
    OtherKey,
    /// The peer does not speak TLS.
    NotTls,
    /// It cannot connect to its target.
    NotReached(String),
    /// It has ended.
    Ended(String),
}

/// OpenSSL's messages, and their meaning between two proxies.
const REASONS: [(&str, Trouble); 6] = [
    ("no shared cipher", Trouble::NoCommonCipher),
    ("alert handshake failure", Trouble::NoCommonCipher),
    ("bad record mac", Trouble::OtherKey),
    ("alert decrypt error", Trouble::OtherKey),
    ("wrong version number", Trouble::NotTls),
    ("alert protocol version", Trouble::NotTls),
];

impl Trouble {
    /// The problem in a line of a stunnel's log, if there is one.
    pub fn of_line(line: &str) -> Option<Self> {
        // Level 3: an error. The process itself logs as `ui`, connections by their number.
        let (_, entry) = line.split_once("LOG3[")?;
        let (origin, message) = entry.split_once("]: ")?;
        if origin == "ui" {
            return None;
        }
        if let Some(failed) = message.strip_prefix("s_connect: connect ") {
            return Some(Self::NotReached(plain(failed)));
        }
        if let Some(failed) = message.strip_prefix("s_connect: s_poll_wait ") {
            let (target, _) = failed.rsplit_once(": ").unwrap_or((failed, ""));
            return Some(Self::NotReached(format!("{}: no reply", plain(target))));
        }
        if message.starts_with("Error resolving ") {
            return Some(Self::NotReached(plain(message)));
        }
        REASONS.iter().find(|(reason, _)| message.contains(reason)).map(|(_, trouble)| trouble.clone())
    }

    /// A sentence, for a data server of this type.
    pub fn sentence(&self, kind: Kind) -> String {
        let program = kind.program();
        match self {
            Self::NoCommonCipher => {
                let remedy = match kind {
                    Kind::StunnelNull => "both control servers take the same --type",
                    _ => {
                        "SciStream's own StunnelSubprocess offers null ciphers only, so start this control server with \
                         --type stunnel-null; two of streamharness take the same --type"
                    }
                };
                format!("its {program} and the proxy on the other side have no cipher in common: {remedy}")
            }
            Self::OtherKey => format!(
                "its {program} and the proxy on the other side have different keys: make both requests with the same uid"
            ),
            Self::NotTls => format!(
                "its {program} uses TLS and the other side does not: start both control servers with the \
                 same --type, and give the outbound request the listeners of the inbound one"
            ),
            Self::NotReached(why) => {
                format!("its {program} cannot connect ({why}): is the address right, and reachable from there?")
            }
            Self::Ended(how) => {
                format!("its {program} ended by itself ({how}): look at its log, and request the tunnel again")
            }
        }
    }
}

/// Text of a log for a terminal and for a header.
fn plain(text: &str) -> String {
    text.chars().filter(|c| c.is_ascii_graphic() || *c == ' ').collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(line: &str, expected: Option<Trouble>) {
        assert_eq!(Trouble::of_line(line), expected, "{line}");
    }

    #[test]
    fn a_line_of_a_log_gives_the_trouble_between_the_two_proxies() {
        let reached = |why: &str| Some(Trouble::NotReached(why.to_owned()));
        check(
            "2026.01.02 03:04:05 LOG3[0]: SSL_accept: ../ssl/statem/statem_srvr.c:2226: error:0A0000C1:SSL routines::no \
             shared cipher",
            Some(Trouble::NoCommonCipher),
        );
        check(
            "2026.01.02 03:04:05 LOG3[7]: SSL_connect: ../ssl/record/rec_layer_s3.c:1601: error:0A000410:SSL \
             routines::sslv3 alert handshake failure",
            Some(Trouble::NoCommonCipher),
        );
        check(
            "2026.01.02 03:04:05 LOG3[0]: SSL_connect: ../ssl/record/rec_layer_s3.c:1601: error:0A0003FC:SSL \
             routines::sslv3 alert bad record mac",
            Some(Trouble::OtherKey),
        );
        check(
            "2026.01.02 03:04:05 LOG3[0]: error queue: ../ssl/record/ssl3_record.c:616: error:0A000119:SSL \
             routines::decryption failed or bad record mac",
            Some(Trouble::OtherKey),
        );
        check(
            "2026.01.02 03:04:05 LOG3[2]: SSL_accept: ../ssl/record/ssl3_record.c:350: error:0A00010B:SSL routines::wrong \
             version number",
            Some(Trouble::NotTls),
        );
        check(
            "2026.01.02 03:04:05 LOG3[0]: s_connect: connect 127.0.0.1:1: Connection refused (111)",
            reached("127.0.0.1:1: Connection refused (111)"),
        );
        check(
            "2026.01.02 03:04:05 LOG3[0]: s_connect: s_poll_wait 10.255.255.1:5672: TIMEOUTconnect exceeded",
            reached("10.255.255.1:5672: no reply"),
        );
        check("LOG3[1]: Error resolving \"h\": Neither \x1b", reached("Error resolving \"h\": Neither "));
        check("2026.01.02 03:04:05 LOG3[ui]: No trusted certificates found", None);
        check("2026.01.02 03:04:05 LOG5[0]: Connection reset: 0 byte(s) sent to TLS, 0 byte(s) sent to socket", None);
        check("2026.01.02 03:04:05 LOG6[0]: TLSv1.2 ciphersuite: DHE-PSK-AES256-GCM-SHA384 (256-bit encryption)", None);
    }

    #[test]
    fn proxies_without_a_common_cipher_get_the_type_to_start() {
        let sentence = Trouble::NoCommonCipher.sentence(Kind::Stunnel);
        assert!(sentence.contains("StunnelSubprocess") && sentence.contains("--type stunnel-null"), "{sentence}");
        let sentence = Trouble::NoCommonCipher.sentence(Kind::StunnelNull);
        assert!(sentence.contains("same --type") && !sentence.contains("--type stunnel-null"), "{sentence}");
    }
}
