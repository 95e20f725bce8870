//! Tunnels through real stunnel and HAProxy processes, from the request to the release.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use scistream::{Client, Error, Kind, Options, Role, Server, Side, Tunnel, TunnelRequest, Uid, negotiated};
use std::{
    fs,
    net::TcpListener as StdListener,
    ops::RangeInclusive,
    path::Path,
    sync::atomic::{AtomicU16, Ordering},
    time::Duration,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};

const LIMIT: Duration = Duration::from_secs(20);

/// Ports of this test's own, below those which the system hands out by itself.
fn range(count: u16) -> RangeInclusive<u16> {
    static NEXT: AtomicU16 = AtomicU16::new(18_000);
    let free = |first: u16| (first..first + count).all(|port| StdListener::bind(("127.0.0.1", port)).is_ok());
    loop {
        let first = NEXT.fetch_add(count, Ordering::Relaxed);
        if free(first) {
            return first..=first + count - 1;
        }
    }
}

/// A control server in this process. Its data servers end with the test's thread, however that ends.
struct Running {
    side: Side,
    dir: TempDir,
    stop: tokio::sync::oneshot::Sender<()>,
    done: tokio::task::JoinHandle<()>,
}

impl Running {
    async fn start(kind: Kind, ports: RangeInclusive<u16>, tokens: &[&str]) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let mut options = Options::new("127.0.0.1:0".parse().unwrap(), ports, kind, dir.path().join("s2cs"));
        options.tokens = tokens.iter().map(|token| (*token).to_owned()).collect();
        let server = Server::bind(options).await.unwrap();
        let side = Side {
            reached: scistream::Reached::default(),
            address: server.address().to_string(),
            certificate: server.certificate().to_owned(),
            token: tokens.first().map(|token| (*token).to_owned()),
        };
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let serving = server.serve(async move {
            let _ = stopped.await;
        });
        let done = tokio::spawn(async move { serving.await.unwrap() });
        Self { side, dir, stop, done }
    }

    async fn client(&self) -> Client {
        let Side { address, certificate, token, .. } = &self.side;
        Client::connect(address, certificate, token.as_deref(), LIMIT).await.unwrap().without_delay()
    }

    fn dir(&self) -> std::path::PathBuf {
        self.dir.path().join("s2cs")
    }

    async fn end(self) {
        self.stop.send(()).unwrap();
        self.done.await.unwrap();
    }
}

/// A service that sends back what it gets.
async fn echo() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            tokio::spawn(async move {
                let (mut from, mut to) = stream.split();
                let _ = tokio::io::copy(&mut from, &mut to).await;
            });
        }
    });
    address
}

async fn pair(kind: Kind, ports: u16) -> (Running, Running) {
    (Running::start(kind, range(ports), &["inner"]).await, Running::start(kind, range(ports), &["outer"]).await)
}

fn request(inbound: &Running, outbound: &Running, service: &str, connections: u32) -> TunnelRequest {
    TunnelRequest {
        outbound: outbound.side.clone(),
        inbound: inbound.side.clone(),
        service: vec![service.to_owned()],
        connections,
        limit: LIMIT,
        quick: true,
    }
}

async fn open(inbound: &Running, outbound: &Running, service: &str, connections: u32) -> Tunnel {
    request(inbound, outbound, service, connections).open().await.unwrap()
}

/// Sends a text and gets it back.
async fn round_trip(address: &str, text: &str) -> std::io::Result<()> {
    let exchange = async {
        let mut stream = TcpStream::connect(address).await?;
        stream.write_all(text.as_bytes()).await?;
        let mut back = vec![0; text.len()];
        stream.read_exact(&mut back).await?;
        assert_eq!(back, text.as_bytes());
        Ok(())
    };
    timeout(LIMIT, exchange).await.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
}

/// Processes that have `dir` in their arguments.
fn processes(dir: &Path) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let arguments = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    let texts = arguments.map(|bytes| String::from_utf8_lossy(&bytes).replace('\0', " "));
    texts.filter(|text| text.contains(dir.to_str().unwrap())).collect()
}

fn files(dir: &Path) -> Vec<(String, String)> {
    let entries = fs::read_dir(dir).unwrap().flatten();
    entries.map(|entry| (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())).collect()
}

