//! The reports on rank 0, before they are joined.

use crate::{
    result::report::RankReport,
    run::{control::Ending, wind_down::WindDown},
    time::clocks::ClockError,
    worker::inspections::CorruptSample,
};
use measure::{Counters, Histograms, Integrity};

/// The reports on rank 0.
pub(crate) struct Reduced {
    pub ending: Ending,
    /// How much of the measured window there was: less than planned where the run was cut short.
    pub measured_ns: u64,
    /// Warnings about the window.
    pub notes: Vec<String>,
    pub clock_error: ClockError,
    pub counters: Counters,
    pub histograms: Histograms,
    pub ranks: Vec<RankReport>,
    pub integrity: Integrity,
    pub first_corrupt: Option<CorruptSample>,
    /// How long what follows may take.
    pub wind_down: WindDown,
}
