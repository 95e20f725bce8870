//! The certificate of our control plane.

use crate::error::{Error, Result};
use rcgen::{CertificateParams, KeyPair};

/// A certificate and its key, as PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate, which is also what clients trust.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl Identity {
    /// A new certificate for these host names and addresses, signed by itself.
    ///
    /// # Errors
    ///
    /// [`Error::Certificate`] if a name cannot be in one.
    pub fn generate(names: impl IntoIterator<Item = String>) -> Result<Self> {
        let unusable = |error: rcgen::Error| Error::Certificate(error.to_string());
        let params = CertificateParams::new(names.into_iter().collect::<Vec<_>>()).map_err(unusable)?;
        let key = KeyPair::generate().map_err(unusable)?;
        let certificate = params.self_signed(&key).map_err(unusable)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
