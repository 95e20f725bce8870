//! What a route file says of a facility: the control servers to ask for a tunnel, and legs that are known by hand.

use crate::{
    error::{ProfileError, impossible},
    profile::RouteProfile,
};
use serde::{Deserialize, Serialize};
use std::num::NonZeroU32;

/// A tunnel that rank 0 asks two SciStream control servers for, and releases at the end.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SciStreamProfile {
    /// Addresses of the service, `HOST:PORT`, as the consumers' side reaches them: SciStream's remote ip and receiver ports.
    pub service: Vec<String>,
    /// Ports on each side: SciStream's num_conn.
    pub connections: Option<NonZeroU32>,
    /// The control server at the producers.
    pub producer_side: ControlServerProfile,
    /// The control server at the service.
    pub consumer_side: ControlServerProfile,
    /// Where the tunnel's uid, which is its key, is kept while it is open; mode 0600 [default: in the working directory].
    pub uid_file: Option<String>,
}

/// One control server.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ControlServerProfile {
    /// `HOST:PORT` where it takes requests.
    pub s2cs: String,
    /// File with its certificate (PEM).
    pub certificate: String,
    /// File with the token that it asks for.
    pub token_file: Option<String>,
    /// Host at which its proxies are reached, where that is not the one it tells.
    pub host: Option<String>,
    /// `5100-5110:30510-30520`: its proxies' ports, and those at which they are reached.
    pub node_ports: Option<String>,
    /// What its proxies are, as the facility says: `stunnel`, `haproxy`.
    pub proxy: Option<String>,
    /// Limits of the pod or host that it runs in, as the facility says: `0.3 CPU, 500 MiB`.
    pub limits: Option<String>,
}

/// One leg of a route whose addresses were given, for the record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HopProfile {
    /// Who opens the connection: `producer`, `consumer`, or who accepted the leg before.
    pub from: String,
    /// Who accepts it.
    pub to: String,
    /// `amqp`, `amqps`, `tcp`, `tls`.
    pub protocol: String,
    /// Where it is accepted.
    #[serde(default)]
    pub address: Option<String>,
    /// The program that accepts it.
    #[serde(default)]
    pub process: Option<String>,
    /// Limits of what accepts it.
    #[serde(default)]
    pub limits: Option<String>,
}

impl RouteProfile {
    /// Whether its parts say one route.
    pub(crate) fn check(&self) -> Result<(), ProfileError> {
        if let Some(hops) = &self.hops {
            for from in ["producer", "consumer"] {
                if !hops.iter().any(|hop| hop.from == from) {
                    return impossible(format!("route.hops has no leg from `{from}`: add one, or leave the list out"));
                }
            }
        }
        if let Some(url) = &self.management {
            let rest = url.strip_prefix("https://").or_else(|| url.strip_prefix("http://"));
            let (user, at) =
                rest.map_or((None, ""), |rest| rest.rsplit_once('@').map_or((None, rest), |(u, at)| (Some(u), at)));
            if at.trim_end_matches('/').is_empty() || at.trim_end_matches('/').contains('/') {
                return impossible(
                    "route.management is no address of a management API: write http://HOST:15672 or https://...",
                );
            }
            if user.is_some_and(|user| user.contains(':')) {
                return impossible(
                    "route.management holds a password: leave it out, and set STREAMHARNESS_MANAGEMENT_PASSWORD where it is \
                     not that of AMQP",
                );
            }
        }
        let Some(scistream) = &self.scistream else { return Ok(()) };
        if self.hops.is_some() {
            return impossible("route.hops and route.scistream exclude each other: the control servers tell the legs");
        }
        if self.producer_urls.is_some() {
            return impossible(
                "route.producer_urls and route.scistream exclude each other: producers connect to the tunnel that is made",
            );
        }
        if scistream.service.is_empty() {
            return impossible(
                "route.scistream has no `service`: list HOST:PORT of the brokers as its side reaches them",
            );
        }
        for (name, side) in [("producer_side", &scistream.producer_side), ("consumer_side", &scistream.consumer_side)] {
            for (key, value) in [("s2cs", &side.s2cs), ("certificate", &side.certificate)] {
                if value.is_empty() {
                    return impossible(format!("route.scistream.{name} has no `{key}`: add it"));
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::{Layer, Origin, Plan, combine};
    use std::path::Path;

    fn resolve(route: &str) -> Result<Plan, String> {
        let layer = Layer::parse(Origin::File("mine.toml".into()), route).map_err(|error| error.to_string())?;
        let profile = combine(&[layer], |_| unreachable!("only shipped ones")).map_err(|error| error.to_string())?;
        Plan::resolve(&profile, 2, 1).map_err(|error| error.to_string())
    }

    #[test]
    fn a_route_that_contradicts_itself_or_lacks_a_part_says_which() {
        let side = "s2cs = 'a:1'\ncertificate = 'a.pem'";
        let both = format!("[route.scistream.producer_side]\n{side}\n[route.scistream.consumer_side]\n{side}\n");
        for (text, expected) in [
            (both.clone(), "has no `service`"),
            ("[route.scistream]\nservice = ['a:1']".to_owned(), "producer_side has no `s2cs`"),
            (format!("[route]\nproducer_urls = ['amqp://a']\n[route.scistream]\nservice = ['a:1']\n{both}"), "exclude"),
            (
                "[[route.hops]]\nfrom = 'producer'\nto = 'service'\nprotocol = 'amqps'".to_owned(),
                "no leg from `consumer`",
            ),
            ("[route.scistream]\nservise = []".to_owned(), "did you mean `service`?"),
            ("[route]\nmanagement = 'broker:15672'".to_owned(), "http://HOST:15672"),
            ("[route]\nmanagement = 'http://'".to_owned(), "http://HOST:15672"),
            ("[route]\nmanagement = 'http://a:secret@b:15672'".to_owned(), "STREAMHARNESS_MANAGEMENT_PASSWORD"),
        ] {
            let error = resolve(&text).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        resolve("[route]\nmanagement = 'https://admin@broker:15671/'").unwrap();
        resolve(&format!("[route.scistream]\nservice = ['a:1']\n{both}")).unwrap();
    }

    #[test]
    fn every_example_of_a_facility_resolves() {
        let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/examples");
        let mut count = 0;
        for entry in std::fs::read_dir(dir).unwrap() {
            let path = entry.unwrap().path();
            let arch = format!("arch = '{}'", path.display());
            let layer = Layer::parse(Origin::CommandLine, &arch).unwrap();
            let profile = combine(&[layer], |path| std::fs::read_to_string(path));
            let plan = profile.and_then(|profile| Plan::resolve(&profile, 8, 1));
            plan.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            count += 1;
        }
        assert_eq!(count, 3);
    }
}
