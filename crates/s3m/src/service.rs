//! The local service's reply to each call. It owns the clusters; the caller owns the connection.

use crate::{Backing, Cluster, Lifetime, PREFIX, Provision, Provisioned, wire::is_name};
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use rand::{TryRng, rngs::SysRng};
use serde_json::{Value, json};
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
    io::Write,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// Prefixes in the documents of different years.
const PREFIXES: [&str; 2] = [PREFIX, "/olcf/v1alpha/streaming"];
const INTROSPECT: &str = "/olcf/v1/token/ctls/introspect";

/// How the service behaves.
#[derive(Clone)]
pub struct Settings {
    /// Accepted tokens.
    pub tokens: Vec<String>,
    /// Suffix of public names, such as `mss.test`.
    pub domain: String,
    /// The balancer's port for clients.
    pub port: u16,
    /// Number of nodes of the cluster behind it.
    pub nodes: u32,
    /// The reported address of the management interface.
    pub management: String,
    /// The owner of the clusters: the user is `PROJECT-api`.
    pub project: String,
    /// Lifetime of a cluster.
    pub lifetime: Duration,
    /// Time until a new cluster is ready.
    pub ready_after: Duration,
    /// Number of first calls that fail with 503, to test retries.
    pub fail_first: u32,
    /// Number of first clusters whose provisioning replies 503 although the cluster exists, to test lost replies.
    pub lose_first: u32,
}

struct Tenant {
    request: Provision,
    access: Provisioned,
    fqdn: String,
    since: Instant,
    provisioned: Timestamp,
    extended: Option<(Instant, Timestamp)>,
}

/// A service with its clusters.
pub struct Service {
    settings: Settings,
    backing: Box<dyn Backing>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    clusters: BTreeMap<String, Tenant>,
    /// Names whose tenant is being created or removed. The backing is never called with the lock held: it waits for
    /// RabbitMQ and HAProxy, and other calls must not wait for them.
    changing: BTreeSet<String>,
    failures_left: u32,
    losses_left: u32,
}

type Reply = (u16, Value);

