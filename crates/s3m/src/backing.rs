//! The backing of the local service: users of a RabbitMQ cluster, and names at an ingress.

use crate::{Error, Result, client::authorities};
use serde_json::{Value, json};
use std::{
    fs,
    io::{Read, Write},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};
use ureq::tls::{RootCerts, TlsConfig};

const LIMIT: Duration = Duration::from_secs(5);

/// Creates and removes tenants.
pub trait Backing: Send + Sync {
    /// Adds a user with every right on vhost `/`, reachable by `fqdn`.
    ///
    /// # Errors
    ///
    /// [`Error`] if the broker or the ingress refuses or does not respond.
    fn add(&self, user: &str, password: &str, fqdn: &str) -> Result<()>;
    /// Removes both. A missing user or name is not an error.
    ///
    /// # Errors
    ///
    /// [`Error`] if the broker or the ingress refuses or does not respond.
    fn remove(&self, user: &str, fqdn: &str) -> Result<()>;
}

/// A running RabbitMQ cluster behind a running HAProxy.
pub struct Tenancy {
    /// `http://127.0.0.1:PORT` or `https://HOST:PORT` of the management interface.
    pub management: String,
    /// The authorities to trust for `https://` (PEM); `None`: those that browsers trust.
    pub ca_pem: Option<String>,
    /// Its administrator.
    pub administrator: String,
    /// The administrator's password.
    pub password: String,
    /// HAProxy's stats socket.
    pub socket: PathBuf,
    /// HAProxy's map from names to backends.
    pub map: PathBuf,
    /// The backend for the cluster.
    pub backend: String,
    /// Envoy's files with the names that gateways lead on.
    pub gateways: Vec<PathBuf>,
}

impl Tenancy {
    fn api(&self, method: &str, path: &str, body: Value) -> Result<()> {
        let fail = |reason: String| Error::Serve { action: "change a user of RabbitMQ", reason };
        let (scheme, host) = self.management.split_once("://").unwrap_or(("http", &self.management));
        let url = format!("{scheme}://{}:{}@{host}/api/{path}", self.administrator, self.password);
        let roots = self.ca_pem.as_deref().map_or(Ok(RootCerts::WebPki), authorities)?;
        let agent: ureq::Agent = ureq::Agent::config_builder()
            .proxy(None)
            .http_status_as_error(false)
            .timeout_global(Some(LIMIT))
            .tls_config(TlsConfig::builder().root_certs(roots).build())
            .build()
            .into();
        let request = ureq::http::Request::builder().method(method).uri(url).header("Content-Type", "application/json");
        let request = request.body(body.to_string()).map_err(|_| fail("its address is malformed".to_owned()))?;
        // The error is dropped on purpose: its text could contain the address with the password.
        let reply = agent.run(request).map_err(|_| fail("its management interface does not respond".to_owned()))?;
        match reply.status().as_u16() {
            200..=299 => Ok(()),
            404 if method == "DELETE" => Ok(()),
            status => Err(fail(format!("its management interface replied {status}"))),
        }
    }

    fn ingress(&self, command: &str) -> Result<()> {
        let fail = |reason: String| Error::Serve { action: "change the ingress's names", reason };
        let talk = || -> std::io::Result<String> {
            let mut socket = UnixStream::connect(&self.socket)?;
            socket.set_read_timeout(Some(LIMIT))?;
            writeln!(socket, "{command}")?;
            let mut reply = String::new();
            socket.read_to_string(&mut reply)?;
            Ok(reply)
        };
        let reply = talk().map_err(|error| fail(error.to_string()))?;
        let reply = reply.trim();
        if reply.is_empty() || reply.contains("not found") { Ok(()) } else { Err(fail(reply.to_owned())) }
    }
}

/// Moves a changed file in place, which Envoy then reads. Each name has a copy of the first one's chain.
fn change_names(file: &Path, fqdn: &str, wanted: bool) -> Result<()> {
    let fail = |reason: String| Error::Serve { action: "change a gateway's names", reason };
    let text = fs::read_to_string(file).map_err(|error| fail(error.to_string()))?;
    let mut names: Value = serde_json::from_str(&text).map_err(|error| fail(error.to_string()))?;
    let chains = names.pointer_mut("/resources/0/filter_chains").and_then(Value::as_array_mut);
    let chains = chains.ok_or_else(|| fail(format!("{} has no listener", file.display())))?;
    chains.retain(|chain| chain["name"] != fqdn);
    if let (true, Some(mut chain)) = (wanted, chains.first().cloned()) {
        chain["name"] = fqdn.into();
        chain["filter_chain_match"]["server_names"] = json!([fqdn]);
        chains.push(chain);
    }
    let new = file.with_extension("new");
    fs::write(&new, names.to_string()).and_then(|()| fs::rename(&new, file)).map_err(|error| fail(error.to_string()))
}

impl Backing for Tenancy {
    fn add(&self, user: &str, password: &str, fqdn: &str) -> Result<()> {
        self.api("PUT", &format!("users/{user}"), json!({"password": password, "tags": "management"}))?;
        let rights = json!({"configure": ".*", "write": ".*", "read": ".*"});
        self.api("PUT", &format!("permissions/%2F/{user}"), rights)?;
        // The first gateway last: clients try it, and then the others know the name, too.
        self.gateways.iter().rev().try_for_each(|file| change_names(file, fqdn, true))?;
        self.ingress(&format!("add map {} {fqdn} {}", self.map.display(), self.backend))
    }

    fn remove(&self, user: &str, fqdn: &str) -> Result<()> {
        // The user first: without it the name is useless. Both are tried.
        let user = self.api("DELETE", &format!("users/{user}"), Value::Null);
        let name = self.ingress(&format!("del map {} {fqdn}", self.map.display()));
        let gateways = self.gateways.iter().try_for_each(|file| change_names(file, fqdn, false));
        user.and(name).and(gateways)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_gets_each_name_once_and_loses_only_that_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("names.json");
        let probe = json!({"name": "probe", "filter_chain_match": {"server_names": ["probe"]}, "filters": [7]});
        fs::write(&file, json!({"resources": [{"filter_chains": [probe]}]}).to_string()).unwrap();
        let names = || {
            let read: Value = serde_json::from_str(&fs::read_to_string(&file).unwrap()).unwrap();
            let chains = read["resources"][0]["filter_chains"].as_array().unwrap().clone();
            assert!(chains.iter().all(|chain| chain["filters"] == json!([7])), "{chains:?}");
            let of = |chain: &Value| chain["filter_chain_match"]["server_names"][0].as_str().unwrap().to_owned();
            chains.iter().map(of).collect::<Vec<_>>()
        };
        for fqdn in ["a", "b", "a"] {
            change_names(&file, fqdn, true).unwrap();
        }
        assert_eq!(names(), ["probe", "b", "a"]);
        change_names(&file, "b", false).unwrap();
        change_names(&file, "b", false).unwrap();
        assert_eq!(names(), ["probe", "a"]);
    }
}
