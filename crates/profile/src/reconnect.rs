//! Coming back after a lost connection: how long workers try, and how long they wait between two tries.

use crate::{
    error::{ProfileError, impossible},
    values::{Span, written_as_text},
};
use serde::{Deserialize, Serialize};
use std::{fmt, str::FromStr, time::Duration};

written_as_text!(Backoff);

const BACKOFF: Backoff = Backoff { min: Duration::from_millis(100), max: Duration::from_secs(5) };

/// Coming back after a lost connection, as written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct ReconnectProfile {
    /// How long a worker may be without a connection before it gives up. `0s`: it gives up at once.
    pub limit: Option<Span>,
    /// The waits between two tries: `SHORTEST..LONGEST`; each is up to twice as long as the one before.
    pub backoff: Option<Backoff>,
}

/// The shortest and the longest wait between two tries, as `100ms..5s`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The wait after the first try.
    pub min: Duration,
    /// The longest wait.
    pub max: Duration,
}

/// Coming back after a lost connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reconnect {
    /// How long a worker may be without a connection before it gives up.
    pub limit: Duration,
    /// The waits between two tries.
    pub backoff: Backoff,
}

impl Reconnect {
    /// That of a profile; `None` if a lost connection ends the run.
    pub(crate) fn resolve(written: Option<&ReconnectProfile>) -> Result<Option<Self>, ProfileError> {
        let Some(ReconnectProfile { limit, backoff }) = written else { return Ok(None) };
        let Some(Span(limit)) = *limit else {
            return impossible(
                "service.reconnect says not how long to try: give service.reconnect.limit=30s or --reconnect 30s",
            );
        };
        if limit.is_zero() {
            return Ok(None);
        }
        if let Some(Backoff { max, .. }) = backoff.filter(|backoff| backoff.max > limit) {
            let (max, limit) = (Span(max), Span(limit));
            return impossible(format!(
                "a wait of {max} between two tries is longer than the {limit} for which a worker tries to reconnect: use \
                 service.reconnect.backoff=100ms..{limit} or --reconnect {max}"
            ));
        }
        let Backoff { min, max } = backoff.unwrap_or(BACKOFF);
        Ok(Some(Self { limit, backoff: Backoff { min: min.min(limit), max: max.min(limit) } }))
    }
}

impl FromStr for Backoff {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let time = |text: &str| text.parse::<Span>().ok().map(|span| span.0);
        match text.split_once("..").map(|(min, max)| (time(min), time(max))) {
            Some((Some(min), Some(max))) if !min.is_zero() && min <= max => Ok(Self { min, max }),
            _ => Err(format!("`{text}` is not a valid backoff: write 100ms..5s, the shortest wait first and above 0")),
        }
    }
}

impl fmt::Display for Backoff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", Span(self.min), Span(self.max))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Plan, sample};

    fn resolve(text: &str) -> Result<Plan, ProfileError> {
        sample::plan(text, 4)
    }

    #[test]
    fn a_lost_connection_ends_the_run_unless_a_limit_is_given() {
        let reconnect = |text: &str| resolve(text).unwrap().service.reconnect;
        assert_eq!((reconnect(""), reconnect("service.reconnect.limit = '0s'")), (None, None));
        let s = Duration::from_secs;
        assert_eq!(reconnect("service.reconnect.limit = '30s'"), Some(Reconnect { limit: s(30), backoff: BACKOFF }));
        let written = reconnect("[service]\nreconnect = { limit = '9s', backoff = '1s..2s' }");
        assert_eq!(written, Some(Reconnect { limit: s(9), backoff: Backoff { min: s(1), max: s(2) } }));
        let short = reconnect("service.reconnect.limit = '1s'").unwrap();
        assert_eq!(short.backoff.to_string(), "100ms..1s", "no wait is longer than the limit");
    }

    #[test]
    fn a_cut_link_is_noticed_in_seconds_where_workers_come_back() {
        let heartbeat_s = |text: &str| resolve(text).unwrap().service.heartbeat_s;
        assert_eq!((heartbeat_s(""), heartbeat_s("service.reconnect.limit = '30s'")), (30, 3));
        assert_eq!(heartbeat_s("[service]\nheartbeat_s = 9\nreconnect = { limit = '30s' }"), 9);
    }

    #[test]
    fn a_wrong_setting_is_rejected_with_a_right_one() {
        for (text, expected) in [
            ("service.reconnect.backoff = '1s..2s'", "--reconnect 30s"),
            ("service.reconnect.limit = '30'", "write it as 30s"),
            ("[service]\nreconnect = { limit = '1s', backoff = '2s..1s' }", "100ms..5s"),
            ("[service]\nreconnect = { limit = '1s', backoff = '0s..1s' }", "above 0"),
            ("[service]\nreconnect = { limit = '1s', backoff = '1s..2s' }", "--reconnect 2s"),
            ("arch = 'ejfat'\nservice.reconnect.limit = '30s'", "service.reconnect has no meaning over EJFAT"),
        ] {
            let error = resolve(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
