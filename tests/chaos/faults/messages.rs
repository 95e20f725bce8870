//! Messages of others among those of a run: without an envelope, or with one that lies.

use crate::{
    fault::{Fault, Injected, Permits, Scene, Struck, When},
    plan::Plan,
};
use rand::{RngExt, seq::IndexedRandom};
use rand_chacha::ChaCha8Rng;
use serde_json::{Value, json};
use std::{
    fmt,
    panic::{AssertUnwindSafe, catch_unwind},
};
use tests::support::amqp::{Client, nested};

/// Above the largest frame that clients agree to.
const LARGE: usize = 200_000;
/// "foreign", in base64.
const BODY: &str = "Zm9yZWlnbg==";

enum Message {
    Foreign(u64),
    /// So deep.
    Nested(usize),
    LargeHeader,
    Forged(Lie, u64),
}

/// What is wrong about an envelope of the run.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Lie {
    /// A producer that the run has, a sequence that it sends, another body.
    Body,
    /// A producer that the run does not have: such a message is foreign.
    Producer,
    /// A sequence that no producer comes to.
    Far,
    /// One that the producer comes to later.
    Future,
}

/// A few messages without an envelope.
pub fn foreign(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Message::Foreign(rng.random_range(1..=20)))
}

/// One with headers nested deep.
pub fn deep_headers(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Message::Nested(*[10, 100, 3000, 20_000].choose(rng).expect("a choice")))
}

/// One with a header larger than a frame.
pub fn large_header(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Message::LargeHeader)
}

/// Some with an envelope of the run, and a lie in it.
pub fn forged(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    let lie = *[Lie::Body, Lie::Producer, Lie::Far, Lie::Future].choose(rng).expect("a choice");
    Box::new(Message::Forged(lie, rng.random_range(1..=3)))
}

impl fmt::Display for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Foreign(count) => write!(f, "{count} foreign message(s)"),
            Self::Nested(depth) => write!(f, "a foreign message with headers nested {depth} deep"),
            Self::LargeHeader => write!(f, "a foreign message with a header of {LARGE} B"),
            Self::Forged(lie, count) => write!(f, "{count} message(s) with a forged envelope ({lie:?})"),
        }
    }
}

impl Message {
    /// Its properties and how many of them there are.
    fn properties(&self, run: &str) -> (Value, u64) {
        match self {
            // Published by hand.
            Self::Nested(_) => (Value::Null, 0),
            Self::Foreign(count) => (json!({"correlation_id": "somebody else's"}), *count),
            Self::LargeHeader => (json!({"headers": {"large": "x".repeat(LARGE)}}), 1),
            Self::Forged(lie, count) => {
                let (producer, sequence) = match lie {
                    Lie::Body => (0, 0u64),
                    Lie::Producer => (0xff_ffff, 1),
                    Lie::Far => (0, (1 << 48) - 1),
                    Lie::Future => (0, 40_000_000),
                };
                let envelope = format!("{run}-{producer:06x}-{sequence:012x}-{:016x}-{:016x}-0badcafe-5ea15ea1", 1, 2);
                (json!({"correlation_id": envelope}), *count)
            }
        }
    }
}

impl Fault for Message {
    fn kind(&self) -> &'static str {
        match self {
            Self::Foreign(_) => "foreign messages",
            Self::Nested(_) => "nested headers",
            Self::LargeHeader => "large header",
            Self::Forged(..) => "forged messages",
        }
    }

    fn fit(&self, _: &mut Plan) {}

    fn permits(&self, _: &Plan, _: When) -> Permits {
        match self {
            Self::Foreign(_) | Self::Nested(_) | Self::LargeHeader | Self::Forged(Lie::Producer, _) => {
                Permits::passes_or(&[])
            }
            // Nobody outside the run can write its seal: they are counted, and nothing else changes.
            Self::Forged(..) => Permits::ends_with(&[4]),
        }
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        let queues: Vec<String> = scene.stage.api.queues()?.into_iter().map(|queue| queue.name).collect();
        let queue = queues
            .iter()
            .find(|queue| queue.contains(".work.") || queue.contains(".consumer.") || queue.contains(".all."));
        let queue = queue.ok_or("there is no queue yet")?;
        let run = queue.split('.').nth(1).ok_or("a queue of no run")?;
        if let Self::Nested(depth) = self {
            publish_nested(scene, queue, *depth)?;
            let mut injected = scene.injected.get();
            injected.foreign += 1;
            scene.injected.set(injected);
        }
        let (properties, count) = self.properties(run);
        for done in 0..count {
            if !scene.stage.api.publish(queue, properties.clone(), BODY)? {
                return Err(format!("{queue} is gone, {done} message(s) later"));
            }
            let mut injected = scene.injected.get();
            match self {
                Self::Forged(lie, _) if *lie != Lie::Producer => injected.forged += 1,
                _ => injected.foreign += 1,
            }
            scene.injected.set(injected);
        }
        Ok(Struck::once(format!("{self} in {queue}")))
    }
}

/// The API takes no such message, so it goes over AMQP: as the user of runs, who may have lost its rights.
fn publish_nested(scene: &Scene, queue: &str, depth: usize) -> Result<(), String> {
    let properties = [b"\x20\0", nested(depth, b'A').as_slice()].concat();
    let publish = || Client::connect(&scene.stage.broker).publish("", queue.as_bytes(), &properties, b"foreign");
    catch_unwind(AssertUnwindSafe(publish)).map_err(|_| "the service takes no message".to_owned())
}

impl Injected {
    /// Of both kinds.
    pub fn all(self) -> u64 {
        self.foreign + self.forged
    }
}
