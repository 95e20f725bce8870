//! The phases of a run, and how long each took on this rank.

use crate::run::observer::Observer;
use std::{collections::BTreeMap, time::Instant};

/// Seconds that each phase took on this rank.
#[derive(Debug, Default)]
pub(crate) struct Phases {
    done: BTreeMap<String, f64>,
    current: Option<(&'static str, Instant)>,
}

impl Phases {
    /// Ends the current phase and begins the next one.
    pub fn begin(&mut self, name: &'static str, observer: &mut impl Observer) {
        self.end_current();
        self.current = Some((name, Instant::now()));
        observer.phase(name);
    }

    fn end_current(&mut self) {
        if let Some((name, started)) = self.current.take() {
            self.done.insert(name.to_owned(), started.elapsed().as_secs_f64());
        }
    }

    /// Ends the last phase; returns the seconds of each.
    pub fn end(mut self) -> BTreeMap<String, f64> {
        self.end_current();
        self.done
    }
}
