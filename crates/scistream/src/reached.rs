//! The addresses at which the listeners of a control server are reachable; from outside a cluster they differ from the
//! reported ones.

use crate::{Error, Result};
use std::{net::IpAddr, ops::RangeInclusive};

/// Translates reported addresses into reachable ones. The default changes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Reached {
    host: Option<String>,
    ports: Option<(RangeInclusive<u16>, u16)>,
}

impl Reached {
    /// With `host` instead of the reported one, and `FROM-TO:FROM-TO` for its ports and the ports at which they are
    /// reachable.
    ///
    /// # Errors
    ///
    /// [`Error::PortMap`] if `ports` is not two ranges of one length.
    pub fn new(host: Option<String>, ports: Option<&str>) -> Result<Self> {
        let range = |text: &str| -> Option<RangeInclusive<u16>> {
            let (from, to) = text.split_once('-')?;
            let range = from.trim().parse().ok()?..=to.trim().parse().ok()?;
            (*range.start() > 0 && !range.is_empty()).then_some(range)
        };
        let pair = |text: &str| {
            let (reported, reachable) = text.split_once(':')?;
            let (reported, reachable) = (range(reported)?, range(reachable)?);
            (reported.len() == reachable.len()).then_some((reported, *reachable.start()))
        };
        let ports = ports.map(|text| pair(text).ok_or_else(|| Error::PortMap(text.to_owned()))).transpose()?;
        Ok(Self { host, ports })
    }

    /// The address at which a listener is reached. A control server that listens on every address may report that
    /// address, as SciStream's does by default; a client that connected to it would reach itself.
    ///
    /// # Errors
    ///
    /// [`Error`] if the listener is not reachable, or its port is not mapped.
    pub fn at(&self, listener: &str) -> Result<String> {
        let (host, port) = parts(listener)?;
        if self.host.is_none() && is_wildcard(host) {
            return Err(Error::WildcardReported(listener.to_owned()));
        }
        let port = match &self.ports {
            None => port,
            Some((reported, first)) if reported.contains(&port) => first + (port - reported.start()),
            Some((reported, _)) => {
                return Err(Error::Unmapped { port, from: *reported.start(), to: *reported.end() });
            }
        };
        Ok(format!("{}:{port}", self.host.as_deref().unwrap_or(host)))
    }
}

/// Whether a listener as reported by a control server is reachable unchanged.
pub fn is_reachable(listener: &str) -> bool {
    parts(listener).is_ok_and(|(host, _)| !is_wildcard(host))
}

fn parts(listener: &str) -> Result<(&str, u16)> {
    let parts = listener.rsplit_once(':').and_then(|(host, port)| Some((host, port.parse().ok()?)));
    parts.filter(|(host, _)| !host.is_empty()).ok_or_else(|| Error::Address(listener.to_owned()))
}

fn is_wildcard(host: &str) -> bool {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    bare.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_listener_is_reached_at_its_node_port() {
        let reached = Reached::new(Some("node4".to_owned()), Some("5100-5110:30510-30520")).unwrap();
        assert_eq!(reached.at("10.1.2.3:5103").unwrap(), "node4:30513");
        assert_eq!(Reached::default().at("10.1.2.3:5103").unwrap(), "10.1.2.3:5103");
        let error = reached.at("10.1.2.3:5111").unwrap_err().to_string();
        assert!(error.contains("port 5111") && error.contains("5100-5110"), "{error}");
    }

    #[test]
    fn a_listener_on_every_address_is_rejected_unless_the_host_is_known() {
        let node = Reached::new(Some("node4".to_owned()), None).unwrap();
        for listener in ["0.0.0.0:5100", "[::]:5100"] {
            let error = Reached::default().at(listener).unwrap_err().to_string();
            assert!(error.contains(listener) && error.contains("host"), "{error}");
            assert_eq!(node.at(listener).unwrap(), "node4:5100");
            assert!(!is_reachable(listener));
        }
        assert!(is_reachable("[::1]:5100") && is_reachable("h:1") && !is_reachable(":1") && !is_reachable("h"));
    }

    #[test]
    fn ports_that_do_not_pair_are_rejected() {
        for wrong in ["", "5100-5110", "5100:30510", "5100-5110:30510-30519", "0-1:3-4", "5-4:3-2"] {
            let error = Reached::new(None, Some(wrong)).unwrap_err().to_string();
            assert!(error.contains("5100-5110:30510-30520"), "{error}");
        }
    }
}
