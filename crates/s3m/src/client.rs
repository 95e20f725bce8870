//! A client of the API: one method for each call, and the wait until a cluster is healthy.

use crate::{Backend, Cluster, Error, Lifetime, Provision, Provisioned, Result, wire::is_name};
use rustls::CertificateError;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use std::{
    fmt, io, thread,
    time::{Duration, Instant},
};
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

/// The facility's current path of the API.
pub const PREFIX: &str = "/olcf/open/v1alpha/streaming";

const CALL_LIMIT: Duration = Duration::from_secs(60);
const TRIES: u32 = 4;
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// A client of one service with one token.
pub struct Client {
    agent: ureq::Agent,
    base: String,
    prefix: String,
    token: String,
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client").field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client for `base` (`https://host`) and `prefix` ([`PREFIX`]). The token is sent unchanged. Trusts the
    /// authorities of `ca_pem`, otherwise those that browsers trust.
    ///
    /// # Errors
    ///
    /// [`Error`] if `ca_pem` has no certificate.
    pub fn new(base: &str, prefix: &str, token: &str, ca_pem: Option<&str>) -> Result<Self> {
        let roots = ca_pem.map_or(Ok(RootCerts::WebPki), authorities)?;
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(CALL_LIMIT))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            // The token must not be sent to another host.
            .max_redirects(0);
        // Without TLS a proxy would see the token.
        let config = if base.starts_with("https://") { config } else { config.proxy(None) };
        let trim = |text: &str| text.trim_end_matches('/').to_owned();
        Ok(Self {
            agent: config.build().into(),
            base: trim(base),
            prefix: trim(prefix),
            token: token.trim().to_owned(),
        })
    }

    /// Lists what can be provisioned.
    ///
    /// # Errors
    ///
    /// [`Error`] if the service is unreachable, refuses, or replies with something else.
    pub fn backends(&self) -> Result<Vec<Backend>> {
        self.field("GET", "/list_backends", None, "backends")
    }

    /// Provisions a cluster. Not retried after a lost reply, because the cluster may exist by then, see
    /// [`Error::may_exist`]. `own_name`: nobody else can have chosen the name. Only then is a cluster that exists after
    /// a failed try assumed to come from that try.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`]; [`Error::may_exist`] is true if the cluster may exist in spite of the error.
    pub fn provision(&self, request: &Provision, own_name: bool) -> Result<Provisioned> {
        let url = self.url("/rabbitmq/provision_cluster");
        let mut failed = false;
        match self.send("POST", &url, Some(json!(request)), |status| failed |= status >= 500) {
            Ok(reply) => read(reply),
            Err(Error::Missing(reason)) => Err(self.no_api(reason)),
            Err(Error::Taken(_)) if failed && own_name => {
                self.get(&request.name)?.access.ok_or_else(|| Error::Reply("no `amqpsUrl`".to_owned()))
            }
            Err(error) => Err(error),
        }
    }

    /// Lists all clusters of the project.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`].
    pub fn list(&self) -> Result<Vec<Cluster>> {
        self.field("GET", "/rabbitmq/list_clusters", None, "clusters")
    }

    /// One cluster, with its addresses and login.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`].
    pub fn get(&self, name: &str) -> Result<Cluster> {
        self.field("GET", &format!("/rabbitmq/cluster/{}", checked(name)?), None, "cluster")
    }

    /// Restarts its lifetime.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`].
    pub fn extend(&self, name: &str) -> Result<Lifetime> {
        self.field("POST", &format!("/rabbitmq/extend/{}", checked(name)?), Some(json!({})), "lifetime")
    }

    /// Deletes it.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`].
    pub fn delete(&self, name: &str) -> Result<()> {
        self.call("DELETE", &format!("/rabbitmq/cluster/{}", checked(name)?), None).map(drop)
    }

    /// The permissions of the token.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`].
    pub fn introspect(&self) -> Result<Value> {
        self.send("GET", &format!("{}/olcf/v1/token/ctls/introspect", self.base), None, |_| ())
    }

    /// Polls until the cluster is healthy, at most `limit`. Between polls it calls `pause`, which returns false to give
    /// up. A cluster that disappears is an error.
    ///
    /// # Errors
    ///
    /// As [`Self::backends`], and if the cluster is not healthy within `limit`.
    pub fn healthy(&self, name: &str, limit: Duration, mut pause: impl FnMut() -> bool) -> Result<Cluster> {
        let end = Instant::now() + limit;
        loop {
            let cluster = self.get(name)?;
            if cluster.health_status.eq_ignore_ascii_case("healthy") {
                return Ok(cluster);
            }
            if !pause() || Instant::now() > end {
                return Err(Error::Late { name: name.to_owned(), limit_s: limit.as_secs() });
            }
        }
    }

    fn field<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<Value>, name: &str) -> Result<T> {
        let mut reply = self.call(method, path, body).map_err(|error| match error {
            // A list is always present.
            Error::Missing(reason) if name.ends_with('s') => self.no_api(reason),
            error => error,
        })?;
        match reply.get_mut(name) {
            Some(value) => read(value.take()),
            // proto3 omits empty fields.
            None if name.ends_with('s') => read(json!([])),
            None => Err(Error::Reply(format!("no `{name}`"))),
        }
    }

    fn call(&self, method: &str, path: &str, body: Option<Value>) -> Result<Value> {
        self.send(method, &self.url(path), body, |_| ())
    }

    fn no_api(&self, reason: String) -> Error {
        Error::NoApi { url: self.url(""), reason }
    }

    fn url(&self, path: &str) -> String {
        format!("{}{}{path}", self.base, self.prefix)
    }

    /// `refused` gets the status of every failed try.
    fn send(&self, method: &str, url: &str, body: Option<Value>, mut refused: impl FnMut(u16)) -> Result<Value> {
        let mut pause = FIRST_PAUSE;
        for tried in 1.. {
            let (status, reply) = match self.once(method, url, body.as_ref()) {
                Ok(reply) => reply,
                // Repeating these calls changes nothing.
                Err(Error::Unreachable { .. }) if method != "POST" && tried < TRIES => {
                    thread::sleep(pause);
                    pause *= 2;
                    continue;
                }
                Err(error) => return Err(error),
            };
            if (200..300).contains(&status) {
                return Ok(reply);
            }
            refused(status);
            let message = reply["message"].as_str().map_or_else(|| format!("status {status}"), str::to_owned);
            match status {
                429 | 500..=599 if tried < TRIES => {
                    thread::sleep(pause);
                    pause *= 2;
                }
                401 | 403 => return Err(Error::Token(message)),
                404 => return Err(Error::Missing(message)),
                409 => return Err(Error::Taken(message)),
                400..=428 if reply.is_null() => return Err(self.no_api(message)),
                400..=428 => return Err(Error::Refused(message)),
                _ => return Err(Error::Failed { status, message }),
            }
        }
        unreachable!("the last try returns")
    }

    fn once(&self, method: &str, url: &str, body: Option<&Value>) -> Result<(u16, Value)> {
        let unreachable = |error: ureq::Error| {
            let url = self.base.clone();
            match error {
                ureq::Error::Io(error) if speaks_no_tls(&error) => {
                    let reason =
                        "that port does not speak TLS; check the port, or write http:// if it is to be so".to_owned();
                    Error::Unreachable { url, reason }
                }
                ureq::Error::Io(error) if error.kind() == io::ErrorKind::InvalidData => {
                    Error::Untrusted { url, reason: tls_reason(&error) }
                }
                ureq::Error::Io(error) => Error::Unreachable { url, reason: error.to_string() },
                error => Error::Unreachable { url, reason: error.to_string() },
            }
        };
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url)
            .header("Authorization", &self.token)
            .header("Content-Type", "application/json")
            .body(body.map(Value::to_string).unwrap_or_default())
            .map_err(|_| Error::Malformed)?;
        let mut reply = self.agent.run(request).map_err(unreachable)?;
        let status = reply.status().as_u16();
        let text = reply.body_mut().read_to_string().map_err(unreachable)?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok((status, value)),
            Err(_) if status >= 300 => Ok((status, Value::Null)),
            Err(_) => Err(Error::Reply(format!("status {status} without JSON"))),
        }
    }
}

