//! Client and service over real HTTP, with memory in place of RabbitMQ and HAProxy.

use crate::*;
use std::{
    collections::BTreeSet,
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

type Names = Arc<Mutex<BTreeSet<String>>>;

struct Memory(Names);

impl Backing for Memory {
    fn add(&self, _: &str, _: &str, fqdn: &str) -> Result<()> {
        self.0.lock().unwrap().insert(fqdn.to_owned());
        Ok(())
    }
    fn remove(&self, _: &str, fqdn: &str) -> Result<()> {
        self.0.lock().unwrap().remove(fqdn);
        Ok(())
    }
}

const READY_AFTER: Duration = Duration::from_millis(60);

fn settings() -> Settings {
    Settings {
        tokens: vec!["right".to_owned()],
        domain: "mss.test".to_owned(),
        port: 443,
        nodes: 3,
        management: String::new(),
        project: "bench".to_owned(),
        lifetime: Duration::from_secs(600),
        ready_after: READY_AFTER,
        fail_first: 0,
        lose_first: 0,
    }
}

fn service(change: impl FnOnce(&mut Settings)) -> (String, Names) {
    let mut settings = settings();
    change(&mut settings);
    let names = Names::default();
    let service = Service::new(settings, Box::new(Memory(names.clone())));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || {
        serve(service, "127.0.0.1:0".parse().unwrap(), None, |address| sender.send(address).unwrap())
    });
    (format!("http://{}", receiver.recv_timeout(Duration::from_secs(5)).unwrap()), names)
}

fn request(name: &str) -> Provision {
    let resource_settings = [("cpus".to_owned(), 12)].into();
    Provision { kind: "general".to_owned(), name: name.to_owned(), resource_settings, ..Provision::default() }
}

fn nap() -> bool {
    thread::sleep(Duration::from_millis(10));
    true
}

#[test]
fn a_cluster_is_provisioned_found_healthy_extended_and_deleted_under_both_prefixes() {
    for prefix in [PREFIX, "/olcf/v1alpha/streaming"] {
        let (url, names) = service(|_| ());
        let client = Client::new(&url, prefix, "right\n", None).unwrap();
        assert_eq!(client.backends().unwrap()[0].kind, "general");
        let began = Instant::now();
        let access = client.provision(&request("one"), false).unwrap();
        assert!(access.amqps_url.ends_with("@rmq-bench-api-one.mss.test:443"));
        assert!(!format!("{access:?}").contains(&access.password));
        let health = client.get("one").unwrap().health_status;
        assert!(health != "healthy" || began.elapsed() >= READY_AFTER, "too early");
        let cluster = client.healthy("one", Duration::from_secs(5), nap).unwrap();
        assert_eq!(cluster.access.unwrap(), access);
        assert!(matches!(client.provision(&request("one"), false), Err(Error::Taken(_))));
        assert!(client.extend("one").unwrap().extended_at.is_some());
        assert_eq!(client.list().unwrap()[0].name, "one");
        assert_eq!(names.lock().unwrap().len(), 1);
        client.delete("one").unwrap();
        assert!(names.lock().unwrap().is_empty());
        assert!(matches!(client.get("one"), Err(Error::Missing(_))));
        assert!(client.introspect().unwrap()["token"]["project"] == "bench");
    }
}

#[test]
fn a_wrong_token_is_refused_and_is_in_no_sentence() {
    let (url, _) = service(|_| ());
    let error = Client::new(&url, PREFIX, "secret-wrong", None).unwrap().list().unwrap_err();
    assert!(matches!(error, Error::Token(_)) && !error.to_string().contains("secret-wrong"), "{error}");
}

#[test]
fn what_breaks_the_rules_is_refused_and_leaves_nothing() {
    let (url, names) = service(|_| ());
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    for name in ["", "Upper", "-a", "a-", "a_b", &"a".repeat(41)] {
        assert!(matches!(client.provision(&request(name), false), Err(Error::Refused(_))), "{name}");
    }
    let mut zero = request("zero");
    for nodes in [0, 4] {
        zero.resource_settings.insert("nodes".to_owned(), nodes);
        assert!(matches!(client.provision(&zero, false), Err(Error::Refused(_))), "{nodes}");
    }
    assert!(names.lock().unwrap().is_empty());
}

#[test]
fn a_failing_service_is_tried_again_and_an_absent_one_is_reported() {
    let (url, _) = service(|settings| settings.fail_first = 2);
    assert!(Client::new(&url, PREFIX, "right", None).unwrap().list().unwrap().is_empty());
    let error = Client::new(&url, "/elsewhere", "right", None).unwrap().provision(&request("one"), false).unwrap_err();
    assert!(error.to_string().contains("/elsewhere is not the API of the S3M service"), "{error}");
    let absent = Client::new("http://127.0.0.1:1", PREFIX, "right", None).unwrap();
    let error = absent.provision(&request("one"), false).unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }) && error.may_exist(), "a lost reply looks the same");
    let error = Client::new(&url, PREFIX, "two\nlines", None).unwrap().list().unwrap_err();
    assert!(matches!(error, Error::Malformed), "{error}");
}