async fn a_tunnel_passes_bytes_and_leaves_nothing(kind: Kind) {
    let service = echo().await;
    let (inbound, outbound) = pair(kind, 2).await;
    let tunnel = open(&inbound, &outbound, &service, 2).await;
    let entries = tunnel.entries.clone();
    assert_eq!((entries.len(), tunnel.exits.len()), (2, 2));
    for entry in &entries {
        round_trip(entry, "through two proxies").await.unwrap();
    }
    assert_eq!(processes(&inbound.dir()).len() + processes(&outbound.dir()).len(), 2, "one for each side");

    // The key is in key files and nowhere else.
    let inside = [files(&inbound.dir()), files(&outbound.dir())].concat();
    let keys: Vec<&str> =
        inside.iter().filter(|(name, _)| name.ends_with(".key")).map(|(_, text)| text.trim()).collect();
    assert_eq!(keys.len(), if kind == Kind::Haproxy { 0 } else { 2 });
    if let Some(secret) = keys.first().and_then(|line| line.strip_prefix("client1:")) {
        let holding = inside.iter().filter(|(name, text)| name.contains(secret) || text.contains(secret)).count();
        assert_eq!(holding, 2, "the two key files");
        assert!(processes(&inbound.dir()).iter().all(|arguments| !arguments.contains(secret)));
    }
    if kind != Kind::Haproxy {
        for dir in [inbound.dir(), outbound.dir()] {
            let log = fs::read_to_string(dir.join("1.log")).unwrap();
            let agreed = negotiated(&log).unwrap_or_else(|| panic!("no handshake in {log}"));
            assert_eq!(agreed.version, "TLSv1.2");
            assert_eq!(agreed.cipher.contains("_NULL_"), kind == Kind::StunnelNull, "{agreed:?}");
            assert!(agreed.cipher.contains("_PSK_"), "{agreed:?}");
        }
    }

    assert!(tunnel.release().await.iter().all(Result::is_ok));
    assert!(processes(&inbound.dir()).is_empty() && processes(&outbound.dir()).is_empty(), "released");
    for entry in &entries {
        StdListener::bind(entry).unwrap_or_else(|error| panic!("{entry}: {error}"));
    }
    let left = [files(&inbound.dir()), files(&outbound.dir())].concat();
    assert!(left.iter().all(|(name, _)| name.ends_with(".log") || name == "server.pem"), "{left:?}");

    // Not released: ended with its server.
    let tunnel = open(&inbound, &outbound, &service, 2).await;
    round_trip(&tunnel.entries[1], "again").await.unwrap();
    let dirs = [inbound.dir(), outbound.dir()];
    inbound.end().await;
    outbound.end().await;
    assert!(dirs.iter().all(|dir| processes(dir).is_empty()));
}

#[tokio::test]
async fn a_stunnel_tunnel_passes_bytes_and_leaves_nothing() {
    a_tunnel_passes_bytes_and_leaves_nothing(Kind::Stunnel).await;
}

#[tokio::test]
async fn a_stunnel_null_tunnel_passes_bytes_and_leaves_nothing() {
    a_tunnel_passes_bytes_and_leaves_nothing(Kind::StunnelNull).await;
}

#[tokio::test]
async fn a_haproxy_tunnel_passes_bytes_and_leaves_nothing() {
    a_tunnel_passes_bytes_and_leaves_nothing(Kind::Haproxy).await;
}

/// SciStream's own stunnel stalls at the 19th of these and at the 13th of those.
#[tokio::test]
async fn two_hundred_connections_at_once_and_a_thousand_one_by_one_pass() {
    for kind in [Kind::StunnelNull, Kind::Haproxy] {
        let service = echo().await;
        let (inbound, outbound) = pair(kind, 1).await;
        let tunnel = open(&inbound, &outbound, &service, 1).await;
        let entry = tunnel.entries[0].clone();
        let mut held = Vec::new();
        for number in 0..200 {
            let mut stream = TcpStream::connect(&entry).await.unwrap();
            stream.write_all(format!("{number:03}").as_bytes()).await.unwrap();
            held.push(stream);
        }
        for (number, stream) in held.iter_mut().enumerate() {
            let mut back = [0; 3];
            timeout(LIMIT, stream.read_exact(&mut back)).await.expect("no stall").unwrap();
            assert_eq!(back, format!("{number:03}").as_bytes());
        }
        drop(held);
        for number in 0..1000 {
            let passed = round_trip(&entry, "one").await;
            passed.unwrap_or_else(|error| panic!("connection {number} through {kind}: {error}"));
        }
        assert!(tunnel.release().await.iter().all(Result::is_ok));
    }
}

