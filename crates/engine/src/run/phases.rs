//! How long each phase of a run took on this rank.

use crate::run::{observer::Observer, phase::Phase};
use std::{collections::BTreeMap, time::Instant};

/// Seconds that each phase took on this rank.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    done: BTreeMap<Phase, f64>,
    current: Option<(Phase, Instant)>,
}

impl Phases {
    /// Ends the current phase and begins the next one.
    pub fn begin(&mut self, phase: Phase, observer: &mut impl Observer) {
        self.end_current();
        self.current = Some((phase, Instant::now()));
        observer.phase(phase);
    }

    fn end_current(&mut self) {
        if let Some((phase, started)) = self.current.take() {
            self.done.insert(phase, started.elapsed().as_secs_f64());
        }
    }

    /// Ends the last phase; returns the seconds of each.
    pub fn end(mut self) -> BTreeMap<Phase, f64> {
        self.end_current();
        self.done
    }
}
