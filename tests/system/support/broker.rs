//! Brokers of the tests' own.

use super::{processes, program, within};
use serde_json::{Value, json};
use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output},
    sync::LazyLock,
    time::{Duration, SystemTime, UNIX_EPOCH},
};
use testbed::{BrokerExtras, Ephemeral, Facility, NetworkChoice, Options, Route, Routes, WayText};

/// The three-node service that most tests share, with every route. Nobody closes it: its supervisor does when this process is gone.
pub fn service() -> &'static Broker {
    static SERVICE: LazyLock<Broker> = LazyLock::new(|| Broker::with_routes(3, Routes::all()));
    &SERVICE
}

/// A tenth of it is enough on a machine that has nothing else to do.
const START_LIMIT: Duration = Duration::from_secs(300);
/// How long a connection may be missing from the list of a busy service.
const LISTED_LIMIT: Duration = Duration::from_secs(12);

/// A body, as the management API takes and gives it.
pub struct Payload {
    encoding: &'static str,
    text: String,
}

impl Payload {
    /// A body of text.
    pub fn text(text: &str) -> Self {
        Self { encoding: "string", text: text.to_owned() }
    }
}

/// A testbed that ends with this value or with this process, however that ends.
pub struct Broker(Ephemeral);

impl Broker {
    /// Starts one with the direct routes.
    pub fn start(nodes: usize) -> Self {
        Self::with_routes(nodes, Routes::default())
    }

    /// Starts one with these routes.
    pub fn with_routes(nodes: usize, routes: Routes) -> Self {
        Self::of(Options { routes, ..Options::new(nodes).unwrap() })
    }

    /// Starts one with these routes in a facility network, whose links have no limit.
    pub fn in_network(nodes: usize, routes: Routes) -> Self {
        let facility = Facility::parse(["unlimited"], 1.0, WayText::default()).unwrap();
        Self::of(Options { routes, network: NetworkChoice::Facility(facility), ..Options::new(nodes).unwrap() })
    }

    /// The namespace of the clients in its network.
    pub fn clients(&self) -> File {
        let state: Value = serde_json::from_slice(&fs::read(self.dir().join("state.json")).unwrap()).unwrap();
        let parts = state["parts"].as_array().unwrap();
        let supervisor = parts.iter().find(|part| part["name"] == "supervisor").unwrap();
        let (pid, clients) = (&supervisor["process"]["pid"], &state["network"]["clients_fd"]);
        File::open(format!("/proc/{pid}/fd/{clients}")).unwrap()
    }

    /// Starts one of a single node, with these plugins and lines of rabbitmq.conf besides its own.
    pub fn with_extras(plugins: &[&str], lines: &str) -> Self {
        let plugins = plugins.iter().map(|&name| name.to_owned()).collect();
        let broker = BrokerExtras::new(plugins, lines).unwrap();
        Self::of(Options { broker, ..Options::new(1).unwrap() })
    }

    fn of(options: Options) -> Self {
        let options = Options { program: program(), start_limit: START_LIMIT, ..options };
        let mut said = Vec::new();
        let started = testbed::ephemeral(&options, &mut |line| said.push(line.to_owned()));
        Self(started.unwrap_or_else(|error| panic!("{error}\n{}", said.join("\n"))))
    }

    /// What STREAMHARNESS_TESTBED must hold.
    pub fn dir(&self) -> &Path {
        self.0.testbed().dir()
    }

    /// The version of its RabbitMQ.
    pub fn version(&self) -> String {
        self.0.testbed().rabbitmq_version().to_owned()
    }

    /// What `testbed status` prints.
    fn status(&self) -> String {
        let mut status = Command::new(program());
        let status = status.args(["testbed", "status"]).env("STREAMHARNESS_TESTBED", self.dir()).output().unwrap();
        String::from_utf8(status.stdout).unwrap()
    }

    /// Its parts that are neither alive nor running.
    pub fn unwell(&self) -> Vec<String> {
        let table = self.status();
        let rows = table.lines().skip_while(|line| !line.starts_with("part ")).skip(1);
        let rows = rows.take_while(|line| !line.starts_with('#'));
        rows.filter(|row| !row.ends_with("alive") && !row.ends_with("running")).map(str::to_owned).collect()
    }

    /// The process of a node, as `testbed status` shows it.
    pub fn node(&self, node: usize) -> i32 {
        let table = self.status();
        let row = table.lines().find_map(|line| line.strip_prefix(&format!("node {node} ")));
        let pid = row.and_then(|row| row.split_whitespace().next()?.parse().ok());
        pid.unwrap_or_else(|| panic!("no node {node} in\n{table}"))
    }

