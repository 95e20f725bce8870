//! TLS that cannot be agreed.

use super::Peer;
use crate::route::Endpoint;
use engine::ports::{Fault, FaultKind};
use rustls::{CertificateError, InvalidMessage};
use std::io;

impl Peer {
    pub(crate) fn tls(&self, error: &io::Error) -> Fault {
        let host = &self.endpoint.host;
        let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
        let sentence = match cause {
            Some(rustls::Error::InvalidCertificate(problem)) => self.certificate(problem),
            Some(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
                format!("{self} does not speak TLS on that port: use its TLS port (often 5671), or amqp:// without TLS")
            }
            Some(rustls::Error::AlertReceived(alert)) => format!(
                "the service at {self} refuses TLS with us ({alert:?}): it may want a certificate, which --cert FILE --key FILE give"
            ),
            Some(other) => format!("TLS with {self} cannot be agreed: {other}"),
            None if error.kind() == io::ErrorKind::InvalidData => {
                format!(
                    "{host} is neither a host name nor an address, so no certificate can be valid for it: check the URL"
                )
            }
            None => format!(
                "{self} ended the connection during the TLS handshake ({error}): does that port speak TLS, and does \
                what is behind it know the name {host}? Without TLS the URL begins with amqp://"
            ),
        };
        Fault::new(FaultKind::Tls, sentence)
    }

    fn certificate(&self, problem: &CertificateError) -> String {
        let Endpoint { host, port, .. } = &self.endpoint;
        match problem {
            CertificateError::UnknownIssuer | CertificateError::BadSignature => format!(
                "the certificate of {host} is not signed by an authority in --ca FILE (without --ca, by one \
                that this system trusts): give the authority of the service with --ca FILE"
            ),
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                let valid_for = match problem {
                    CertificateError::NotValidForNameContext { presented, .. } if !presented.is_empty() => {
                        // Each is written as Debug has it: DnsName("localhost"), IpAddress(127.0.0.1).
                        let name = |text: &String| {
                            let inner = text.split_once('(').map_or(text.as_str(), |(_, inner)| inner);
                            inner.trim_matches([')', '"']).to_owned()
                        };
                        format!(" (it is for {})", presented.iter().map(name).collect::<Vec<_>>().join(", "))
                    }
                    _ => String::new(),
                };
                format!(
                    "the certificate is not valid for {host}{valid_for}: put a name it is valid for in the URL, \
                    and where to reach it in --connect-to NAME:{port}:ADDRESS:PORT"
                )
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                format!("the certificate of {host} has expired: the service needs a new one (or this clock is wrong)")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                format!("the certificate of {host} is not valid yet: is this clock right?")
            }
            CertificateError::Other(_) => format!(
                "the certificate of {host} cannot be used to identify a server ({problem}): is it that of the \
                authority itself? The service needs one signed by it"
            ),
            other => format!("the certificate of {host} is refused: {other}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::tests::{check, peer};
    use rustls::pki_types::ServerName;

    #[test]
    fn tls_failures_name_the_flag_that_helps() {
        let peer = peer("amqps://bench:hunter2@broker.test");
        let tls = |error: rustls::Error| peer.tls(&io::Error::new(io::ErrorKind::InvalidData, error));
        let certificate = |error| tls(rustls::Error::InvalidCertificate(error));
        check(
            certificate(CertificateError::UnknownIssuer),
            FaultKind::Tls,
            &["certificate of broker.test is not signed by an authority in --ca FILE"],
        );
        check(
            certificate(CertificateError::NotValidForNameContext {
                expected: ServerName::try_from("broker.test").unwrap(),
                presented: vec!["DnsName(\"localhost\")".into(), "IpAddress(127.0.0.1)".into()],
            }),
            FaultKind::Tls,
            &["certificate is not valid for broker.test (it is for localhost, 127.0.0.1)", "--connect-to NAME:5671"],
        );
        check(certificate(CertificateError::Expired), FaultKind::Tls, &["expired"]);
        check(
            tls(rustls::Error::InvalidMessage(InvalidMessage::InvalidContentType)),
            FaultKind::Tls,
            &["does not speak TLS", "amqp://"],
        );
        check(peer.tls(&io::ErrorKind::UnexpectedEof.into()), FaultKind::Tls, &["amqp://"]);
    }
}
