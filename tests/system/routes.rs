//! Every architecture with every instrument's workload in every pattern, all checks on, in one launch.

use crate::support::{mpirun, service};
use measure::{Record, record::Hop};
use std::time::Duration;

const LIMIT: Duration = Duration::from_secs(900);
const EXPERIMENT: &str = "
[base]
messages = 6
producers = 2
consumers = 2
verify = 'all'
[base.service]
prefetch = 2
acks = 'each'
[axes]
arch = ['dts', 'dts-plain', 'prs-haproxy', 'prs-stunnel', 'prs-haproxy-4', 'mss', 'one-proxy', 'ingress', 'dts-nlb',
  'mss-gateway', 'mss-gateway-3']
workload = ['dstream', 'lstream', 'generic']
pattern = ['work-sharing', 'work-sharing-feedback', 'broadcast', 'broadcast-gather']
";

#[test]
fn every_architecture_carries_every_workload_in_every_pattern() {
    let outcome = mpirun(2, &["sweep", "table.toml"]).file("table.toml", EXPERIMENT).through(service()).run(LIMIT);
    // What this machine cannot have is left out, and that is said.
    let left_out = service().left_out();
    for route in &left_out {
        println!("not tested: {route}");
        assert!(outcome.stderr.contains(&format!("12 points over {route} are left out: ")), "{outcome}");
    }
    let points = (11 - left_out.len()) * 3 * 4;
    assert!(
        outcome.status.success() && outcome.stderr.contains(&format!("{points} of {points} points passed")),
        "{outcome}"
    );
    let records = outcome.files.iter().filter(|(path, _)| path.ends_with("/record.json"));
    let records: Vec<Record> =
        records.map(|(_, bytes)| Record::from_json(std::str::from_utf8(bytes).unwrap()).unwrap()).collect();
    assert_eq!(records.len(), points);
    for record in records {
        let cell = record.point.expect("it belongs to one").name;
        let copies = if cell.contains("broadcast") { 2 } else { 1 };
        let integrity = &record.integrity;
        let counts = [integrity.sent, integrity.confirmed, integrity.expected, integrity.foreign];
        assert_eq!(counts, [6, 6, 6 * copies, 0], "{cell}: {integrity:?}");
        let mut at = "producer";
        let mut way = Vec::new();
        while let Some(Hop { to, .. }) = record.route.hops.iter().find(|hop| hop.from.as_str() == at) {
            way.push(to.as_str());
            at = to.as_str();
        }
        let expected: &[&str] = match record.route.architecture.as_str() {
            "mss" => &["balancer", "ingress", "service"],
            "ingress" => &["ingress", "service"],
            "dts-nlb" => &["nlb", "service"],
            "mss-gateway" | "mss-gateway-3" => &["gateway", "service"],
            "one-proxy" => &["consumer proxy", "service"],
            prs if prs.starts_with("prs") => &["producer proxy", "consumer proxy", "service"],
            _ => &["service"],
        };
        assert_eq!(way, expected, "{cell}");
    }
}
