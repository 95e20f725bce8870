//! Faults that a run causes on purpose: what can be done to a testbed, and how a run has its supervisor do it.

mod carry;
mod request;

use crate::{
    Error, Result,
    network::{Disturbance, LinkState},
    rabbitmq::cluster::node_part,
    running::Testbed,
    tunnels::server_of,
};
use serde::{Deserialize, Serialize};

pub use carry::{Faults, Hands, LOOK_EVERY};
pub use request::{InForce, lay_out};

/// What is done to a part or to a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Deed {
    /// Kills the process of a part; undone, it is started again as it was, and has its files and ports.
    Kill(String),
    /// Stops the process of a part; undone, it continues.
    Stop(String),
    /// Changes the link of a host.
    Link(String, Disturbance),
    /// Raises an alarm of a node: `memory` or `disk`.
    Alarm {
        /// The node, from 1.
        node: usize,
        /// What it is short of.
        resource: String,
    },
    /// Moves the leaders of quorum queues to other nodes.
    MoveLeaders {
        /// The virtual host of the queues.
        vhost: String,
        /// Their names.
        queues: Vec<String>,
    },
}

/// How far a deed has come, or its undoing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// It is not complete yet.
    Working,
    /// It is complete: a killed process is gone, one that was started again serves.
    Complete,
}

impl Testbed {
    /// Refuses a deed that this testbed cannot have.
    ///
    /// # Errors
    ///
    /// [`Error::NoFault`] with the reason.
    pub fn check_deed(&self, deed: &Deed) -> Result<()> {
        let state = self.state();
        let refuse = |reason: String| Err(Error::NoFault(reason));
        match deed {
            Deed::Kill(part) | Deed::Stop(part) => {
                let known = |name: &str| state.parts.iter().any(|known| known.name == name);
                let elsewhere = state.host_of(part).or_else(|| state.host_of(&server_of(part)?));
                match elsewhere {
                    Some(host) => refuse(format!("{part} is on {host}: faults reach the parts of rank 0's host")),
                    None if known(part) => Ok(()),
                    None => refuse(format!("the testbed has no {part}: it has {}", names(self))),
                }
            }
            Deed::Link(host, disturbance) => match &state.network {
                None => refuse("a testbed on loopback has no links: start one with --network facility".to_owned()),
                Some(network) => match network.links.iter().find(|link| link.name == *host) {
                    Some(link) => can_have(link, *disturbance, network.netem).or_else(refuse),
                    None => {
                        let known: Vec<&str> = network.links.iter().map(|link| link.name.as_str()).collect();
                        refuse(format!("the network has no link {host}: it has {}", known.join(", ")))
                    }
                },
            },
            Deed::Alarm { node, .. } if *node > state.nodes => self.check_deed(&Deed::Kill(node_part(*node))),
            Deed::MoveLeaders { .. } if state.nodes < 2 => {
                refuse("a leader moves to another node, and the testbed has one: start it with --nodes 3".to_owned())
            }
            Deed::Alarm { .. } | Deed::MoveLeaders { .. } => Ok(()),
        }
    }

    /// Has the supervisor do it. It is undone at the latest when this process is gone.
    ///
    /// # Errors
    ///
    /// [`Error::Fault`] if the supervisor does not do it.
    pub fn disturb(&self, deed: Deed) -> Result<InForce> {
        let supervisor = self.state().supervisor().ok_or_else(|| Error::Fault("it has no supervisor".to_owned()))?;
        InForce::begin(self.dir(), supervisor, deed)
    }
}

/// Why a link cannot be disturbed in this way.
fn can_have(link: &LinkState, disturbance: Disturbance, netem: bool) -> std::result::Result<(), String> {
    let shapes = matches!(disturbance, Disturbance::Rate(_) | Disturbance::Delay(_));
    if shapes && link.distance.is_some() {
        return Err(format!(
            "the link {} has the distance of the testbed already: cut it, or drop packets on it",
            link.name
        ));
    }
    if matches!(disturbance, Disturbance::Delay(_)) && !netem {
        let instead = format!("slow link {} to 100Mbit/s", link.name);
        return Err(format!(
            "more delay needs netem in the kernel (module sch_netem): use `{instead}`, or load the module"
        ));
    }
    Ok(())
}

fn names(testbed: &Testbed) -> String {
    testbed.parts().into_iter().map(|(name, _)| name).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Distance;
    use std::{net::Ipv4Addr, time::Duration};

    #[test]
    fn a_link_is_shaped_only_where_the_kernel_can_and_nothing_shapes_it_already() {
        let (delay, rate) = (Disturbance::Delay(Duration::from_millis(20)), Disturbance::Rate(1_000_000));
        let by = "forwarder".to_owned();
        let far = Distance { by, jitter_s: 0.0, loss: 0.0, reorder: 0.0, socket_bytes: None };
        for (distance, disturbance, netem, expected) in [
            (None, delay, true, None),
            (None, delay, false, Some("needs netem in the kernel")),
            (None, rate, false, None),
            (Some(&far), rate, true, Some("has the distance of the testbed already")),
            (Some(&far), delay, true, Some("has the distance of the testbed already")),
            (Some(&far), Disturbance::Cut, false, None),
            (Some(&far), Disturbance::Drop(1), false, None),
        ] {
            let address = Ipv4Addr::LOCALHOST;
            let distance = distance.cloned();
            let link =
                LinkState { name: "dsn1".to_owned(), address, rate_bits_per_second: None, delay_s: 0.0, distance };
            let refused = can_have(&link, disturbance, netem).err();
            assert_eq!(refused.is_some(), expected.is_some(), "{refused:?}");
            assert!(refused.unwrap_or_default().contains(expected.unwrap_or_default()));
        }
    }
}
