//! What the API answers, as far as it matters here. Versions differ, so what is missing is taken for nothing.

use measure::record::{ServiceNode, ServiceSettings};
use serde::Deserialize;

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Overview {
    product_name: Option<String>,
    product_version: Option<String>,
    rabbitmq_version: Option<String>,
    erlang_version: Option<String>,
    rates_mode: Option<String>,
    pub object_totals: ObjectTotals,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct ObjectTotals {
    pub connections: u64,
}

/// Its name apart, all of a node is missing while it is down.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Node {
    pub name: String,
    pub running: bool,
    pub mem_used: u64,
    pub mem_limit: u64,
    pub mem_alarm: bool,
    pub disk_free_alarm: bool,
    disk_free_limit: u64,
    processors: u32,
    enabled_plugins: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct QueuePage {
    /// Queues of the name, also those of further pages.
    pub filtered_count: usize,
    pub items: Vec<Queue>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Queue {
    pub messages_ready: u64,
    pub messages_unacknowledged: u64,
    /// Missing until something happened to the queue.
    pub message_stats: MessageStats,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct MessageStats {
    pub publish_details: Rate,
    pub deliver_get_details: Rate,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Rate {
    pub rate: f64,
}

pub fn settings(overview: Overview, nodes: Vec<Node>) -> ServiceSettings {
    let some = |number: u64| (number > 0).then_some(number);
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
                processors: (node.processors > 0).then_some(node.processors),
                memory_limit_bytes: some(node.mem_limit),
                disk_free_limit_bytes: some(node.disk_free_limit),
                plugins: node.enabled_plugins,
            })
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
