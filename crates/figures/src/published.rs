//! The paper's numbers, from `analysis/published.toml`.

use crate::{FiguresError, points::Quantity, quantity, specification::in_one_line};
use serde::Deserialize;

/// One number of the paper.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Published {
    /// The slide that states it; the title slide is 1.
    pub slide: u32,
    /// A short label.
    pub text: String,
    /// The workload; all if absent.
    pub workload: Option<String>,
    /// The pattern.
    pub pattern: String,
    /// The architecture; all if absent.
    pub architecture: Option<String>,
    /// The quantities that it may be drawn over, by their names.
    pub of: Vec<String>,
    /// Whether it is a ratio to DTS.
    #[serde(default)]
    pub relative: bool,
    /// The number.
    pub value: f64,
    /// For a distribution: the fraction within the value.
    pub share: Option<f64>,
    /// The range of consumers for which it holds; all if absent.
    pub consumers: Option<[u32; 2]>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    value: Vec<Published>,
}

impl Published {
    /// Reads the file.
    ///
    /// # Errors
    ///
    /// [`FiguresError::Specification`] with what is wrong.
    pub fn read(text: &str) -> Result<Vec<Self>, FiguresError> {
        let wrong = |reason: String| FiguresError::Specification { file: "published.toml".to_owned(), reason };
        let File { value } = toml::from_str(text).map_err(|error| wrong(in_one_line(&error.to_string())))?;
        match value.iter().flat_map(|value| &value.of).find(|name| quantity::named(name).is_none()) {
            Some(unknown) => Err(wrong(format!("`{unknown}` is not a valid quantity"))),
            None => Ok(value),
        }
    }

    /// Whether it belongs to this quantity.
    pub fn is_of(&self, of: Quantity) -> bool {
        self.of.iter().any(|name| quantity::named(name) == Some(of))
    }
}
