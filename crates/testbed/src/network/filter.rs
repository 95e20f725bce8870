//! The packet filter of the service's site, between its switch and the other site: nftables.
//!
//! It keeps no state, like an access list of a border router: what does not open a connection passes. Kernels differ in whether a
//! bridge can track connections.

use super::{Host, Rule, Tools};
use crate::{Error, Result};
use serde_json::Value;
use std::net::Ipv4Addr;

const TABLE: &str = "bridge firewall";
const OPENED: &str = "opened";

/// Installs these rules in this process's namespace; returns the rules that the kernel has then.
pub fn install(tools: &Tools, rules: &[Rule]) -> Result<Vec<Rule>> {
    tools.nft(&script(rules)).map_err(|error| Error::NoFilter { reason: error.to_string() })?;
    let listed = tools.nft(&format!("-j list chain {TABLE} {OPENED}"))?;
    let listed: Value = serde_json::from_str(&listed).unwrap_or_default();
    let all = listed["nftables"].as_array().into_iter().flatten();
    let in_force: Vec<Rule> = all.filter_map(|one| read(&one["rule"], rules)).collect();
    if in_force.len() == rules.len() {
        return Ok(in_force);
    }
    Err(Error::NoFilter { reason: format!("it has {} of {} rules", in_force.len(), rules.len()) })
}

/// What comes from the other site may belong to a connection, or open one that a rule names. Everything else is dropped.
fn script(rules: &[Rule]) -> String {
    let from = Host::Site;
    let mut lines = vec![
        format!("add table {TABLE}"),
        format!("add chain {TABLE} {OPENED}"),
        format!("add chain {TABLE} incoming"),
        format!("add rule {TABLE} incoming ether type arp accept"),
        format!("add rule {TABLE} incoming tcp flags & (syn | ack) != syn accept"),
        format!("add rule {TABLE} incoming jump {OPENED}"),
        format!("add rule {TABLE} incoming drop"),
    ];
    for hook in ["forward", "input"] {
        lines.push(format!("add chain {TABLE} {hook} {{ type filter hook {hook} priority 0 ; policy accept ; }}"));
        lines.push(format!("add rule {TABLE} {hook} iifname {from} jump incoming"));
    }
    lines.extend(rules.iter().map(|rule| {
        let (protocol, ports) = (rule.protocol(), rule.ports_in_words());
        format!("add rule {TABLE} {OPENED} ip daddr {} {protocol} dport {ports} accept", rule.address)
    }));
    lines.join(" ; ")
}

/// A rule as nft lists it; what it is for is known by what it opens.
fn read(listed: &Value, requested: &[Rule]) -> Option<Rule> {
    let parts = listed["expr"].as_array()?;
    parts.iter().find(|part| part.get("accept").is_some())?;
    let compared = |field: &str| {
        let is = |part: &&Value| part["match"]["left"]["payload"]["field"] == field;
        Some(&parts.iter().find(is)?["match"])
    };
    let address: Ipv4Addr = compared("daddr")?["right"].as_str()?.parse().ok()?;
    let (compared_port, number) = (compared("dport")?, |value: &Value| u16::try_from(value.as_u64()?).ok());
    let (port, udp) = (&compared_port["right"], compared_port["left"]["payload"]["protocol"] == "udp");
    let ends = [&port["range"][0], &port["range"][1]];
    let [from_port, to_port] = ends.map(|end| number(end).or_else(|| number(port)));
    let (architectures, host) = (Vec::new(), String::new());
    let rule = Rule { architectures, host, address, from_port: from_port?, to_port: to_port?, udp };
    requested.iter().find(|known| known.opens(&rule)).cloned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn rule(from_port: u16, to_port: u16) -> Rule {
        Rule {
            architectures: vec!["dts".into()],
            host: "dsn1".into(),
            address: [10, 79, 0, 11].into(),
            from_port,
            to_port,
            udp: false,
        }
    }

    #[test]
    fn rules_are_read_back_as_the_kernel_has_them() {
        let listed = |port: Value, verdict: &str| {
            let field = |field: &str, right: Value| json!({"match": {"op": "==", "left": {"payload": {"field": field}}, "right": right}});
            json!({"expr": [field("daddr", "10.79.0.11".into()), field("dport", port), {verdict: null}]})
        };
        let requested = [rule(10211, 10211), rule(10760, 10769)];
        assert_eq!(read(&listed(10211.into(), "accept"), &requested), Some(requested[0].clone()));
        assert_eq!(read(&listed(json!({"range": [10760, 10769]}), "accept"), &requested), Some(requested[1].clone()));
        assert_eq!(read(&listed(10211.into(), "drop"), &requested), None);
        assert_eq!(read(&listed(10212.into(), "accept"), &requested), None, "nobody has asked for it");
        let of_udp = Rule { udp: true, ..rule(10211, 10211) };
        assert_eq!(
            read(&listed(10211.into(), "accept"), std::slice::from_ref(&of_udp)),
            None,
            "it is open for TCP only"
        );
        let mut packets = listed(10211.into(), "accept");
        packets["expr"][1]["match"]["left"]["payload"]["protocol"] = "udp".into();
        assert_eq!(read(&packets, &[rule(10211, 10211), of_udp.clone()]), Some(of_udp));
    }
}
