//! One address of the service: parsing and printing its URL.

use crate::secret::Secret;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Whether the connection uses TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scheme {
    /// Without TLS.
    Amqp,
    /// With TLS.
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

/// One address of the service, from a URL. Printed without its password.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Endpoint {
    /// Whether the connection uses TLS.
    pub scheme: Scheme,
    /// Host name or address, without the brackets of IPv6; TLS verifies it.
    pub host: String,
    /// TCP port.
    pub port: u16,
    /// User name, if the URL has one.
    pub user: Option<String>,
    /// Virtual host.
    pub vhost: String,
    /// Password in the URL; without a user, the password of RabbitMQ's default user.
    pub password: Option<Secret>,
    /// Whether the client's certificate logs in (SASL EXTERNAL), without a password.
    pub external: bool,
}

/// Why a part of a route cannot be parsed, with what to type. Contains no password.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct RouteError(pub(crate) String);

const URL_FORM: &str = "write amqps://user@host:5671/vhost, or amqp:// without TLS";
/// RabbitMQ's default user, which can log in from its own host only.
const DEFAULT_USER: &str = "guest";
/// Characters that are escaped when a user or virtual host is printed.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

impl Endpoint {
    /// Reads `amqps://user[:password]@host[:port][/vhost][?auth_mechanism=external]`; user, password and vhost are
    /// percent-decoded. Defaults: port 5671 with TLS and 5672 without, vhost `/`, user `guest`.
    ///
    /// # Errors
    ///
    /// [`RouteError`] with the part that is wrong and what to type; the URL is not quoted.
    pub fn parse(url: &str) -> Result<Self, RouteError> {
        let (scheme, rest) = match url.trim().split_once("://") {
            Some(("amqp", rest)) => (Scheme::Amqp, rest),
            Some(("amqps", rest)) => (Scheme::Amqps, rest),
            Some(_) => return Err(wrong("is neither amqp:// nor amqps://")),
            None => return Err(wrong("has no scheme")),
        };
        if rest.contains(",amqp") {
            return Err(several());
        }
        let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
        let (authority, tail) = rest.split_at(end);
        if tail.contains('@') {
            return Err(RouteError(
                "the URL of the service has `/`, `?` or `#` before an `@`: write %2f, %3f or %23 for them in a \
                password (and %40 for an `@` in a vhost), or leave the password out of the URL and set \
                STREAMHARNESS_PASSWORD or STREAMHARNESS_PASSWORD_FILE"
                    .to_owned(),
            ));
        }
        let (path, external) = split_settings(tail)?;
        let vhost = path.strip_prefix('/').unwrap_or_default();
        if vhost.contains('/') {
            return Err(wrong("has more than one `/` after the host (a `/` in a vhost is written %2f)"));
        }
        let (userinfo, address) = match authority.rsplit_once('@') {
            Some((userinfo, address)) => (Some(userinfo), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address, scheme)?;
        let (user, password) = match userinfo.map(|info| info.split_once(':').unwrap_or((info, ""))) {
            None => (None, Some(Secret::new(DEFAULT_USER))),
            Some(("", _)) => return Err(wrong("has no user before `@`")),
            Some((user, "")) => (Some(decode(user)?), None),
            Some((user, password)) => (Some(decode(user)?), Some(Secret::new(decode(password)?))),
        };
        let vhost = if vhost.is_empty() { "/".to_owned() } else { decode(vhost)? };
        // It must fit an AMQP short string; otherwise lapin would panic.
        if vhost.len() > 255 {
            return Err(wrong("has a vhost of more than 255 bytes"));
        }
        Ok(Self { scheme, host, port, user, vhost, password, external })
    }

    /// The user of a login by password.
    pub fn user(&self) -> &str {
        self.user.as_deref().unwrap_or(DEFAULT_USER)
    }
}

/// The error does not quote the URL: any part of it may contain the password.
fn wrong(what: &str) -> RouteError {
    RouteError(format!("the URL of the service {what}: {URL_FORM}"))
}

fn several() -> RouteError {
    RouteError(
        "the URL of the service names several hosts: give one --url for each, such as \
        --url amqps://user@host1 --url amqps://user@host2"
            .to_owned(),
    )
}

fn decode(text: &str) -> Result<String, RouteError> {
    let decoded = percent_decode_str(text).decode_utf8();
    decoded.map(|text| text.into_owned()).map_err(|_| wrong("has a percent escape that is not UTF-8"))
}

/// The part before the settings, and whether these select a login by certificate.
fn split_settings(tail: &str) -> Result<(&str, bool), RouteError> {
    let (path, settings) = tail.split_once('?').unwrap_or((tail, ""));
    let external = match settings.to_ascii_lowercase().as_str() {
        "" | "auth_mechanism=plain" => false,
        "auth_mechanism=external" => true,
        _ => {
            return Err(wrong(
                "has settings after `?` other than auth_mechanism=external: they are flags of their own here",
            ));
        }
    };
    match path.contains('#') {
        true => Err(wrong("has a `#` after the host (a `#` in a vhost is written %23)")),
        false => Ok((path, external)),
    }
}

fn host_and_port(address: &str, scheme: Scheme) -> Result<(String, u16), RouteError> {
    if address.contains(',') {
        return Err(several());
    }
    if !address.contains('[') && address.matches(':').count() > 1 {
        return Err(RouteError(
            "the URL of the service has an IPv6 address without brackets: write it as amqps://user@[::1]:5671"
                .to_owned(),
        ));
    }
    let (host, port) = split_port(address).ok_or_else(|| wrong("has no host"))?;
    if host.contains(|letter: char| letter.is_whitespace() || letter.is_control()) {
        return Err(wrong("has a blank or a control character in its host"));
    }
    let port = match port {
        Some(port) => {
            let port = port.parse().ok().filter(|&port| port != 0);
            port.ok_or_else(|| wrong("has a port that is not a number from 1 to 65535"))?
        }
        None => scheme.default_port(),
    };
    Ok((host.to_owned(), port))
}

/// Splits `host[:port]`; `None` without a host, or if the brackets of IPv6 are not followed by a port.
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

impl FromStr for Endpoint {
    type Err = RouteError;
    fn from_str(text: &str) -> Result<Self, RouteError> {
        Self::parse(text)
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://", self.scheme)?;
        if let Some(user) = &self.user {
            write!(f, "{}@", utf8_percent_encode(user, ESCAPED))?;
        }
        HostPort(&self.host, self.port).fmt(f)?;
        if self.vhost != "/" {
            write!(f, "/{}", utf8_percent_encode(&self.vhost, ESCAPED))?;
        }
        f.write_str(if self.external { "?auth_mechanism=external" } else { "" })
    }
}

/// A host and its port, printed with brackets around IPv6.
pub(crate) struct HostPort<'a>(pub &'a str, pub u16);

