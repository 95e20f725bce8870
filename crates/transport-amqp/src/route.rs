//! Where the service is and how to be let in: endpoints, `--connect-to`, certificates and the password.

use percent_encoding::percent_decode_str;
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Everything that is needed to reach the service. Rank 0 sends it to all ranks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AmqpRoute {
    /// What producers connect to, in turn.
    pub producer: Vec<Endpoint>,
    /// What consumers connect to, in turn; queues are declared here too.
    pub consumer: Vec<Endpoint>,
    /// Addresses to use in place of those in the endpoints.
    pub connect_to: Vec<ConnectTo>,
    /// Authorities to trust, as PEM; without them those of the system.
    pub ca_pem: Option<String>,
    /// Certificate and private key to show to the service, as PEM.
    pub client_cert: Option<(String, Secret)>,
    /// Password of every endpoint whose URL has none.
    pub password: Secret,
}

/// A text that is never shown.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(String);

impl Secret {
    /// Keeps `text` from being shown.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, for whoever sends it to the service.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// Whether TLS is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// No.
    Amqp,
    /// Yes.
    Amqps,
}

impl Scheme {
    fn default_port(self) -> u16 {
        match self {
            Self::Amqp => 5672,
            Self::Amqps => 5671,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Amqp => "amqp",
            Self::Amqps => "amqps",
        })
    }
}

/// One address of the service, as a URL says it. Shown without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Whether TLS is spoken.
    pub scheme: Scheme,
    /// Host name or address, without the brackets of IPv6; TLS verifies it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name.
    pub user: String,
    /// Virtual host.
    pub vhost: String,
    /// Password, if the URL has one.
    pub password: Option<Secret>,
}

/// Why a part of a route cannot be understood; says what to type. Holds no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(String);

const URL_FORM: &str = "write amqps://user@host:5671/vhost, or amqp:// without TLS";

impl Endpoint {
    /// Reads `amqps://user[:password]@host[:port][/vhost]`; user, password and vhost are
    /// percent-decoded. Ports default to 5671 with TLS and 5672 without, no vhost is `/`, and no
    /// user is RabbitMQ's own `guest`.
    pub fn parse(url: &str) -> Result<Self, RouteError> {
        // The text is not repeated in errors: any part of it may hold the password.
        let wrong = |what: &str| RouteError(format!("the URL of the service {what}: {URL_FORM}"));
        let (scheme, rest) = match url.trim().split_once("://") {
            Some(("amqp", rest)) => (Scheme::Amqp, rest),
            Some(("amqps", rest)) => (Scheme::Amqps, rest),
            Some(_) => return Err(wrong("is neither amqp:// nor amqps://")),
            None => return Err(wrong("has no scheme")),
        };
        if rest.contains(['?', '#']) {
            return Err(wrong("has settings after `?` or `#`, which are flags of their own here"));
        }
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, vhost),
            None => (rest, ""),
        };
        if vhost.contains('/') {
            return Err(wrong("has more than one `/` after the host (a `/` in a vhost is written %2f)"));
        }
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let (host, port) = split_port(address).ok_or_else(|| wrong("has no host"))?;
        let port = match port {
            Some(port) => port
                .parse()
                .ok()
                .filter(|&port| port != 0)
                .ok_or_else(|| wrong("has a port that is not a number from 1 to 65535"))?,
            None => scheme.default_port(),
        };
        let decode = |text: &str| {
            percent_decode_str(text)
                .decode_utf8()
                .map(|text| text.into_owned())
                .map_err(|_| wrong("has a percent escape that is no UTF-8"))
        };
        let (user, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            None => ("guest".to_owned(), Some(Secret::new("guest"))),
            Some(("", _)) => return Err(wrong("has no user before `@`")),
            Some((user, "")) => (decode(user)?, None),
            Some((user, password)) => (decode(user)?, Some(Secret(decode(password)?))),
        };
        let vhost = if vhost.is_empty() { "/".to_owned() } else { decode(vhost)? };
        // A short string of AMQP; lapin would panic.
        if vhost.len() > 255 {
            return Err(wrong("has a vhost of more than 255 bytes"));
        }
        Ok(Self { scheme, host: host.to_owned(), port, user, vhost, password })
    }
}

impl FromStr for Endpoint {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}@{}", self.scheme, self.user, HostPort(&self.host, self.port))?;
        match self.vhost.as_str() {
            "/" => Ok(()),
            vhost => write!(f, "/{}", vhost.replace('%', "%25").replace('/', "%2f")),
        }
    }
}

/// An address to connect to in place of the one in a URL, as curl's `--connect-to` has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectTo {
    host: Option<String>,
    port: Option<u16>,
    to_host: Option<String>,
    to_port: Option<u16>,
}

