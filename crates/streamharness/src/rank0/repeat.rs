//! How often a run is repeated: `--repeat`, `--until`, `--idle`. Pure.

use crate::{
    cli::arguments::Around,
    terminal::exit::{Exit, Failure},
};
use figures::{Estimate, Quantity, statistics::INTERVAL_RUNS};
use profile::{Span, nearest};
use std::{ops::RangeInclusive, time::Duration};

/// The most runs with `--until`, unless `--repeat` sets another limit.
const MOST: u32 = 30;
/// More would not be repetitions but a campaign; each has a directory with a number of three digits.
const RUNS_MAX: u32 = 999;
const IDLE: Duration = Duration::from_secs(1);

/// How often a run is repeated.
#[derive(Debug, Clone, PartialEq)]
pub struct Repeat {
    /// Runs at least and at most.
    pub runs: RangeInclusive<u32>,
    /// The condition that ends it between these.
    pub until: Option<Until>,
    /// Time between runs in which nothing runs.
    pub idle: Duration,
}

/// The precision of a median that ends the repetitions.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Until {
    /// The quantity.
    pub quantity: Quantity,
    /// Half of its interval as a part of the median must be under this.
    pub part: f64,
}

/// Whether another run follows.
#[derive(Debug, Clone, PartialEq)]
pub enum Next {
    /// Another run follows.
    Another,
    /// No run follows, with the reason.
    End(String),
}

impl Repeat {
    /// The longest time between two runs.
    const IDLE_MAX: Duration = Duration::from_secs(3600);

    /// Whether there may be several runs.
    pub fn is_repeated(&self) -> bool {
        *self.runs.end() > 1
    }

    /// The repetitions on the command line.
    pub fn from_arguments(arguments: &Around) -> Result<Self, Failure> {
        let until = arguments.until.as_deref().map(until).transpose()?;
        let least = if until.is_some() { INTERVAL_RUNS as u32 } else { 1 };
        let runs = match arguments.repeat.as_deref() {
            None if until.is_some() => least..=MOST,
            None => 1..=1,
            Some(text) => range(text, until.is_some())?,
        };
        if until.is_some() && (*runs.start() < least || runs.end() < runs.start()) {
            return usage(format!(
                "an interval of 95 % takes {least} runs: with --until give --repeat {least}-{MOST}, or any two numbers from {least} on"
            ));
        }
        let idle = match arguments.idle.as_deref().map(|text| (text, text.parse::<Span>())) {
            None => IDLE,
            Some((_, Ok(span))) if span.0 <= Self::IDLE_MAX => span.0,
            Some((text, _)) => {
                return usage(format!("--idle {text}: give a time up to an hour, such as 2s"));
            }
        };
        Ok(Self { runs, until, idle })
    }

    /// The next step after `done` runs, some of which may have failed; `estimate` is of the quantity of `--until`.
    pub fn next(&self, done: u32, estimate: Option<&Estimate>) -> Next {
        let Some(Until { quantity, part }) = self.until else {
            return if done < *self.runs.end() {
                Next::Another
            } else {
                Next::End(format!("after {done} runs, as requested"))
            };
        };
        let known = estimate.and_then(Estimate::relative_half_width);
        let enough = estimate.is_some_and(|estimate| estimate.runs() >= *self.runs.start() as usize);
        let wanted = format!("{} to be known to {}", quantity.word(), percent(part));
        match known {
            Some(known) if enough && known < part => Next::End(format!(
                "after {done} runs: {} is known to {}, and {} was requested",
                quantity.word(),
                percent(known),
                percent(part)
            )),
            _ if done < *self.runs.end() => Next::Another,
            Some(known) => Next::End(format!(
                "after {done} runs, the most that were allowed: {wanted} was requested, and it is known to {} only; give \
                 more runs with --repeat {}-N",
                percent(known),
                self.runs.start()
            )),
            None => Next::End(format!(
                "after {done} runs, the most that were allowed: too few of them measured {}",
                quantity.word()
            )),
        }
    }
}

fn percent(part: f64) -> String {
    let text = format!("{:.1}", 100.0 * part);
    format!("{} %", text.trim_end_matches(".0"))
}

fn usage<T>(sentence: String) -> Result<T, Failure> {
    Err(Failure::new(Exit::Usage, sentence))
}

/// `5`, or `6-30` with `--until`.
fn range(text: &str, until: bool) -> Result<RangeInclusive<u32>, Failure> {
    let number = |text: &str| text.trim().parse().ok().filter(|number| (1..=RUNS_MAX).contains(number));
    let parsed = match text.split_once('-') {
        Some((least, most)) if until => number(least).zip(number(most)).map(|(least, most)| least..=most),
        Some(_) => return usage(format!("--repeat {text}: two numbers need an --until that chooses between them")),
        None if until => number(text).map(|most| INTERVAL_RUNS as u32..=most),
        None => number(text).map(|runs| runs..=runs),
    };
    parsed.map_or_else(|| usage(format!("--repeat {text}: give a number from 1 to {RUNS_MAX}")), Ok)
}

