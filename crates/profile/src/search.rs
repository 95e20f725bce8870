//! The search for the highest value of a setting at which an expression still holds, such as a rate that keeps a
//! latency low.

use crate::{
    error::{ProfileError, wrong},
    layers::{Layer, table_of},
    origin::Origin,
};
use serde::Deserialize;
use toml::Value;

/// A search as written in an experiment.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Search {
    /// The key of a profile to vary, such as `load.rate`.
    pub key: String,
    /// The first value to try, with its unit: `500/s`.
    pub from: String,
    /// The highest value to try.
    pub to: String,
    /// The expression that must hold for a run's record, as in `--assert`: `rtt_p99 < 50ms`.
    pub keeps: String,
    /// The search ends if the lowest failing value exceeds the highest holding one by no more than this fraction.
    pub resolution: f64,
}

impl Search {
    pub(crate) fn check(&self, origin: &Origin) -> Result<(), ProfileError> {
        let refuse = |what: &str| Err(wrong(origin, format!("search: {what}")));
        let (Some((from, unit)), Some((to, other))) = (split(&self.from), split(&self.to)) else {
            return refuse("give `from` and `to` as a number with its unit, such as \"500/s\"");
        };
        if unit != other || !(0.0 < from && from < to) {
            return refuse("`from` and `to` need one unit, and `from` the smaller number");
        }
        if !(0.01..=1.0).contains(&self.resolution) {
            return refuse("give `resolution` from 0.01 to 1");
        }
        Layer::new(origin.clone(), table_of(&self.key, Value::String(self.from.clone()))).map(|_| ())
    }

    /// The next value to try, after `tried` values, each with whether it held; `None` if the result is known. The value
    /// doubles as long as it holds; then the search halves the factor between the highest holding and the lowest
    /// failing value.
    pub fn next(&self, tried: &[(f64, bool)]) -> Option<f64> {
        let (from, to) = (split(&self.from)?.0, split(&self.to)?.0);
        let held = tried.iter().filter(|(_, held)| *held).map(|(value, _)| *value).reduce(f64::max);
        let failed = tried.iter().filter(|(_, held)| !held).map(|(value, _)| *value).reduce(f64::min);
        let value = match (held, failed) {
            (None, None) => from,
            (Some(held), None) if held >= to => return None,
            (Some(held), None) => (2.0 * held).min(to),
            // Below the first value: down to a thousandth of it, then there is no such value.
            (None, Some(failed)) if failed <= from / 1000.0 => return None,
            (None, Some(failed)) => failed / 4.0,
            (Some(held), Some(failed)) if failed / held <= 1.0 + self.resolution => return None,
            (Some(held), Some(failed)) => (held * failed).sqrt(),
        };
        let value = three_digits(value);
        // Closer than three digits can distinguish.
        tried.iter().all(|(other, _)| *other != value).then_some(value)
    }

    /// The highest value that held, below all that failed.
    pub fn found(&self, tried: &[(f64, bool)]) -> Option<f64> {
        tried.iter().filter(|(_, held)| *held).map(|(value, _)| *value).reduce(f64::max)
    }

    /// A value as text, with its unit.
    pub fn word(&self, value: f64) -> String {
        format!("{value}{}", split(&self.from).map_or("", |(_, unit)| unit))
    }

    /// A value as the layer of highest precedence.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if the key or the value is wrong.
    pub fn layer(&self, value: f64) -> Result<Layer, ProfileError> {
        Layer::new(Origin::File("search".to_owned()), table_of(&self.key, Value::String(self.word(value))))
    }
}

/// `500/s` as 500 and `/s`.
fn split(text: &str) -> Option<(f64, &str)> {
    let end = text.find(|letter: char| !(letter.is_ascii_digit() || letter == '.')).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}

fn three_digits(value: f64) -> f64 {
    let unit = 10f64.powi(value.log10().floor() as i32 - 2);
    // Whole messages, not fractions.
    if unit >= 1.0 { (value / unit).round() * unit } else { (value * 1000.0).round() / 1000.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search() -> Search {
        let text = "key = 'load.rate'\nfrom = '500/s'\nto = '64000/s'\nkeeps = 'rtt_p99 < 50ms'\nresolution = 0.1";
        toml::from_str(text).unwrap()
    }

    /// The values tried if the highest holding value is `capacity`.
    fn tried(capacity: f64) -> Vec<(f64, bool)> {
        let mut tried = Vec::new();
        while let Some(value) = search().next(&tried) {
            tried.push((value, value <= capacity));
            assert!(tried.len() < 30, "it does not end: {tried:?}");
        }
        tried
    }

    #[test]
    fn the_highest_value_that_holds_is_found_to_the_resolution() {
        for capacity in [30.0, 499.0, 500.0, 777.0, 5_432.1, 63_999.0] {
            let tried = tried(capacity);
            let found = search().found(&tried).unwrap();
            assert!(found <= capacity && capacity / found <= 1.11, "{capacity}: {tried:?}");
        }
        assert_eq!(search().found(&tried(1e9)), Some(64_000.0), "no more than the highest is tried");
        assert_eq!(search().found(&tried(0.0)), None);
    }

    #[test]
    fn a_search_that_cannot_be_is_refused() {
        let origin = Origin::File("mine.toml".to_owned());
        search().check(&origin).unwrap();
        for (wrong, expected) in [
            (Search { from: "fast".to_owned(), ..search() }, "500/s"),
            (Search { to: "9Gbit/s".to_owned(), ..search() }, "one unit"),
            (Search { to: "100/s".to_owned(), ..search() }, "smaller"),
            (Search { resolution: 0.0, ..search() }, "0.01"),
            (Search { key: "load.rat".to_owned(), ..search() }, "did you mean `rate`?"),
        ] {
            let error = wrong.check(&origin).unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }
}