#[tokio::test]
async fn a_wrong_key_is_refused_with_and_without_encryption() {
    for kind in [Kind::Stunnel, Kind::StunnelNull] {
        let service = echo().await;
        let (inbound, outbound) = pair(kind, 1).await;
        let (right, wrong) = (Uid::random().unwrap(), Uid::random().unwrap());
        let application = [service.clone()];
        let (inner, outer) = (inbound.client().await, outbound.client().await);
        let exits = inner.open(&right, Role::Inbound, 1, &application, None).await.unwrap();
        let entry = outer.open(&wrong, Role::Outbound, 1, &application, Some(&exits)).await.unwrap();
        assert!(round_trip(&entry[0], "let me in").await.is_err(), "{kind} let a wrong key in");
        // The same with the right key passes, so it was the key.
        outer.release(&wrong).await.unwrap();
        let entry = outer.open(&right, Role::Outbound, 1, &application, Some(&exits)).await.unwrap();
        round_trip(&entry[0], "let me in").await.unwrap();
    }
}

#[tokio::test]
async fn a_client_that_offers_anonymous_ciphers_without_a_key_is_refused() {
    let service = echo().await;
    for kind in [Kind::Stunnel, Kind::StunnelNull] {
        let inbound = Running::start(kind, range(1), &[]).await;
        let client = inbound.client().await;
        let exits =
            client.open(&Uid::random().unwrap(), Role::Inbound, 1, std::slice::from_ref(&service), None).await.unwrap();
        let mut stream = TcpStream::connect(&exits[0]).await.unwrap();
        stream.write_all(&anonymous_client_hello()).await.unwrap();
        let mut reply = [0; 7];
        timeout(LIMIT, stream.read_exact(&mut reply)).await.unwrap().unwrap();
        // An alert (21), fatal (2), handshake failure (40); a ServerHello would be 22.
        assert_eq!((reply[0], reply[5], reply[6]), (21, 2, 40), "{kind}: {reply:?}");
    }
}

/// TLS 1.2 with AECDH-NULL-SHA and AECDH-AES256-SHA, which SciStream's stunnel takes.
fn anonymous_client_hello() -> Vec<u8> {
    let mut hello = vec![3, 3];
    hello.extend([7; 32]);
    hello.extend([0, 0, 4, 0xc0, 0x15, 0xc0, 0x19, 1, 0]);
    // supported_groups: secp256r1; ec_point_formats: uncompressed.
    let extensions = [0, 10, 0, 4, 0, 2, 0, 23, 0, 11, 0, 2, 1, 0];
    hello.extend([0, extensions.len() as u8]);
    hello.extend(extensions);
    let mut record = vec![22, 3, 1, 0, hello.len() as u8 + 4, 1, 0, 0, hello.len() as u8];
    record.extend(hello);
    record
}

#[tokio::test]
async fn ten_requests_at_once_get_ports_of_their_own_and_the_next_learns_that_none_is_left() {
    let service = [echo().await];
    let server = Running::start(Kind::Haproxy, range(10), &[]).await;
    let client = server.client().await;
    let uids: Vec<Uid> = (0..10).map(|_| Uid::random().unwrap()).collect();
    let opened = uids.iter().map(|uid| {
        let (client, service, uid) = (client.clone(), service.clone(), *uid);
        tokio::spawn(async move { client.open(&uid, Role::Inbound, 1, &service, None).await.unwrap() })
    });
    let mut entries = Vec::new();
    for one in opened.collect::<Vec<_>>() {
        entries.extend(one.await.unwrap());
    }
    for entry in &entries {
        round_trip(entry, "mine").await.unwrap();
    }
    entries.sort();
    entries.dedup();
    assert_eq!(entries.len(), 10);
    let refused = client.open(&Uid::random().unwrap(), Role::Inbound, 1, &service, None).await.unwrap_err();
    assert!(refused.to_string().contains("fewer than 1 of its 10 ports are free"), "{refused}");
    client.release(&uids[3]).await.unwrap();
    client.open(&Uid::random().unwrap(), Role::Inbound, 1, &service, None).await.unwrap();
}

