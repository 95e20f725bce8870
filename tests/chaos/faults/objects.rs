//! Queues, exchanges, connections and clusters that go or change while a run uses them.

use super::nodes;
use crate::{
    fault::{After, Fault, Permits, Scene, Setup, Struck, When},
    plan::{Plan, Way, Where},
    stage::Stage,
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::fmt;

const POLICY: &str = "policies/%2f/chaos";
/// What a testbed sets.
const MESSAGE_MAX: u32 = 536_870_912;

enum Object {
    DeleteQueue(usize),
    Purge(usize),
    DeleteExchange(usize),
    CloseConnections { all: bool, first: usize },
    Policy(&'static str),
    SmallMessages,
    DeleteCluster,
}

/// One of the run's queues is deleted.
pub fn delete_queue(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::DeleteQueue(rng.random_range(0..8)))
}

/// One of them is emptied.
pub fn purge(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::Purge(rng.random_range(0..8)))
}

/// One of its exchanges is deleted.
pub fn delete_exchange(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::DeleteExchange(rng.random_range(0..8)))
}

/// A connection, or all of them, are closed by an administrator.
pub fn close_connections(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::CloseConnections { all: rng.random_bool(0.4), first: rng.random_range(0..16) })
}

/// A policy that drops messages.
pub fn policy(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::Policy(["drop-head", "ttl"].choose(rng).expect("a choice")))
}

/// The service takes no message of the size that is sent.
pub fn small_messages(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::SmallMessages)
}

/// A managed service takes the run's cluster away.
pub fn delete_cluster(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Object::DeleteCluster)
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DeleteQueue(_) => f.write_str("a queue is deleted"),
            Self::Purge(_) => f.write_str("a queue is emptied"),
            Self::DeleteExchange(_) => f.write_str("an exchange is deleted"),
            Self::CloseConnections { all: true, .. } => f.write_str("all connections are closed by the service"),
            Self::CloseConnections { .. } => f.write_str("a connection is closed by the service"),
            Self::Policy(policy) => write!(f, "a policy `{policy}` drops messages"),
            Self::SmallMessages => f.write_str("max_message_size is below the size of messages"),
            Self::DeleteCluster => f.write_str("the managed service's cluster is deleted"),
        }
    }
}

impl Object {
    fn controlled(stage: &Stage, bytes: u32) -> Result<(), String> {
        let set = format!("application:set_env(rabbit, max_message_size, {bytes}).");
        nodes::run(stage.broker.controller(), &["eval", &set])
    }
}

