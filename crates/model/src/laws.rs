//! What holds of every prediction, and predictions whose value is known.

use crate::{Outcome, Testbed, simulate};
use measure::Pacing;
use profile::{Layer, Origin, Plan, combine};
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const FACILITY: &str = include_str!("../../../profiles/testbeds/facility-emulated.toml");
const ROUTES: [&str; 10] = [
    "dts",
    "dts-plain",
    "one-proxy",
    "prs-haproxy",
    "prs-haproxy-4",
    "prs-stunnel",
    "prs-stunnel-null",
    "ingress",
    "mss",
    "mss-gateway-3",
];

fn testbed(change: impl FnOnce(&mut toml::Table)) -> Testbed {
    let mut table: toml::Table = FACILITY.parse().unwrap();
    change(&mut table);
    Testbed::read("facility-emulated", table).unwrap()
}

fn plan(text: &str, ranks: usize) -> Plan {
    let layer = Layer::parse(Origin::CommandLine, text).unwrap();
    let profile = combine(&[layer], |_| unreachable!("it needs no files")).unwrap();
    Plan::resolve(&profile, ranks, 1).unwrap_or_else(|error| panic!("{text}: {error}"))
}

fn predict(text: &str, route: &str) -> Outcome {
    simulate(&plan(text, 4), "facility-emulated", &testbed(|_| ()), route).unwrap()
}

fn rate(outcome: &Outcome) -> f64 {
    outcome.throughput.messages_per_second.unwrap()
}

/// A plan drawn at random, as TOML.
fn random_plan(draws: &mut impl Rng) -> String {
    let mut one = |of: &[&str]| of[draws.random_range(0..of.len())].to_owned();
    let pattern = one(&["work-sharing", "work-sharing-feedback", "broadcast", "broadcast-gather"]);
    let workload = one(&["dstream", "generic"]);
    let confirms = one(&["none", "each", "batch:7", "window:5"]);
    let acks = one(&["auto", "each", "multiple:4"]);
    let rate = one(&["", "", "[load]\nrate = '500/s'", "[load]\nrate = '300/s'\narrivals = 'poisson'"]);
    let delays = match rate.as_str() {
        "" if acks != "auto" => one(&["", "think_time = 'exponential:1ms'", "service_time = 'uniform:0ms-2ms'"]),
        _ => String::new(),
    };
    let leader = one(&["server", "client-local", "balanced", "spread"]);
    let (producers, consumers) = (draws.random_range(1..5), draws.random_range(1..6));
    let (messages, queues, prefetch) = (draws.random_range(1..40), draws.random_range(1..4), draws.random_range(4..20));
    format!(
        "workload = '{workload}'\npattern = '{pattern}'\nproducers = {producers}\nconsumers = {consumers}\n\
         messages = {messages}\n{delays}\n[service]\nconfirms = '{confirms}'\nacks = '{acks}'\nprefetch = {prefetch}\n\
         queues = {queues}\nleader = '{leader}'\n{rate}"
    )
}

#[test]
fn everything_that_is_sent_is_delivered_once_over_every_route_and_with_every_setting() {
    let mut draws = ChaCha8Rng::seed_from_u64(20);
    for number in 0..72 {
        let text = random_plan(&mut draws);
        let route = ROUTES[number % ROUTES.len()];
        let outcome = predict(&text, route);
        let plan = plan(&text, 4);
        let messages = plan.messages_of(0).unwrap();
        let sent: u64 = outcome.producers.iter().map(|producer| producer[0]).sum();
        assert!(sent >= messages && outcome.integrity.sent == sent, "{text}");
        assert_eq!(outcome.integrity.delivered, sent * u64::from(plan.flow.copies), "{route}\n{text}");
        assert_eq!(outcome.consumers.iter().sum::<u64>(), outcome.integrity.delivered, "{text}");
        outcome.integrity.verdict().unwrap_or_else(|reason| panic!("{reason}\n{text}"));
        if let Some(replies) = &outcome.integrity.replies {
            assert_eq!(replies.delivered, outcome.integrity.delivered, "{text}");
        }
        if plan.service.confirms.wanted() {
            assert_eq!(outcome.integrity.confirmed, sent, "{text}");
        }
        assert!(outcome.uses.iter().all(|part| part.share <= 1.0), "{text}");
    }
}

