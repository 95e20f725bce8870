//! A client of the management API, with a limit on every call. Its errors contain no password.

use crate::replies::{self, Connection, Node, Overview, QueuePage};
use base64::{Engine, prelude::BASE64_STANDARD};
use measure::record::ServiceSettings;
use rustls::CertificateError;
use serde::de::DeserializeOwned;
use std::{fmt, fs, path::PathBuf, sync::Arc, time::Duration};
use ureq::tls::{PemItem, RootCerts, TlsConfig, parse_pem};

/// Limit on each call: a later reply would be out of date.
const CALL_LIMIT: Duration = Duration::from_secs(2);
/// Limit on each call that has something done: a busy service may take its time.
const DEED_LIMIT: Duration = Duration::from_secs(20);
/// Most queues of a run that are read: the longest page of the API.
pub const QUEUES_MAX: usize = 500;

/// Address and login of the API.
#[derive(Clone)]
pub struct Access {
    /// `http[s]://HOST:PORT`, without a user.
    pub url: String,
    /// User name.
    pub user: String,
    /// Password; never printed.
    pub password: String,
    /// File of a token that replaces it, and may be renewed.
    pub token_file: Option<PathBuf>,
    /// Authorities to trust, as PEM; `None`: those of the system.
    pub ca_pem: Option<String>,
    /// Virtual host of the run's queues.
    pub vhost: String,
    /// Prefix of the names of the run's queues.
    pub queues: String,
}

impl fmt::Debug for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Access").field("url", &self.url).field("user", &self.user).finish_non_exhaustive()
    }
}

/// Why there is no reply. Its text contains no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// There was no reply in time.
    #[error("the management API at {url} does not respond: {reason}")]
    Silent {
        /// Where.
        url: String,
        /// The reason.
        reason: String,
    },
    /// The API refused the request.
    #[error("the management API at {url} refuses {path} (HTTP {status}): {remedy}")]
    Refused {
        /// Where.
        url: String,
        /// The path of the request.
        path: String,
        /// The HTTP status.
        status: u16,
        /// The remedy.
        remedy: &'static str,
    },
    /// The reply cannot be parsed.
    #[error("the reply of the management API at {url} to {path} cannot be parsed")]
    Odd {
        /// Where.
        url: String,
        /// The path of the request.
        path: String,
    },
    /// The authorities to trust cannot be read.
    #[error("the certificates to trust for the management API at {url} cannot be used")]
    Trust {
        /// Where.
        url: String,
    },
}

/// A client of one API.
pub struct Client {
    agent: ureq::Agent,
    access: Access,
    limit: Duration,
}

impl Client {
    /// A client that looks at the service; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] if the authorities to trust cannot be read.
    pub fn new(access: Access) -> Result<Self, Error> {
        Self::with_limit(access, CALL_LIMIT)
    }

    /// A client that has something done; connects to nothing yet.
    ///
    /// # Errors
    ///
    /// [`Error::Trust`] if the authorities to trust cannot be read.
    pub fn for_deeds(access: Access) -> Result<Self, Error> {
        Self::with_limit(access, DEED_LIMIT)
    }

