//! The testbed's own certificate authority and its one server certificate.

use crate::{
    Result,
    network::{Host, Hosts},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use serde::{Deserialize, Serialize};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

const LOCALHOST: &str = "localhost";
const DAY: Duration = Duration::from_secs(24 * 3600);

/// The files of a TLS server, as PEM. The authority's key is discarded: nothing else will be signed.
#[derive(Clone, Serialize, Deserialize)]
pub struct Certificates {
    pub ca: String,
    pub server: String,
    pub server_key: String,
}

/// Valid for `localhost`, `127.0.0.1`, `*.mss.test` and the addresses of hosts, from yesterday (clocks differ) for ten years.
pub fn generate(hosts: Hosts) -> Result<Certificates> {
    let mut ca = dated(CertificateParams::new(Vec::new())?, "streamharness testbed CA");
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;

    let nodes: Vec<String> = match hosts {
        Hosts::Allocation(allocation) => allocation.addresses().iter().map(ToString::to_string).collect(),
        _ => {
            let dsns = (1..=hosts.dsns().max(1)).map(Host::Dsn);
            dsns.chain([Host::Nlb]).map(|host| hosts.name(host)).filter(|name| name != LOCALHOST).collect()
        }
    };
    let names: Vec<String> =
        [LOCALHOST, "127.0.0.1", "*.mss.test"].map(String::from).into_iter().chain(nodes).collect();
    let mut server = dated(CertificateParams::new(names)?, "streamharness testbed");
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let server_key = KeyPair::generate()?;
    let server_certificate = server.signed_by(&server_key, &Issuer::new(ca, ca_key))?;

    Ok(Certificates {
        ca: ca_certificate.pem(),
        server: server_certificate.pem(),
        server_key: server_key.serialize_pem(),
    })
}

fn dated(mut params: CertificateParams, name: &str) -> CertificateParams {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    params.not_before = date_time_ymd(1970, 1, 1) + now.saturating_sub(DAY);
    params.not_after = params.not_before + DAY * 3653;
    params.distinguished_name.push(DnType::CommonName, name);
    params
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustls::{
        ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    };
    use std::sync::Arc;

    /// A whole handshake in memory, by the verifier that the harness's clients use.
    fn handshake(certificates: &Certificates, name: &str) -> std::result::Result<(), rustls::Error> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(certificates.ca.as_bytes()).unwrap()).unwrap();
        let client = ClientConfig::builder().with_root_certificates(roots).with_no_client_auth();
        let chain = vec![CertificateDer::from_pem_slice(certificates.server.as_bytes()).unwrap()];
        let key = PrivateKeyDer::from_pem_slice(certificates.server_key.as_bytes()).unwrap();
        let server = ServerConfig::builder().with_no_client_auth().with_single_cert(chain, key).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let mut client = ClientConnection::new(Arc::new(client), name).unwrap();
        let mut server = ServerConnection::new(Arc::new(server)).unwrap();
        while client.is_handshaking() || server.is_handshaking() {
            let mut wire = Vec::new();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            server.process_new_packets()?;
            let mut wire = Vec::new();
            server.write_tls(&mut wire).unwrap();
            client.read_tls(&mut wire.as_slice()).unwrap();
            client.process_new_packets()?;
        }
        Ok(())
    }

    #[test]
    fn rustls_accepts_the_certificate_for_each_of_its_names_and_no_other() {
        let certificates = generate(Hosts::Loopback).unwrap();
        for name in ["localhost", "127.0.0.1", "service-1.mss.test"] {
            handshake(&certificates, name).unwrap_or_else(|error| panic!("{name}: {error}"));
        }
        for name in ["example.org", "127.0.0.2", "a.b.mss.test"] {
            handshake(&certificates, name).expect_err(name);
        }
    }

    #[test]
    fn another_testbeds_authority_is_not_trusted() {
        let stranger = generate(Hosts::Loopback).unwrap();
        let mixed = Certificates { ca: stranger.ca, ..generate(Hosts::Loopback).unwrap() };
        handshake(&mixed, "localhost").unwrap_err();
    }
}