#[tokio::test]
async fn data_servers_listen_on_the_servers_own_address_only() {
    let dir = tempfile::tempdir().unwrap();
    let options = Options::new("127.0.0.2:0".parse().unwrap(), range(1), Kind::Haproxy, dir.path().join("s2cs"));
    let server = Server::bind(options).await.unwrap();
    let (address, certificate) = (server.address().to_string(), server.certificate().to_owned());
    tokio::spawn(server.serve(std::future::pending()));
    let client = Client::connect(&address, &certificate, None, LIMIT).await.unwrap().without_delay();
    let service = [echo().await];
    let entries = client.open(&Uid::random().unwrap(), Role::Inbound, 1, &service, None).await.unwrap();
    assert!(entries[0].starts_with("127.0.0.2:"), "{entries:?}");
    round_trip(&entries[0], "here").await.unwrap();
    assert!(round_trip(&entries[0].replace("127.0.0.2", "127.0.0.1"), "not here").await.is_err());
}

#[tokio::test]
async fn each_failure_is_one_sentence_that_ends_in_what_to_do() {
    let service = [echo().await];
    let server = Running::start(Kind::Haproxy, range(1), &["right-token"]).await;
    let Side { address, certificate, .. } = server.side.clone();
    let uid = Uid::random().unwrap();

    let stranger = Client::connect(&address, &certificate, Some("wrong-token"), LIMIT).await.unwrap();
    let error = stranger.open(&uid, Role::Inbound, 1, &service, None).await.unwrap_err().to_string();
    assert!(error.contains("--token-file") && !error.contains("wrong-token"), "{error}");

    let other = Running::start(Kind::Haproxy, range(1), &[]).await;
    let error = Client::connect(&address, &other.side.certificate, None, LIMIT).await.unwrap_err();
    assert!(matches!(&error, Error::Untrusted { .. }), "{error}");

    let nobody = StdListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let error = Client::connect(&nobody, &certificate, None, LIMIT).await.unwrap_err();
    assert!(matches!(&error, Error::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("streamharness s2cs --listen"), "{error}");

    // A server that accepts the connection and does not reply.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let silent_address = silent.local_addr().unwrap().to_string();
    let error = Client::connect(&silent_address, &certificate, None, Duration::from_secs(2)).await.unwrap_err();
    assert!(error.to_string().contains("does not agree on TLS within 1 s: is an S2CS there?"), "{error}");

    // A data server that does not come up is reaped and its port can be had again.
    let client = server.client().await;
    let error = client.open(&uid, Role::Inbound, 1, &["no-such-host.invalid:1".to_owned()], None).await.unwrap_err();
    assert!(error.to_string().contains("haproxy did not come up (exit status: 1)"), "{error}");
    assert!(processes(&server.dir()).is_empty());
    client.open(&uid, Role::Inbound, 1, &service, None).await.unwrap();
}

#[tokio::test]
async fn a_certificate_for_another_name_and_one_without_its_key_are_named_as_the_cause() {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let certificate = CertificateParams::new(vec!["elsewhere.example.org".to_owned()]).unwrap();
    let certificate = certificate.signed_by(&key, &authority).unwrap().pem();
    let dir = tempfile::tempdir().unwrap();
    let bind = |key: &KeyPair| {
        let options = Options::new("127.0.0.1:0".parse().unwrap(), range(1), Kind::Haproxy, dir.path().join("s2cs"));
        Server::bind(Options { identity: Some((certificate.clone(), key.serialize_pem())), ..options })
    };
    let error = bind(&KeyPair::generate().unwrap()).await.err().expect("the key is another's").to_string();
    assert!(error.contains("give PEM files that belong together"), "{error}");

    let server = bind(&key).await.unwrap();
    let address = server.address().to_string();
    tokio::spawn(server.serve(std::future::pending()));
    let error = Client::connect(&address, &authority.pem(), None, LIMIT).await.unwrap_err();
    let parts = ["has a certificate for another name", "elsewhere.example.org", "trust the certificate itself"];
    assert!(parts.iter().all(|part| error.to_string().contains(part)), "{error}");
    Client::connect(&address, &certificate, None, LIMIT).await.unwrap();
}

#[tokio::test]
async fn a_tunnel_whose_other_half_fails_is_released() {
    let service = echo().await;
    let (inbound, outbound) = pair(Kind::Haproxy, 1).await;
    let mut half = request(&inbound, &outbound, &service, 1);
    half.outbound.token = Some("wrong".into());
    half.open().await.unwrap_err();
    assert!(processes(&inbound.dir()).is_empty());
    open(&inbound, &outbound, &service, 1).await;
}
