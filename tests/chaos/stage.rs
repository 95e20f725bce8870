//! The services that runs stream through: built when one is needed, and built anew when a fault has left one in ruins.

use crate::{api::Api, plan::Where};
use nix::sched::{CloneFlags, setns};
use std::{
    fs::{self, File},
    panic::catch_unwind,
    path::Path,
    thread::sleep,
    time::{Duration, Instant},
};
use testbed::Routes;
use tests::support::Broker;

/// How long a service may take to be as it was before a fault.
const RECOVERY: Duration = Duration::from_secs(60);

/// A service and its administrator.
pub struct Stage {
    /// Left before the service ends.
    _inside: Option<Inside>,
    pub broker: Broker,
    pub api: Api,
    /// The password of runs.
    pub password: String,
    /// Nothing of these may be in any output, file or argument.
    pub secrets: Vec<(&'static str, String)>,
}

impl Stage {
    fn build(service: Where) -> Result<Self, String> {
        let broker = catch_unwind(|| match service {
            Where::Alone => Broker::with_routes(1, Routes::all()),
            Where::Cluster => Broker::with_routes(3, Routes::all()),
            Where::Network => Broker::in_network(3, Routes::all()),
        });
        let broker = broker.map_err(|_| "the testbed does not start".to_owned())?;
        let inside = (service == Where::Network).then(|| Inside::enter(&broker)).transpose()?;
        let api = Api::open(&broker)?;
        let password = broker.password().trim().to_owned();
        let read = |path: std::path::PathBuf| fs::read_to_string(path).map_err(|error| error.to_string());
        let token = read(broker.route("mss").s3m.ok_or("no managed service")?.token_file)?.trim().to_owned();
        // One line of it is enough to find all of it.
        let key = read(broker.dir().join("tls/server.key"))?;
        let key = key.lines().nth(1).ok_or("an empty key")?.to_owned();
        let uid = uid(&broker.dir().join("s2cs-stunnel-producer")).ok_or("no tunnel has a key")?;
        let secrets = vec![
            ("the password", password.clone()),
            ("the token", token),
            ("the private key", key),
            ("the uid of a tunnel", uid),
        ];
        Ok(Self { _inside: inside, broker, api, password, secrets })
    }

    /// Waits until the service takes clients and has no queue of a run; false if it does not come to that.
    pub fn is_ready(&self) -> bool {
        let end = Instant::now() + RECOVERY;
        while Instant::now() < end {
            let healthy = self.api.get("health/checks/alarms").is_ok();
            let restored = healthy && self.api.restore_user(&self.password).is_ok();
            if restored && self.api.sweep().is_ok() && self.api.queues().is_ok_and(|queues| queues.is_empty()) {
                return true;
            }
            sleep(Duration::from_millis(200));
        }
        false
    }

    /// The port of a node for clients without TLS.
    pub fn port(&self) -> u16 {
        port_of(&self.broker.plain_url())
    }
}

/// This thread, and those that it starts, are in the network of a testbed until this is dropped.
struct Inside(File);

impl Inside {
    fn enter(broker: &Broker) -> Result<Self, String> {
        let before = File::open("/proc/thread-self/ns/net").map_err(|error| error.to_string())?;
        setns(broker.clients(), CloneFlags::CLONE_NEWNET).map_err(|error| format!("{error}: start it as root"))?;
        Ok(Self(before))
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        // A thread that stays inside keeps the network, and the next service is not reached.
        setns(&self.0, CloneFlags::CLONE_NEWNET).expect("root may go back to where it was");
    }
}

/// The key of a tunnel, which is its uid, from the files of its control server.
fn uid(dir: &Path) -> Option<String> {
    let files = fs::read_dir(dir).ok()?.flatten().map(|entry| entry.path());
    let keys = files.filter(|path| path.extension().is_some_and(|extension| extension == "key"));
    let mut keys = keys.filter_map(|path| fs::read_to_string(path).ok());
    keys.find_map(|text| text.trim().split_once(':').map(|(_, key)| key.to_owned())).filter(|key| key.len() > 8)
}

/// The port at the end of an address.
pub fn port_of(url: &str) -> u16 {
    url.rsplit(':').next().and_then(|port| port.trim_end_matches('/').parse().ok()).expect("addresses end in a port")
}

/// Services, each there from its first use on.
#[derive(Default)]
pub struct Stages {
    alone: Option<Stage>,
    cluster: Option<Stage>,
    network: Option<Stage>,
}

impl Stages {
    fn slot(&mut self, service: Where) -> &mut Option<Stage> {
        match service {
            Where::Alone => &mut self.alone,
            Where::Cluster => &mut self.cluster,
            Where::Network => &mut self.network,
        }
    }

    /// One of them.
    pub fn get(&mut self, service: Where) -> Result<&Stage, String> {
        let slot = self.slot(service);
        if slot.is_none() {
            *slot = Some(Stage::build(service)?);
        }
        Ok(slot.as_ref().expect("just built"))
    }

    /// Takes one down; the next use builds another.
    pub fn discard(&mut self, service: Where) {
        *self.slot(service) = None;
    }
}
