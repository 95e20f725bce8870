//! Any bytes as the reply of a control server to the client, and as clients' requests to the control server.
//!
//! The first byte chooses the side and, of a reply, whether its bytes are framed as gRPC frames a message.

use http::{HeaderMap, HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use scistream::{Client, ControlService, Kind, Options, Reached, Role, SelfSigned, Uid};
use std::{
    convert::Infallible,
    future::{Ready, ready},
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::{LazyLock, Mutex},
    task::{Context, Poll},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    runtime::{Builder, Runtime},
};
use tonic::{
    body::Body,
    transport::{Identity, Server, ServerTlsConfig, server::TcpIncoming},
};
use tower_service::Service;

const PATHS: [&str; 4] =
    ["/scistream.Control/req", "/scistream.Control/hello", "/scistream.Control/update", "/scistream.Control/release"];
/// Calls that go to the server at once.
const CALLS_MAX: usize = 6;
const LIMIT: Duration = Duration::from_secs(5);

static RUNTIME: LazyLock<Runtime> =
    LazyLock::new(|| Builder::new_current_thread().enable_all().build().expect("a runtime can be started"));
/// Calls of the server wait for one another by the clock; this one jumps ahead where nothing else is left to do.
static UNHURRIED: LazyLock<Runtime> = LazyLock::new(|| {
    Builder::new_current_thread().enable_all().start_paused(true).build().expect("a runtime can be started")
});
/// What the server that the client talks to says next.
static REPLY: Mutex<Reply> = Mutex::new(Reply { framed: true, status: 0, bytes: Vec::new() });
static CLIENT: LazyLock<Client> = LazyLock::new(|| RUNTIME.block_on(connect()));

#[derive(Clone)]
struct Reply {
    framed: bool,
    status: u8,
    bytes: Vec<u8>,
}

pub fn run(data: &[u8]) {
    match data {
        [side, rest @ ..] if side & 1 == 1 => UNHURRIED.block_on(ask(rest)),
        [kind, status, bytes @ ..] => {
            let (framed, status) = (kind & 2 == 0, if kind & 4 == 0 { 0 } else { status % 17 });
            *REPLY.lock().expect("nobody panics with it") = Reply { framed, status, bytes: bytes.to_vec() };
            let client = CLIENT.clone();
            RUNTIME.block_on(reply(client));
        }
        _ => {}
    }
}

/// One whole request and its release, each call with the same reply.
async fn reply(client: Client) {
    let uid = Uid::parse("0123abcd-4567-89ab-cdef-0123456789ab").expect("it is one");
    let service = ["127.0.0.1:5672".to_owned()];
    for (role, targets) in [(Role::Inbound, None), (Role::Outbound, Some(&service[..]))] {
        if let Ok(listeners) = client.open(&uid, role, 1, &service, targets).await {
            let reached =
                Reached::new(Some("node".to_owned()), Some("5100-5110:30510-30520")).expect("it is well formed");
            for listener in &listeners {
                let _ = (Reached::default().at(listener), reached.at(listener));
            }
        }
    }
    let _ = client.release(&uid).await;
}

/// Calls of the server, each a byte for the call, a byte for its length, and its message; all at once.
async fn ask(mut rest: &[u8]) {
    let listen = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    // The folder is not there, so no proxy is ever started.
    let options = Options {
        hello_limit: Duration::from_millis(2),
        ..Options::new(listen, 9940..=9943, Kind::Haproxy, PathBuf::from("/nowhere"))
    };
    let mut service = ControlService::new(options).expect("it listens on one address");
    let mut calls = Vec::new();
    while let [call, length, more @ ..] = rest {
        let (message, after) = more.split_at(usize::from(*length).min(more.len()));
        let request =
            Request::post(PATHS[usize::from(*call) % PATHS.len()]).body(Body::new(Full::from(frame(message))));
        calls.push(tokio::spawn(service.call(request.expect("it is well formed"))));
        rest = after;
        if calls.len() == CALLS_MAX {
            break;
        }
    }
    for call in calls {
        let reply = tokio::time::timeout(LIMIT, call).await.expect("every call ends within its limit");
        let _ = reply.expect("no call panics");
    }
}

/// As gRPC sends a message: not compressed, its length, itself.
fn frame(message: &[u8]) -> Vec<u8> {
    let length = u32::try_from(message.len()).unwrap_or(u32::MAX);
    [&[0], &length.to_be_bytes()[..], message].concat()
}

/// A client of a server that replies what it is told to.
async fn connect() -> Client {
    let own = SelfSigned::generate(["127.0.0.1".to_owned()]).expect("it is a name");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
    let address = listener.local_addr().expect("it is bound").to_string();
    let tls = ServerTlsConfig::new().identity(Identity::from_pem(&own.certificate, &own.key));
    let server = Server::builder().tls_config(tls).expect("certificate and key belong together");
    tokio::spawn(async move { server.serve_with_incoming(Replies, TcpIncoming::from(listener)).await });
    let client = Client::connect(&address, &own.certificate, None, LIMIT).await.expect("it is there");
    client.without_delay()
}

#[derive(Clone)]
struct Replies;

impl Service<Request<Body>> for Replies {
    type Response = Response<Body>;
    type Error = Infallible;
    type Future = Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<Body>) -> Self::Future {
        let Reply { framed, status, bytes } = REPLY.lock().expect("nobody panics with it").clone();
        let bytes = if framed { frame(&bytes) } else { bytes };
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from(u16::from(status)));
        let body = Full::from(bytes).with_trailers(ready(Some(Ok(trailers))));
        let mut response = Response::new(Body::new(body));
        response.headers_mut().insert("content-type", HeaderValue::from_static("application/grpc"));
        ready(Ok(response))
    }
}