#[test]
fn the_same_seed_is_the_same_prediction_and_another_one_another() {
    let of = |seed: u64| {
        let text = format!("workload = 'dstream'\nmessages = 300\nthink_time = 'exponential:2ms'\nseed = {seed}");
        let outcome = predict(&text, "mss");
        (outcome.throughput.messages_per_second, outcome.histograms.summaries(), outcome.uses, outcome.events)
    };
    assert_eq!(of(1), of(1));
    assert_ne!(of(1).0, of(2).0);
}

#[test]
fn no_link_carries_more_than_its_rate() {
    for route in ROUTES {
        for pairs in [1, 4] {
            let text = format!("workload = 'dstream'\nproducers = {pairs}\nconsumers = {pairs}\nmessages = 2000");
            let one_link = format!("{text}\n[route]\nnodes = 1");
            let outcome = predict(&one_link, route);
            assert!(rate(&outcome) * 16_000.0 * 8.0 <= 1e9, "{route}: {}", rate(&outcome));
        }
    }
}

#[test]
fn stop_and_wait_over_a_round_trip_gives_one_message_in_that_time() {
    let free = "[costs]\npublish = {}\nconsume = {}\nclient_control = {}\nreceive = {}\nenqueue = {}\ndequeue = {}\n\
                deliver = {}\ntransfer = {}\nnode_control = {}\ntls = {}";
    let costs: toml::Table = free.parse().unwrap();
    let far = testbed(|table| {
        table.insert("costs".to_owned(), costs["costs"].clone());
        let hosts = table["hosts"].as_table_mut().unwrap();
        for (_, host) in hosts.iter_mut() {
            host.as_table_mut().unwrap().remove("link");
        }
        hosts["clients"].as_table_mut().unwrap().insert("delay".to_owned(), "5ms".into());
    });
    let text = "workload = 'dstream'\nproducers = 1\nconsumers = 1\nmessages = 100\n[service]\nconfirms = 'each'";
    let outcome = simulate(&plan(text, 2), "far", &far, "dts-plain").unwrap();
    assert!((rate(&outcome) - 100.0).abs() < 0.01, "{}", rate(&outcome));
    // A window of 8 over the same way.
    let text = text.replace("'each'", "'window:8'").replace("messages = 100", "messages = 800");
    let outcome = simulate(&plan(&text, 2), "far", &far, "dts-plain").unwrap();
    assert!((rate(&outcome) / 800.0 - 1.0).abs() < 0.02, "{}", rate(&outcome));
}

#[test]
fn a_queue_on_another_node_costs_the_addressed_link_half_as_much_again() {
    let at = |leader: &str, pairs: u32| {
        let mut slow = testbed(|_| ());
        slow.scale(0.1);
        let text = format!(
            "workload = 'dstream'\nproducers = {pairs}\nconsumers = {pairs}\nmessages = 2048\n[service]\nleader = '{leader}'\n\
             [route]\nnodes = 1"
        );
        simulate(&plan(&text, 4), "slow", &slow, "dts").unwrap()
    };
    let (home, away) = (at("client-local", 8), at("server", 8));
    let ratio = rate(&away) / rate(&home);
    assert!((0.60..0.75).contains(&ratio), "two thirds, less what overlaps: {ratio}");
    assert!(away.bottleneck.contains("queue 2 lives on dsn2"), "{}", away.bottleneck);
    assert!(away.bottleneck.starts_with("dsn1 "), "{}", away.bottleneck);
}

