//! A replay of files, resolved: which message of which producer is which part of which file.

use crate::{
    defaults,
    error::{ProfileError, impossible},
    files::{Cut, FilesProfile, Found, Order, Reading, Record},
    placement::share,
    profile::MessageProfile,
};
use serde::{Deserialize, Serialize};
use std::{ops::Range, sync::Arc};

/// Files that a printed plan names; of more it has the first ones.
const NAMED_MAX: usize = 1_000;

/// A replay of files, resolved.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Replay {
    /// Files and patterns as written.
    pub paths: Vec<String>,
    /// What of a file is one message.
    pub records: Cut,
    /// The order of messages.
    pub order: Order,
    /// Whether messages start again after the last one.
    #[serde(rename = "loop")]
    pub repeat: bool,
    /// The dataset that is cut, if any.
    pub dataset: Option<String>,
    /// The datasets that go with it.
    pub with: Vec<String>,
    /// When files are read.
    pub read: Reading,
    /// Memory for messages of one producer.
    pub memory_bytes: u64,
    /// How many files there are.
    pub file_count: u64,
    /// Names and sizes of the first 1,000.
    pub files: Vec<(String, u64)>,
    /// Messages in all files.
    pub messages: u64,
    /// Bytes of all messages.
    pub bytes: u64,
    /// Events in all messages.
    pub events: u64,
    /// Size of the smallest message.
    pub least_bytes: u64,
    /// SHA-256 over names, sizes and, if `hashed`, all messages.
    pub sha256: String,
    /// Whether the checksum of each message is known; else it covers names and sizes.
    pub hashed: bool,
    /// The files and their messages; a printed plan does not contain them.
    #[serde(skip)]
    pub found: Arc<Found>,
    /// The message at each place of the order.
    #[serde(skip)]
    places: Arc<[u32]>,
    producers: u32,
}

impl Replay {
    /// Resolves a replay for `producers` producers, at most `on_rank` of them on a rank. Each lends at most `in_flight` bodies.
    pub(crate) fn resolve(
        written: &MessageProfile,
        (producers, on_rank): (u32, u32),
        in_flight: impl Fn(u64) -> u32,
        seed: u64,
    ) -> Result<Self, ProfileError> {
        without_meaning(written)?;
        let FilesProfile { paths, records, order, repeat, dataset, read, found, .. } = &written.files;
        let (Some(paths), Some(found)) = (paths.clone().filter(|paths| !paths.is_empty()), found.clone()) else {
            return impossible(
                "a workload of format files needs files: [message.files] paths = [\"run42/*.h5\"], or --from 'run42/*.h5'",
            );
        };
        let records = records.unwrap_or(Cut::Whole);
        if !matches!(records, Cut::Frames(_)) && (dataset.is_some() || written.files.with.is_some()) {
            return impossible(
                "message.files.dataset and message.files.with are of frames: add records = \"frames:8\", or leave them out",
            );
        }
        let sizes = || found.records.iter().map(|record| u64::from(record.bytes));
        let mut replay = Self {
            paths,
            records,
            order: order.unwrap_or(Order::Listed),
            repeat: repeat.unwrap_or(true),
            dataset: found.dataset.clone(),
            with: found.with.clone(),
            read: Reading::Ahead,
            memory_bytes: 0,
            file_count: found.files.len() as u64,
            files: found.files.iter().take(NAMED_MAX).map(|file| (file.path.clone(), file.bytes)).collect(),
            messages: found.records.len() as u64,
            bytes: sizes().sum(),
            events: found.records.iter().map(|record| u64::from(record.events)).sum(),
            least_bytes: sizes().min().unwrap_or_default(),
            sha256: found.sha256.clone(),
            hashed: found.hashed,
            places: Arc::default(),
            found: Arc::new(found),
            producers,
        };
        replay.arrange(seed);
        let memory = written.memory.map_or(defaults::FILES_MEMORY_BYTES, |size| size.0) / u64::from(on_rank.max(1));
        let largest = replay.most_bytes();
        let lent = u64::from(in_flight(largest)) + 1;
        let fits = replay.ahead_bytes(lent);
        let (needed, read) = match read {
            Some(Reading::Ahead) => (fits, Reading::Ahead),
            None if fits <= memory => (fits, Reading::Ahead),
            // Beside those on loan, as many that are read while others are sent.
            _ => (2 * (lent + 4) * largest, Reading::Streamed),
        };
        if needed > memory {
            let all = needed.saturating_mul(u64::from(on_rank)).div_ceil(1 << 20);
            let what = match read {
                Reading::Ahead => "to read all messages ahead",
                Reading::Streamed => "to read messages while others are sent",
            };
            return impossible(format!(
                "{on_rank} producer(s) on a rank need {needed} B each {what}, more than the memory for bodies: start more ranks, \
                 lower service.in_flight, or --set message.memory={all}MiB{}",
                if read == Reading::Ahead { ", or message.files.read=streamed" } else { "" }
            ));
        }
        replay.read = read;
        replay.memory_bytes = if read == Reading::Ahead { needed } else { memory };
        Ok(replay)
    }

