//! The record and its series as text: CSV files, and the table on standard output.

mod csv;
mod osu;

pub use csv::{SeriesRow, cdf_csv, ranks_csv, series_csv};
pub use osu::osu_table;
