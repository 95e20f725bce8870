//! A warning where the hosts of one run differ in TCP's congestion control.

use measure::record::Machine;
use std::collections::BTreeMap;

/// One sentence if they do.
pub fn differs(machines: &[Machine]) -> Option<String> {
    let mut hosts: BTreeMap<&str, &str> = BTreeMap::new();
    for machine in machines {
        if let Some(congestion) = &machine.congestion_control {
            hosts.entry(congestion).or_insert(&machine.host);
        }
    }
    let named: Vec<String> = hosts.iter().map(|(congestion, host)| format!("{congestion} on {host}")).collect();
    (hosts.len() > 1).then(|| {
        format!(
            "hosts differ in TCP's congestion control ({}), on which results over a distance depend: set \
             net.ipv4.tcp_congestion_control to the same on all",
            named.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_that_differ_are_named_and_unknown_ones_do_not_count() {
        let machine = |host: &str, congestion: Option<&str>| Machine {
            host: host.to_owned(),
            congestion_control: congestion.map(str::to_owned),
            ..Machine::default()
        };
        let alike = [machine("a", Some("bbr")), machine("b", Some("bbr")), machine("c", None)];
        assert_eq!(differs(&alike), None);
        let sentence = differs(&[machine("a", Some("bbr")), machine("b", Some("cubic"))]).unwrap();
        assert!(sentence.contains("(bbr on a, cubic on b)"), "{sentence}");
    }
}