    /// Puts messages in order.
    fn arrange(&mut self, seed: u64) {
        let mut places: Vec<u32> = (0..self.messages as u32).collect();
        if self.order == Order::Shuffled {
            let mut state = seed;
            for at in (1..places.len()).rev() {
                places.swap(at, ((u128::from(next(&mut state)) * (at as u128 + 1)) >> 64) as usize);
            }
        }
        self.places = places.into();
    }

    /// The same replay with what its files were found to hold, which a plan read from a record lacks.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if the files are not the ones of the plan.
    pub fn restore(&mut self, found: Found, seed: u64) -> Result<(), ProfileError> {
        if found.sha256 != self.sha256 {
            return impossible(format!(
                "the files {} are not those of the record: their SHA-256 is {}, not {}",
                self.paths.join(", "),
                found.sha256,
                self.sha256
            ));
        }
        self.found = Arc::new(found);
        self.arrange(seed);
        Ok(())
    }

    /// The settings with which its files are found again.
    pub fn written(&self) -> FilesProfile {
        FilesProfile {
            paths: Some(self.paths.clone()),
            records: Some(self.records),
            dataset: self.dataset.clone(),
            with: matches!(self.records, Cut::Frames(_)).then(|| self.with.clone()),
            ..FilesProfile::default()
        }
    }

    /// Size of the largest message.
    pub fn most_bytes(&self) -> u64 {
        self.found.records.iter().map(|record| u64::from(record.bytes)).max().unwrap_or_default()
    }

    /// Places of a producer in the order: its own part, the same one message if there are more producers than messages.
    pub fn part(&self, producer: u32) -> Range<u64> {
        let own = share(self.messages, self.producers, producer);
        if own == 0 {
            let one = u64::from(producer) % self.messages;
            return one..one + 1;
        }
        let longer = u64::from(producer).min(self.messages % u64::from(self.producers));
        let start = self.messages / u64::from(self.producers) * u64::from(producer) + longer;
        start..start + own
    }

    /// The place in the order of message `sequence` of a producer.
    pub fn place(&self, producer: u32, sequence: u64) -> u64 {
        let part = self.part(producer);
        part.start + sequence % (part.end - part.start)
    }

    /// The message at a place in the order.
    pub fn record(&self, place: u64) -> &Record {
        &self.found.records[self.places[place as usize] as usize]
    }

    /// Bodies that a producer keeps if it reads ahead: its part as often as it takes so that `lent` can be on loan.
    pub fn kept(&self, producer: u32, lent: u64) -> u64 {
        let part = self.part(producer);
        lent.div_ceil(part.end - part.start).max(1) * (part.end - part.start)
    }

    /// Bytes of the bodies that the producer with the largest part keeps.
    fn ahead_bytes(&self, lent: u64) -> u64 {
        let bytes = |producer| {
            let part = self.part(producer);
            let turns = self.kept(producer, lent) / (part.end - part.start);
            part.map(|place| u64::from(self.record(place).bytes)).sum::<u64>() * turns
        };
        (0..self.producers).map(bytes).max().unwrap_or_default()
    }
}

/// Refuses settings of made messages.
fn without_meaning(written: &MessageProfile) -> Result<(), ProfileError> {
    let made = [
        ("event_bytes", written.event_bytes.is_some()),
        ("events", written.events.is_some()),
        ("fill", written.fill.is_some()),
        ("ring", written.ring.is_some()),
        ("ring_bodies", written.ring_bodies.is_some()),
        ("compressible", written.compressible.is_some()),
    ];
    match made.iter().find(|(_, set)| *set) {
        Some((key, _)) => impossible(format!(
            "message.{key} has no meaning for format files, whose messages are as they are: leave it out"
        )),
        None => Ok(()),
    }
}

