//! What is wrong from the start: an address, a limit on time, a limit of the system.

use crate::{
    fault::{Fault, Permits, Setup, When, Wrong},
    plan::{Length, Plan, Way},
    stage::Stage,
};
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};

enum Start {
    Wrong(Wrong),
    ShortTimeout,
    FewFiles(u32),
}

/// A password, a port or an authority that is not the service's.
pub fn wrong_address(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Start::Wrong(*[Wrong::Password, Wrong::Port, Wrong::Authority].choose(rng).expect("a choice")))
}

/// A second for more messages than it can hold.
pub fn short_timeout(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Start::ShortTimeout)
}

/// A limit on open files.
pub fn few_files(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Start::FewFiles(*[12, 16, 20, 24, 32, 48, 64].choose(rng).expect("a choice")))
}

impl fmt::Display for Start {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Wrong(wrong) => write!(f, "the wrong {wrong:?}"),
            Self::ShortTimeout => f.write_str("--timeout 1s"),
            Self::FewFiles(count) => write!(f, "ulimit -n {count}"),
        }
    }
}

impl Fault for Start {
    fn kind(&self) -> &'static str {
        match self {
            Self::Wrong(_) => "wrong address",
            Self::ShortTimeout => "short timeout",
            Self::FewFiles(_) => "few files",
        }
    }

    fn fit(&self, plan: &mut Plan) {
        match self {
            Self::Wrong(_) => plan.way = Way::Address,
            Self::ShortTimeout => {
                plan.length = Length::Messages(10_000_000);
                plan.settings.retain(|(key, _)| !["duration", "warmup", "load.rate", "load.arrivals"].contains(key));
                plan.set("messages", "10000000");
                plan.set_timeout(Duration::from_secs(1));
            }
            Self::FewFiles(_) => plan.make_single(),
        }
    }

    fn permits(&self, _: &Plan, _: When) -> Permits {
        match self {
            Self::Wrong(_) => Permits::ends_with(&[3]),
            Self::ShortTimeout => Permits::ends_with(&[7]),
            // MPI itself may not come up, and ends as it likes.
            Self::FewFiles(_) => Permits {
                killed: true,
                unwritten: true,
                leaderless: true,
                kept: true,
                ..Permits::passes_or(&[1, 3, 7])
            },
        }
    }

    fn strikes_before(&self) -> bool {
        true
    }

    fn prepare(&self, setup: &mut Setup, _: &Stage) -> Result<(), String> {
        match self {
            Self::Wrong(wrong) => setup.wrong = Some(*wrong),
            Self::ShortTimeout => {}
            Self::FewFiles(count) => setup.rank_shell = Some(format!("ulimit -n {count}")),
        }
        Ok(())
    }
}
