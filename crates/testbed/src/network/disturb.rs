//! Faults of a link: what becomes of packets between a host and its switch.

use super::{Host, Network};
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::time::Duration;

/// Longest queue of a link that delays packets, in packets.
const DELAYED_PACKETS_MAX: u32 = 100_000;

/// What becomes of the packets of a link, in both directions.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub enum Disturbance {
    /// None passes.
    Cut,
    /// This many in a million are dropped.
    Drop(u32),
    /// They pass at this rate.
    Rate(u64),
    /// Each takes so much longer.
    Delay(Duration),
}

impl Network {
    /// Disturbs the link of a host in both directions, or mends it again.
    pub fn disturb(&self, name: &str, disturbance: Option<Disturbance>) -> Result<()> {
        let joined = self.hosts().find(|host| host.to_string() == name);
        let host = joined.ok_or_else(|| Error::Fault(format!("the network has no link {name}")))?;
        let table = format!("bridge fault_{name}");
        match disturbance {
            Some(Disturbance::Cut) => self.at_switch_of(host, |tools| tools.nft(&filter(&table, name, "")).map(drop)),
            Some(Disturbance::Drop(millionths)) => {
                let some = format!("numgen random mod 1000000 < {millionths} ");
                self.at_switch_of(host, |tools| tools.nft(&filter(&table, name, &some)).map(drop))
            }
            Some(Disturbance::Rate(rate)) => self.shape(host, &super::build::bucket(rate)),
            Some(Disturbance::Delay(delay)) => {
                let rate = self.rate_of(host).map_or_else(String::new, |rate| format!(" rate {rate}bit"));
                let netem = format!("netem delay {}us{rate} limit {DELAYED_PACKETS_MAX}", delay.as_micros());
                self.shape(host, &netem).map_err(|error| match error {
                    Error::Network { message, .. } => Error::Fault(format!(
                        "more delay needs netem in the kernel (module sch_netem): tc says `{message}`"
                    )),
                    other => other,
                })
            }
            None => {
                // Whichever of the two was disturbed.
                let _ = self.at_switch_of(host, |tools| tools.nft(&format!("delete table {table}")));
                match self.rate_of(host) {
                    Some(rate) => self.shape(host, &super::build::bucket(rate)),
                    None => self.unshape(host),
                }
            }
        }
    }

    /// Sets the discipline of both ends of a link.
    fn shape(&self, host: Host, discipline: &str) -> Result<()> {
        self.refuse_distance(host)?;
        let set = |device: &str| format!("qdisc replace dev {device} root {discipline}");
        self.at_switch_of(host, |tools| tools.tc(&set(&host.to_string())).map(drop))?;
        self.at_host(host, |tools| tools.tc(&set("eth0")).map(drop))
    }

    fn unshape(&self, host: Host) -> Result<()> {
        if self.refuse_distance(host).is_err() {
            return Ok(());
        }
        // One that has none left is as it was.
        let _ = self.at_switch_of(host, |tools| tools.tc(&format!("qdisc del dev {host} root")));
        let _ = self.at_host(host, |tools| tools.tc("qdisc del dev eth0 root"));
        Ok(())
    }

    fn refuse_distance(&self, host: Host) -> Result<()> {
        if self.has_distance(host) {
            let sentence =
                format!("the link {host} has the distance of the testbed already: cut it, or drop packets on it");
            return Err(Error::Fault(sentence));
        }
        Ok(())
    }
}

/// Drops what comes from the host or goes there, if `some` matches.
fn filter(table: &str, host: &str, some: &str) -> String {
    let mut lines = vec![format!("add table {table}")];
    for (hook, direction) in
        [("forward", "iifname"), ("forward", "oifname"), ("input", "iifname"), ("output", "oifname")]
    {
        lines.push(format!("add chain {table} {hook} {{ type filter hook {hook} priority 10 ; policy accept ; }}"));
        lines.push(format!("add rule {table} {hook} {direction} {host} {some}drop"));
    }
    lines.join(" ; ")
}
