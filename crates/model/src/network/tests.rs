//! Laws of queues that hold for any network, and sums that are known.

use super::*;
use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

const WORK: Cost = Cost { message_ns: 0.0, packet_ns: 0.0, byte_ns: 0.0 };

fn each(ns: f64) -> Cost {
    Cost { message_ns: ns, ..WORK }
}

fn a_byte(ns: f64) -> Cost {
    Cost { byte_ns: ns, ..WORK }
}

/// Times at which each message arrives.
fn arrivals(network: &mut Network<u32>) -> Vec<(u64, u32)> {
    let mut arrived = Vec::new();
    while let Some(happening) = network.next() {
        if let Happening::Arrived(cargo) = happening {
            arrived.push((network.now_ns(), cargo));
        }
    }
    arrived
}

#[test]
fn packets_of_a_message_overlap_on_two_links_in_a_row() {
    let mut network = Network::new(100);
    let links = [0, 1].map(|_| network.station("link".into(), 1));
    let lanes = links.map(|link| network.lane(link, None));
    let path = network.path(lanes.map(|lane| Step::Work(lane, a_byte(1.0))));
    network.send(path, 1000, 1);
    // Ten packets of 100 ns: nine behind each other, and the last over both.
    assert_eq!(arrivals(&mut network), [(1100, 1)]);
}

#[test]
fn a_station_has_its_servers_and_a_lane_only_one_of_them() {
    for (servers, lanes, expected_ns) in [(1, 4, 400), (2, 4, 200), (4, 4, 100), (4, 1, 400), (2, 1, 400)] {
        let mut network = Network::new(100);
        let cores = network.station("cores".into(), servers);
        let lanes: Vec<Lane> = (0..lanes).map(|_| network.lane(cores, None)).collect();
        for number in 0..4 {
            let path = network.path([Step::Work(lanes[number % lanes.len()], each(100.0))]);
            network.send(path, 1, number as u32);
        }
        assert_eq!(arrivals(&mut network).last().unwrap().0, expected_ns, "{servers} servers, {} lanes", lanes.len());
    }
}

#[test]
fn a_link_pauses_once_when_more_waits_for_it_than_its_queue_holds() {
    let mut network = Network::new(100);
    let link = network.station("link".into(), 1);
    network.stalls(link, Some(Stall { queue_bytes: 250, ns: 5_000 }));
    let lane = network.lane(link, None);
    let path = network.path([Step::Work(lane, a_byte(1.0))]);
    // Two packets fit. Three do not: what was begun ends, and the rest waits. The second time it does not.
    network.send(path, 200, 1);
    assert_eq!(arrivals(&mut network), [(200, 1)]);
    network.send(path, 300, 2);
    assert_eq!(arrivals(&mut network), [(5_400, 2)]);
    network.send(path, 300, 3);
    assert_eq!(arrivals(&mut network), [(5_700, 3)]);
}

#[test]
fn what_enters_the_queue_of_a_full_link_waits_for_all_of_it_and_the_link_is_no_slower() {
    let of = |queue: bool| {
        let mut network = Network::new(100);
        let link = network.station("link".into(), 1);
        if queue {
            network.queues_up(link, 300);
        }
        let paths = [0, 1].map(|_| {
            let lane = network.lane(link, None);
            network.path([Step::Work(lane, a_byte(1.0))])
        });
        network.send(paths[0], 1000, 0);
        network.send(paths[1], 1, 1);
        arrivals(&mut network)
    };
    // By turns the small message is second. Four packets of the large one enter the queue at once, and a fifth was before it.
    assert_eq!(of(false), [(101, 1), (1001, 0)]);
    assert_eq!(of(true), [(501, 1), (1001, 0)]);
}

