//! A failed TLS handshake with a real server (`openssl s_server`) is reported with its cause and the remedy.
#![allow(clippy::unwrap_used)]

use engine::ports::{Fault, FaultKind};
use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};
use transport_amqp::{AmqpRoute, Endpoint, Secret, reachable};

const LIMIT: Duration = Duration::from_secs(30);
const WEAK: &str = "DEFAULT@SECLEVEL=0";

/// A directory with keys, and certificates that one authority signed.
struct Certificates(tempfile::TempDir);

impl Certificates {
    fn new() -> Self {
        let this = Self(tempfile::tempdir().unwrap());
        for name in ["ca", "stranger"] {
            this.authority(name, "prime256v1");
        }
        this
    }

    /// An authority; all have the same name.
    fn authority(&self, name: &str, curve: &str) {
        let curve = format!("ec_paramgen_curve:{curve}");
        let (key, pem) = (format!("{name}.key"), format!("{name}.pem"));
        let words = ["req", "-x509", "-newkey", "ec", "-pkeyopt", &curve, "-nodes", "-subj", "/CN=authority"];
        self.openssl(&[&words[..], &["-keyout", &key, "-out", &pem, "-days", "2"]].concat());
    }

    /// A certificate for localhost with a key of this kind; `extensions` as in a configuration file, none for version 1.
    fn server(&self, name: &str, key: &[&str], extensions: &str, more: &[&str]) {
        let file = |ending: &str| format!("{name}.{ending}");
        let (key_file, request, pem, extension_file) = (file("key"), file("csr"), file("pem"), file("ext"));
        let words = ["req", "-new", "-nodes", "-subj", "/CN=localhost", "-keyout", &key_file, "-out", &request];
        self.openssl(&[&words[..], key].concat());
        fs::write(self.0.path().join(&extension_file), extensions).unwrap();
        let words = ["x509", "-req", "-in", &request, "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"];
        let extensions: &[&str] = if extensions.is_empty() { &[] } else { &["-extfile", &extension_file] };
        self.openssl(&[&words[..], extensions, &["-out", &pem, "-days", "2"], more].concat());
    }

