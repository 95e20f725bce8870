//! The used parts of the API's replies. Versions and settings differ, so any field may be missing, and a missing value
//! is unknown, not 0.

use measure::record::{ServiceNode, ServiceSettings};
use serde::Deserialize;
use std::iter::Sum;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Overview {
    product_name: Option<String>,
    product_version: Option<String>,
    rabbitmq_version: Option<String>,
    erlang_version: Option<String>,
    rates_mode: Option<String>,
    pub object_totals: ObjectTotals,
    /// The service gathers no statistics: `management.disable_stats`, or its metrics collector is off.
    pub disable_stats: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectTotals {
    pub connections: Option<u64>,
}

/// A connection to the service.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Connection {
    pub name: String,
    pub vhost: String,
}

/// While a node is down, everything except its name is missing.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub running: bool,
    pub mem_used: Option<u64>,
    pub mem_limit: Option<u64>,
    pub mem_alarm: Option<bool>,
    pub disk_free_alarm: Option<bool>,
    disk_free_limit: Option<u64>,
    processors: Option<u32>,
    enabled_plugins: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueuePage {
    /// Number of queues with the name, including further pages.
    pub filtered_count: Option<usize>,
    pub items: Vec<Queue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Queue {
    pub messages_ready: Option<u64>,
    pub messages_unacknowledged: Option<u64>,
    /// Missing until the queue is used.
    pub message_stats: MessageStats,
}

impl Queue {
    /// Messages per second by `of`. If the service counts messages in queues, a missing rate is 0.
    pub fn rate(&self, of: fn(&MessageStats) -> Option<&Rate>) -> Option<f64> {
        match of(&self.message_stats) {
            Some(rate) => rate.rate,
            None => self.messages_ready.map(|_| 0.0),
        }
    }
}

/// The sum over all queues or nodes; `None` if one of them does not report the value.
pub fn total<T, S: Sum<S>>(all: &[T], of: impl Fn(&T) -> Option<S>) -> Option<S> {
    all.iter().map(of).sum()
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MessageStats {
    pub publish_details: Option<Rate>,
    pub deliver_get_details: Option<Rate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rate {
    pub rate: Option<f64>,
}

pub fn settings(overview: Overview, nodes: Vec<Node>) -> ServiceSettings {
    ServiceSettings {
        product: overview.product_name,
        version: overview.product_version.or(overview.rabbitmq_version),
        erlang: overview.erlang_version,
        rates_mode: overview.rates_mode,
        nodes: nodes
            .into_iter()
            .map(|node| ServiceNode {
                name: node.name,
                running: node.running,
                processors: node.processors.filter(|processors| *processors > 0),
                memory_limit_bytes: node.mem_limit.filter(|bytes| *bytes > 0),
                disk_free_limit_bytes: node.disk_free_limit.filter(|bytes| *bytes > 0),
                plugins: node.enabled_plugins,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_the_service_does_not_report_is_not_zero() {
        let read = |json: &str| serde_json::from_str::<Vec<Queue>>(json).unwrap();
        let ready = |queues: &[Queue]| total(queues, |queue| queue.messages_ready);
        let rate = |queues: &[Queue]| total(queues, |queue| queue.rate(|stats| stats.publish_details.as_ref()));
        let silent = read(r#"[{"name":"q.1"}]"#);
        assert_eq!((ready(&silent), rate(&silent)), (None, None));
        let new = read(r#"[{"name":"q.1","messages_ready":3}]"#);
        assert_eq!((ready(&new), rate(&new)), (Some(3), Some(0.0)), "nothing has happened to the queue yet");
        let half = read(r#"[{"messages_ready":3,"message_stats":{"publish_details":{"rate":2.5}}},{"name":"q.2"}]"#);
        assert_eq!((ready(&half), rate(&half)), (None, None), "a sum of some is none of all");
        let overview: Overview = serde_json::from_str(r#"{"disable_stats":true,"object_totals":{}}"#).unwrap();
        assert_eq!((overview.disable_stats, overview.object_totals.connections), (true, None));
    }

    #[test]
    fn a_node_that_is_down_and_a_service_of_another_age_are_read_all_the_same() {
        let overview: Overview = serde_json::from_str(r#"{"rabbitmq_version":"3.10.8","new_in_5":{}}"#).unwrap();
        let nodes: Vec<Node> = serde_json::from_str(
            r#"[{"name":"rmq1@a","running":true,"mem_limit":8,"disk_free_limit":2,"processors":4,
                "enabled_plugins":["rabbitmq_management"]},{"name":"rmq2@a","running":false}]"#,
        )
        .unwrap();
        let settings = settings(overview, nodes);
        assert_eq!(settings.version.as_deref(), Some("3.10.8"));
        assert_eq!((settings.nodes[0].memory_limit_bytes, settings.nodes[0].processors), (Some(8), Some(4)));
        assert_eq!((settings.nodes[1].running, settings.nodes[1].memory_limit_bytes), (false, None));
    }
}