impl fmt::Display for HostPort<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.contains(':') {
            true => write!(f, "[{}]:{}", self.0, self.1),
            false => write!(f, "{}:{}", self.0, self.1),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Scheme::{Amqp, Amqps};

    #[track_caller]
    fn check(
        url: &str,
        scheme: Scheme,
        host: &str,
        port: u16,
        user: Option<&str>,
        vhost: &str,
        password: Option<&str>,
    ) -> Endpoint {
        let endpoint = Endpoint::parse(url).unwrap();
        let expected = Endpoint {
            scheme,
            host: host.into(),
            port,
            user: user.map(str::to_owned),
            vhost: vhost.into(),
            password: password.map(Secret::new),
            external: url.to_ascii_lowercase().contains("external"),
        };
        assert_eq!(endpoint, expected);
        endpoint
    }

    #[test]
    fn a_url_has_the_address_and_the_user() {
        check("amqps://bench@broker.test", Amqps, "broker.test", 5671, Some("bench"), "/", None);
        check("amqp://bench@10.0.0.1", Amqp, "10.0.0.1", 5672, Some("bench"), "/", None);
        check("amqps://bench:pw@h:443/exp", Amqps, "h", 443, Some("bench"), "exp", Some("pw"));
        check("amqps://a%40b:p%2f%3a@h/%2f", Amqps, "h", 5671, Some("a@b"), "/", Some("p/:"));
        check("amqp://u:p:q@h/", Amqp, "h", 5672, Some("u"), "/", Some("p:q"));
        check("amqp://u:p@ss@h/v%25", Amqp, "h", 5672, Some("u"), "v%", Some("p@ss"));
        check("amqp://u:p,q@h", Amqp, "h", 5672, Some("u"), "/", Some("p,q"));
        check("amqp://u@[::1]:25672/v", Amqp, "::1", 25672, Some("u"), "v", None);
        check("amqp://u@[fe80::1]", Amqp, "fe80::1", 5672, Some("u"), "/", None);
        let nobody = check("amqp://localhost:25672", Amqp, "localhost", 25672, None, "/", Some("guest"));
        assert_eq!(nobody.user(), "guest");
    }