impl Fault for Object {
    fn kind(&self) -> &'static str {
        match self {
            Self::DeleteQueue(_) => "queue deleted",
            Self::Purge(_) => "queue emptied",
            Self::DeleteExchange(_) => "exchange deleted",
            Self::CloseConnections { .. } => "connections closed",
            Self::Policy(_) => "policy",
            Self::SmallMessages => "max_message_size",
            Self::DeleteCluster => "cluster deleted",
        }
    }

    fn fit(&self, plan: &mut Plan) {
        match self {
            Self::DeleteExchange(_) if plan.pattern == "work-sharing" => {
                plan.pattern = "work-sharing-feedback";
                plan.set("pattern", plan.pattern);
            }
            Self::SmallMessages => {
                plan.service = Where::Alone;
                plan.settings.retain(|(key, _)| !key.starts_with("message."));
                plan.set("workload", "dstream");
            }
            Self::DeleteCluster => plan.way = Way::Testbed("mss"),
            _ => {}
        }
    }

    fn permits(&self, _: &Plan, when: When) -> Permits {
        match self {
            // Before streaming it may be the one on which rank 0 has declared, and which nobody needs again.
            Self::CloseConnections { .. } if matches!(when, When::Launched(_)) => Permits::passes_or(&[3, 7]),
            Self::DeleteQueue(_) => Permits { lost: true, uncounted: true, ..Permits::ends_with(&[3, 4, 7]) },
            Self::Purge(_) => Permits { lost: true, uncounted: true, ..Permits::passes_or(&[4, 7]) },
            Self::DeleteExchange(_) => Permits::ends_with(&[3, 4, 7]),
            Self::CloseConnections { .. } => Permits::ends_with(&[3, 7]),
            Self::Policy(_) => Permits { lost: true, uncounted: true, ..Permits::passes_or(&[4, 7]) },
            Self::SmallMessages => Permits::ends_with(&[3]),
            Self::DeleteCluster => Permits { kept: true, ..Permits::ends_with(&[3, 7]) },
        }
    }

    fn strikes_before(&self) -> bool {
        matches!(self, Self::SmallMessages)
    }

    fn prepare(&self, _: &mut Setup, stage: &Stage) -> Result<(), String> {
        match self {
            Self::SmallMessages => Self::controlled(stage, 1000),
            _ => Ok(()),
        }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let api = &scene.stage.api;
        let queues = || Ok::<_, String>(api.queues()?.into_iter().map(|queue| queue.name).collect::<Vec<_>>());
        let pick = |names: Vec<String>, index: usize| {
            names.get(index % names.len().max(1)).cloned().ok_or_else(|| "there is none yet".to_owned())
        };
        let what = match self {
            Self::DeleteQueue(index) => {
                let queue = pick(queues()?, *index)?;
                api.delete(&format!("queues/%2f/{queue}"))?;
                format!("queue {queue} is deleted")
            }
            Self::Purge(index) => {
                let queue = pick(queues()?, *index)?;
                api.delete(&format!("queues/%2f/{queue}/contents"))?;
                format!("queue {queue} is emptied")
            }
            Self::DeleteExchange(index) => {
                let exchange = pick(api.exchanges()?.into_iter().map(|(name, _)| name).collect(), *index)?;
                api.delete(&format!("exchanges/%2f/{exchange}"))?;
                format!("exchange {exchange} is deleted")
            }
            Self::CloseConnections { all, first } => {
                let names = api.connections()?;
                let closed = if *all { names } else { vec![pick(names, *first)?] };
                for name in &closed {
                    api.delete(&format!("connections/{name}"))?;
                }
                if closed.is_empty() {
                    return Err("there is none yet".to_owned());
                }
                format!("{} connection(s) closed", closed.len())
            }
            Self::Policy(policy) => {
                let definition = match *policy {
                    "drop-head" => json!({"max-length": 1, "overflow": "drop-head"}),
                    _ => json!({"message-ttl": 1}),
                };
                let pattern = "^streamharness\\.";
                api.put(POLICY, json!({"pattern": pattern, "definition": definition, "apply-to": "queues"}))?;
                self.to_string()
            }
            Self::DeleteCluster => {
                let listed = scene.stage.broker.s3m(&["list"]);
                let clusters: Value = serde_json::from_slice(&listed.stdout).map_err(|error| error.to_string())?;
                let names = clusters
                    .as_array()
                    .into_iter()
                    .flatten()
                    .filter_map(|cluster| cluster["name"].as_str().or_else(|| cluster.as_str()).map(str::to_owned));
                let cluster = pick(names.collect(), 0)?;
                let deleted = scene.stage.broker.s3m(&["delete", &cluster]);
                if !deleted.status.success() {
                    return Err(String::from_utf8_lossy(&deleted.stderr).into_owned());
                }
                format!("cluster {cluster} is deleted")
            }
            Self::SmallMessages => return Err("it is so before".to_owned()),
        };
        Ok(Struck::once(what))
    }

    fn heal(&self, stage: &Stage) -> After {
        let healed = match self {
            Self::Policy(_) => stage.api.delete(POLICY),
            Self::SmallMessages => Self::controlled(stage, MESSAGE_MAX),
            _ => Ok(()),
        };
        if healed.is_ok() { After::Whole } else { After::Ruined }
    }
}
