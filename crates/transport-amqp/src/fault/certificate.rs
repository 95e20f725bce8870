//! Errors of the service's certificate.

use super::Peer;
use crate::{
    endpoint::Endpoint,
    handshake::{RSA_BITS, Seen},
};
use rustls::{CertificateError, OtherError};

impl Peer {
    pub(super) fn certificate(&self, problem: &CertificateError, seen: &Seen) -> String {
        let Endpoint { host, port, .. } = &self.endpoint;
        match problem {
            CertificateError::UnknownIssuer => format!(
                "the certificate of {host} is not signed by an authority in --ca FILE (without --ca, by one \
                that this system trusts): give the authority of the service with --ca FILE"
            ),
            CertificateError::BadSignature => match seen.odd_key_bits() {
                Some(bits) => format!(
                    "{host} or one of its authorities has an RSA key of {bits} bits, and {} to {} are accepted: the \
                    service needs a certificate with such a key",
                    RSA_BITS.start(),
                    RSA_BITS.end()
                ),
                None => format!(
                    "a signature on the certificate of {host} is wrong: the authority in --ca FILE has the right name \
                    and another key, or the certificate is damaged. Give the authority that signed it"
                ),
            },
            CertificateError::NotValidForName => self.not_valid_for_name(&[]),
            CertificateError::NotValidForNameContext { presented, .. } if presented.is_empty() => format!(
                "the certificate of {host} has no subject alternative name, and a common name does not count (RFC 9525): \
                the service needs a certificate with DNS:{host} as subject alternative name"
            ),
            CertificateError::NotValidForNameContext { presented, .. } => self.not_valid_for_name(presented),
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {host} has expired: the service needs a new one (or this clock is wrong)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {host} is not valid yet: is this clock right?")
            }
            CertificateError::Revoked => format!("the certificate of {host} was revoked: the service needs a new one"),
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => format!(
                "the certificate of {host} may not be used by a server (extended key usage): the service at port {port} \
                needs one for server authentication"
            ),
            CertificateError::UnsupportedSignatureAlgorithmContext { .. }
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => format!(
                "the certificate of {host}, or one of its authorities, is signed in a way that is not accepted (SHA-1 and \
                MD5 are not): the service needs one signed with SHA-256 or better, by an RSA, P-256 or P-384 key"
            ),
            CertificateError::Other(OtherError(inner)) => self.other(inner.downcast_ref::<webpki::Error>()),
            other => self.unreadable(&format!(" ({other})")),
        }
    }

    fn not_valid_for_name(&self, presented: &[String]) -> String {
        let Endpoint { host, port, .. } = &self.endpoint;
        // Each has the form of `Debug`: DnsName("localhost"), IpAddress(127.0.0.1).
        let name = |text: &String| {
            let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner);
            inner.trim_matches([')', '"']).to_owned()
        };
        let names = presented.iter().map(name).collect::<Vec<_>>().join(", ");
        let valid_for = if names.is_empty() { String::new() } else { format!(" (it is for {names})") };
        format!(
            "the certificate is not valid for {host}{valid_for}: put a name it is valid for in the URL, \
            and where to reach it in --connect-to NAME:{port}:ADDRESS:PORT"
        )
    }

    fn other(&self, error: Option<&webpki::Error>) -> String {
        use webpki::Error;
        let host = &self.endpoint.host;
        match error {
            Some(Error::UnsupportedCertVersion) => format!(
                "the certificate of {host} is of version 1 of X.509, which cannot name a server safely: the service needs \
                one of version 3, with DNS:{host} as subject alternative name"
            ),
            Some(Error::CaUsedAsEndEntity) => format!(
                "the certificate of {host} is that of an authority, not of a server: the service needs one that is signed \
                by it"
            ),
            Some(Error::EndEntityUsedAsCa) => format!(
                "the certificate of {host} is signed by one that is no authority's: the service needs one that is signed \
                by an authority"
            ),
            Some(Error::NameConstraintViolation) => format!(
                "the authority of {host} may not sign certificates for this name (name constraints): the service needs \
                one of another authority"
            ),
            Some(error) => self.unreadable(&format!(" ({error})")),
            None => self.unreadable(""),
        }
    }

    fn unreadable(&self, what: &str) -> String {
        let host = &self.endpoint.host;
        format!(
            "the certificate of {host} cannot be used to identify a server{what}: the service needs one of X.509 version 3 \
            that is signed by an authority"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};
    use engine::ports::FaultKind;
    use rustls::pki_types::ServerName;
    use std::{io, sync::Arc};

    #[test]
    fn a_rejected_certificate_is_reported_with_the_reason_and_the_remedy() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let certificate = |error| {
            let error = rustls::Error::InvalidCertificate(error);
            peer.tls(&io::Error::new(io::ErrorKind::InvalidData, error), &Seen::new(false))
        };
        let other = |error: webpki::Error| CertificateError::Other(OtherError(Arc::new(error)));
        let for_names = |presented: &[&str]| CertificateError::NotValidForNameContext {
            expected: ServerName::try_from("broker.test").unwrap(),
            presented: presented.iter().map(|&name| name.to_owned()).collect(),
        };
        for (error, parts) in [
            (
                CertificateError::UnknownIssuer,
                &["certificate of broker.test is not signed by an authority in --ca FILE"][..],
            ),
            (CertificateError::BadSignature, &["has the right name and another key", "--ca FILE"]),
            (
                for_names(&["DnsName(\"localhost\")", "IpAddress(127.0.0.1)"]),
                &["not valid for broker.test (it is for localhost, 127.0.0.1)", "--connect-to NAME:5671"],
            ),
            (for_names(&[]), &["no subject alternative name", "DNS:broker.test"]),
            (CertificateError::Expired, &["expired"]),
            (other(webpki::Error::UnsupportedCertVersion), &["version 1", "version 3"]),
            (other(webpki::Error::CaUsedAsEndEntity), &["that of an authority"]),
            (other(webpki::Error::MalformedExtensions), &["MalformedExtensions", "the service needs"]),
            (CertificateError::Other(OtherError(Arc::new(io::Error::other("x")))), &["the service needs"]),
        ] {
            let fault = certificate(error);
            assert!(!fault.sentence.contains("Other"), "{fault}");
            check(fault, FaultKind::Tls, parts);
        }
    }
}