    fn with_limit(access: Access, limit: Duration) -> Result<Self, Error> {
        let mut config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(limit))
            .proxy(None)
            .max_redirects(0);
        if access.url.starts_with("https://") {
            let roots = roots(&access).ok_or_else(|| Error::Trust { url: access.url.clone() })?;
            let provider = Arc::new(rustls::crypto::ring::default_provider());
            let tls = TlsConfig::builder().unversioned_rustls_crypto_provider(provider).root_certs(roots);
            config = config.tls_config(tls.build());
        }
        Ok(Self { agent: config.build().into(), access, limit })
    }

    /// The address of the API.
    pub fn url(&self) -> &str {
        &self.access.url
    }

    /// Product, version and settings of the service. Nodes are left out if their state may not be read.
    ///
    /// # Errors
    ///
    /// [`Error`] if the API does not reply, refuses, or replies with something else.
    pub fn settings(&self) -> Result<ServiceSettings, Error> {
        let overview = "product_name,product_version,rabbitmq_version,erlang_version,rates_mode";
        let overview: Overview = self.get(&format!("overview?columns={overview}"))?;
        let nodes = "name,running,processors,mem_limit,disk_free_limit,enabled_plugins";
        // A user without the permission to read them gets a note with the first sample.
        let nodes: Vec<Node> = self.get(&format!("nodes?columns={nodes}")).unwrap_or_default();
        Ok(replies::settings(overview, nodes))
    }

    /// Connections to the service, including those of others, and whether it collects statistics at all.
    pub(crate) fn totals(&self) -> Result<Overview, Error> {
        self.get("overview?columns=object_totals,disable_stats")
    }

    pub(crate) fn nodes(&self) -> Result<Vec<Node>, Error> {
        self.get("nodes?columns=name,running,mem_used,mem_limit,mem_alarm,disk_free_alarm")
    }

    /// The run's queues, without those of others.
    pub(crate) fn queues(&self) -> Result<QueuePage, Error> {
        let (vhost, name) = (encoded(&self.access.vhost), encoded(&self.access.queues));
        self.get(&format!(
            "queues/{vhost}?page=1&page_size={QUEUES_MAX}&name={name}&use_regex=false&columns=name,messages_ready,\
             messages_unacknowledged,message_stats.publish_details.rate,message_stats.deliver_get_details.rate"
        ))
    }

    /// Closes every connection to the virtual host; returns how many there were. The clients are told the reason.
    ///
    /// # Errors
    ///
    /// [`Error`] if the API does not reply, or refuses.
    pub fn close_connections(&self, reason: &str) -> Result<usize, Error> {
        let all: Vec<Connection> = self.get("connections?columns=name,vhost")?;
        let ours: Vec<&Connection> = all.iter().filter(|connection| connection.vhost == self.access.vhost).collect();
        let (mut closed, mut refused) = (0, None);
        for connection in &ours {
            match self.delete(&format!("connections/{}", encoded(&connection.name)), reason) {
                Ok(()) => closed += 1,
                // So it replies for a connection that is just ending.
                Err(error @ Error::Refused { status: 500, .. }) => refused = Some(error),
                Err(error) => return Err(error),
            }
        }
        refused.filter(|_| closed == 0).map_or(Ok(closed), Err)
    }

    fn authorization(&self) -> String {
        let Access { user, password, token_file, .. } = &self.access;
        let token = token_file.as_ref().and_then(|path| fs::read_to_string(path).ok());
        let password = token.as_deref().map_or(password.as_str(), str::trim);
        format!("Basic {}", BASE64_STANDARD.encode(format!("{user}:{password}")))
    }

    fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Error> {
        let url = || self.access.url.clone();
        let call =
            self.agent.get(format!("{}/api/{path}", self.access.url)).header("Authorization", self.authorization());
        let mut reply =
            call.call().map_err(|error| Error::Silent { url: url(), reason: reason(&error, self.limit) })?;
        self.accepted(path, reply.status().as_u16())?;
        let path = without_query(path);
        reply.body_mut().read_json().map_err(|_| Error::Odd { url: url(), path })
    }

    /// What is gone already is deleted.
    fn delete(&self, path: &str, why: &str) -> Result<(), Error> {
        let call = self
            .agent
            .delete(format!("{}/api/{path}", self.access.url))
            .header("Authorization", self.authorization())
            .header("X-Reason", why);
        let silent =
            |error: &ureq::Error| Error::Silent { url: self.access.url.clone(), reason: reason(error, self.limit) };
        let reply = call.call().map_err(|error| silent(&error))?;
        match reply.status().as_u16() {
            204 | 404 => Ok(()),
            status => self.accepted(path, status),
        }
    }

    fn accepted(&self, path: &str, status: u16) -> Result<(), Error> {
        if status != 200 {
            let remedy = match status {
                401 => "check user and password (STREAMHARNESS_MANAGEMENT_PASSWORD where it is not that of AMQP)",
                403 => "give the user the tag `monitoring`",
                _ => "check the address, route.management",
            };
            let (url, path) = (self.access.url.clone(), without_query(path));
            return Err(Error::Refused { url, path, status, remedy });
        }
        Ok(())
    }
}

