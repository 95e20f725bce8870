//! What is compiled in: the figures, claims and published values of `analysis`.

macro_rules! figures {
    ($($name:literal),* $(,)?) => {
        /// Name and text of each figure, in the order of a report.
        pub const FIGURES: &[(&str, &str)] =
            &[$(($name, include_str!(concat!("../../../analysis/figures/", $name, ".toml")))),*];
    };
}

figures![
    "throughput",
    "overhead",
    "round-trip",
    "round-trip-cdf-dstream",
    "round-trip-cdf-lstream",
    "broadcast",
    "broadcast-gather-cdf",
    "overhead-ladder",
    "estimator-bias",
    "time-series",
];

/// What the paper states in numbers.
pub const PUBLISHED: &str = include_str!("../../../analysis/published.toml");

/// What the paper claims.
pub const CLAIMS: &str = include_str!("../../../analysis/claims.toml");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{published::Published, specification::Specification};

    #[test]
    fn everything_shipped_is_understood_and_no_file_is_forgotten() {
        for (name, text) in FIGURES {
            Specification::read(name, text).unwrap();
        }
        assert_eq!(Published::read(PUBLISHED).unwrap().len(), 9);
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../analysis/figures");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), FIGURES.len());
    }
}
