//! How figures draw an architecture: a colour and a marker, so that print without colour can still be read.

use crate::values::{unknown, written_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr};

/// Red, green and blue, written as `#rrggbb`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Colour(pub [u8; 3]);

/// The marker at a point of a figure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    /// A filled circle.
    Disc,
    /// A square.
    Square,
    /// A square on its corner.
    Diamond,
    /// A triangle that points up.
    Up,
    /// A triangle that points down.
    Down,
    /// An empty circle.
    Ring,
    /// Two crossed lines.
    Cross,
}

written_as_text!(Colour, Marker);

impl Marker {
    const ALL: [(&'static str, Self); 7] = [
        ("disc", Self::Disc),
        ("square", Self::Square),
        ("diamond", Self::Diamond),
        ("up", Self::Up),
        ("down", Self::Down),
        ("ring", Self::Ring),
        ("cross", Self::Cross),
    ];
}

impl FromStr for Marker {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.iter().find(|(word, _)| *word == text);
        known.map_or_else(|| unknown("a marker", text, &Self::ALL.map(|(word, _)| word)), |(_, marker)| Ok(*marker))
    }
}

impl fmt::Display for Marker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = Self::ALL.iter().find(|(_, marker)| marker == self).map(|(word, _)| *word);
        f.write_str(word.expect("every marker is in the list"))
    }
}

impl FromStr for Colour {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.strip_prefix('#').filter(|digits| digits.len() == 6);
        let number = digits.and_then(|digits| u32::from_str_radix(digits, 16).ok());
        let [_, red, green, blue] = number
            .ok_or_else(|| format!("`{text}` is not a colour: write it as #rrggbb, such as #0072b2"))?
            .to_be_bytes();
        Ok(Self([red, green, blue]))
    }
}

impl fmt::Display for Colour {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([red, green, blue]) = self;
        write!(f, "#{red:02x}{green:02x}{blue:02x}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_and_markers_are_read_as_they_are_written_and_nothing_else_is() {
        assert_eq!("#0072B2".parse::<Colour>().unwrap().to_string(), "#0072b2");
        for wrong in ["", "0072b2", "#0072b", "#0072b2f", "#00 2b2", "blue"] {
            assert!(wrong.parse::<Colour>().unwrap_err().ends_with("write it as #rrggbb, such as #0072b2"), "{wrong}");
        }
        for (word, marker) in Marker::ALL {
            assert_eq!((word.parse(), marker.to_string()), (Ok(marker), word.to_owned()));
        }
        assert!("disk".parse::<Marker>().unwrap_err().contains("did you mean `disc`"));
    }
}