fn without_query(path: &str) -> String {
    path.split('?').next().unwrap_or_default().to_owned()
}

/// In words of our own: the library's text could repeat the request.
fn reason(error: &ureq::Error, limit: Duration) -> String {
    match error {
        ureq::Error::Timeout(_) => format!("no reply within {} s", limit.as_secs()),
        ureq::Error::Io(error) => match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
            Some(rustls::Error::InvalidCertificate(why)) => {
                let why = match why {
                    CertificateError::Other(inner) => inner.to_string(),
                    why => why.to_string(),
                };
                format!("its certificate is not trusted ({why}); see route.ca")
            }
            Some(tls) => tls.to_string(),
            None => error.kind().to_string(),
        },
        ureq::Error::HostNotFound => "its name is not known".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Rustls(error) => error.to_string(),
        _ => "no HTTP".to_owned(),
    }
}

fn roots(access: &Access) -> Option<RootCerts> {
    let given = access.ca_pem.as_ref().map(|pem| {
        let certificates = parse_pem(pem.as_bytes()).filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        });
        certificates.collect::<Vec<_>>()
    });
    let certificates = given.unwrap_or_else(|| {
        let system = rustls_native_certs::load_native_certs().certs;
        system.iter().map(|der| ureq::tls::Certificate::from_der(der).to_owned()).collect()
    });
    (!certificates.is_empty()).then(|| RootCerts::new_with_certs(&certificates))
}

