//! TLS settings: whom to trust and what to show.

use crate::route::{AmqpRoute, Secret};
use engine::ports::{Fault, FaultKind};
use lapin::tcp::{RustlsConnector, RustlsConnectorConfig};
use rustls::{
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// Trusts the authorities of the route, or those of the system if it names none.
pub(crate) fn connector(route: &AmqpRoute) -> Result<RustlsConnector, Fault> {
    // Fails if the process has one already, which then serves as well.
    let _ = ring::default_provider().install_default();
    let mut config = RustlsConnectorConfig::default();
    match &route.ca_pem {
        Some(pem) => config.add_parsable_certificates(certificates(pem, "--ca")?),
        None => {
            config = config.with_native_certs().map_err(|error| {
                tls_fault(format!(
                    "this system has no authorities to verify the service with ({error}): give its own with --ca FILE"
                ))
            })?;
        }
    }
    let connector = match &route.client_cert {
        None => config.connector_with_no_client_auth(),
        Some((chain, key)) => config.connector_with_single_cert(certificates(chain, "--cert")?, private_key(key)?),
    };
    connector.map_err(|error| tls_fault(format!("the certificate and key of --cert and --key cannot be used: {error}")))
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
    PrivateKeyDer::from_pem_slice(pem.expose().as_bytes()).map_err(|_| {
        tls_fault(
            "the file of --key holds no private key: give it PEM without a passphrase (-----BEGIN PRIVATE KEY-----)",
        )
    })
}

fn tls_fault(sentence: impl std::fmt::Display) -> Fault {
    Fault::new(FaultKind::Tls, sentence)
}
