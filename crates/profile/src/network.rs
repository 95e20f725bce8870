//! The distance between two places, as a file describes it.

use crate::{
    error::{ProfileError, wrong},
    layers::sentence,
    names::hint,
    origin::Origin,
    shipped::{self, Kind},
};
use serde::Deserialize;

/// What a testbed puts between two sites.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// One way, such as `16.5ms`.
    pub delay: String,
    /// By how much it wanders.
    pub jitter: Option<String>,
    /// The share of packets that are lost.
    pub loss: Option<String>,
    /// The share of packets that others overtake.
    pub reorder: Option<String>,
    /// Latitude and longitude of one end, in degrees.
    pub from: Option<[f64; 2]>,
    /// Those of the other end.
    pub to: Option<[f64; 2]>,
    /// Where the numbers are from.
    pub source: String,
}

impl Network {
    /// Reads a shipped network by its name, or a file by its path. `read` reads a file that is not shipped.
    ///
    /// # Errors
    ///
    /// [`ProfileError`] if there is no such network, or if a key or a value in it is wrong.
    pub fn read(name: &str, read: impl FnOnce(&str) -> std::io::Result<String>) -> Result<Self, ProfileError> {
        let from = Origin::CommandLine;
        let (origin, text) = match shipped::find(Kind::Network, name) {
            Some(shipped) => (Origin::File(shipped.path.to_owned()), shipped.text.to_owned()),
            None if name.ends_with(".toml") || name.contains('/') => {
                let text = read(name);
                let text =
                    text.map_err(|error| wrong(&from, format!("cannot read the network file `{name}`: {error}")))?;
                (Origin::File(name.to_owned()), text)
            }
            None => {
                return Err(ProfileError::UnknownName {
                    origin: from,
                    kind: Kind::Network.noun(),
                    name: name.to_owned(),
                    hint: hint(name, shipped::list(Kind::Network).map(|shipped| shipped.name)),
                });
            }
        };
        toml::from_str(&text).map_err(|error| wrong(&origin, sentence(&error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Kilometres on the great circle.
    fn apart_km([one, other]: [[f64; 2]; 2]) -> f64 {
        const EARTH_KM: f64 = 6371.0;
        let ([lat, long], [other_lat, other_long]) = (one.map(f64::to_radians), other.map(f64::to_radians));
        let half = |angle: f64| (angle / 2.0).sin().powi(2);
        let chord = half(other_lat - lat) + lat.cos() * other_lat.cos() * half(other_long - long);
        2.0 * EARTH_KM * chord.sqrt().asin()
    }

    #[test]
    fn every_shipped_network_has_a_source_and_is_as_long_as_light_takes() {
        let unread = |_: &str| unreachable!("shipped networks need no files");
        for shipped in shipped::list(Kind::Network) {
            let network = Network::read(shipped.name, unread).unwrap();
            assert!(!network.source.is_empty());
            let delay_ms: f64 = network.delay.strip_suffix("ms").unwrap().parse().unwrap();
            let Some((from, to)) = network.from.zip(network.to) else {
                assert_eq!(delay_ms, 0.0, "{}: only a distance of two places is computed", shipped.name);
                continue;
            };
            let least_ms = apart_km([from, to]) * 4.9e-3;
            assert!((delay_ms - least_ms).abs() < 0.01, "{}: {delay_ms} ms, computed {least_ms}", shipped.name);
            assert!(shipped.text.contains("at least") && shipped.text.contains("No measurement"), "{}", shipped.name);
        }
    }

    #[test]
    fn a_network_of_ones_own_is_a_file_and_mistakes_are_named() {
        let of = |text: &'static str| Network::read("mine.toml", |_| Ok(text.to_owned()));
        let mine = of("delay = '31ms'\nloss = '0.01%'\nsource = 'ping'").unwrap();
        assert_eq!((mine.delay.as_str(), mine.loss.as_deref()), ("31ms", Some("0.01%")));
        let error = of("delay = '31ms'").unwrap_err().to_string();
        assert!(error.contains("mine.toml") && error.contains("source"), "{error}");
        let error = Network::read("slac-olfc", |_| unreachable!()).unwrap_err().to_string();
        assert!(error.contains("no network is called `slac-olfc`") && error.contains("`slac-olcf`"), "{error}");
    }
}