/// `ci<5%`, `rtt_p99 ci<10%`.
fn until(text: &str) -> Result<Until, Failure> {
    let wrong = || {
        Failure::new(Exit::Usage, format!("--until '{text}': write it as 'ci<5%' (of throughput) or 'rtt_p99 ci<10%'"))
    };
    let (before, bound) = text.split_once('<').ok_or_else(wrong)?;
    let word = before.trim_end().strip_suffix("ci").ok_or_else(wrong)?.trim();
    let percent = bound.trim().strip_suffix('%').and_then(|number| number.trim().parse::<f64>().ok());
    let part = percent.filter(|percent| *percent > 0.0 && *percent <= 100.0).ok_or_else(wrong)? / 100.0;
    let word = if word.is_empty() { "throughput" } else { word };
    let Some(quantity) = Quantity::called(word) else {
        let words = Quantity::words();
        let hint = nearest(word, words.iter().map(String::as_str));
        let hint =
            hint.map_or_else(|| format!("there are {}", words.join(", ")), |hint| format!("did you mean `{hint}`?"));
        return usage(format!("--until '{text}': nothing is called `{word}`: {hint}"));
    };
    Ok(Until { quantity, part })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(repeat: Option<&str>, until: Option<&str>, idle: Option<&str>) -> Result<Repeat, String> {
        let text = |text: Option<&str>| text.map(str::to_owned);
        let arguments = Around { repeat: text(repeat), until: text(until), idle: text(idle), ..Around::default() };
        Repeat::from_arguments(&arguments).map_err(|failure| failure.sentence)
    }

    #[test]
    fn the_command_line_sets_repetitions_condition_and_pause() {
        assert_eq!(parsed(None, None, None), Ok(Repeat { runs: 1..=1, until: None, idle: IDLE }));
        assert_eq!(
            parsed(Some("5"), None, Some("0s")).unwrap(),
            Repeat { runs: 5..=5, until: None, idle: Duration::ZERO }
        );
        let throughput = Some(Until { quantity: Quantity::MessagesPerSecond, part: 0.05 });
        for text in ["ci<5%", "ci < 5 %", "throughput ci<5%"] {
            assert_eq!(parsed(None, Some(text), None).unwrap().until, throughput, "{text}");
        }
        assert_eq!(parsed(None, Some("ci<5%"), None).unwrap().runs, 6..=30);
        assert_eq!(parsed(Some("12"), Some("ci<5%"), None).unwrap().runs, 6..=12);
        assert_eq!(parsed(Some("8-9"), Some("rtt_p99 ci<5%"), None).unwrap().runs, 8..=9);
        for (repeat, until, idle, expected) in [
            (Some("0"), None, None, "from 1 to 999"),
            (Some("2-3"), None, None, "--until"),
            (Some("3"), Some("ci<5%"), None, "takes 6 runs"),
            (Some("4-9"), Some("ci<5%"), None, "takes 6 runs"),
            (None, Some("ci<0%"), None, "'ci<5%'"),
            (None, Some("5%"), None, "'ci<5%'"),
            (None, Some("trougput ci<5%"), None, "did you mean `throughput`?"),
            (None, None, Some("soon"), "such as 2s"),
        ] {
            let error = parsed(repeat, until, idle).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn it_ends_when_the_median_is_known_well_enough_and_not_before_the_least_or_after_the_most() {
        let repeat = parsed(Some("7-9"), Some("ci<5%"), None).unwrap();
        let close = |runs: usize| Estimate::of(&(0..runs).map(|run| 100.0 + run as f64).collect::<Vec<_>>()).unwrap();
        let wide = |runs: usize| Estimate::of(&(1..=runs).map(|run| 100.0 * run as f64).collect::<Vec<_>>()).unwrap();
        assert_eq!(repeat.next(6, Some(&close(6))), Next::Another, "not yet the least");
        assert_eq!(repeat.next(7, Some(&close(6))), Next::Another, "one of them failed");
        assert!(matches!(repeat.next(7, Some(&close(7))), Next::End(why) if why.contains("is known to 2")));
        assert_eq!(repeat.next(8, Some(&wide(8))), Next::Another);
        assert!(
            matches!(repeat.next(9, Some(&wide(9))), Next::End(why) if why.contains("the most") && why.contains("only"))
        );
        assert!(matches!(repeat.next(9, None), Next::End(why) if why.contains("too few")));
        let repeat = parsed(Some("2"), None, None).unwrap();
        assert_eq!(repeat.next(1, None), Next::Another);
        assert_eq!(repeat.next(2, None), Next::End("after 2 runs, as requested".to_owned()));
    }
}
