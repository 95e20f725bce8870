//! The files of launch/kubernetes agree with the shipped route files and with the program's options.

use crate::support::{place, processes, program, within, workspace};
use nix::sys::signal::Signal;
use serde_json::Value;
use std::{
    collections::BTreeMap,
    fs::{self, File},
    net::TcpListener,
    ops::RangeInclusive,
    path::Path,
    process::{Command, Stdio},
    time::Duration,
};

const START_LIMIT: Duration = Duration::from_secs(30);

/// Every document of every YAML file, by the file's name.
fn deployed() -> BTreeMap<String, Vec<Value>> {
    let dir = workspace().join("launch/kubernetes");
    let paths = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let yaml = paths.filter(|path| path.extension().is_some_and(|extension| extension == "yaml"));
    yaml.map(|path| {
        let documents = serde_saphyr::from_multiple(&fs::read_to_string(&path).unwrap());
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        (name, documents.unwrap_or_else(|error| panic!("{}: {error}", path.display())))
    })
    .collect()
}

fn route(name: &str) -> (String, toml::Table) {
    let text = fs::read_to_string(workspace().join("profiles/examples").join(name)).unwrap();
    let table: toml::Table = text.parse().unwrap();
    (text, table["route"].as_table().unwrap().clone())
}

/// The value at `path`, which must be there.
#[track_caller]
fn at<'a>(document: &'a Value, path: &str) -> &'a Value {
    document.pointer(path).unwrap_or_else(|| panic!("no {path} in {document:#}"))
}

/// A port, written as a number or as a text.
#[track_caller]
fn port(document: &Value, path: &str) -> u64 {
    let value = at(document, path);
    value.as_u64().unwrap_or_else(|| value.as_str().unwrap().parse().unwrap())
}

/// `0.3 CPU, 500 MiB`, as route files write limits; requests must be the same.
#[track_caller]
fn limits(resources: &Value) -> String {
    assert_eq!(resources["limits"], resources["requests"]);
    let (cpu, memory) = (&resources["limits"]["cpu"], resources["limits"]["memory"].as_str().unwrap());
    let thousandths = cpu.as_str().map(|text| text.strip_suffix('m').unwrap().parse::<f64>().unwrap());
    let cpus = thousandths.map_or_else(|| cpu.as_f64().unwrap(), |thousandths| thousandths / 1000.0);
    let unit = memory.trim_start_matches(|one: char| one.is_ascii_digit());
    format!("{cpus} CPU, {} {unit}B", &memory[..memory.len() - unit.len()])
}

#[track_caller]
fn range(text: &str) -> RangeInclusive<u64> {
    let (from, to) = text.split_once('-').unwrap();
    from.parse().unwrap()..=to.parse().unwrap()
}

#[test]
fn the_brokers_have_the_addresses_and_sizes_of_the_route_files() {
    let files = deployed();
    let [dts, prs] = ["olcf-dts.toml", "olcf-prs.toml"].map(|name| route(name).1);
    let port_of = |url: &toml::Value| url.as_str().unwrap().rsplit(':').next().unwrap().parse::<u64>().unwrap();
    let tls: Vec<u64> = dts["urls"].as_array().unwrap().iter().map(port_of).collect();
    let plain: Vec<u64> = prs["consumer_urls"].as_array().unwrap().iter().map(port_of).collect();
    let told = dts["hops"][0]["limits"].as_str().unwrap();
    for (file, replicas, resources, storage, node_ports) in [
        (
            "rabbitmq-values.yaml",
            "",
            "",
            "/persistence/size",
            ["/service/nodePorts/amqpTls", "/service/nodePorts/amqp"],
        ),
        ("rabbitmq-values-8.yaml", "", "", "/persistence/size", ["/service/tlsNodePort", "/service/nodePort"]),
        (
            "rabbitmq-cluster.yaml",
            "/spec",
            "/spec",
            "/spec/persistence/storage",
            ["/spec/override/service/spec/ports/1/nodePort", "/spec/override/service/spec/ports/0/nodePort"],
        ),
    ] {
        let document = &files[file][0];
        let replicas = if replicas.is_empty() { "/replicaCount".to_owned() } else { format!("{replicas}/replicas") };
        assert_eq!(at(document, &replicas).as_u64().unwrap() as usize, tls.len(), "{file}");
        assert_eq!(limits(at(document, &format!("{resources}/resources"))), told, "{file}");
        assert_eq!(at(document, storage), "15Gi", "{file}");
        let [amqps, amqp] = node_ports.map(|path| port(document, path));
        assert!(tls.iter().all(|one| *one == amqps) && plain.iter().all(|one| *one == amqp), "{file}");
    }
}

#[test]
fn the_network_load_balancer_leads_to_the_brokers_of_the_operator_with_tls() {
    let files = deployed();
    let [service] = &files["rabbitmq-nlb.yaml"][..] else { panic!("one document") };
    assert_eq!((service["kind"].as_str(), at(service, "/spec/type").as_str()), (Some("Service"), Some("LoadBalancer")));
    // The label of its pods, by which they are kept apart.
    let apart =
        "/spec/affinity/podAntiAffinity/requiredDuringSchedulingIgnoredDuringExecution/0/labelSelector/matchLabels";
    assert_eq!(at(service, "/spec/selector"), at(&files["rabbitmq-cluster.yaml"][0], apart));
    assert_eq!(
        port(service, "/spec/ports/0/targetPort"),
        port(&files["rabbitmq-values.yaml"][0], "/service/ports/amqpTls")
    );
}

