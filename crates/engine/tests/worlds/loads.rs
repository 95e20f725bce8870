//! The numbers of a load that is offered by a schedule.

use crate::support::{plan, result, run_world_of};
use engine::{
    double::{Faults, MemoryBroker, PlainPayloads, undisturbed},
    ports::{Body, Corruption, PayloadError, Payloads, Source},
};
use measure::{Histogram, Metric, Pacing};
use std::time::Duration;

/// What these numbers have room for.
const HELD_UP: Duration = Duration::from_millis(40);

/// Samples of more than 100 ms: what a busy machine adds by itself is less.
fn slow(histogram: Option<&Histogram>) -> u64 {
    let histogram = histogram.expect("it was recorded");
    let below = histogram.cdf().take_while(|(ns, _)| *ns <= 100_000_000).last();
    histogram.len() - below.map_or(0, |(_, count)| count)
}

#[test]
fn a_stall_is_charged_to_every_message_that_it_delayed() {
    let text = "pattern = 'work-sharing-feedback'\nmessages = 1500\nproducers = 1\nconsumers = 1\n\
                [load]\nrate = '1000/s'\n[service]\nconfirms = 'window:20'";
    let faults = Faults { stall: Some((300, Duration::from_secs(1))), ..Faults::default() };
    let (result, calm) = undisturbed(HELD_UP, || result(text, 2, faults));
    // A machine that is busy all the time holds up others, too.
    let (most, few) = if calm { (1200, 60) } else { (1500, 400) };
    let of = |metric| slow(result.histograms.get(metric));
    let (from_due, lag, service) = (of(Metric::RttFromDue), of(Metric::ScheduleLag), of(Metric::Service));
    assert!((890..=most).contains(&from_due), "{from_due} of 1,000 messages that were due waited for over 0.1 s");
    assert!((870..=most).contains(&lag), "{lag}");
    // Those that fill the window.
    assert!(of(Metric::RttFromSent) <= few && service <= few + 20, "{} {service}", of(Metric::RttFromSent));
    let confirmed = of(Metric::ConfirmFromDue);
    assert!((870..=most).contains(&confirmed), "{confirmed} confirms were late from their due time");
    assert!(of(Metric::Confirm) <= few + 20, "and few from the publish: {}", of(Metric::Confirm));
    let counters = &result.counters;
    assert!(counters.catchup_messages >= 950, "{}", counters.catchup_messages);
    assert!(result.ranks[0].catchup_run_max >= 900, "{}", result.ranks[0].catchup_run_max);
    assert!(counters.backpressure_ns > 900_000_000, "the window was full: {} ns", counters.backpressure_ns);
    assert_eq!(result.pacing, Some(Pacing::Saturated));
}

#[test]
fn a_sender_with_a_limit_on_catching_up_makes_up_for_a_stall_at_so_many_times_its_rate() {
    // 400 of 600 messages are late when a stall of 0.4 s ends; at three times the rate, two thirds of them make it good.
    let text = "pattern = 'work-sharing-feedback'\nmessages = 1200\nproducers = 1\nconsumers = 1\n\
                [load]\nrate = '1000/s'\ncatchup_limit = 3\n[service]\nconfirms = 'window:20'";
    let faults = Faults { stall: Some((200, Duration::from_millis(400))), ..Faults::default() };
    let result = result(text, 2, faults);
    let counters = &result.counters;
    // They catch up at 3 in a gap, while one more falls due in it: 400 late ones take 200 gaps and 600 messages.
    assert!(counters.catchup_messages >= 500, "{}", counters.catchup_messages);
    let lag = result.histograms.get(Metric::ScheduleLag).unwrap();
    let over =
        |ns: u64| lag.len() - lag.cdf().take_while(|(value, _)| *value <= ns).last().map_or(0, |(_, count)| count);
    assert!(over(200_000_000) > 250, "at once, 200 would be later than half the stall: {}", over(200_000_000));
    assert_eq!(counters.sent, 1200);
}

/// Bodies that take two milliseconds to make.
#[derive(Clone, Copy)]
struct SlowPayloads(PlainPayloads);

struct SlowSource(<PlainPayloads as Payloads>::Source);

impl Payloads for SlowPayloads {
    type Source = SlowSource;

    fn source(&self, producer: u32) -> Result<SlowSource, PayloadError> {
        self.0.source(producer).map(SlowSource)
    }
    fn body(&self, producer: u32, sequence: u64) -> Body {
        self.0.body(producer, sequence)
    }
    fn events(&self, producer: u32, sequence: u64) -> u32 {
        self.0.events(producer, sequence)
    }
    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        self.0.verify(producer, sequence, checksum, body)
    }
    fn inspects(&self) -> bool {
        false
    }
    fn inspect(&self, _: u32, _: u64, _: &[u8]) -> Result<(), Corruption> {
        Ok(())
    }
}

impl Source for SlowSource {
    fn take(&mut self, sequence: u64) -> Body {
        std::thread::sleep(Duration::from_millis(2));
        self.0.take(sequence)
    }
    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        self.0.give_back(sequence, bytes);
    }
}