    /// Tells its only node something with rabbitmqctl, where the HTTP API cannot.
    pub fn control(&self, arguments: &[&str]) {
        let output = self.controller().args(arguments).output().unwrap();
        assert!(output.status.success(), "rabbitmqctl {arguments:?}: {output:?}");
    }

    /// rabbitmqctl, ready to be given a command for one of its nodes.
    pub fn controller(&self) -> Command {
        let home = self.dir().join("home");
        let tree = |process: &processes::Process| {
            process.texts().find_map(|argument| {
                let from = argument.find('/')?;
                let name = from + argument[from..].find("/rabbitmq_server-")? + 1;
                let end = argument[name..].find('/').map_or(argument.len(), |length| name + length);
                Some(Path::new(&argument[from..end]).join("sbin/rabbitmqctl"))
            })
        };
        let ours = |process: &processes::Process| process.variable("HOME") == home.to_str();
        let node = processes::all().into_iter().find(|process| ours(process) && tree(process).is_some());
        let node = node.expect("its node runs, and names the tree that it runs from");
        let mut command = Command::new(tree(&node).expect("found by it"));
        for variable in ["HOME", "ERL_EPMD_PORT", "RABBITMQ_NODENAME"] {
            command.env(variable, node.variable(variable).expect("the testbed sets it"));
        }
        // Where the node and its epmd go in the meantime, the command starts no epmd of its own, which nobody would
        // end, and leaves no dump of itself.
        command.env("ERL_FLAGS", "-start_epmd false");
        command.env("ERL_CRASH_DUMP_SECONDS", "0");
        command
    }

    /// The routes that this machine cannot have.
    pub fn left_out(&self) -> Vec<&str> {
        self.0.testbed().left_out().iter().map(|(route, _)| route.as_str()).collect()
    }

    /// How it is reached.
    pub fn route(&self, architecture: &str) -> Route {
        self.0.testbed().route(architecture).unwrap()
    }

    /// Its first node with TLS, as `amqps://bench@localhost:PORT`.
    pub fn url(&self) -> String {
        self.route("dts").producer_urls[0].clone()
    }

    /// Its first node without, as `amqp://bench@localhost:PORT`.
    pub fn plain_url(&self) -> String {
        self.route("dts-plain").producer_urls[0].clone()
    }

    /// The port of its first node without TLS.
    pub fn plain_port(&self) -> u16 {
        port_of(&self.plain_url())
    }

    /// The file of the authority to trust.
    pub fn ca(&self) -> String {
        self.route("dts").ca.unwrap().display().to_string()
    }

    /// The file of the password.
    pub fn password_file(&self) -> String {
        self.route("dts").password_file.display().to_string()
    }

    /// The password.
    pub fn password(&self) -> String {
        fs::read_to_string(self.password_file()).unwrap()
    }

    /// Closes the connections of a run's workers, once there are all of them. Those that are older than `since` are of other runs.
    #[track_caller]
    pub fn close_connections(&self, all: usize, since: SystemTime) {
        let since_ms = since.duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        let is_worker = |one: &&Value| {
            let name = one["client_properties"]["connection_name"].as_str().unwrap_or_default();
            let works = name.contains(" producer ") || name.contains(" consumer ");
            works && one["connected_at"].as_u64().is_some_and(|at_ms| at_ms >= since_ms)
        };
        let listed = || {
            let open: Value = self.agent().get(self.api("connections")).call().unwrap().body_mut().read_json().unwrap();
            let workers = open.as_array().unwrap().iter().filter(is_worker);
            let names: Vec<_> = workers.map(|one| one["name"].as_str().unwrap().to_owned()).collect();
            (names.len() == all).then_some(names)
        };
        let names = within(LISTED_LIMIT, listed).unwrap_or_else(|| panic!("there are no {all} connections"));
        for name in names {
            let path = self.api(&format!("connections/{}", name.replace(' ', "%20").replace('>', "%3E")));
            match self.agent().delete(path).call() {
                // It replies with an error for a connection that is ending, or has just ended.
                Ok(_) | Err(ureq::Error::StatusCode(404 | 500)) => {}
                Err(error) => panic!("{name}: {error}"),
            }
        }
    }

    /// The queues that the broker has.
    pub fn queues(&self) -> Vec<String> {
        let queues: Value = self.agent().get(self.api("queues")).call().unwrap().body_mut().read_json().unwrap();
        let name = |queue: &Value| queue["name"].as_str().unwrap().to_owned();
        queues.as_array().unwrap().iter().map(name).collect()
    }

    /// The users that the broker has.
    pub fn users(&self) -> Vec<String> {
        let users: Value = self.agent().get(self.api("users")).call().unwrap().body_mut().read_json().unwrap();
        users.as_array().unwrap().iter().map(|user| user["name"].as_str().unwrap().to_owned()).collect()
    }

