//! A reader of GRETINA raw events that knows the published byte table and nothing of the crate.

#![expect(clippy::unwrap_used, reason = "clippy.toml allows it in test functions, not in their helpers")]

mod common;

use common::{RING_BODIES, plan};
use engine::ports::{Payloads, Source};
use payload::Workload;
use std::collections::HashSet;

const GRETA: &str = "[message]\nevent_bytes = '8336B'\nevents = 2";

struct Event {
    ticks: u64,
    channels: Vec<Channel>,
}

#[derive(Debug)]
struct Channel {
    board: u16,
    module: u16,
    channel: u16,
    ticks: u64,
    energy: i32,
    samples: Vec<i16>,
}

/// Reads events until the bytes end; every length comes from the bytes themselves.
fn read(mut bytes: &[u8]) -> Vec<Event> {
    let mut events = Vec::new();
    while !bytes.is_empty() {
        assert_eq!(&bytes[..4], [2, 0, 0, 0], "GEB type, little-endian");
        let length = u32::from_le_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let ticks = u64::from_le_bytes(bytes[8..16].try_into().unwrap());
        let (mut payload, rest) = bytes[16..].split_at(length);
        bytes = rest;
        let mut channels = Vec::new();
        while !payload.is_empty() {
            let word = |offset: usize| u16::from_be_bytes([payload[offset], payload[offset + 1]]);
            assert_eq!((word(0), word(2)), (0xAAAA, 0xAAAA), "sync");
            let samples = 2 * usize::from(word(4) & 0x7ff) - 14;
            let magnitude = i32::from(word(18) & 0xff) << 16 | i32::from(word(12));
            assert_eq!(word(18) & 0x8000, 0, "no pile-up");
            assert_eq!(&payload[24..32], [0; 8], "free words");
            let stored = if word(18) & 0x100 == 0 { magnitude } else { magnitude - (1 << 24) };
            let channel = word(6) & 0xf;
            channels.push(Channel {
                board: word(4) >> 11,
                module: word(6) >> 4,
                channel,
                ticks: u64::from(word(14)) << 32 | u64::from(word(8)) << 16 | u64::from(word(10)),
                energy: if channel == 9 { stored } else { -stored },
                samples: (0..samples).map(|j| word(32 + 2 * (j ^ 1)) as i16).collect(),
            });
            payload = &payload[32 + 2 * samples..];
        }
        events.push(Event { ticks, channels });
    }
    events
}

/// The events of each message of a producer.
fn messages(text: &str, producer: u32, sequences: impl IntoIterator<Item = u64>) -> Vec<Vec<Event>> {
    let mut bodies = Workload::new(&plan(text)).unwrap().source(producer).unwrap();
    let mut message = |sequence| {
        let body = bodies.take(sequence);
        let events = read(&body.bytes);
        bodies.give_back(sequence, body.bytes);
        events
    };
    sequences.into_iter().map(&mut message).collect()
}

#[test]
fn the_papers_message_is_eight_events_of_eight_channels_of_108_samples() {
    let messages = messages("", 5, [12_345]);
    assert_eq!(messages[0].len(), 8);
    for event in &messages[0] {
        let ids: Vec<_> = event.channels.iter().map(|c| (c.board, c.module, c.channel)).collect();
        assert_eq!(ids, [0, 1, 2, 3, 4, 5, 6, 9].map(|channel| (0, 20, channel)));
        assert!(event.channels.iter().all(|c| c.samples.len() == 108));
    }
}

#[test]
fn gretas_event_is_a_whole_crystal_of_four_boards_each_with_a_core_contact() {
    let messages = messages(GRETA, 1, [0]);
    assert_eq!(messages[0].len(), 2);
    for event in &messages[0] {
        let ids: Vec<_> = event.channels.iter().map(|c| (c.board, c.module, c.channel)).collect();
        let expected: Vec<_> = (0..4).flat_map(|board| (0..10).map(move |c| (board, 4 + board, c))).collect();
        assert_eq!(ids, expected);
        assert!(event.channels.iter().all(|c| c.samples.len() == 88));
    }
}

#[test]
fn the_core_contact_has_the_energy_of_all_segments() {
    for text in ["", GRETA] {
        for event in messages(text, 0, 0..u64::from(RING_BODIES)).into_iter().flatten() {
            let sum: i32 = event.channels.iter().filter(|c| c.channel != 9).map(|c| c.energy).sum();
            let cores: Vec<_> = event.channels.iter().filter(|c| c.channel == 9).map(|c| c.energy).collect();
            assert!(!cores.is_empty() && cores.iter().all(|core| *core == sum && *core > 0), "{sum} {cores:?}");
        }
    }
}

#[test]
fn pulses_stand_on_a_baseline_and_are_as_high_as_their_energy() {
    let mean = |samples: &[i16]| samples.iter().map(|s| f64::from(*s)).sum::<f64>() / samples.len() as f64;
    let events = messages("", 0, 0..u64::from(RING_BODIES)).into_iter().flatten();
    for channel in events.flat_map(|event| event.channels) {
        let step = mean(&channel.samples[44..60]) - mean(&channel.samples[..26]);
        let height = f64::from(channel.energy) / if channel.channel == 9 { 32.0 } else { -32.0 };
        assert!((step - height).abs() < 4.0 + height.abs() / 100.0, "{step} {channel:?}");
    }
}

#[test]
fn timestamps_increase_from_event_to_event_and_from_message_to_message() {
    // Far enough to reach the highest word of a channel's timestamp.
    let sequences = (0..50).chain(1 << 30..(1 << 30) + 50).chain([1 << 36]);
    let mut last = None;
    for event in messages("", 2, sequences).into_iter().flatten() {
        assert!(last < Some(event.ticks));
        assert!(event.channels.iter().all(|channel| channel.ticks == event.ticks), "{:?}", event.channels);
        last = Some(event.ticks);
    }
    assert!(last > Some(1 << 46));
}

#[test]
fn no_two_events_of_a_run_have_the_same_traces_while_the_ring_lasts() {
    let mut seen = HashSet::new();
    for (text, producer) in [("", 0), ("", 1), ("", 1024), ("seed = 2", 0)] {
        for event in messages(text, producer, 0..u64::from(RING_BODIES)).into_iter().flatten() {
            let traces: Vec<_> = event.channels.into_iter().map(|channel| channel.samples).collect();
            assert!(seen.insert(traces), "{text} producer {producer}");
        }
    }
}
