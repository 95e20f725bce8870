//! Errors of the TLS handshake.

use super::Peer;
use crate::handshake::{RSA_BITS, Seen};
use engine::ports::{Fault, FaultKind};
use rustls::{AlertDescription, PeerIncompatible};
use std::io;

impl Peer {
    /// The handshake failed; `seen` is its state so far.
    pub(crate) fn tls(&self, error: &io::Error, seen: &Seen) -> Fault {
        let host = &self.endpoint.host;
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let sentence = match cause {
            Some(error) => self.tls_sentence(error, seen),
            None if error.kind() == io::ErrorKind::InvalidData => {
                format!(
                    "{host} is neither a host name nor an address, so no certificate can be valid for it: check the URL"
                )
            }
            None if seen.misses_certificate() => self.certificate_wanted(),
            None => format!(
                "{self} ended the connection during the TLS handshake ({error}): does that port speak TLS, and does \
                what is behind it know the name {host}? Without TLS the URL begins with amqp://"
            ),
        };
        Fault::new(FaultKind::Tls, sentence)
    }

    /// TLS failed after the handshake, as in TLS 1.3 when the service refuses our certificate.
    pub(crate) fn tls_late(&self, error: &rustls::Error, seen: &Seen) -> Fault {
        Fault::new(FaultKind::Tls, self.tls_sentence(error, seen))
    }

    /// The service requested a certificate, got none and closed the connection.
    pub(crate) fn no_certificate(&self) -> Fault {
        Fault::new(FaultKind::Tls, self.certificate_wanted())
    }

    /// The service requested a certificate, got one and closed the connection without a reason.
    pub(crate) fn certificate_rejected_silently(&self) -> Fault {
        let sentence = format!(
            "the service at {self} closed the connection when it had the certificate of --cert: it most likely refuses it, and \
            its log says why. Give one that it accepts"
        );
        Fault::new(FaultKind::Tls, sentence)
    }

    fn certificate_wanted(&self) -> String {
        format!("the service at {self} requires a certificate of this client: give one with --cert FILE and --key FILE")
    }

    fn tls_sentence(&self, error: &rustls::Error, seen: &Seen) -> String {
        match error {
            rustls::Error::InvalidCertificate(problem) => self.certificate(problem, seen),
            rustls::Error::InvalidMessage(_) => {
                format!("{self} does not speak TLS on that port: use its TLS port (often 5671), or amqp:// without TLS")
            }
            rustls::Error::AlertReceived(alert) => self.alert(*alert, seen),
            rustls::Error::PeerIncompatible(problem) => match problem {
                PeerIncompatible::ServerDoesNotSupportTls12Or13
                | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig
                | PeerIncompatible::Tls12NotOffered
                | PeerIncompatible::Tls12NotOfferedOrEnabled => self.old_tls(),
                _ => self.nothing_in_common(),
            },
            rustls::Error::NoCertificatesPresented => {
                format!("the service at {self} shows no certificate, so it cannot be verified: give it one")
            }
            other => format!("TLS with {self} cannot be agreed ({other}): see the log of the service"),
        }
    }

    fn alert(&self, alert: AlertDescription, seen: &Seen) -> String {
        use AlertDescription as Alert;
        match alert {
            Alert::CertificateRequired => self.certificate_wanted(),
            Alert::HandshakeFailure | Alert::BadCertificate | Alert::NoCertificate if seen.misses_certificate() => {
                self.certificate_wanted()
            }
            Alert::UnrecognisedName => format!(
                "the service at {self} does not serve the name {}: put its own name in the URL, and where to reach it \
                in --connect-to NAME:{}:ADDRESS:PORT",
                self.endpoint.host, self.endpoint.port
            ),
            Alert::ProtocolVersion => self.old_tls(),
            Alert::UnknownCA
            | Alert::BadCertificate
            | Alert::UnsupportedCertificate
            | Alert::CertificateRevoked
            | Alert::CertificateExpired
            | Alert::CertificateUnknown
            | Alert::AccessDenied
            | Alert::DecryptError
                if seen.has_shown_certificate() =>
            {
                let reason = match alert {
                    Alert::UnknownCA => "it does not trust the authority that signed it",
                    Alert::CertificateExpired => "it has expired",
                    Alert::CertificateRevoked => "it was revoked",
                    Alert::UnsupportedCertificate => "it may not be used by a client, or is of another kind",
                    _ => "its log says why",
                };
                format!("the service at {self} refuses the certificate of --cert: {reason}. Give one that it accepts")
            }
            Alert::HandshakeFailure | Alert::InsufficientSecurity => self.nothing_in_common(),
            other => format!("the service at {self} ended TLS with the alert {other:?}: see the log of the service"),
        }
    }

    fn old_tls(&self) -> String {
        format!("the service at {self} speaks neither TLS 1.2 nor 1.3: enable one of them there")
    }

    fn nothing_in_common(&self) -> String {
        format!(
            "TLS with {self} cannot be agreed: it has no cipher, curve or kind of key in common with this program. Enable \
            AES-GCM or ChaCha20 there, with ECDHE on X25519, P-256 or P-384, and a certificate with an RSA, P-256 or \
            P-384 key (RSA of {} bits or more)",
            RSA_BITS.start()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};
    use rustls::{InvalidMessage, PeerMisbehaved};

    #[test]
    fn tls_failures_name_what_helps() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let tls =
            |error: rustls::Error| peer.tls(&io::Error::new(io::ErrorKind::InvalidData, error), &Seen::new(false));
        let alert = |alert| tls(rustls::Error::AlertReceived(alert));
        for (fault, parts) in [
            (
                tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
                &["does not speak TLS", "amqp://"][..],
            ),
            (peer.tls(&io::ErrorKind::UnexpectedEof.into(), &Seen::new(false)), &["amqp://"]),
            (alert(AlertDescription::CertificateRequired), &["requires a certificate", "--cert FILE and --key FILE"]),
            (alert(AlertDescription::HandshakeFailure), &["no cipher", "Enable"]),
            (alert(AlertDescription::ProtocolVersion), &["neither TLS 1.2 nor 1.3"]),
            (alert(AlertDescription::UnrecognisedName), &["does not serve the name broker.test", "--connect-to"]),
            (alert(AlertDescription::InternalError), &["InternalError", "log of the service"]),
            (tls(PeerIncompatible::NoCipherSuitesInCommon.into()), &["no cipher"]),
            (tls(PeerIncompatible::ServerDoesNotSupportTls12Or13.into()), &["neither TLS 1.2 nor 1.3"]),
            (tls(PeerMisbehaved::InvalidCertCompression.into()), &["cannot be agreed", "log of the service"]),
        ] {
            check(fault, FaultKind::Tls, parts);
        }
    }
}