/// A control server of a file: its container, and what its service maps, each port to a node's.
#[track_caller]
fn control_server<'a>(documents: &'a [Value], name: &str) -> (&'a Value, BTreeMap<u64, u64>) {
    let named = |kind: &str| {
        let found = documents.iter().find(|one| one["kind"] == kind && one["metadata"]["name"] == name);
        found.unwrap_or_else(|| panic!("no {kind} {name}"))
    };
    let (deployment, service) = (named("Deployment"), named("Service"));
    let labels = at(deployment, "/spec/template/metadata/labels");
    for selector in [at(deployment, "/spec/selector/matchLabels"), at(service, "/spec/selector")] {
        assert!(selector.as_object().unwrap().iter().all(|(key, value)| labels[key] == *value), "{name}: {selector}");
    }
    let ports = at(service, "/spec/ports").as_array().unwrap().iter();
    let ports = ports.map(|one| (port(one, "/targetPort"), port(one, "/nodePort"))).collect();
    (at(deployment, "/spec/template/spec/containers/0"), ports)
}

fn arguments(container: &Value) -> Vec<&str> {
    at(container, "/args").as_array().unwrap().iter().map(|one| one.as_str().unwrap()).collect()
}

#[test]
fn the_control_servers_have_the_address_and_limits_of_the_route_file() {
    let files = deployed();
    let (text, route) = route("olcf-prs.toml");
    for (kind, control, data) in [("stunnel", None, None), ("haproxy", Some(30700), Some("30710-30720"))] {
        let documents = &files[&format!("s2cs-{kind}.yaml")];
        for end in ["producer", "consumer"] {
            let (container, ports) = control_server(documents, &format!("s2cs-{end}"));
            let side = &route["scistream"][format!("{end}_side")];
            assert_eq!(limits(&container["resources"]), side["limits"].as_str().unwrap());
            let (host, written) = side["s2cs"].as_str().unwrap().split_once(':').unwrap();
            let (inside, outside) = side["node_ports"].as_str().unwrap().split_once(':').unwrap();
            // Where HAProxy has other ports, comments of the route file tell them.
            let (mut control_port, mut data_ports) = (written.parse().unwrap(), outside);
            if let ("consumer", Some(control), Some(data)) = (end, control, data) {
                assert!(text.contains(&control.to_string()) && text.contains(data), "{text}");
                (control_port, data_ports) = (control, data);
            }
            let expected = [(5000, control_port)].into_iter().chain(range(inside).zip(range(data_ports))).collect();
            assert_eq!(ports, expected, "{kind} {end}");
            let arguments = arguments(container);
            for argument in [
                "--listen=0.0.0.0:5000",
                &format!("--ports={inside}"),
                &format!("--type={kind}"),
                &format!("--advertise={host}"),
            ] {
                assert!(arguments.contains(&argument), "{argument} among {arguments:?}");
            }
        }
    }
}

#[test]
fn the_program_starts_with_the_arguments_of_the_containers_and_no_file_has_a_secret() {
    for (file, documents) in deployed() {
        assert!(!documents.iter().any(|document| document["kind"] == "Secret"), "{file} has a secret");
        for deployment in documents.iter().filter(|document| document["kind"] == "Deployment") {
            starts(&file, at(deployment, "/spec/template/spec/containers/0"));
        }
    }
}

/// Starts the program as the container would, with the container's directories in one of the test's own.
#[track_caller]
fn starts(file: &str, container: &Value) {
    let place = place();
    let own = |path: &str| place.path().join(path.trim_start_matches('/')).display().to_string();
    let mounts = at(container, "/volumeMounts").as_array().unwrap();
    for mount in mounts {
        fs::create_dir_all(own(mount["mountPath"].as_str().unwrap())).unwrap();
    }
    let identity = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let secrets = Path::new("/etc/s2cs");
    for (name, text) in
        [("tls.crt", identity.cert.pem()), ("tls.key", identity.signing_key.serialize_pem()), ("token", "t".to_owned())]
    {
        fs::write(own(secrets.join(name).to_str().unwrap()), text).unwrap();
    }
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let arguments = arguments(container).into_iter().map(|argument| match argument.split_once('=') {
        Some(("--listen", _)) => format!("--listen={free}"),
        Some((flag, path)) if path.starts_with('/') => format!("{flag}={}", own(path)),
        _ => argument.to_owned(),
    });
    let console = place.path().join("console");
    let mut command = Command::new(program());
    command.args(arguments).stdin(Stdio::null()).stderr(File::create(&console).unwrap());
    let mut child = command.spawn().unwrap();
    let said = || fs::read_to_string(&console).unwrap();
    let listens = within(START_LIMIT, || {
        let ended = matches!(child.try_wait(), Ok(Some(_)));
        (ended || said().contains(" listens on ")).then_some(!ended)
    });
    processes::send(child.id() as i32, Signal::SIGTERM);
    child.wait().unwrap();
    assert_eq!(listens, Some(true), "{file}: {}", said());
}