#[test]
fn a_generator_that_cannot_keep_its_schedule_is_found_out() {
    let plan = plan("duration = '400ms'\nproducers = 1\nconsumers = 1\n[load]\nrate = '2000/s'", 2);
    let payloads = SlowPayloads(PlainPayloads { bytes: 100, spoilt_every: None });
    let result = run_world_of(&plan, &MemoryBroker::default(), 0, None, payloads).0.unwrap();
    assert_eq!(result.pacing, Some(Pacing::GeneratorLimited));
    let counters = &result.counters;
    assert!(counters.unsent > 500, "due and never sent: {}", counters.unsent);
    assert!((795..=805).contains(&counters.in_window_due), "2,000/s for 0.4 s: {}", counters.in_window_due);
}

#[test]
fn who_is_held_back_by_a_service_that_stopped_is_not_limited_by_the_generator() {
    let text =
        "duration = '1s'\nproducers = 1\nconsumers = 1\n[load]\nrate = '2000/s'\n[service]\nconfirms = 'window:20'";
    let faults = Faults { stall: Some((200, Duration::from_secs(600))), ..Faults::default() };
    for (timeout_s, stop_after, expected) in [(15, None, Pacing::CutShort), (60, Some(3), Pacing::Saturated)] {
        let plan = plan(&format!("timeout = '{timeout_s}s'\n{text}"), 2);
        let stop_after = stop_after.map(Duration::from_secs);
        let (outcome, observer) = crate::support::run_world(&plan, &MemoryBroker::with(faults), 0, stop_after);
        let result = outcome.unwrap();
        let ended = observer.cut_short;
        assert_eq!(result.pacing, Some(expected), "{ended:?} {:?}", result.counters);
        let counters = &result.counters;
        assert!(counters.unsent > 1000, "due and never sent: {counters:?}");
        assert!(counters.late_ns >= counters.backpressure_ns && counters.late_ns < 1_100_000_000, "{counters:?}");
        assert!(counters.backpressure_ns * 2 > counters.late_ns, "the service did not take them: {counters:?}");
    }
}

#[test]
fn a_window_leaves_the_ramp_out() {
    let text = "duration = '400ms'\nwarmup = '400ms'\nproducers = 2\nconsumers = 2\n\
                [load]\nrate = '1000/s'\nphases = 'ramp 0..max over 400ms'";
    let (result, calm) = undisturbed(HELD_UP, || result(text, 4, Faults::default()));
    let rate = result.throughput.messages_per_second.unwrap();
    // With the ramp in it, it would be three quarters of that.
    let level = if calm { 900.0..=1100.0 } else { 800.0..=1300.0 };
    assert!(level.contains(&rate), "the level after the ramp: {rate}");
    // 200 in the ramp, 400 in the window, 40 in the cool-down.
    assert!((620..=660).contains(&result.counters.sent), "{}", result.counters.sent);
    assert!((399..=401).contains(&result.counters.in_window_due), "{}", result.counters.in_window_due);
}

#[test]
fn a_window_waits_for_a_number_of_messages() {
    let text = "duration = '300ms'\nwarmup = '300msgs'\n[load]\nrate = '1000/s'";
    let (result, _) = undisturbed(HELD_UP, || result(text, 4, Faults::default()));
    // The window begins at least 0.3 s and 0.2 s after the start.
    assert!(result.counters.sent >= 300 + 200 + 295, "{}", result.counters.sent);
    assert!((299..=301).contains(&result.counters.in_window_due), "{}", result.counters.in_window_due);
    assert!((result.throughput.window_s - 0.3).abs() < 1e-9);
}

#[test]
fn consumers_that_are_busy_at_different_times_add_up_to_more_than_there_was() {
    let text = "messages = 400\nproducers = 2\nconsumers = 2\nservice_time = 'constant:1ms'\n[service]\nqueues = 2";
    let plan = plan(text, 2);
    let last = plan.service.queues[1].name.clone();
    let ending: &'static str = Box::leak(last.into_boxed_str());
    // Both work for 0.2 s; the second begins when the first has been done for long.
    let faults = Faults { late_reader: Some((ending, Duration::from_millis(1200))), ..Faults::default() };
    let turns = || crate::support::run_world(&plan, &MemoryBroker::with(faults), 0, None).0.unwrap();
    let (result, _) = undisturbed(HELD_UP, turns);
    let spans: Vec<_> = result.ranks.iter().flat_map(|rank| rank.spans.clone()).collect();
    let seconds = |from: u64, to: u64| (to - from) as f64 / 1e9;
    let first = spans.iter().map(|span| span.first_ns).min().unwrap();
    let whole = seconds(first, spans.iter().map(|span| span.last_ns).max().unwrap());
    let sum: f64 = spans.iter().map(|span| span.messages as f64 / seconds(span.first_ns, span.last_ns)).sum();
    let factor = sum / (399.0 / whole);
    let reported = result.throughput.sum_of_rates_ratio.unwrap();
    let held = if (reported / factor - 1.0).abs() < 1e-6 { "held" } else { "missed" };
    println!("| consumers that take turns: sum of rates over throughput | {factor:.3} | {reported:.3} | {held} |");
    assert!(factor > 2.0, "they did not take turns: {spans:?}");
    assert!((reported / factor - 1.0).abs() < 1e-6, "{factor}");
}