    /// Makes a user who may do everything, or gives one a new password.
    pub fn set_user(&self, name: &str, password: &str) {
        let user = json!({ "password": password, "tags": "" });
        self.agent().put(self.api(&format!("users/{name}"))).send_json(user).unwrap();
        let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
        self.agent().put(self.api(&format!("permissions/%2f/{name}"))).send_json(all).unwrap();
    }

    /// `streamharness s3m WORDS`, with its managed service.
    pub fn s3m(&self, words: &[&str]) -> Output {
        let access = self.route("mss").s3m.unwrap();
        let mut command = Command::new(program());
        command.arg("s3m").args(words).args(["--url", &access.url, "--token-file"]).arg(access.token_file);
        command.output().unwrap()
    }

    /// The password of a cluster, as the managed service tells it to those who may ask.
    pub fn password_of(&self, cluster: &str) -> String {
        let access = self.route("mss").s3m.unwrap();
        let url = format!("{}/olcf/open/v1alpha/streaming/rabbitmq/cluster/{cluster}", access.url);
        let token = fs::read_to_string(access.token_file).unwrap();
        let mut answer = self.agent().get(url).header("Authorization", token.trim()).call().unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        answer["cluster"]["password"].as_str().unwrap().to_owned()
    }

    /// The exchanges that the broker has, but for those that every broker has.
    pub fn exchanges(&self) -> Vec<String> {
        let exchanges: Value = self.agent().get(self.api("exchanges")).call().unwrap().body_mut().read_json().unwrap();
        let names = exchanges.as_array().unwrap().iter().map(|exchange| exchange["name"].as_str().unwrap().to_owned());
        names.filter(|name| !name.is_empty() && !name.starts_with("amq.")).collect()
    }

    /// What the broker says about a queue.
    pub fn queue(&self, name: &str) -> Option<Value> {
        self.agent().get(self.api(&format!("queues/%2f/{name}"))).call().ok()?.body_mut().read_json().ok()
    }

    /// Puts a message of somebody else into a queue.
    pub fn publish(&self, queue: &str, body: &str) {
        self.publish_as(queue, json!({}), &Payload::text(body));
    }

    /// Takes a message out of a queue: its properties and its body. There may be none.
    pub fn take(&self, queue: &str) -> Option<(Value, Payload)> {
        let request = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "base64"});
        let mut answer = self.agent().post(self.api(&format!("queues/%2f/{queue}/get"))).send_json(request).unwrap();
        let messages: Value = answer.body_mut().read_json().unwrap();
        let message = messages.as_array()?.first()?;
        let payload = Payload { encoding: "base64", text: message["payload"].as_str()?.to_owned() };
        Some((message["properties"].clone(), payload))
    }

    /// Puts a message with these properties into a queue.
    pub fn publish_as(&self, queue: &str, properties: Value, payload: &Payload) {
        let Payload { encoding, text } = payload;
        let message =
            json!({"properties": properties, "routing_key": queue, "payload": text, "payload_encoding": encoding});
        let mut answer = self.agent().post(self.api("exchanges/%2f/amq.default/publish")).send_json(message).unwrap();
        let answer: Value = answer.body_mut().read_json().unwrap();
        assert_eq!(answer["routed"], true, "queue {queue} takes no message");
    }

    /// Takes a queue away.
    pub fn delete(&self, queue: &str) {
        self.agent().delete(self.api(&format!("queues/%2f/{queue}"))).call().unwrap();
    }

    /// Sets something of it by its management API.
    pub fn set(&self, path: &str, value: &Value) {
        self.agent().put(self.api(path)).send_json(value).unwrap();
    }

    /// Takes back what was set.
    pub fn unset(&self, path: &str) {
        self.agent().delete(self.api(path)).call().unwrap();
    }

    fn api(&self, path: &str) -> String {
        let url = self.route("dts").management_url;
        let address = url.strip_prefix("http://bench@localhost").expect("the testbed's user and host");
        format!("http://bench:{}@127.0.0.1{address}/api/{path}", self.password())
    }

    fn agent(&self) -> ureq::Agent {
        ureq::Agent::config_builder().proxy(None).timeout_global(Some(Duration::from_secs(30))).build().into()
    }
}

/// The port of an address.
pub fn port_of(url: &str) -> u16 {
    url.rsplit_once(':').and_then(|(_, port)| port.parse().ok()).expect("a URL with a port")
}

/// The queues of a run, by its record.
pub fn queues_of(record: &measure::Record) -> Vec<String> {
    let queues = record.plan.pointer("/service/queues").and_then(Value::as_array).expect("a plan has queues");
    queues.iter().map(|queue| queue["name"].as_str().unwrap().to_owned()).collect()
}
