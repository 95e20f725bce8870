//! Records of runs -> points -> estimates with intervals.
//!
//! [`fn@load`] reads result directories, [`points`] puts repetitions together, [`statistics`] says what they tell.
//! Nothing measures again, and nothing is dropped in silence.

pub mod compare;
pub mod error;
pub mod load;
pub mod points;
#[cfg(test)]
mod sample;
pub mod statistics;

pub use error::FiguresError;
pub use load::{Failed, LeftOut, Loaded, Run, load};
pub use points::{Key, Point, Points, Quantity};
pub use statistics::{Estimate, Interval};