#[test]
fn a_part_of_0_3_cores_works_for_30_ms_of_each_100() {
    let mut network = Network::new(100);
    let pod = network.limited("pod".into(), 2, 0.3);
    let lane = network.lane(pod, None);
    let path = network.path([Step::Work(lane, each(20e6))]);
    (0..3).for_each(|number| network.send(path, 1, number));
    assert_eq!(arrivals(&mut network), [(20_000_000, 0), (110_000_000, 1), (130_000_000, 2)]);
    assert_eq!(network.busy()[0].servers, 0.3);
}

#[test]
fn connections_share_a_link_equally_and_a_small_message_does_not_wait_for_the_large_ones_of_others() {
    let mut network = Network::new(100);
    let link = network.station("link".into(), 1);
    let paths: Vec<Path> = (0..3)
        .map(|_| {
            let lane = network.lane(link, None);
            network.path([Step::Work(lane, a_byte(1.0))])
        })
        .collect();
    network.send(paths[0], 1000, 0);
    network.send(paths[1], 1000, 1);
    network.send(paths[2], 10, 2);
    assert_eq!(arrivals(&mut network), [(210, 2), (1910, 0), (2010, 1)]);
}

#[test]
fn a_window_of_one_over_a_round_trip_gives_one_message_in_that_time() {
    let mut network = Network::new(100);
    let window = network.pipe(1);
    // The way there and back, and the room of the window in between.
    let path =
        network.path([Step::Enter(window, Unit::Messages), Step::Wait(700), Step::Leave(window, Unit::Messages, 300)]);
    (0..50).for_each(|number| network.send(path, 10, number));
    let arrived = arrivals(&mut network);
    assert!(arrived.windows(2).all(|pair| pair[1].0 - pair[0].0 == 1000), "{arrived:?}");
}

#[test]
fn a_full_pipe_stops_those_before_it_and_what_is_larger_than_it_passes_alone() {
    let mut network = Network::new(1000);
    let (fast, slow) = (network.station("fast".into(), 1), network.station("slow".into(), 1));
    let (before, after) = (network.lane(fast, None), network.lane(slow, None));
    let pipe = network.pipe(100);
    let path = network.path([
        Step::Work(before, each(1.0)),
        Step::Enter(pipe, Unit::Bytes),
        Step::Mark,
        Step::Work(after, each(100.0)),
        Step::Leave(pipe, Unit::Bytes, 0),
    ]);
    for (number, bytes) in [(0, 60), (1, 60), (2, 900), (3, 60)] {
        network.send(path, bytes, number);
    }
    let mut entered = Vec::new();
    while let Some(happening) = network.next() {
        if let Happening::Marked(number) = happening {
            entered.push((network.now_ns(), number));
        }
    }
    assert_eq!(entered, [(1, 0), (101, 1), (201, 2), (301, 3)]);
}

/// A closed tandem: `window` messages go round over parts in a row, each with its pipe. Returns the time of the last of
/// `messages`, and how busy each part was.
fn tandem(parts: &[(u32, f64, u64)], window: u64, messages: u32) -> (u64, Vec<Busy>) {
    let mut network = Network::new(1 << 16);
    let whole = network.pipe(window);
    let mut steps = vec![Step::Enter(whole, Unit::Messages)];
    let mut last = None;
    for (number, (servers, ns, room)) in parts.iter().enumerate() {
        let station = network.station(format!("part {number}"), *servers);
        let (lane, pipe) = (network.lane(station, None), network.pipe(*room));
        steps.push(Step::Enter(pipe, Unit::Messages));
        steps.extend(last.map(|pipe| Step::Leave(pipe, Unit::Messages, 0)));
        steps.push(Step::Work(lane, each(*ns)));
        last = Some(pipe);
    }
    steps.extend(last.map(|pipe| Step::Leave(pipe, Unit::Messages, 0)));
    steps.push(Step::Leave(whole, Unit::Messages, 0));
    let path = network.path(steps);
    (0..messages).for_each(|number| network.send(path, 10, number));
    let arrived = arrivals(&mut network);
    let order: Vec<u32> = arrived.iter().map(|(_, number)| *number).collect();
    assert_eq!(order, (0..messages).collect::<Vec<_>>(), "each once, and in order");
    (arrived.last().expect("it has messages").0, network.busy())
}

