//! Signals: before streaming they end the process, while streaming they request an orderly end.

use signal_hook::{consts::signal::*, iterator::Signals as Incoming, low_level::signal_name};
use std::sync::{Arc, Mutex, PoisonError};

/// The signals received so far.
#[derive(Clone)]
pub struct Signals {
    state: Arc<Mutex<State>>,
}

/// Called with a signal's name before it ends the process.
type Farewell = Box<dyn FnOnce(&str) + Send>;

#[derive(Default)]
struct State {
    streaming: bool,
    requested: Option<&'static str>,
    farewell: Option<Farewell>,
}

impl Signals {
    /// Catches SIGINT, SIGTERM, SIGHUP and SIGUSR1 from now on. `speaks`: whether this process
    /// reports it.
    pub fn catch(speaks: bool) -> std::io::Result<Self> {
        let signals = Self { state: Arc::default() };
        let state = signals.state.clone();
        let mut incoming = Incoming::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
        std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
            for signal in incoming.forever() {
                let name = signal_name(signal).unwrap_or("a signal");
                let mut state = state.lock().unwrap_or_else(PoisonError::into_inner);
                // A second request means: now.
                if !state.streaming || (state.requested.is_some() && signal == SIGINT) {
                    if speaks {
                        crate::terminal::stderr::say(format_args!("stopped by {name}"));
                    }
                    if let Some(farewell) = state.farewell.take() {
                        farewell(name);
                    }
                    std::process::exit(i32::from(crate::terminal::exit::Exit::Partial as u8));
                }
                state.requested.get_or_insert(name);
            }
        })?;
        Ok(signals)
    }

    /// Calls `farewell`, in place of an earlier one, with the name of the signal that ends the process.
    pub fn before_exit(&self, farewell: impl FnOnce(&str) + Send + 'static) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).farewell = Some(Box::new(farewell));
    }

    /// Sets whether the run streams, so that a signal must wait for the orderly end.
    pub fn set_streaming(&self, streaming: bool) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).streaming = streaming;
    }

    /// The first signal that came while streaming.
    pub fn requested(&self) -> Option<&'static str> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).requested
    }
}
