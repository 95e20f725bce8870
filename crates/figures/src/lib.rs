//! Records of runs -> points -> estimates with intervals.
//!
//! [`fn@load`] reads result directories, [`points`] groups repetitions, [`statistics`] estimates medians with
//! intervals. Nothing is measured here, and nothing is dropped without a note.
//!
//! ```no_run
//! use figures::{Failed, Report, load, report::shipped_figures};
//!
//! let loaded = load(&["results".into()], Failed::LeaveOut)?;
//! let report = Report::of(loaded, &shipped_figures(), false)?;
//! # Ok::<(), figures::FiguresError>(())
//! ```

#![forbid(unsafe_code)]
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod answer;
pub mod assumed;
mod axis;
pub mod beside;
mod build;
mod canvas;
pub mod chart;
pub mod claims;
pub mod compare;
pub mod dimension;
pub mod distribution;
mod draw;
pub mod error;
mod estimates;
mod evaluate;
mod experiment;
mod expression;
mod html;
pub mod input;
pub mod judge;
pub mod load;
mod looks;
pub mod measured;
pub mod points;
mod predicted;
pub mod published;
pub mod quantity;
pub mod report;
mod rules;
#[cfg(test)]
mod sample;
pub mod shipped;
pub mod specification;
pub mod statistics;
mod survival;
pub mod tables;
mod terminal;
mod truth;
mod utilisation;
mod windows;

pub use build::build;
pub use claims::Claims;
pub use dimension::{Dimension, Level};
pub use distribution::Distribution;
pub use draw::{panel_svg, png, pngs, svg, swatch_svg};
pub use error::FiguresError;
pub use html::page;
pub use judge::{Judged, Verdict};
pub use load::{Failed, LeftOut, Loaded, Run, load};
pub use measured::Measured;
pub use points::{Key, Point, Points, Quantity};
pub use report::Report;
pub use statistics::{Estimate, Interval};