#[test]
fn a_cluster_whose_reply_was_lost_is_known_as_the_callers_own_and_a_strangers_is_not() {
    let (url, names) = service(|settings| settings.lose_first = 1);
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    let access = client.provision(&request("own"), true).unwrap();
    assert_eq!(client.get("own").unwrap().access.unwrap(), access);
    assert!(matches!(client.provision(&request("own"), true), Err(Error::Taken(_))));
    assert_eq!(names.lock().unwrap().len(), 1);
    // A name that somebody else may have chosen is nobody's own, whatever became of a try.
    let (url, _) = service(|settings| settings.lose_first = 1);
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    assert!(matches!(client.provision(&request("given"), false), Err(Error::Taken(_))));
}

#[test]
fn names_come_percent_encoded_too() {
    let (url, _) = service(|_| ());
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    client.provision(&request("a-b"), false).unwrap();
    let reply = ureq::get(format!("{url}{PREFIX}/rabbitmq/cluster/a%2Db")).header("Authorization", "right").call();
    assert!(reply.unwrap().body_mut().read_to_string().unwrap().contains("\"a-b\""));
}

#[test]
fn numbers_may_be_texts_and_what_is_empty_may_be_null_or_left_out() {
    let text = r#"{"name": "a", "lifetime": {"secondsLifetime": "604800", "secondsRemaining": 7, "extendedAt": null},
        "resourceSettings": {"nodes": "3", "cpus": 12}, "amqpsUrl": "amqps://u:p@h:443", "new": []}"#;
    let cluster: Cluster = serde_json::from_str(text).unwrap();
    assert_eq!((cluster.lifetime.seconds_lifetime, cluster.lifetime.seconds_remaining), (604_800, 7));
    assert_eq!(cluster.resource_settings.into_iter().collect::<Vec<_>>(), [("cpus".into(), 12), ("nodes".into(), 3)]);
    let bare: Cluster = serde_json::from_str(r#"{"name": "a", "resourceSettings": null}"#).unwrap();
    assert!(bare.resource_settings.is_empty());
    assert!(serde_json::from_str::<Cluster>(r#"{"resourceSettings": {"nodes": "three"}}"#).is_err());
}

/// A backing that takes its time over one tenant.
struct Slow(Mutex<mpsc::Receiver<()>>);

impl Backing for Slow {
    fn add(&self, user: &str, _: &str, _: &str) -> Result<()> {
        if user.ends_with("slow") {
            let _ = self.0.lock().unwrap().recv_timeout(Duration::from_secs(5));
        }
        Ok(())
    }
    fn remove(&self, _: &str, _: &str) -> Result<()> {
        Ok(())
    }
}

#[test]
fn a_call_that_waits_for_the_broker_holds_up_no_other() {
    let (done, waits) = mpsc::channel();
    let service = Arc::new(Service::new(settings(), Box::new(Slow(Mutex::new(waits)))));
    let call = |service: &Service, method: &str, path: &str, name: &str| {
        let body = serde_json::to_vec(&request(name)).unwrap();
        service.reply(method, &format!("{PREFIX}/rabbitmq/{path}"), "right", &body).0
    };
    let other = service.clone();
    let making = thread::spawn(move || call(&other, "POST", "provision_cluster", "slow"));
    let seen = (0..500).any(|_| {
        nap();
        call(&service, "GET", "cluster/slow", "") == 503
    });
    assert!(seen, "it is being made");
    assert_eq!(call(&service, "POST", "provision_cluster", "quick"), 200);
    assert_eq!(call(&service, "POST", "provision_cluster", "slow"), 409, "one name, one cluster");
    assert!(!making.is_finished());
    done.send(()).unwrap();
    assert_eq!(making.join().unwrap(), 200);
    assert_eq!(call(&service, "GET", "cluster/slow", ""), 200);
}

#[test]
fn one_that_never_gets_healthy_is_given_up_and_one_that_outlives_its_time_is_gone() {
    let (url, _) = service(|settings| settings.ready_after = Duration::from_secs(600));
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    client.provision(&request("slow"), false).unwrap();
    let late = client.healthy("slow", Duration::from_millis(50), nap);
    assert!(matches!(late, Err(Error::Late { .. })));

    let (url, names) = service(|settings| settings.lifetime = Duration::from_millis(30));
    let client = Client::new(&url, PREFIX, "right", None).unwrap();
    client.provision(&request("short"), false).unwrap();
    thread::sleep(Duration::from_millis(50));
    assert!(matches!(client.get("short"), Err(Error::Missing(_))));
    assert!(names.lock().unwrap().is_empty());
}
