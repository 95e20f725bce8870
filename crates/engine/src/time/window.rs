//! The measured window as every worker of a rank sees it: unset until rank 0 has announced it.

use serde::{Deserialize, Serialize};
use std::sync::atomic::{
    AtomicU64,
    Ordering::{Acquire, Relaxed, Release},
};

/// The measured window, in common time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct WindowTimes {
    /// When the window begins.
    pub start_ns: u64,
    /// When it ends: this instant is not part of it.
    pub end_ns: u64,
    /// When producers stop.
    pub stop_ns: u64,
}

/// The window of a run: set once, and read for every sample.
#[derive(Debug)]
pub struct Window {
    start_ns: AtomicU64,
    end_ns: AtomicU64,
    stop_ns: AtomicU64,
}

const NEVER: u64 = u64::MAX;

impl Default for Window {
    /// A window that is not announced yet: it contains nothing.
    fn default() -> Self {
        Self { start_ns: NEVER.into(), end_ns: NEVER.into(), stop_ns: NEVER.into() }
    }
}

impl Window {
    /// A window that contains every instant: the whole run is measured.
    pub fn always() -> Self {
        Self { start_ns: 0.into(), ..Self::default() }
    }

    /// A window with known times.
    pub fn at(times: WindowTimes) -> Self {
        let window = Self::default();
        window.set(times);
        window
    }

    /// Sets its times.
    pub fn set(&self, times: WindowTimes) {
        self.end_ns.store(times.end_ns, Relaxed);
        self.stop_ns.store(times.stop_ns, Relaxed);
        // A thread that sees the beginning also sees the end.
        self.start_ns.store(times.start_ns, Release);
    }

    /// Whether an instant is inside.
    #[inline]
    pub fn contains(&self, at_ns: u64) -> bool {
        at_ns >= self.start_ns.load(Acquire) && at_ns < self.end_ns.load(Relaxed)
    }

    /// When it begins; [`u64::MAX`] if unknown.
    pub fn start_ns(&self) -> u64 {
        self.start_ns.load(Acquire)
    }

    /// When it ends; [`u64::MAX`] if unknown, or never.
    pub fn end_ns(&self) -> u64 {
        self.end_ns.load(Acquire)
    }

    /// When producers stop; [`u64::MAX`] if unknown, or never.
    #[inline]
    pub fn stop_ns(&self) -> u64 {
        self.stop_ns.load(Relaxed)
    }

    /// Length of its part before `ended_ns`.
    pub fn passed_ns(&self, ended_ns: u64) -> u64 {
        ended_ns.min(self.end_ns()).saturating_sub(self.start_ns())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_inside_until_the_window_is_set() {
        let window = Window::default();
        assert!(!window.contains(0) && !window.contains(NEVER - 1));
        assert_eq!(window.passed_ns(1_000), 0);
        window.set(WindowTimes { start_ns: 100, end_ns: 200, stop_ns: 210 });
        let inside: Vec<_> = [99, 100, 199, 200].into_iter().filter(|at_ns| window.contains(*at_ns)).collect();
        assert_eq!(inside, [100, 199]);
        assert_eq!((window.stop_ns(), window.passed_ns(150), window.passed_ns(900)), (210, 50, 100));
        assert!(Window::always().contains(0) && Window::always().contains(NEVER - 1));
    }
}
