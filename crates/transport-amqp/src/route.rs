//! Addresses and credentials of the service: endpoints, `--connect-to`, certificates, password or token.

use crate::{
    endpoint::{Endpoint, RouteError},
    secret::Secret,
};
use serde::{Deserialize, Serialize};
use std::{path::PathBuf, str::FromStr};

/// Everything that is needed to reach the service. Rank 0 sends it to all ranks.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmqpRoute {
    /// Addresses for producers, used in turn.
    pub producer: Vec<Endpoint>,
    /// Addresses for consumers, used in turn; queues are declared here too.
    pub consumer: Vec<Endpoint>,
    /// Addresses to use in place of those in the endpoints.
    pub connect_to: Vec<ConnectTo>,
    /// Trusted authorities, as PEM; `None`: those of the system.
    pub ca_pem: Option<String>,
    /// Client certificate and private key, as PEM.
    pub client_cert: Option<(String, Secret)>,
    /// Password for every endpoint whose URL has none, or the token that was in `token_file` at the start.
    pub password: Secret,
    /// File of an OAuth 2 token, which may be renewed while connections last.
    pub token_file: Option<PathBuf>,
}

/// An address to connect to in place of the one in a URL, like curl's `--connect-to`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectTo {
    host: Option<String>,
    port: Option<u16>,
    to_host: Option<String>,
    to_port: Option<u16>,
}

impl ConnectTo {
    /// Reads `HOST:PORT:ADDR:PORT`: connections to the first pair go to the second. An empty part of the first pair
    /// matches any; an empty part of the second keeps the value of the URL. IPv6 addresses are in brackets.
    ///
    /// # Errors
    ///
    /// [`RouteError`] with what to type.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let wrong = || {
            RouteError(format!(
                "`{text}` is no --connect-to: write HOST:PORT:ADDR:PORT, such as broker.example.org:443:127.0.0.1:8443, with \
                IPv6 addresses in brackets"
            ))
        };
        let mut parts = Vec::with_capacity(4);
        let mut rest = Some(text.trim());
        while let Some(text) = rest {
            let end = match text.strip_prefix('[') {
                Some(inner) => inner.find(']').map(|at| at + 2).ok_or_else(wrong)?,
                None => text.find(':').unwrap_or(text.len()),
            };
            let (part, tail) = text.split_at(end);
            parts.push(part.trim_start_matches('[').trim_end_matches(']'));
            rest = match tail {
                "" => None,
                tail => Some(tail.strip_prefix(':').ok_or_else(wrong)?),
            };
        }
        let [host, port, to_host, to_port] = parts[..] else { return Err(wrong()) };
        let name = |text: &str| (!text.is_empty()).then(|| text.to_owned());
        let number = |text: &str| match text {
            "" => Ok(None),
            text => text.parse().map(Some).map_err(|_| wrong()),
        };
        Ok(Self { host: name(host), port: number(port)?, to_host: name(to_host), to_port: number(to_port)? })
    }

    fn matches(&self, host: &str, port: u16) -> bool {
        self.host.as_ref().is_none_or(|h| h.eq_ignore_ascii_case(host)) && self.port.is_none_or(|p| p == port)
    }

    /// The address for a connection to `host:port`: that of the first matching rule.
    pub(crate) fn apply(rules: &[Self], host: &str, port: u16) -> (String, u16) {
        match rules.iter().find(|rule| rule.matches(host, port)) {
            Some(rule) => (rule.to_host.clone().unwrap_or_else(|| host.to_owned()), rule.to_port.unwrap_or(port)),
            None => (host.to_owned(), port),
        }
    }
}

impl FromStr for ConnectTo {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        Self::parse(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::endpoint::HostPort;

    #[test]
    fn connect_to_redirects_what_it_matches() {
        for (rule, host, port, expected) in [
            ("broker.test:443:127.0.0.1:8443", "broker.test", 443, "127.0.0.1:8443"),
            ("Broker.Test:443:127.0.0.1:8443", "broker.test", 443, "127.0.0.1:8443"),
            ("broker.test:443:127.0.0.1:8443", "broker.test", 5671, "broker.test:5671"),
            ("broker.test:443:127.0.0.1:8443", "other.test", 443, "other.test:443"),
            ("::127.0.0.1:8443", "any.test", 1, "127.0.0.1:8443"),
            ("broker.test::127.0.0.1:", "broker.test", 5671, "127.0.0.1:5671"),
            ("broker.test:443::8443", "broker.test", 443, "broker.test:8443"),
            ("[::1]:443:[fe80::2]:8443", "::1", 443, "[fe80::2]:8443"),
        ] {
            let rules = [ConnectTo::parse(rule).unwrap()];
            let (to_host, to_port) = ConnectTo::apply(&rules, host, port);
            assert_eq!(HostPort(&to_host, to_port).to_string(), expected, "{rule}");
        }
    }

    #[test]
    fn the_first_connect_to_that_matches_counts() {
        let rules = ["h:1:a:2", "h:1:b:3", "::c:4"].map(|rule| ConnectTo::parse(rule).unwrap());
        assert_eq!(ConnectTo::apply(&rules, "h", 1), ("a".into(), 2));
        assert_eq!(ConnectTo::apply(&rules, "x", 1), ("c".into(), 4));
    }

    #[test]
    fn a_wrong_connect_to_is_refused_with_what_to_type() {
        for text in ["", "h:443", "h:443:a", "h:x:a:1", "h:443:a:99999", "h:443:a:1:2", "[::1:443:a:1"] {
            let sentence = ConnectTo::parse(text).unwrap_err().to_string();
            assert!(sentence.contains("HOST:PORT:ADDR:PORT"), "{sentence}");
        }
    }

    #[test]
    fn a_route_travels_and_shows_no_secret() {
        let route = AmqpRoute {
            producer: vec![Endpoint::parse("amqps://bench:hunter1@broker.test").unwrap()],
            consumer: vec![Endpoint::parse("amqps://bench@broker.test").unwrap()],
            connect_to: vec![ConnectTo::parse("broker.test:5671:127.0.0.1:25671").unwrap()],
            ca_pem: Some("-----BEGIN CERTIFICATE-----".into()),
            client_cert: Some(("cert".into(), Secret::new("hunter2"))),
            password: Secret::new("hunter3"),
            token_file: Some("token".into()),
        };
        let bytes = bincode::serde::encode_to_vec(&route, bincode::config::standard()).unwrap();
        let (again, _): (AmqpRoute, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        assert_eq!(again, route);
        let shown = format!("{route:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