#[test]
fn workers_spread_over_the_replicas_of_a_gateway_as_their_profile_says() {
    let of = |pairs: u32, spread: &str| {
        let outcome = predict(
            &format!(
                "workload = 'dstream'\nproducers = {pairs}\nconsumers = {pairs}\nmessages = 1200\n[route]\nspread = '{spread}'"
            ),
            "mss-gateway-3",
        );
        let used = |link: &&crate::outcome::Carried| link.host.starts_with("gateways") && link.to_host > 0;
        (rate(&outcome), outcome.links.iter().filter(used).count())
    };
    assert_eq!(of(1, "block").1, 1, "producer and consumer both take the first");
    let ((three, all), (one, pinned)) = (of(3, "block"), of(3, "2"));
    assert_eq!((all, pinned), (3, 1));
    assert!(three > 1.1 * one, "one gateway's link carries everything: {three} {one}");
}

/// Round trips of so many messages in all with two pairs, at a fifth of the rate of links; `change` is to the testbed.
fn round_trip(messages: u32, confirms: &str, route: &str, change: impl FnOnce(&mut toml::Table)) -> f64 {
    let mut slow = testbed(change);
    slow.scale(0.2);
    let text = format!(
        "workload = 'dstream'\npattern = 'work-sharing-feedback'\nproducers = 2\nconsumers = 2\nmessages = {messages}\n\
         [service]\nleader = 'client-local'\nconfirms = '{confirms}'\n[route]\nnodes = 1"
    );
    let outcome = simulate(&plan(&text, 4), "slow", &slow, route).unwrap();
    outcome.histograms.summaries()["rtt_from_sent"].p50_ns.unwrap() as f64
}

#[test]
fn full_links_hold_confirms_up_and_so_the_producers_whose_queues_would_grow() {
    let queues = round_trip(8_192, "batch:64", "dts", |_| ());
    let none =
        round_trip(8_192, "batch:64", "dts", |table| drop(table["wire"].as_table_mut().unwrap().remove("queue")));
    assert!(none > 1.5 * queues, "{none} {queues}");
}

#[test]
fn senders_that_share_a_link_hold_less_and_receivers_that_are_slow_hold_more() {
    let with = |key: &'static str, size: &'static str| {
        move |table: &mut toml::Table| drop(table["wire"].as_table_mut().unwrap().insert(key.to_owned(), size.into()))
    };
    let [less, more] = ["200KiB", "20MiB"].map(|size| round_trip(4_096, "none", "dts", with("shared_buffer", size)));
    assert!(less < more, "{less} {more}");
    let [empty, full] = ["1KiB", "3MiB"].map(|size| {
        round_trip(4_096, "none", "prs-haproxy", |table| {
            with("receive_buffer", size)(table);
            table["parts"]["haproxy-producer"].as_table_mut().unwrap().insert("cpu".to_owned(), 0.05.into());
        })
    });
    assert!(empty < full, "{empty} {full}");
}

#[test]
fn a_schedule_is_kept_below_the_capacity_and_a_stall_is_charged_to_every_message_above_it() {
    let at = |rate: u32| {
        predict(
            &format!(
                "workload = 'dstream'\nproducers = 2\nconsumers = 2\nduration = '2s'\nwarmup = '500ms'\n\
                      pattern = 'work-sharing-feedback'\n[load]\nrate = '{rate}/s'"
            ),
            "dts",
        )
    };
    let (below, above) = (at(500), at(9_000));
    assert!((rate(&below) / 500.0 - 1.0).abs() < 0.01, "{}", rate(&below));
    assert!(rate(&above) < 8_900.0);
    assert_eq!([below.pacing, above.pacing], [Some(Pacing::Kept), Some(Pacing::Saturated)]);
    let [kept, missed] = [&below.kept, &above.kept];
    assert!(kept.unsent <= 2 && kept.in_window_due == 1_000, "{kept:?}");
    let rest = missed.in_window_due - missed.in_window_in_time;
    assert!(missed.in_window_due == 18_000 && rest > 0 && missed.unsent >= rest, "{missed:?}");
    assert!(missed.backpressure_ns > 0 && missed.backpressure_ns <= missed.late_ns, "{missed:?}");
    assert_eq!(predict("workload = 'dstream'\nmessages = 10", "dts").pacing, None);
    let p50 = |outcome: &Outcome| outcome.histograms.summaries()["rtt_from_due"].p50_ns.unwrap();
    assert!(p50(&above) > 20 * p50(&below), "{} {}", p50(&above), p50(&below));
}

