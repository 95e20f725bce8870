//! The JSON of the API; any field may be missing, and unknown fields are ignored.

use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned, de::Error};
use serde_json::Value;
use std::{collections::BTreeMap, fmt, str::FromStr};

/// A kind of cluster that can be provisioned.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Backend {
    /// `rabbitmq`.
    pub engine: String,
    /// `general`.
    pub kind: String,
    /// For people.
    pub description: String,
    /// Settings with their limits, as reported.
    pub resource_options: Vec<Value>,
    /// Feature flags, as reported.
    pub feature_flags: Vec<Value>,
}

/// A request to provision a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provision {
    /// `general`.
    pub kind: String,
    /// At most 40 characters of RFC 1123.
    pub name: String,
    /// `cpus`, `ram-gbs`, `nodes`, `max-msg-size` (bytes).
    pub resource_settings: BTreeMap<String, i64>,
    /// Switches.
    pub feature_flags: BTreeMap<String, bool>,
}

/// Addresses and login of a provisioned cluster. `Debug` prints neither the password nor the URL, which contains it.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Provisioned {
    /// The broker's user.
    pub username: String,
    /// Its password.
    pub password: String,
    /// `amqps://user:password@host:port`, without a path.
    pub amqps_url: String,
    /// The management interface.
    pub mgmt_url: String,
}

impl fmt::Debug for Provisioned {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Provisioned").field("username", &self.username).finish_non_exhaustive()
    }
}

/// The lifetime of a cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Lifetime {
    /// RFC 3339.
    pub provisioned_at: Option<String>,
    /// RFC 3339; `None` before the first extension.
    pub extended_at: Option<String>,
    /// Total, in seconds.
    #[serde(deserialize_with = "number")]
    pub seconds_lifetime: u64,
    /// Remaining, in seconds.
    #[serde(deserialize_with = "number")]
    pub seconds_remaining: u64,
}

/// A cluster as reported by the service.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Cluster {
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Unknown strings mean "not yet".
    pub sync_status: String,
    /// `healthy` when it serves; unknown strings mean "not yet".
    pub health_status: String,
    /// Its lifetime.
    pub lifetime: Lifetime,
    /// The settings of its provisioning.
    #[serde(deserialize_with = "numbers")]
    pub resource_settings: BTreeMap<String, i64>,
    /// Addresses and login; empty in a list.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub access: Option<Provisioned>,
}

/// A number, which proto3 writes as text if it has 64 bits.
fn number<'de, T, D>(from: D) -> Result<T, D::Error>
where
    T: DeserializeOwned + Default + FromStr,
    D: Deserializer<'de>,
{
    as_number(Value::deserialize(from)?).ok_or_else(|| D::Error::custom("no number"))
}

fn numbers<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<String, i64>, D::Error> {
    let all: Option<BTreeMap<String, Value>> = Deserialize::deserialize(from)?;
    let numbers = all.unwrap_or_default().into_iter().map(|(key, value)| Some((key, as_number(value)?)));
    numbers.collect::<Option<_>>().ok_or_else(|| D::Error::custom("no number"))
}

fn as_number<T: DeserializeOwned + Default + FromStr>(value: Value) -> Option<T> {
    match value {
        Value::Null => Some(T::default()),
        Value::String(text) => text.parse().ok(),
        other => serde_json::from_value(other).ok(),
    }
}

/// Whether `name` follows RFC 1123 with at most 40 characters.
pub fn is_name(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    (1..=40).contains(&name.len())
        && name.chars().all(|c| plain(c) || c == '-')
        && name.starts_with(plain)
        && name.ends_with(plain)
}