fn checked(name: &str) -> Result<&str> {
    let wrong =
        || Error::Refused(format!("`{name}` is not a valid name: use at most 40 small letters, digits and dashes"));
    is_name(name).then_some(name).ok_or_else(wrong)
}

/// The error omits the reply's text, which may contain the password.
fn read<T: DeserializeOwned>(value: Value) -> Result<T> {
    serde_json::from_value(value).map_err(|_| Error::Reply("a field of another type".to_owned()))
}

pub(crate) fn authorities(pem: &str) -> Result<RootCerts> {
    let certificates: Vec<Certificate<'static>> = parse_pem(pem.as_bytes())
        .filter_map(|item| if let Ok(PemItem::Certificate(certificate)) = item { Some(certificate) } else { None })
        .collect();
    if certificates.is_empty() { Err(Error::Authorities) } else { Ok(RootCerts::from(certificates)) }
}

/// rustls's reason inside `error`; it only wraps some reasons of its verifier.
fn speaks_no_tls(error: &io::Error) -> bool {
    let cause = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    matches!(cause, Some(rustls::Error::InvalidMessage(_)))
}

fn tls_reason(error: &io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>()) {
        Some(rustls::Error::InvalidCertificate(CertificateError::Other(inner))) => inner.to_string(),
        _ => error.to_string(),
    }
}