/// SplitMix64: the order of a seed must not change with a library.
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let value = (*state ^ *state >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let value = (value ^ value >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    value ^ value >> 31
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{FoundFile, Layer, Origin, Plan, Profile, RunLength, combine};

    fn profile(text: &str, records: u32) -> Profile {
        let file = format!("[message]\nformat = 'files'\n[message.files]\npaths = ['a.bin']\n{text}");
        let layer = Layer::parse(Origin::CommandLine, "workload = 'mine.toml'").unwrap();
        let mut profile = combine(&[layer], |_| Ok(file.clone())).unwrap();
        profile.message.files.found = Some(Found {
            files: vec![FoundFile { path: "a.bin".to_owned(), bytes: u64::from(records) * 1000 }],
            records: (0..records)
                .map(|n| Record { from: u64::from(n) * 1000, bytes: 1000 + n, events: 1, ..Record::default() })
                .collect(),
            sha256: "ab".to_owned(),
            ..Found::default()
        });
        profile
    }

    fn replay(text: &str, records: u32, producers: u32) -> Replay {
        let mut profile = profile(text, records);
        profile.producers = Some(producers);
        Plan::resolve(&profile, 1, 7).unwrap().message.replay.unwrap()
    }

    #[test]
    fn the_parts_of_producers_are_all_messages_once() {
        for (records, producers) in [(10, 1), (10, 3), (9, 3), (7, 7)] {
            let replay = replay("", records, producers);
            let all: Vec<u64> = (0..producers).flat_map(|producer| replay.part(producer)).collect();
            assert_eq!(all, (0..u64::from(records)).collect::<Vec<_>>(), "{records} over {producers}");
        }
        let few = replay("", 2, 5);
        assert_eq!((0..5).map(|producer| few.place(producer, 9)).collect::<Vec<_>>(), [0, 1, 0, 1, 0]);
    }

    #[test]
    fn a_shuffled_order_is_another_one_with_all_messages_and_follows_the_seed() {
        let order = |text: &str| -> Vec<u32> {
            let replay = replay(text, 50, 1);
            (0..50).map(|place| replay.record(place).bytes).collect()
        };
        let (listed, shuffled) = (order(""), order("order = 'shuffled'"));
        assert_ne!(listed, shuffled);
        let mut sorted = shuffled.clone();
        sorted.sort_unstable();
        assert_eq!(sorted, listed);
        assert_eq!(shuffled, order("order = 'shuffled'"));
    }

    #[test]
    fn each_message_is_sent_once_by_default_and_never_again_without_a_loop() {
        let resolve = |text: &str, length: &str| {
            let mut profile = profile(text, 10);
            match length.split_once(' ') {
                Some((_, span)) => profile.duration = Some(span.parse().unwrap()),
                None => profile.messages = length.parse().ok(),
            }
            Plan::resolve(&profile, 1, 7)
        };
        assert_eq!(resolve("", "").unwrap().length, RunLength::Messages(10));
        assert_eq!(resolve("", "25").unwrap().length, RunLength::Messages(25));
        for (text, length, expected) in [
            ("loop = false", "11", "10 messages"),
            ("loop = false", "for 3s", "loop = true"),
            ("read = 'ahead'", "5", ""),
        ] {
            match resolve(text, length) {
                Ok(_) => assert_eq!(expected, ""),
                Err(error) => assert!(!expected.is_empty() && error.to_string().contains(expected), "{error}"),
            }
        }
    }

    #[test]
    fn files_that_do_not_fit_into_memory_are_streamed_and_never_beyond_it() {
        let with = |text: &str, memory: &str| {
            let mut profile = profile(text, 1000);
            profile.message.memory = Some(memory.parse().unwrap());
            Plan::resolve(&profile, 1, 7).map(|plan| plan.message.replay.unwrap())
        };
        assert_eq!(with("", "2MiB").unwrap().read, Reading::Ahead);
        let streamed = with("", "300KiB").unwrap();
        assert_eq!((streamed.read, streamed.memory_bytes), (Reading::Streamed, 300 << 10));
        assert!(with("", "9KiB").unwrap_err().to_string().contains("--set message.memory="));
        assert!(with("read = 'ahead'", "300KiB").unwrap_err().to_string().contains("streamed"));
    }

    #[test]
    fn a_plan_of_a_record_takes_only_its_own_files_back() {
        let profile = profile("order = 'shuffled'", 10);
        let plan = Plan::resolve(&profile, 1, 7).unwrap();
        let mut read: Plan = serde_json::from_str(&serde_json::to_string(&plan).unwrap()).unwrap();
        let found = profile.message.files.found.unwrap();
        let replay = read.message.replay.as_mut().unwrap();
        let other = Found { sha256: "cd".to_owned(), ..found.clone() };
        assert!(replay.restore(other, 1).unwrap_err().to_string().contains("not those of the record"));
        replay.restore(found, 1).unwrap();
        assert_eq!(read, plan);
    }
}
