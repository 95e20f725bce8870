//! TLS settings: trusted authorities, and the client's certificate.

use crate::{
    handshake::{CertificateRequest, Checked, Seen},
    route::AmqpRoute,
    secret::Secret,
    socket::Tcp,
};
use engine::ports::{Fault, FaultKind};
use futures_rustls::{TlsConnector, client::TlsStream};
use rustls::{
    ClientConfig, InconsistentKeys, RootCertStore,
    client::WebPkiServerVerifier,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    sign::{CertifiedKey, SingleCertAndKey},
};
use std::{io, sync::Arc};

/// The TLS settings of a route's connections.
pub(crate) struct Tls {
    connector: TlsConnector,
    /// Observations of the latest handshake.
    pub seen: Arc<Seen>,
}

impl Tls {
    /// Settings that trust the authorities of the route, or those of the system if the route has none.
    pub(crate) fn new(route: &AmqpRoute) -> Result<Self, Fault> {
        // Fails if the process already has one, which is then used.
        let _ = ring::default_provider().install_default();
        let roots = Arc::new(match &route.ca_pem {
            Some(pem) => given_authorities(pem)?,
            None => systems_authorities()?,
        });
        let seen = Arc::new(Seen::new(route.client_cert.is_some()));
        let verifier = WebPkiServerVerifier::builder(roots)
            .build()
            .map_err(|error| tls_fault(format!("the authorities of --ca cannot be used: {error}")))?;
        let verifier = Arc::new(Checked { inner: verifier, seen: seen.clone() });
        let builder = ClientConfig::builder().dangerous().with_custom_certificate_verifier(verifier);
        let mut config = builder.with_no_client_auth();
        if let Some((chain, key)) = &route.client_cert {
            config.client_auth_cert_resolver = Arc::new(identity(chain, key)?);
        }
        config.client_auth_cert_resolver =
            Arc::new(CertificateRequest { inner: config.client_auth_cert_resolver.clone(), seen: seen.clone() });
        Ok(Self { connector: Arc::new(config).into(), seen })
    }

    /// TLS over a connection to `host`.
    pub(crate) async fn handshake(&self, host: &str, tcp: Tcp) -> io::Result<TlsStream<Tcp>> {
        let name = ServerName::try_from(host.to_owned());
        let name = name.map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.connector.connect(name, tcp).await
    }
}

fn given_authorities(pem: &str) -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    match roots.add_parsable_certificates(certificates(pem, "--ca")?) {
        (0, _) => {
            Err(tls_fault("no certificate in the file of --ca can be read: give the authority of the service as PEM"))
        }
        _ => Ok(roots),
    }
}

fn systems_authorities() -> Result<RootCertStore, Fault> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    let reason = found.errors.first().map(|error| format!(" ({error})")).unwrap_or_default();
    match roots.add_parsable_certificates(found.certs) {
        (0, _) => Err(tls_fault(format!(
            "this system has no authorities to verify the service with{reason}: give its own with --ca FILE"
        ))),
        _ => Ok(roots),
    }
}

fn certificates(pem: &str, flag: &str) -> Result<Vec<CertificateDer<'static>>, Fault> {
    match CertificateDer::pem_slice_iter(pem.as_bytes()).collect::<Result<Vec<_>, _>>() {
        Ok(certificates) if !certificates.is_empty() => Ok(certificates),
        _ => Err(tls_fault(format!(
            "the file of {flag} holds no certificate: give it PEM (-----BEGIN CERTIFICATE-----)"
        ))),
    }
}

fn private_key(pem: &Secret) -> Result<PrivateKeyDer<'static>, Fault> {
    let text = pem.expose();
    PrivateKeyDer::from_pem_slice(text.as_bytes()).map_err(|_| match text.contains("ENCRYPTED") {
        true => tls_fault(
            "the key in the file of --key has a passphrase: write one without it by `openssl pkey -in FILE -out NEW`",
        ),
        false => tls_fault("the file of --key holds no private key: give it PEM (-----BEGIN PRIVATE KEY-----)"),
    })
}

/// Our certificate and key. Only the service has to parse the certificate, which may be of version 1.
fn identity(chain: &str, key: &Secret) -> Result<SingleCertAndKey, Fault> {
    let chain = certificates(chain, "--cert")?;
    let key = ring::default_provider().key_provider.load_private_key(private_key(key)?).map_err(|_| {
        tls_fault("the key of --key cannot be used: give RSA of 2048 to 8192 bits, ECDSA on P-256 or P-384, or Ed25519")
    })?;
    let identity = CertifiedKey::new(chain, key);
    match identity.keys_match() {
        Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => Err(tls_fault(
            "the key of --key does not belong to the certificate of --cert, the first one in its file: give the two that do",
        )),
        _ => Ok(identity.into()),
    }
}

fn tls_fault(sentence: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Tls, sentence)
}
