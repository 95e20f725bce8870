//! What can happen to the wire between clients and the service.

use crate::{
    fault::{Fault, Permits, Scene, Struck, When},
    plan::{Plan, Way},
    wire::Mode,
};
use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use std::{fmt, time::Duration};

struct Line(Mode);

/// One bit is flipped.
pub fn damage(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Line(Mode::Damages(rng.random())))
}

/// Bytes come late from then on.
pub fn delay(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Line(Mode::Delays(Duration::from_millis(rng.random_range(5..200)))))
}

/// Few bytes come through from then on.
pub fn narrow(rng: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Line(Mode::Narrow(rng.random_range(20e3..500e3))))
}

/// All connections are reset, and all that are tried later.
pub fn reset(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Line(Mode::Resets))
}

/// No byte comes through any more, and nobody is told.
pub fn swallow(_: &mut ChaCha8Rng) -> Box<dyn Fault> {
    Box::new(Line(Mode::Swallows))
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Mode::Passes => f.write_str("the wire is whole"),
            Mode::Damages(_) => f.write_str("the wire flips a bit"),
            Mode::Delays(delay) => write!(f, "the wire delays each piece by {} ms", delay.as_millis()),
            Mode::Narrow(rate) => write!(f, "the wire takes {:.0} kB/s", rate / 1e3),
            Mode::Resets => f.write_str("the wire resets all connections"),
            Mode::Swallows => f.write_str("the wire swallows all bytes"),
        }
    }
}

impl Fault for Line {
    fn kind(&self) -> &'static str {
        match self.0 {
            Mode::Passes => "none",
            Mode::Damages(_) => "wire damages",
            Mode::Delays(_) => "wire delays",
            Mode::Narrow(_) => "wire narrow",
            Mode::Resets => "wire resets",
            Mode::Swallows => "wire swallows",
        }
    }

    fn fit(&self, plan: &mut Plan) {
        plan.way = Way::Wire;
    }

    fn permits(&self, _: &Plan, when: When) -> Permits {
        // Nothing connects through it, where it is not whole from the start.
        let early: &[u8] = if when.is_streaming() { &[] } else { &[3] };
        let permits = match self.0 {
            Mode::Passes => Permits::passes_or(&[]),
            Mode::Damages(_) => {
                Permits { lost: true, damaged: true, kept: true, uncounted: true, ..Permits::passes_or(&[3, 4, 7]) }
            }
            Mode::Delays(_) => Permits::passes_or(&[7]),
            // What is on its way may take longer than anybody waits.
            Mode::Narrow(_) => Permits { kept: true, ..Permits::passes_or(&[3, 7]) },
            Mode::Resets | Mode::Swallows => Permits { kept: true, ..Permits::ends_with(&[3, 7]) },
        };
        permits.and(&Permits { passes: true, ..Permits::ends_with(early) })
    }

    fn strike(&self, _: &Plan, scene: &Scene) -> Result<Struck, String> {
        scene.wire.ok_or("no wire")?.set(self.0);
        Ok(Struck::once(self.to_string()))
    }
}