fn parts(draws: &mut impl Rng) -> Vec<(u32, f64, u64)> {
    let count = draws.random_range(1..6);
    (0..count).map(|_| (1, f64::from(draws.random_range(1..500u32)), draws.random_range(1..20))).collect()
}

#[test]
fn no_tandem_is_faster_than_its_slowest_part_and_none_is_busier_than_always() {
    let mut draws = ChaCha8Rng::seed_from_u64(1);
    for _ in 0..300 {
        let parts = parts(&mut draws);
        let (end_ns, busy) = tandem(&parts, draws.random_range(1..30), 200);
        let slowest = parts.iter().map(|part| part.1).fold(0.0, f64::max);
        assert!(end_ns as f64 >= 200.0 * slowest, "{parts:?}: {end_ns}");
        for (part, busy) in parts.iter().zip(busy) {
            assert_eq!(busy.busy_ns as f64, 200.0 * part.1, "work is conserved");
            assert!(busy.busy_ns <= end_ns);
        }
    }
}

#[test]
fn more_capacity_never_makes_a_closed_tandem_slower() {
    let mut draws = ChaCha8Rng::seed_from_u64(2);
    for _ in 0..300 {
        let before = parts(&mut draws);
        let window = draws.random_range(1..30);
        let (end_ns, _) = tandem(&before, window, 200);
        let mut after = before.clone();
        let one = draws.random_range(0..after.len());
        match draws.random_range(0..3) {
            0 => after[one].1 *= 0.5,
            1 => after[one].2 += 5,
            _ => after[one].0 += 1,
        }
        let more = draws.random_range(0..3);
        let (then_ns, _) = tandem(&after, window + more, 200);
        // A rounded nanosecond per message of what was halved.
        assert!(then_ns <= end_ns + 200, "{before:?} {end_ns}, {after:?} +{more}: {then_ns}");
    }
}

#[test]
fn the_same_network_does_the_same_to_the_nanosecond() {
    let of = |seed| {
        let mut draws = ChaCha8Rng::seed_from_u64(seed);
        let parts = parts(&mut draws);
        tandem(&parts, 7, 500).0
    };
    assert!((0..20).all(|seed| of(seed) == of(seed)));
}

#[test]
fn connections_have_shares_of_a_link_that_differ_within_a_message_and_not_in_the_long_run() {
    let run = |messages: u64| {
        let mut network = Network::new(100);
        let link = network.link("link".into(), Draws::new(7, 3, 1), 2_000);
        let paths: Vec<Path> = (0..8)
            .map(|_| {
                let lane = network.lane(link, None);
                network.path([Step::Work(lane, Cost { byte_ns: 1.0, ..Cost::default() })])
            })
            .collect();
        for _ in 0..messages {
            paths.iter().enumerate().for_each(|(number, path)| network.send(*path, 1_000, number));
        }
        let mut done = vec![Vec::new(); 8];
        while let Some(Happening::Arrived(number)) = network.next() {
            done[number].push(network.now_ns());
        }
        assert_eq!(network.now_ns(), 8_000 * messages, "the link never idles");
        done
    };
    let once: Vec<u64> = run(1).into_iter().map(|done| done[0]).collect();
    // In turn, the first would be done after 7,300 ns.
    assert!(*once.iter().min().unwrap() < 4_000, "{once:?}");
    let half: Vec<usize> =
        run(400).iter().map(|done| done.iter().filter(|at_ns| **at_ns <= 1_600_000).count()).collect();
    assert!(half.iter().all(|count| (140..=260).contains(count)), "half of 400 each: {half:?}");
    assert_eq!(run(3), run(3));
}
