//! The compiled-in figures, claims and published values of `analysis`.

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
    "service-settings",
    "saturation",
    "distance",
    "distance-round-trip",
    "loss",
    "neighbours",
    "resilience",
    "many-consumers",
    "service-links",
    "utilisation",
    "ejfat-rate",
    "ejfat-latency",
    "ejfat-shares",
    "estimator-bias",
    "time-series",
];

/// The paper's numbers.
pub const PUBLISHED: &str = include_str!("../../../analysis/published.toml");

/// The paper's claims.
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

    #[test]
    fn the_notebook_names_fields_that_records_have() {
        let analysis = std::path::Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../analysis"));
        let read = |file: &str| -> serde_json::Value {
            serde_json::from_str(&std::fs::read_to_string(analysis.join(file)).unwrap()).unwrap()
        };
        let (notebook, record) = (read("explore.ipynb"), read("example/dts-1/record.json"));
        assert_eq!(notebook["nbformat"], 4);
        let mut fields = 0;
        for cell in notebook["cells"].as_array().unwrap() {
            for output in cell["outputs"].as_array().into_iter().flatten() {
                assert_ne!(output["output_type"], "error");
            }
            let lines = cell["source"].as_array().into_iter().flatten().filter_map(|line| line.as_str());
            let source = lines.collect::<String>() + cell["source"].as_str().unwrap_or_default();
            for word in source.split('"').filter(|word| word.contains('.') && !word.contains([' ', '/', '*'])) {
                let parts: Vec<&str> = word.split('.').collect();
                if ["plan", "route", "throughput", "latency", "status"].contains(&parts[0]) {
                    assert!(record.pointer(&format!("/{}", parts.join("/"))).is_some(), "{word}");
                    fields += 1;
                }
            }
        }
        assert!(fields >= 7, "{fields}");
    }
}
