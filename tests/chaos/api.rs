//! The broker's management API, asked as a user of chaos's own: what faults do to the run's user is not done to this one.

use serde_json::{Value, json};
use std::{fs, time::Duration};
use tests::support::{Broker, within};
use ureq::http::StatusCode;

/// The user that faults act as.
const USER: &str = "chaos";
const PASSWORD: &str = "chaos-of-the-tests";
/// The user of runs.
pub const BENCH: &str = "bench";

/// What a broker that has just started may take to serve its API.
const READY_LIMIT: Duration = Duration::from_secs(60);
const CALL_LIMIT: Duration = Duration::from_secs(10);

/// The API of one broker.
#[derive(Clone)]
pub struct Api {
    agent: ureq::Agent,
    /// `127.0.0.1:PORT`
    at: String,
}

/// A queue as the API shows it, up to a second or two behind.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Queue {
    pub name: String,
    pub messages: u64,
    pub publish: u64,
    pub ack: u64,
    /// When an unused one goes by itself.
    pub expires_ms: Option<u64>,
    /// Goes with its connection or its consumers.
    pub goes_by_itself: bool,
}

impl Api {
    /// Makes the user, as the testbed's own.
    pub fn open(broker: &Broker) -> Result<Self, String> {
        let url = broker.route("dts").management_url;
        let at = url.rsplit('@').next().expect("a URL").replace("localhost", "127.0.0.1");
        let config = ureq::Agent::config_builder().proxy(None).timeout_global(Some(CALL_LIMIT));
        let api = Self { agent: config.http_status_as_error(false).build().into(), at };
        let bench = fs::read_to_string(broker.password_file()).map_err(|error| error.to_string())?;
        let user = json!({"password": PASSWORD, "tags": "administrator"});
        for (path, body) in [(format!("users/{USER}"), user), (format!("permissions/%2f/{USER}"), all())] {
            let url = format!("http://{BENCH}:{}@{}/api/{path}", bench.trim(), api.at);
            // A node on a busy machine listens a moment before it knows its own pages.
            let put = || Some(api.agent.put(&url).send_json(&body).ok()?.status()).filter(StatusCode::is_success);
            if within(READY_LIMIT, put).is_none() {
                return Err(format!("the broker at {} does not take {path}", api.at));
            }
        }
        Ok(api)
    }

    fn url(&self, path: &str) -> String {
        format!("http://{USER}:{PASSWORD}@{}/api/{path}", self.at)
    }

    pub fn get(&self, path: &str) -> Result<Value, String> {
        let mut reply = self.agent.get(self.url(path)).call().map_err(said)?;
        if !reply.status().is_success() {
            return Err(format!("{path}: {}", reply.status()));
        }
        reply.body_mut().read_json().map_err(said)
    }

    pub fn put(&self, path: &str, body: Value) -> Result<(), String> {
        accepted(path, self.agent.put(self.url(path)).send_json(body).map_err(said)?.status())
    }

    pub fn delete(&self, path: &str) -> Result<(), String> {
        accepted(path, self.agent.delete(self.url(path)).call().map_err(said)?.status())
    }

    /// Publishes to a queue; whether it was there.
    pub fn publish(&self, queue: &str, properties: Value, body_base64: &str) -> Result<bool, String> {
        let message = json!({
            "properties": properties, "routing_key": queue, "payload": body_base64, "payload_encoding": "base64",
        });
        let mut reply =
            self.agent.post(self.url("exchanges/%2f/amq.default/publish")).send_json(message).map_err(said)?;
        accepted("publish", reply.status())?;
        let reply: Value = reply.body_mut().read_json().map_err(said)?;
        Ok(reply["routed"] == true)
    }

    /// The queues of runs.
    pub fn queues(&self) -> Result<Vec<Queue>, String> {
        let all = self.get("queues")?;
        let all = all.as_array().ok_or("no list of queues")?;
        Ok(all.iter().filter_map(queue).collect())
    }

    /// The exchanges of runs, and whether each goes by itself.
    pub fn exchanges(&self) -> Result<Vec<(String, bool)>, String> {
        let all = self.get("exchanges")?;
        let all = all.as_array().ok_or("no list of exchanges")?;
        let exchange = |exchange: &Value| {
            let name = exchange["name"].as_str()?;
            name.starts_with(OF_RUNS).then(|| (name.to_owned(), exchange["auto_delete"] == true))
        };
        Ok(all.iter().filter_map(exchange).collect())
    }

    /// The names of all users.
    pub fn users(&self) -> Result<Vec<String>, String> {
        let all = self.get("users")?;
        let name = |user: &Value| user["name"].as_str().map(str::to_owned);
        Ok(all.as_array().ok_or("no list of users")?.iter().filter_map(name).collect())
    }

    /// The names of the connections of runs, ready for a path.
    pub fn connections(&self) -> Result<Vec<String>, String> {
        let all = self.get("connections")?;
        let of_runs = |connection: &&Value| connection["user"] != USER;
        let name = |connection: &Value| connection["name"].as_str().map(in_path);
        Ok(all.as_array().ok_or("no list of connections")?.iter().filter(of_runs).filter_map(name).collect())
    }

    /// Removes what runs have left.
    pub fn sweep(&self) -> Result<(), String> {
        for queue in self.queues()? {
            self.delete(&format!("queues/%2f/{}", queue.name))?;
        }
        for (exchange, _) in self.exchanges()? {
            self.delete(&format!("exchanges/%2f/{exchange}"))?;
        }
        Ok(())
    }

    /// Gives the user of runs its password, its tag and its permissions again.
    pub fn restore_user(&self, password: &str) -> Result<(), String> {
        self.put(&format!("users/{BENCH}"), json!({"password": password, "tags": "administrator"}))?;
        self.put(&format!("permissions/%2f/{BENCH}"), all())
    }
}

/// What the names of queues and exchanges of runs begin with.
const OF_RUNS: &str = "streamharness.";

fn all() -> Value {
    json!({"configure": ".*", "write": ".*", "read": ".*"})
}

fn queue(value: &Value) -> Option<Queue> {
    let name = value["name"].as_str()?;
    let number = |pointer: &str| value.pointer(pointer).and_then(Value::as_u64).unwrap_or_default();
    name.starts_with(OF_RUNS).then(|| Queue {
        name: name.to_owned(),
        messages: number("/messages"),
        publish: number("/message_stats/publish"),
        ack: number("/message_stats/ack") + number("/message_stats/deliver_no_ack"),
        expires_ms: value.pointer("/arguments/x-expires").and_then(Value::as_u64),
        goes_by_itself: value["exclusive"] == true || value["auto_delete"] == true,
    })
}

fn accepted(path: &str, status: StatusCode) -> Result<(), String> {
    // What is gone already is as good as deleted.
    if status.is_success() || status == StatusCode::NOT_FOUND { Ok(()) } else { Err(format!("{path}: {status}")) }
}

fn said(error: ureq::Error) -> String {
    error.to_string()
}

/// A name as part of a path.
fn in_path(name: &str) -> String {
    name.bytes().fold(String::new(), |path, byte| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => path + &char::from(byte).to_string(),
        _ => path + &format!("%{byte:02X}"),
    })
}