impl Service {
    /// A service without clusters.
    pub fn new(settings: Settings, backing: Box<dyn Backing>) -> Self {
        let state = State { failures_left: settings.fail_first, losses_left: settings.lose_first, ..State::default() };
        Self { settings, backing, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replies to one call with an HTTP status and JSON.
    pub fn reply(&self, method: &str, path: &str, token: &str, body: &[u8]) -> Reply {
        if !self.settings.tokens.iter().any(|known| same(known, token)) {
            return refuse(401, "the token is not known");
        }
        {
            let mut state = self.state();
            if state.failures_left > 0 {
                state.failures_left -= 1;
                return refuse(503, "not just now");
            }
        }
        self.sweep();
        if (method, path) == ("GET", INTROSPECT) {
            let project = &self.settings.project;
            return (
                200,
                json!({"token": {"username": project, "project": project, "permissions": ["data-streaming"]}}),
            );
        }
        let Some(call) = PREFIXES.iter().find_map(|prefix| path.strip_prefix(prefix)) else {
            return refuse(404, "there is no such call");
        };
        let parts: Vec<Cow<'_, str>> =
            call.trim_start_matches('/').split('/').map(|part| percent_decode_str(part).decode_utf8_lossy()).collect();
        let parts: Vec<&str> = parts.iter().map(Cow::as_ref).collect();
        match (method, parts.as_slice()) {
            ("GET", ["list_backends"]) => (200, self.backends()),
            ("POST", ["rabbitmq", "provision_cluster"]) => self.provision(body),
            ("GET", ["rabbitmq", "list_clusters"]) => {
                let state = self.state();
                let clusters = state.clusters.values();
                let all: Vec<Cluster> =
                    clusters.map(|tenant| Cluster { access: None, ..self.describe(tenant) }).collect();
                (200, json!({"clusters": all}))
            }
            ("GET", ["rabbitmq", "cluster", name]) => {
                self.with(name, |tenant| (200, json!({"cluster": self.describe(tenant)})))
            }
            ("POST", ["rabbitmq", "extend", name]) => self.with(name, |tenant| {
                tenant.extended = Some((Instant::now(), Timestamp::now()));
                (200, json!({"lifetime": self.describe(tenant).lifetime}))
            }),
            ("DELETE", ["rabbitmq", "cluster", name]) => match self.take(name) {
                Err(refusal) => refusal,
                Ok(tenant) => match self.remove(tenant) {
                    Ok(()) => (200, json!({"success": true})),
                    Err(error) => refuse(500, &error.to_string()),
                },
            },
            _ => refuse(404, "there is no such call"),
        }
    }

    /// Removes expired clusters. A cluster that cannot be removed stays, and is tried again.
    pub fn sweep(&self) {
        let over: Vec<String> = {
            let state = self.state();
            let over = state.clusters.iter().filter(|(_, tenant)| self.remaining(tenant).is_zero());
            over.map(|(name, _)| name.clone()).collect()
        };
        for tenant in over.iter().filter_map(|name| self.take(name).ok()) {
            let _ = self.remove(tenant);
        }
    }

    /// Calls `act` with an existing cluster.
    fn with(&self, name: &str, act: impl FnOnce(&mut Tenant) -> Reply) -> Reply {
        let mut state = self.state();
        match state.clusters.get_mut(name) {
            Some(tenant) => act(tenant),
            None => absent(&state, name),
        }
    }

    /// Takes a cluster out for removal; until it is removed, its name is neither in use nor free.
    fn take(&self, name: &str) -> Result<Tenant, Reply> {
        let mut state = self.state();
        let tenant = state.clusters.remove(name).ok_or_else(|| absent(&state, name))?;
        state.changing.insert(name.to_owned());
        Ok(tenant)
    }

    fn remove(&self, tenant: Tenant) -> crate::Result<()> {
        let removed = self.backing.remove(&tenant.access.username, &tenant.fqdn);
        let mut state = self.state();
        state.changing.remove(&tenant.request.name);
        if removed.is_err() {
            state.clusters.insert(tenant.request.name.clone(), tenant);
        }
        removed
    }

    fn remaining(&self, tenant: &Tenant) -> Duration {
        let from = tenant.extended.map_or(tenant.since, |(at, _)| at);
        self.settings.lifetime.saturating_sub(from.elapsed())
    }

    fn provision(&self, body: &[u8]) -> Reply {
        let Ok(request) = serde_json::from_slice::<Provision>(body) else {
            return refuse(400, "the body is not a valid provision_cluster request");
        };
        if request.kind != "general" {
            return refuse(400, "kind must be general");
        }
        if !is_name(&request.name) {
            return refuse(400, "name must follow RFC 1123 with at most 40 characters");
        }
        if let Some((key, _)) = request.resource_settings.iter().find(|(_, value)| **value <= 0) {
            return refuse(400, &format!("{key} must be more than 0"));
        }
        let nodes = i64::from(self.settings.nodes);
        if request.resource_settings.get("nodes").is_some_and(|request| *request > nodes) {
            return refuse(400, &format!("nodes must be at most {nodes}"));
        }
        let mut random = [0; 16];
        if SysRng.try_fill_bytes(&mut random).is_err() {
            return refuse(500, "the system gives no random numbers");
        }
        let password: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let Settings { project, domain, port, management, .. } = &self.settings;
        // One broker serves all clusters, so each has a user of its own.
        let username = format!("{project}-api-{}", request.name);
        let fqdn = format!("rmq-{project}-api-{}.{domain}", request.name);
        {
            let mut state = self.state();
            if state.clusters.contains_key(&request.name) || !state.changing.insert(request.name.clone()) {
                return refuse(409, &format!("cluster {} exists", request.name));
            }
        }
        let added = self.backing.add(&username, &password, &fqdn);
        if added.is_err() {
            // An incomplete tenant is removed.
            let _ = self.backing.remove(&username, &fqdn);
        }
        let mut state = self.state();
        state.changing.remove(&request.name);
        if let Err(error) = added {
            return refuse(500, &error.to_string());
        }
        let amqps_url = format!("amqps://{username}:{password}@{fqdn}:{port}");
        let access = Provisioned { username, password, amqps_url, mgmt_url: management.clone() };
        let reply = json!(access);
        let (since, provisioned) = (Instant::now(), Timestamp::now());
        state
            .clusters
            .insert(request.name.clone(), Tenant { request, access, fqdn, since, provisioned, extended: None });
        if state.losses_left > 0 {
            state.losses_left -= 1;
            return refuse(503, "the reply is lost");
        }
        (200, reply)
    }

    fn backends(&self) -> Value {
        let option = |key: &str, default: u64, max: u64| json!({"key": key, "description": "", "min": 1, "max": max, "default": default});
        let nodes = u64::from(self.settings.nodes);
        json!({"backends": [{
            "engine": "rabbitmq", "kind": "general", "description": "a tenant of the local cluster; cpus and memory are not set apart",
            "resourceOptions": [option("cpus", 12, 64), option("ram-gbs", 32, 512), option("nodes", nodes, nodes),
                option("max-msg-size", 536_870_912, 536_870_912)],
            "featureFlags": [],
        }]})
    }

    fn describe(&self, tenant: &Tenant) -> Cluster {
        let ready = tenant.since.elapsed() >= self.settings.ready_after;
        let word = |yes: &str, no: &str| if ready { yes } else { no }.to_owned();
        Cluster {
            kind: tenant.request.kind.clone(),
            name: tenant.request.name.clone(),
            sync_status: word("synced", "syncing"),
            health_status: word("healthy", "progressing"),
            lifetime: Lifetime {
                provisioned_at: Some(tenant.provisioned.to_string()),
                extended_at: tenant.extended.map(|(_, at)| at.to_string()),
                seconds_lifetime: self.settings.lifetime.as_secs(),
                seconds_remaining: self.remaining(tenant).as_secs(),
            },
            resource_settings: tenant.request.resource_settings.clone(),
            access: Some(tenant.access.clone()),
        }
    }
}

impl Drop for Service {
    /// Clusters end with the service, because nothing else would count their lifetime.
    fn drop(&mut self) {
        for tenant in self.state().clusters.values() {
            if let Err(error) = self.backing.remove(&tenant.access.username, &tenant.fqdn) {
                // A full log does not end the service. In one call, so that lines are not mixed with those of others.
                let _ = std::io::stderr().write_all(format!("streamharness: {error}\n").as_bytes());
            }
        }
    }
}

/// Compares in constant time.
fn same(known: &str, given: &str) -> bool {
    known.len() == given.len() && known.bytes().zip(given.bytes()).fold(0, |all, (a, b)| all | (a ^ b)) == 0
}

/// A name that is being created or removed is reported as such: a later call finds it in use or gone.
fn absent(state: &State, name: &str) -> Reply {
    if state.changing.contains(name) {
        refuse(503, &format!("cluster {name} is just being changed"))
    } else {
        refuse(404, &format!("cluster {name} not found"))
    }
}

fn refuse(status: u16, message: &str) -> Reply {
    let code = match status {
        400 => 3,
        401 => 16,
        404 => 5,
        409 => 6,
        503 => 14,
        _ => 13,
    };
    (status, json!({"code": code, "message": message, "details": []}))
}
