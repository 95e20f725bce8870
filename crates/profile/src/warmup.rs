//! The warm-up before the measured window: `2s`, `500msgs`, `auto`, or several of them joined by `+`.

use crate::values::{Span, written_as_text};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

written_as_text!(Warmup);

/// Per cent by which the rate may still change, by default.
const STEADY_PERCENT: f64 = 5.0;

/// The conditions that must all hold before the measured window begins.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Warmup {
    /// This much time has passed.
    pub time: Option<Duration>,
    /// This many messages were delivered.
    pub messages: Option<u64>,
    /// The rate changes by no more than this many per cent.
    pub steady_percent: Option<f64>,
}

impl FromStr for Warmup {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let mut warmup = Self::default();
        for part in text.split('+').map(str::trim) {
            let twice = if let Some(number) = part.strip_suffix("msgs") {
                let messages = number.trim().parse().ok().filter(|messages| *messages > 0);
                let messages =
                    messages.ok_or_else(|| format!("`{text}`: `{number}` is not a valid number of messages"))?;
                warmup.messages.replace(messages).is_some()
            } else if part == "auto" {
                warmup.steady_percent.replace(STEADY_PERCENT).is_some()
            } else if let Some(percent) = part.strip_prefix("auto:").and_then(|part| part.strip_suffix('%')) {
                let percent = percent.parse().ok().filter(|percent| *percent > 0.0 && *percent <= 100.0);
                let percent = percent.ok_or_else(|| format!("`{text}`: give auto a change such as auto:5%"))?;
                warmup.steady_percent.replace(percent).is_some()
            } else {
                let span = part.parse::<Span>().map_err(|_| {
                    format!(
                        "`{text}` is not a valid warm-up: write 2s, 500msgs, auto or auto:5%, or several joined by +"
                    )
                })?;
                warmup.time.replace(span.0).is_some()
            };
            if twice {
                return Err(format!("`{text}`: `{part}` repeats an earlier part"));
            }
        }
        Ok(warmup)
    }
}

impl fmt::Display for Warmup {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.time.map(|time| Span(time).to_string());
        let messages = self.messages.map(|messages| format!("{messages}msgs"));
        let steady = self.steady_percent.map(|percent| format!("auto:{percent}%"));
        let parts: Vec<String> = [time, messages, steady].into_iter().flatten().collect();
        f.write_str(&parts.join("+"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warm_up_is_read_as_it_is_written() {
        crate::values::tests::check_round_trip::<Warmup>(&["2s", "500msgs", "auto:2.5%", "2s+500msgs+auto:5%"]);
        assert_eq!("auto".parse::<Warmup>().unwrap().steady_percent, Some(5.0));
    }

    #[test]
    fn a_wrong_warm_up_is_rejected_with_the_right_form() {
        for (text, expected) in [
            ("soon", "500msgs"),
            ("0msgs", "not a valid number of messages"),
            ("auto:0%", "auto:5%"),
            ("2s+3s", "repeats an earlier part"),
        ] {
            let error = text.parse::<Warmup>().unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }
}