    #[test]
    fn a_url_may_request_a_login_by_certificate() {
        check("amqps://h?auth_mechanism=external", Amqps, "h", 5671, None, "/", Some("guest"));
        check("amqps://u@h/v?auth_mechanism=EXTERNAL", Amqps, "h", 5671, Some("u"), "v", None);
        check("amqps://u@h/v?auth_mechanism=plain", Amqps, "h", 5671, Some("u"), "v", None);
    }

    #[test]
    fn a_wrong_url_is_refused_with_what_to_type_and_without_its_password() {
        let form = "amqps://user@host:5671/vhost";
        let encode = "%2f, %3f or %23";
        let one_each = "--url amqps://user@host1 --url";
        for (url, remedy) in [
            ("broker.test:5671", form),
            ("http://u:hunter2@h", form),
            ("amqp://u:hunter2@h:port", form),
            ("amqp://u:hunter2@h:0", form),
            ("amqp://u:hunter2@h:70000", form),
            ("amqp://u:hunter2@", form),
            ("amqp://u:hunter2@:5672", form),
            ("amqp://u:hunter2@[::1", form),
            ("amqp://u:hunter2@[::1]x", form),
            ("amqp://u:hunter2@h/a/b", form),
            ("amqp://u:hunter2@h?heartbeat=3", form),
            ("amqp://u:hunter2@h/v?auth_mechanism=external&heartbeat=3", form),
            ("amqp://u:hunter2@h/v#1", form),
            ("amqp://:hunter2@h", form),
            ("amqp://u:hunter2%ff@h", form),
            ("amqp://u:hunter2@h h", form),
            ("amqp://u:hunter2@h\x1b[1m", form),
            ("", form),
            ("amqp://u:hunter2#@h", encode),
            ("amqp://u:hunter2?x@h:5672/v", encode),
            ("amqp://u:12/hunter2@h", encode),
            ("amqp://u:hunter2/@h/v", encode),
            ("amqp://u:hunter2@h1,h2", one_each),
            ("amqp://u:hunter2@h1:5672,h2:5672/v", one_each),
            ("amqp://u:hunter2@h1,amqp://u:hunter2@h2", one_each),
            ("amqp://u:hunter2@::1", "amqps://user@[::1]:5671"),
            ("amqp://u:hunter2@2001:db8::1:5672/v", "amqps://user@[::1]:5671"),
        ] {
            let sentence = Endpoint::parse(url).unwrap_err().to_string();
            assert!(sentence.contains(remedy), "{url}: {sentence}");
            assert!(!sentence.contains("hunter2"), "{sentence}");
        }
    }

    #[test]
    fn what_is_shown_can_be_typed_again_and_holds_no_password() {
        for (url, shown) in [
            ("amqps://bench:hunter2@broker.test/exp", "amqps://bench@broker.test:5671/exp"),
            ("amqp://bench@[::1]", "amqp://bench@[::1]:5672"),
            ("amqp://bench@h/a%2fb%25", "amqp://bench@h:5672/a%2Fb%25"),
            ("amqp://a%40b@h/%1b%5b1m", "amqp://a%40b@h:5672/%1B%5B1m"),
            ("amqps://u@h?auth_mechanism=external", "amqps://u@h:5671?auth_mechanism=external"),
        ] {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(endpoint.to_string(), shown);
            let again = Endpoint::parse(shown).unwrap();
            assert_eq!(Endpoint { password: None, ..endpoint }, again);
        }
    }
}