#[test]
fn a_full_queue_rejects_and_everything_is_published_again() {
    let text = "workload = 'dstream'\nproducers = 2\nconsumers = 2\nmessages = 400\nservice_time = 'constant:1ms'\n\
                [service]\nmax_length = 4\nacks = 'each'\nprefetch = 1";
    let outcome = predict(text, "dts");
    assert!(outcome.integrity.rejected > 0 && outcome.integrity.republished == outcome.integrity.rejected);
    assert_eq!((outcome.integrity.delivered, outcome.ready_max), (400, 4));
}

#[test]
fn what_cannot_be_predicted_is_refused_in_one_sentence() {
    let dstream = "workload = 'dstream'\nmessages = 10";
    let no_route = simulate(&plan(dstream, 4), "mine", &testbed(|_| ()), "ejfat").unwrap_err().to_string();
    assert!(no_route.contains("mine has no route `ejfat`") && no_route.contains("prs-stunnel"), "{no_route}");
    // Describing a route does not help: the model has no such transport.
    let described = testbed(|table| {
        drop(table["routes"].as_table_mut().unwrap().insert("ejfat".to_owned(), toml::toml! {tls = false}.into()))
    });
    let ejfat = plan("arch = 'ejfat'\nworkload = 'dstream'\nmessages = 10", 4);
    let ejfat = simulate(&ejfat, "mine", &described, "ejfat").unwrap_err().to_string();
    assert!(ejfat.contains("EJFAT, which has no broker") && ejfat.contains("predict a route over RabbitMQ"), "{ejfat}");
    let quorum = format!("{dstream}\n[service]\nqueue_type = 'quorum'");
    let error = simulate(&plan(&quorum, 4), "mine", &testbed(|_| ()), "dts").unwrap_err().to_string();
    assert!(error.contains("--queue-type classic"), "{error}");
    let error = |change: fn(&mut toml::Table)| {
        let mut table: toml::Table = FACILITY.parse().unwrap();
        change(&mut table);
        Testbed::read("mine", table).unwrap_err().to_string()
    };
    for (change, expected) in [
        (
            (|table| table["routes"]["mss"]["producer"] = vec!["balancr"].into()) as fn(&mut toml::Table),
            "did you mean `balancer`?",
        ),
        (|table| table["hosts"]["dsn1"]["link"] = "-1Gbit/s".into(), "not a number above 0"),
        (|table| table["routes"]["mss-gateway-3"]["addresses"] = 2.into(), "`gateway-3` is on 3 host(s)"),
        (|table| table["hosts"]["dsn1"]["link"] = "100/s".into(), "write a rate such as 1Gbit/s"),
        (
            |table| drop(table["hosts"].as_table_mut().unwrap().remove("dsn2")),
            "`dsn2`, which [hosts] does not describe",
        ),
        (|table| drop(table["costs"].as_table_mut().unwrap().remove("tls")), "missing field `tls`"),
        (|table| table["wire"]["receive_buffer"] = "0B".into(), "wire.receive_buffer is 0"),
        (|table| table["costs"]["publish"]["us"] = (-1.0).into(), "costs.publish.us is -1"),
        (|table| table["costs"]["publish"]["us"] = f64::NAN.into(), "costs.publish.us is NaN"),
        (
            |table| drop(table["parts"]["balancer"].as_table_mut().unwrap().insert("hots".into(), 1.into())),
            "unknown field `hots`",
        ),
        (|table| table["hosts"]["lb"]["cores"] = "machin".into(), "a pool that [cores] does not describe"),
    ] {
        let error = error(change);
        assert!(error.starts_with("testbed mine: ") && error.contains(expected) && !error.contains('\n'), "{error}");
    }
}