    #[track_caller]
    fn openssl(&self, words: &[&str]) -> String {
        let output = Command::new("openssl").args(words).current_dir(self.0.path()).output().unwrap();
        assert!(output.status.success(), "openssl {words:?}: {output:?}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn text(&self, name: &str) -> String {
        fs::read_to_string(self.0.path().join(name)).unwrap()
    }

    fn path(&self) -> &Path {
        self.0.path()
    }
}

/// A server that ends with the value.
struct Server {
    process: Child,
    port: u16,
}

impl Server {
    fn start(certificates: &Certificates, name: &str, more: &[&str]) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let (pem, key, accept) = (format!("{name}.pem"), format!("{name}.key"), format!("127.0.0.1:{port}"));
        let mut command = Command::new("openssl");
        command.args(["s_server", "-quiet", "-accept", &accept, "-cert", &pem, "-key", &key]).args(more);
        command.current_dir(certificates.path()).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        let process = command.spawn().unwrap();
        let listens = (0..1500).any(|_| {
            thread::sleep(Duration::from_millis(20));
            TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        assert!(listens, "openssl s_server {more:?} does not listen");
        Self { process, port }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// What connecting to localhost fails with; `shown` is the certificate that we have, by the name of its files.
async fn connect(certificates: &Certificates, server: &Server, trusted: &str, shown: Option<&str>) -> Fault {
    let endpoint = Endpoint::parse(&format!("amqps://bench:hunter2@localhost:{}", server.port)).unwrap();
    let file = |name: &str, ending: &str| certificates.text(&format!("{name}.{ending}"));
    let route = AmqpRoute {
        producer: vec![endpoint.clone()],
        consumer: vec![endpoint],
        ca_pem: Some(file(trusted, "pem")),
        client_cert: shown.map(|name| (file(name, "pem"), Secret::new(file(name, "key")))),
        ..AmqpRoute::default()
    };
    reachable(&route, LIMIT).await.unwrap_err()
}

#[tokio::test]
async fn each_failed_tls_handshake_is_reported_with_its_cause() {
    let p256 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"];
    let p521 = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:secp521r1"];
    let san = "subjectAltName=DNS:localhost\n";
    let certificates = Certificates::new();
    for (name, key, extensions, more) in [
        ("good", &p256[..], san, &[][..]),
        ("p521", &p521, san, &[]),
        ("weak", &["-newkey", "rsa:1024"], san, &[]),
        ("sha1", &p256, san, &["-sha1"]),
        ("cn", &p256, "basicConstraints=CA:FALSE\n", &[]),
        ("client-only", &p256, "subjectAltName=DNS:localhost\nextendedKeyUsage=clientAuth\n", &[]),
        ("v1", &p256, "", &[]),
    ] {
        certificates.server(name, key, extensions, more);
    }
    // Newer versions of openssl give version 3 to a certificate without extensions.
    let v1 = certificates.openssl(&["x509", "-in", "v1.pem", "-noout", "-text"]).contains("Version: 1 ");
    let require = ["-Verify", "1", "-verify_return_error", "-CAfile", "ca.pem"];
    let required = |version| [&require[..], &[version]].concat();
    let wanted = "requires a certificate of this client: give one with --cert FILE and --key FILE";
    let in_common = "no cipher, curve or kind of key in common";
    for (server, more, trusted, shown, sentence) in [
        ("good", required("-tls1_3"), "ca", None, wanted),
        ("good", required("-tls1_2"), "ca", None, wanted),
        ("good", required("-tls1_3"), "ca", Some("stranger"), "refuses the certificate of --cert"),
        ("good", required("-tls1_2"), "ca", Some("stranger"), "refuses the certificate of --cert"),
        ("good", vec!["-tls1_1", "-cipher", WEAK], "ca", None, "speaks neither TLS 1.2 nor 1.3"),
        ("good", vec!["-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-SHA"], "ca", None, in_common),
        ("p521", vec![], "ca", None, in_common),
        ("weak", vec!["-cipher", WEAK], "ca", None, "has an RSA key of 1024 bits, and 2048 to 8192 are accepted"),
        ("weak", vec!["-tls1_2", "-cipher", WEAK], "ca", None, "has an RSA key of 1024 bits"),
        ("sha1", vec!["-cipher", WEAK], "ca", None, "is signed in a way that is not accepted (SHA-1"),
        ("cn", vec![], "ca", None, "has no subject alternative name, and a common name does not count"),
        ("client-only", vec![], "ca", None, "may not be used by a server (extended key usage)"),
        ("v1", vec![], "ca", None, if v1 { "is of version 1 of X.509" } else { "has no subject alternative name" }),
        ("ca", vec![], "ca", None, "is that of an authority, not of a server"),
        ("good", vec![], "stranger", None, "has the right name and another key"),
    ] {
        let process = Server::start(&certificates, server, &more);
        let fault = connect(&certificates, &process, trusted, shown).await;
        assert_eq!(fault.kind, FaultKind::Tls, "{server} {more:?}: {fault}");
        assert!(fault.sentence.contains(sentence), "{server} {more:?}: {fault}");
        for word in ["Other", "hunter2"] {
            assert!(!fault.sentence.contains(word), "{server} {more:?}: {fault}");
        }
    }
}

#[tokio::test]
async fn an_unusable_certificate_or_key_of_ours_is_reported_before_any_connection() {
    let certificates = Certificates::new();
    for words in [
        &["ecparam", "-genkey", "-noout", "-name", "prime256v1", "-out", "other.key"][..],
        &["genrsa", "-out", "weak.key", "1024"],
        &["ec", "-in", "other.key", "-aes256", "-passout", "pass:x", "-out", "closed.key"],
    ] {
        certificates.openssl(words);
    }
    let endpoint = Endpoint::parse("amqps://bench:hunter2@localhost:1").unwrap();
    for (key, sentence) in [
        ("other.key", "does not belong to the certificate of --cert"),
        ("weak.key", "cannot be used: give RSA of 2048 to 8192 bits"),
        ("closed.key", "has a passphrase: write one without it by `openssl pkey"),
        ("ca.pem", "holds no private key"),
    ] {
        let route = AmqpRoute {
            producer: vec![endpoint.clone()],
            consumer: vec![endpoint.clone()],
            ca_pem: Some(certificates.text("ca.pem")),
            client_cert: Some((certificates.text("ca.pem"), Secret::new(certificates.text(key)))),
            ..AmqpRoute::default()
        };
        let fault = reachable(&route, LIMIT).await.unwrap_err();
        assert!(fault.kind == FaultKind::Tls && fault.sentence.contains(sentence), "{key}: {fault}");
    }
}
