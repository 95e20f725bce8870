//! The hops of a route file: written ones, and those of a requested tunnel.

use measure::record::{Hop, HopEnd};
use profile::{HopProfile, RouteProfile, SciStreamProfile};

/// Hops as written.
pub fn by_hand(hops: &[HopProfile]) -> Vec<Hop> {
    let hop = |written: &HopProfile| Hop {
        from: written.from.as_str().into(),
        to: written.to.as_str().into(),
        protocol: written.protocol.clone(),
        address: written.address.clone(),
        tls: None,
        process: written.process.clone(),
        limits: written.limits.clone(),
        distance: None,
    };
    hops.iter().map(hop).collect()
}

/// The hops of a tunnel: addresses as reported by the control servers, programs and limits from the route file. The
/// negotiation of the two proxies is unknown here, so no TLS is recorded.
pub fn of_tunnel(
    written: &RouteProfile,
    scistream: &SciStreamProfile,
    protocol: &str,
    (entries, exits): (&[String], &[String]),
    consumer: Hop,
) -> Vec<Hop> {
    let (producers, consumers) = (&scistream.producer_side, &scistream.consumer_side);
    let process = |side: &profile::ControlServerProfile| {
        format!("{} of the S2CS at {}", side.proxy.as_deref().unwrap_or("data server"), side.s2cs)
    };
    let hop = |from: &str, to: &str, protocol: &str, addresses: &[String], process, limits: &Option<String>| Hop {
        from: from.into(),
        to: to.into(),
        protocol: protocol.to_owned(),
        address: Some(addresses.join(",")),
        tls: None,
        process,
        limits: limits.clone(),
        distance: None,
    };
    let first = hop("producer", "producer proxy", protocol, entries, Some(process(producers)), &producers.limits);
    let between = match producers.proxy.as_deref() {
        Some(proxy) if proxy.starts_with("stunnel") => "tls",
        Some(proxy) if proxy.starts_with("haproxy") => "tcp",
        // Whether it encrypts is unknown.
        _ => "unknown",
    };
    let last = if written.consumers_via_proxy == Some(true) {
        Hop { from: HopEnd::Consumer, ..first.clone() }
    } else {
        consumer
    };
    // Port i of the tunnel leads to address i of the service.
    let targets: Vec<String> = scistream.service.iter().cycle().take(exits.len().min(entries.len())).cloned().collect();
    vec![
        first,
        hop("producer proxy", "consumer proxy", between, exits, Some(process(consumers)), &consumers.limits),
        hop("consumer proxy", "service", protocol, &targets, None, &None),
        last,
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::ControlServerProfile;

    #[test]
    fn the_hops_of_a_tunnel_have_the_addresses_that_the_control_servers_reported() {
        let side = |s2cs: &str, proxy: Option<&str>, limits: Option<&str>| ControlServerProfile {
            s2cs: s2cs.to_owned(),
            proxy: proxy.map(str::to_owned),
            limits: limits.map(str::to_owned),
            ..ControlServerProfile::default()
        };
        let scistream = SciStreamProfile {
            service: vec!["b1:5672".to_owned(), "b2:5672".to_owned()],
            producer_side: side("n4:30500", Some("stunnel"), Some("0.3 CPU")),
            consumer_side: side("n5:30600", None, None),
            ..SciStreamProfile::default()
        };
        let direct = Hop { from: HopEnd::Consumer, to: "service".into(), ..Hop::default() };
        let (entries, exits) = (["n4:30510".to_owned()], ["n5:30610".to_owned()]);
        let written = RouteProfile::default();
        let hops = of_tunnel(&written, &scistream, "amqp", (&entries, &exits), direct.clone());
        let reported: Vec<_> =
            hops.iter().map(|hop| (hop.to.as_str(), hop.protocol.as_str(), hop.address.as_deref())).collect();
        assert_eq!(
            reported,
            [
                ("producer proxy", "amqp", Some("n4:30510")),
                ("consumer proxy", "tls", Some("n5:30610")),
                ("service", "amqp", Some("b1:5672")),
                ("service", "", None),
            ]
        );
        assert_eq!(hops[0].process.as_deref(), Some("stunnel of the S2CS at n4:30500"));
        assert_eq!((hops[0].limits.as_deref(), hops[1].limits.as_deref()), (Some("0.3 CPU"), None));
        assert_eq!(hops[1].process.as_deref(), Some("data server of the S2CS at n5:30600"), "no more is known");
        let both = RouteProfile { consumers_via_proxy: Some(true), ..written };
        let hops = of_tunnel(&both, &scistream, "amqp", (&entries, &exits), direct);
        assert_eq!((hops[3].from.as_str(), hops[3].to.as_str()), ("consumer", "producer proxy"));
    }
}
