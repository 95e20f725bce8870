//! The configuration of a data server as text. Pure.

use crate::{Kind, Role, uid::KEY_NAME};
use std::{net::SocketAddr, path::Path};

/// Most simultaneous clients of a data server. Each needs two descriptors, and HAProxy does not start without enough of
/// them.
const CONNECTIONS_MAX: u64 = 4000;

/// The configuration of one data server.
#[derive(Debug)]
pub struct DataServerConfig<'a> {
    pub kind: Kind,
    pub role: Role,
    /// One listener for each port.
    pub listeners: &'a [SocketAddr],
    /// Port i forwards to target i modulo their number.
    pub targets: &'a [String],
    /// The key file and the log, of a stunnel.
    pub key: &'a Path,
    pub log: &'a Path,
    /// The hard limit of open files.
    pub open_files: u64,
}

impl DataServerConfig<'_> {
    pub fn render(&self) -> String {
        match self.kind {
            Kind::Stunnel | Kind::StunnelNull => self.stunnel(),
            Kind::Haproxy => self.haproxy(),
        }
    }

    fn passages(&self) -> impl Iterator<Item = (usize, &SocketAddr, &String)> {
        let target = |index: usize| &self.targets[index % self.targets.len()];
        self.listeners.iter().enumerate().map(move |(index, listener)| (index + 1, listener, target(index)))
    }

    /// `quiet` and a log file: a pipe that nobody reads stops a stunnel after a dozen connections. At level 6 it logs
    /// the result of each handshake.
    fn stunnel(&self) -> String {
        let (key, log) = (self.key.display(), self.log.display());
        let mut text = format!(
            "foreground = quiet\ndebug = 6\noutput = {log}\npid =\nsyslog = no\nfips = no\n\
             socket = l:TCP_NODELAY=1\nsocket = r:TCP_NODELAY=1\nsslVersion = TLSv1.2\n"
        );
        // A key exchange without the key must not be offered: anonymous ones let anybody in.
        text += match self.kind {
            Kind::StunnelNull => "securityLevel = 0\nciphers = PSK+eNULL\n",
            _ => "ciphers = PSK:!eNULL\n",
        };
        text += &format!("PSKsecrets = {key}\n");
        let client = self.role == Role::Outbound;
        for (number, listener, target) in self.passages() {
            text += &format!(
                "[t{number}]\nclient = {}\naccept = {}\nconnect = {}\n",
                if client { "yes" } else { "no" },
                bare(&listener.to_string()),
                bare(target),
            );
            if client {
                text += &format!("PSKidentity = {KEY_NAME}\n");
            }
        }
        text
    }

    /// Buffers and idle limits as in SciStream.
    fn haproxy(&self) -> String {
        let maxconn = CONNECTIONS_MAX.min(self.open_files.saturating_sub(200) / 2);
        let mut text = format!(
            "global\n    maxconn {maxconn}\n    nbthread 1\n    tune.bufsize 100000\n    tune.maxrewrite 32768\n\
             defaults\n    mode tcp\n    timeout connect 5s\n    timeout client 50s\n    timeout server 50s\n"
        );
        for (number, listener, target) in self.passages() {
            text += &format!("listen p{number}\n    bind {listener}\n    server s {target}\n");
        }
        text
    }
}

/// An address as stunnel takes it: an IPv6 one without brackets.
fn bare(address: &str) -> String {
    address.replace(['[', ']'], "")
}

/// Reads `host:port`. Strict, since it goes into a configuration file: letters, digits, dots, dashes and brackets.
pub fn target(text: &str) -> Option<String> {
    let (host, port) = text.trim().rsplit_once(':')?;
    let port: u16 = port.parse().ok()?;
    let bare = match host.strip_prefix('[') {
        Some(v6) => v6.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || ".-_:%".contains(c);
    (!bare.is_empty() && port > 0 && bare.chars().all(plain)).then(|| format!("{host}:{port}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn render(kind: Kind, role: Role, open_files: u64) -> String {
        let listeners = ["127.0.0.1:5100", "127.0.0.1:5101"].map(|text| text.parse().unwrap());
        DataServerConfig {
            kind,
            role,
            listeners: &listeners,
            targets: &["10.0.0.1:5672".to_owned()],
            key: Path::new("/d/1.key"),
            log: Path::new("/d/1.log"),
            open_files,
        }
        .render()
    }

    #[test]
    fn a_stunnel_offers_nothing_without_the_key() {
        let expected = "\
foreground = quiet
debug = 6
output = /d/1.log
pid =
syslog = no
fips = no
socket = l:TCP_NODELAY=1
socket = r:TCP_NODELAY=1
sslVersion = TLSv1.2
ciphers = PSK:!eNULL
PSKsecrets = /d/1.key
[t1]
client = yes
accept = 127.0.0.1:5100
connect = 10.0.0.1:5672
PSKidentity = client1
[t2]
client = yes
accept = 127.0.0.1:5101
connect = 10.0.0.1:5672
PSKidentity = client1
";
        assert_eq!(render(Kind::Stunnel, Role::Outbound, 4096), expected);
        let null = render(Kind::StunnelNull, Role::Inbound, 4096);
        assert!(null.contains("securityLevel = 0\nciphers = PSK+eNULL\n") && null.contains("client = no\n"), "{null}");
        assert!(!null.contains("PSKidentity"), "{null}");
    }

    #[test]
    fn an_ipv6_address_is_written_as_each_program_takes_it() {
        let (listeners, targets) = (["[::1]:5100".parse().unwrap()], ["[fe80::1%2]:5672".to_owned()]);
        let render = |kind| {
            let (key, log) = (Path::new("/d/1.key"), Path::new("/d/1.log"));
            let (listeners, targets) = (&listeners, &targets);
            DataServerConfig { kind, role: Role::Inbound, listeners, targets, key, log, open_files: 4096 }.render()
        };
        let stunnel = render(Kind::Stunnel);
        assert!(stunnel.contains("accept = ::1:5100\nconnect = fe80::1%2:5672\n"), "{stunnel}");
        let haproxy = render(Kind::Haproxy);
        assert!(haproxy.contains("bind [::1]:5100\n    server s [fe80::1%2]:5672\n"), "{haproxy}");
    }

    #[test]
    fn a_haproxy_forwards_each_port_and_needs_no_more_files_than_the_limit() {
        let expected = "\
global
    maxconn 1948
    nbthread 1
    tune.bufsize 100000
    tune.maxrewrite 32768
defaults
    mode tcp
    timeout connect 5s
    timeout client 50s
    timeout server 50s
listen p1
    bind 127.0.0.1:5100
    server s 10.0.0.1:5672
listen p2
    bind 127.0.0.1:5101
    server s 10.0.0.1:5672
";
        assert_eq!(render(Kind::Haproxy, Role::Inbound, 4096), expected);
        assert!(render(Kind::Haproxy, Role::Inbound, 1 << 20).contains("maxconn 4000\n"));
    }

    #[test]
    fn an_address_cannot_smuggle_a_line_into_a_configuration() {
        for text in ["127.0.0.1:5672", "broker.example.org:5672", "[::1]:5672"] {
            assert_eq!(target(text).as_deref(), Some(text));
        }
        for text in ["", ":1", "h", "h:0", "h:70000", "::1:5672", "h\nexec = /bin/sh:1", "h x:1", "[::1:5", "[]:1"] {
            assert_eq!(target(text), None, "{text}");
        }
    }
}
