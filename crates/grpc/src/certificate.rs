//! The certificate of a server that has none.

use rcgen::{CertificateParams, KeyPair};

/// A certificate that signs itself, and its key, as PEM.
#[derive(Clone)]
pub struct SelfSigned {
    /// The certificate, which is also what clients trust.
    pub certificate: String,
    /// Its key.
    pub key: String,
}

impl SelfSigned {
    /// A new one for these host names and addresses.
    ///
    /// # Errors
    ///
    /// A sentence if a name cannot be in one.
    pub fn generate(names: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let unusable = |error: rcgen::Error| error.to_string();
        let params = CertificateParams::new(names.into_iter().collect::<Vec<_>>()).map_err(unusable)?;
        let key = KeyPair::generate().map_err(unusable)?;
        let certificate = params.self_signed(&key).map_err(unusable)?;
        Ok(Self { certificate: certificate.pem(), key: key.serialize_pem() })
    }
}
