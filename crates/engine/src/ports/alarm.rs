//! The state of a connection: how often and how long the service held it back, and why the service ended it.

use super::Fault;
use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// The state of one connection: a service that is short of memory or disk stops reading from connections that publish,
/// and reports it (`connection.blocked`). A service that rejects a published message may end the channel; without
/// confirms this is the only sign. The transport raises the alarm, the engine reads it ten times a second.
#[derive(Debug, Default)]
pub struct Alarm(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    times: u64,
    before: Duration,
    since: Option<Instant>,
    fault: Option<Fault>,
}

impl Alarm {
    /// The service stops the connection.
    pub fn raise(&self) {
        let mut state = self.state();
        if state.since.is_none() {
            state.times += 1;
            state.since = Some(Instant::now());
        }
    }

    /// The service resumes the connection.
    pub fn clear(&self) {
        let mut state = self.state();
        if let Some(since) = state.since.take() {
            state.before += since.elapsed();
        }
    }

    /// The service ended the connection, or a channel of it. The first reason stays.
    pub fn end(&self, fault: Fault) {
        self.state().fault.get_or_insert(fault);
    }

    /// The connection was renewed: the earlier reason no longer applies.
    pub fn renew(&self) {
        self.state().fault = None;
    }

    /// Why the service ended it, if it did.
    pub fn fault(&self) -> Option<Fault> {
        self.state().fault.clone()
    }

    /// How often it was stopped.
    pub fn times(&self) -> u64 {
        self.state().times
    }

    /// For how long it was stopped so far, including a current stop.
    pub fn blocked(&self) -> Duration {
        let state = self.state();
        state.before + state.since.map_or(Duration::ZERO, |since| since.elapsed())
    }

    /// Whether it is stopped now.
    pub fn is_raised(&self) -> bool {
        self.state().since.is_some()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_counts_once_until_it_is_cleared_and_its_time_goes_on_meanwhile() {
        let alarm = Alarm::default();
        alarm.clear();
        assert_eq!((alarm.times(), alarm.blocked()), (0, Duration::ZERO));
        alarm.raise();
        alarm.raise();
        std::thread::sleep(Duration::from_millis(5));
        assert!(alarm.is_raised() && alarm.blocked() >= Duration::from_millis(5));
        alarm.clear();
        let blocked = alarm.blocked();
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!((alarm.times(), alarm.blocked(), alarm.is_raised()), (1, blocked, false));
        alarm.raise();
        assert_eq!(alarm.times(), 2);
    }

    #[test]
    fn the_first_reason_for_an_end_stays() {
        let alarm = Alarm::default();
        assert_eq!(alarm.fault(), None);
        let fault = |sentence| Fault::new(crate::ports::FaultKind::Lost, sentence);
        alarm.end(fault("refused"));
        alarm.end(fault("closed"));
        assert_eq!(alarm.fault(), Some(fault("refused")));
        alarm.renew();
        assert_eq!(alarm.fault(), None);
    }
}