/// A part of a path or of a query: everything except letters, digits and a few others as `%XX`.
fn encoded(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.' | b'~');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{
        io::{Read, Write},
        net::TcpListener,
    };

    fn access(url: String) -> Access {
        let text = |text: &str| text.to_owned();
        Access {
            url,
            user: text("bench"),
            password: text("hush"),
            token_file: None,
            ca_pem: None,
            vhost: text("/"),
            queues: text("q."),
        }
    }

    /// Replies to one request with `reply`; returns the address, and the request.
    fn serve(reply: &'static str) -> (String, std::thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let received = std::thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut buffer = [0; 4096];
            let read = stream.read(&mut buffer).unwrap();
            stream.write_all(reply.as_bytes()).unwrap();
            String::from_utf8_lossy(&buffer[..read]).into_owned()
        });
        (url, received)
    }

    #[test]
    fn queues_are_requested_by_name_and_the_password_is_in_the_header_alone() {
        let (url, received) = serve(
            "HTTP/1.1 200 OK\r\nContent-Length: 101\r\n\r\n{\"filtered_count\":1,\"items\":[{\"name\":\"q.1\",\
             \"messages_ready\":5,\"messages_unacknowledged\":7}]}           ",
        );
        let page = Client::new(access(url)).unwrap().queues().unwrap();
        assert_eq!((page.items[0].messages_ready, page.items[0].messages_unacknowledged), (Some(5), Some(7)));
        let received = received.join().unwrap();
        let line = received.lines().next().unwrap();
        assert!(
            line.starts_with("GET /api/queues/%2F?page=1&page_size=500&name=q.&use_regex=false&columns="),
            "{line}"
        );
        assert!(!line.contains("hush"), "{line}");
        let header = received.lines().any(|line| line.eq_ignore_ascii_case("authorization: Basic YmVuY2g6aHVzaA=="));
        assert!(header, "{received}");
    }

    #[test]
    fn a_token_is_read_from_its_file_at_every_call() {
        let dir = tempfile::tempdir().unwrap();
        let token_file = Some(dir.path().join("token"));
        let client = Client::new(Access { token_file, ..access("http://localhost".to_owned()) }).unwrap();
        let sent = |password: &str| format!("Basic {}", BASE64_STANDARD.encode(format!("bench:{password}")));
        assert_eq!(client.authorization(), sent("hush"));
        for token in ["first", "second"] {
            fs::write(dir.path().join("token"), format!("{token}\n")).unwrap();
            assert_eq!(client.authorization(), sent(token));
        }
    }

    #[test]
    fn an_encrypted_api_is_used_only_if_its_certificate_is_trusted() {
        use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["localhost".into()]).unwrap();
        let key = PrivateKeyDer::try_from(signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = Arc::new(config.with_no_client_auth().with_single_cert(vec![cert.der().clone()], key).unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let server = std::thread::spawn(move || {
            for _ in 0..2 {
                let mut stream =
                    StreamOwned::new(ServerConnection::new(config.clone()).unwrap(), listener.accept().unwrap().0);
                // One of the two clients hangs up.
                if stream.read(&mut [0; 4096]).is_ok() {
                    let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n[]");
                }
            }
        });
        let at = |ca_pem: String| Access { ca_pem: Some(ca_pem), ..access(format!("https://localhost:{port}")) };
        let other = rcgen::generate_simple_self_signed(["localhost".into()]).unwrap().cert.pem();
        let refused = Client::new(at(other)).unwrap().nodes().unwrap_err().to_string();
        assert!(refused.contains("does not respond") && refused.contains("not trusted"), "{refused}");
        assert_eq!(Client::new(at(cert.pem())).unwrap().nodes().unwrap().len(), 0);
        server.join().unwrap();
        assert!(matches!(Client::new(at("no PEM".to_owned())), Err(Error::Trust { .. })));
    }

    #[test]
    fn a_connection_that_is_just_ending_keeps_no_other_one_open() {
        let closed = |statuses: [&'static str; 2]| {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let url = format!("http://{}", listener.local_addr().unwrap());
            let list = r#"[{"name":"a","vhost":"/"},{"name":"b","vhost":"/"},{"name":"c","vhost":"/other"}]"#;
            let server = std::thread::spawn(move || {
                for (status, body) in [("200 OK", list), (statuses[0], ""), (statuses[1], "")] {
                    let (mut stream, _) = listener.accept().unwrap();
                    let _ = stream.read(&mut [0; 4096]).unwrap();
                    let length = body.len();
                    let reply =
                        format!("HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{body}");
                    stream.write_all(reply.as_bytes()).unwrap();
                }
            });
            let closed = Client::for_deeds(access(url)).unwrap().close_connections("a test");
            server.join().unwrap();
            closed
        };
        assert_eq!(closed(["200 OK", "200 OK"]), Ok(2));
        assert_eq!(closed(["500 Oh", "200 OK"]), Ok(1));
        assert!(matches!(closed(["500 Oh", "500 Oh"]), Err(Error::Refused { status: 500, .. })));
    }

    #[test]
    fn failures_are_reported_with_the_remedy_and_without_the_password() {
        let refused = "HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n";
        let html = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nwoof";
        for (reply, expected) in [(refused, "`monitoring`"), (html, "cannot be parsed")] {
            let (url, _) = serve(reply);
            let error = Client::new(access(url)).unwrap().settings().unwrap_err().to_string();
            assert!(error.contains(expected) && !error.contains("hush"), "{error}");
        }
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let error = Client::new(access(format!("http://{free}"))).unwrap().settings().unwrap_err().to_string();
        assert!(error.contains("does not respond: connection refused"), "{error}");
        assert!(!format!("{:?}", access(String::new())).contains("hush"));
    }
}
