//! What the paper states in numbers, from `analysis/published.toml`.

use serde::Deserialize;

use crate::{FiguresError, points::Quantity, quantity, specification::in_one_line};

/// One number of the paper.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The slide that states it; the title slide is 1.
    pub slide: u32,
    /// In few words, as it is written beside it.
    pub text: String,
    /// The workload; every one where absent.
    pub workload: Option<String>,
    /// The pattern.
    pub pattern: String,
    /// The architecture; every one where absent.
    pub architecture: Option<String>,
    /// The quantities that it may be drawn over, by their names.
    pub of: Vec<String>,
    /// Whether it is a ratio to DTS.
    #[serde(default)]
    pub relative: bool,
    /// The number.
    pub value: f64,
    /// Of a distribution: which share is within the value.
    pub share: Option<f64>,
    /// From and to how many consumers it holds; for all where absent.
    pub consumers: Option<[u32; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    value: Vec<Published>,
}

impl Published {
    /// Reads the file.
    pub fn read(text: &str) -> Result<Vec<Self>, FiguresError> {
        let wrong = |reason: String| FiguresError::Specification { file: "published.toml".to_owned(), reason };
        let File { value } = toml::from_str(text).map_err(|error| wrong(in_one_line(&error.to_string())))?;
        match value.iter().flat_map(|value| &value.of).find(|name| quantity::named(name).is_none()) {
            Some(unknown) => Err(wrong(format!("`{unknown}` is not a valid quantity"))),
            None => Ok(value),
        }
    }

    /// Whether it is about this quantity.
    pub fn is_of(&self, of: Quantity) -> bool {
        self.of.iter().any(|name| quantity::named(name) == Some(of))
    }
}