impl ConnectTo {
    /// Reads `HOST:PORT:ADDR:PORT`: connections to the first pair go to the second. An empty part
    /// of the first pair matches any; an empty part of the second keeps what the URL says. IPv6
    /// addresses are in brackets.
    pub fn parse(text: &str) -> Result<Self, RouteError> {
        let wrong = || {
            RouteError(format!(
                "`{text}` is no --connect-to: write HOST:PORT:ADDR:PORT, such as broker.example.org:443:127.0.0.1:8443"
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

    /// Where a connection to `host:port` goes: to what the first rule that matches says.
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

/// A host and its port, with brackets around IPv6.
pub(crate) struct HostPort<'a>(pub &'a str, pub u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains(':') {
            true => write!(f, "[{}]:{}", self.0, self.1),
            false => write!(f, "{}:{}", self.0, self.1),
        }
    }
}

/// Splits `host[:port]`; none without a host or with what follows the brackets of IPv6 amiss.
fn split_port(address: &str) -> Option<(&str, Option<&str>)> {
    let (host, tail) = match address.strip_prefix('[') {
        Some(inner) => inner.split_once(']')?,
        None => address.split_at(address.find(':').unwrap_or(address.len())),
    };
    let port = match tail {
        "" => None,
        tail => Some(tail.strip_prefix(':')?),
    };
    (!host.is_empty()).then_some((host, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(url: &str, scheme: Scheme, host: &str, port: u16, user: &str, vhost: &str, password: Option<&str>) {
        let expected = Endpoint {
            scheme,
            host: host.into(),
            port,
            user: user.into(),
            vhost: vhost.into(),
            password: password.map(Secret::new),
        };
        assert_eq!(Endpoint::parse(url), Ok(expected));
    }

    #[test]
    fn a_url_says_where_and_as_whom() {
        use Scheme::{Amqp, Amqps};
        check("amqps://bench@broker.test", Amqps, "broker.test", 5671, "bench", "/", None);
        check("amqp://bench@10.0.0.1", Amqp, "10.0.0.1", 5672, "bench", "/", None);
        check("amqps://bench:pw@h:443/exp", Amqps, "h", 443, "bench", "exp", Some("pw"));
        check("amqps://a%40b:p%2f%3a@h/%2f", Amqps, "h", 5671, "a@b", "/", Some("p/:"));
        check("amqp://u:p:q@h/", Amqp, "h", 5672, "u", "/", Some("p:q"));
        check("amqp://u:p@ss@h/v%25", Amqp, "h", 5672, "u", "v%", Some("p@ss"));
        check("amqp://u@[::1]:25672/v", Amqp, "::1", 25672, "u", "v", None);
        check("amqp://u@[fe80::1]", Amqp, "fe80::1", 5672, "u", "/", None);
        check("amqp://localhost:25672", Amqp, "localhost", 25672, "guest", "/", Some("guest"));
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_type_and_without_its_password() {
        for url in [
            "broker.test:5671",
            "http://u:hunter2@h",
            "amqp://u:hunter2@h:port",
            "amqp://u:hunter2@h:0",
            "amqp://u:hunter2@h:70000",
            "amqp://u:hunter2@",
            "amqp://u:hunter2@:5672",
            "amqp://u:hunter2@[::1",
            "amqp://u:hunter2@[::1]x",
            "amqp://u:hunter2@h/a/b",
            "amqp://u:hunter2@h?heartbeat=3",
            "amqp://:hunter2@h",
            "amqp://u:hunter2%ff@h",
            "",
        ] {
            let sentence = Endpoint::parse(url).unwrap_err().to_string();
            assert!(sentence.contains("amqps://user@host:5671/vhost"), "{sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed_again_and_holds_no_password() {
        for (url, shown) in [
            ("amqps://bench:hunter2@broker.test/exp", "amqps://bench@broker.test:5671/exp"),
            ("amqp://bench@[::1]", "amqp://bench@[::1]:5672"),
            ("amqp://bench@h/a%2fb%25", "amqp://bench@h:5672/a%2fb%25"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown);
            let again = Endpoint::parse(shown).unwrap();
            assert_eq!(Endpoint { password: None, ..endpoint }, again);
        }
    }

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
        };
        let bytes = bincode::serde::encode_to_vec(&route, bincode::config::standard()).unwrap();
        let (again, _): (AmqpRoute, _) =
            bincode::serde::decode_from_slice(&bytes, bincode::config::standard()).unwrap();
        assert_eq!(again, route);
        let shown = format!("{route:?}");
        assert!(!shown.contains("hunter"), "{shown}");
    }
}
