//! Observations during a TLS handshake, so that a failed one is reported with its cause.

use rustls::{
    CertificateError, DigitallySignedStruct, Error, SignatureScheme,
    client::{
        ResolvesClientCert, WebPkiServerVerifier,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    pki_types::{CertificateDer, ServerName, UnixTime},
    sign::CertifiedKey,
};
use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed},
};

/// Accepted lengths of RSA keys, in bits.
pub(crate) const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
/// 1.2.840.113549.1.1, the prefix of RSA's signature algorithms.
const RSA_OID: [u8; 8] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01];

/// Observations of a rank's latest handshake: its workers connect one after the other.
#[derive(Debug)]
pub(crate) struct Seen {
    /// Whether we have a certificate to show.
    pub shows_certificate: bool,
    certificate_requested: AtomicBool,
    /// Length of an RSA key that was rejected for its length; otherwise 0.
    odd_key_bits: AtomicUsize,
}

impl Seen {
    pub(crate) fn new(shows_certificate: bool) -> Self {
        Self { shows_certificate, certificate_requested: AtomicBool::new(false), odd_key_bits: AtomicUsize::new(0) }
    }

    /// A new handshake begins.
    pub(crate) fn nothing(&self) {
        self.certificate_requested.store(false, Relaxed);
        self.odd_key_bits.store(0, Relaxed);
    }

    /// Whether the service requested a certificate that we do not have.
    pub(crate) fn misses_certificate(&self) -> bool {
        self.certificate_requested.load(Relaxed) && !self.shows_certificate
    }

    /// Whether the service has seen our certificate.
    pub(crate) fn has_shown_certificate(&self) -> bool {
        self.certificate_requested.load(Relaxed) && self.shows_certificate
    }

    /// Length of an RSA key of the service, or of one of its authorities, that is not accepted.
    pub(crate) fn odd_key_bits(&self) -> Option<usize> {
        Some(self.odd_key_bits.load(Relaxed)).filter(|bits| *bits > 0)
    }

    fn keep_key<T>(&self, result: Result<T, Error>, bits: impl FnOnce() -> Option<usize>) -> Result<T, Error> {
        if matches!(result, Err(Error::InvalidCertificate(CertificateError::BadSignature)))
            && let Some(bits) = bits().filter(|bits| !RSA_BITS.contains(bits))
        {
            self.odd_key_bits.store(bits, Relaxed);
        }
        result
    }
}

/// Verifies as rustls does, and stores why a signature was rejected.
#[derive(Debug)]
pub(crate) struct Checked {
    pub inner: Arc<WebPkiServerVerifier>,
    pub seen: Arc<Seen>,
}

impl ServerCertVerifier for Checked {
    fn verify_server_cert(
        &self,
        own: &CertificateDer<'_>,
        others: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let result = self.inner.verify_server_cert(own, others, name, ocsp, now);
        let odd = || {
            let mut bits = std::iter::once(own).chain(others).filter_map(|one| rsa_signature_bits(one));
            bits.find(|bits| !RSA_BITS.contains(bits))
        };
        self.seen.keep_key(result, odd)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = self.inner.verify_tls12_signature(message, certificate, signed);
        self.seen.keep_key(result, || rsa_bits(signed))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let result = self.inner.verify_tls13_signature(message, certificate, signed);
        self.seen.keep_key(result, || rsa_bits(signed))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Presents our certificate, and stores that the service requested one.
#[derive(Debug)]
pub(crate) struct CertificateRequest {
    pub inner: Arc<dyn ResolvesClientCert>,
    pub seen: Arc<Seen>,
}

impl ResolvesClientCert for CertificateRequest {
    fn resolve(&self, hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        self.seen.certificate_requested.store(true, Relaxed);
        self.inner.resolve(hints, schemes)
    }

    fn has_certs(&self) -> bool {
        self.inner.has_certs()
    }
}

/// Length of the key that signed: an RSA signature is as long as its key.
fn rsa_bits(signed: &DigitallySignedStruct) -> Option<usize> {
    use SignatureScheme::{
        RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512,
    };
    let rsa = [RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PKCS1_SHA512, RSA_PSS_SHA256, RSA_PSS_SHA384, RSA_PSS_SHA512];
    rsa.contains(&signed.scheme).then(|| signed.signature().len() * 8)
}

/// Length of the RSA key that signed a certificate; `None` if it has another kind of key, or if it is not a
/// certificate.
fn rsa_signature_bits(certificate: &[u8]) -> Option<usize> {
    let (certificate, _) = element(certificate)?;
    let (_, rest) = element(certificate)?;
    let (algorithm, rest) = element(rest)?;
    let (oid, _) = element(algorithm)?;
    let (signature, _) = element(rest)?;
    // A bit string begins with its number of unused bits.
    oid.starts_with(&RSA_OID).then(|| signature.len().saturating_sub(1) * 8)
}

/// The contents of the first DER element, and the remaining bytes.
fn element(der: &[u8]) -> Option<(&[u8], &[u8])> {
    let (&[_, first], rest) = der.split_first_chunk::<2>()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    rest.split_at_checked(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_have_short_and_long_lengths() {
        assert_eq!(element(&[4, 2, 7, 8, 9]), Some((&[7, 8][..], &[9][..])));
        assert_eq!(element(&[4, 0x81, 1, 7]), Some((&[7][..], &[][..])));
        for broken in [&[][..], &[4], &[4, 2, 7], &[4, 0x80], &[4, 0x84, 0xff, 0xff, 0xff, 0xff], &[4, 0x82, 1]] {
            assert_eq!(element(broken), None, "{broken:?}");
        }
    }

    #[test]
    fn only_rsa_signatures_show_the_length_of_a_key() {
        let ecdsa = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        assert_eq!(rsa_signature_bits(ecdsa.cert.der()), None);
        let tbs = [0x30, 0];
        let algorithm = [&[0x30, 11, 6, 9][..], &RSA_OID, &[11]].concat();
        let signature = [&[3, 0x81, 129][..], &[0; 129]].concat();
        let inner = [&tbs[..], &algorithm, &signature].concat();
        let certificate = [&[0x30, 0x81, inner.len() as u8][..], &inner].concat();
        assert_eq!(rsa_signature_bits(&certificate), Some(1024));
        assert_eq!(rsa_signature_bits(b"not a certificate"), None);
    }
}
