//! How busy this process's threads were inside the measured window: running, or waiting for a core.

use crate::{run::workers_thread::WORKERS_THREAD, time::window::Window};
use std::{collections::HashMap, fs};

/// The threads of a rank inside the measured window.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Busy {
    /// Name of the thread that ran the most.
    pub thread: String,
    /// The fraction of the window during which it ran, from 0 to 1 (one core).
    pub of_core: f64,
    /// Time for which threads were ready to run and had no core, summed over threads, in seconds.
    pub waited_s: f64,
    /// Length of the part of the window that took place, in seconds.
    pub window_s: f64,
}

impl Busy {
    /// The part of the window for which the busiest thread ran for something: a spin until a message is due, of which there
    /// were `spun_ns` in `stream_s`, is for nothing.
    pub fn of_core_in_use(&self, spun_ns: u64, stream_s: f64) -> f64 {
        let spins = self.thread == WORKERS_THREAD && stream_s > 0.0;
        let spun = if spins { spun_ns as f64 / (stream_s * 1e9) } else { 0.0 };
        (self.of_core - spun).max(0.0)
    }
}

/// CPU time of one thread so far.
#[derive(Debug, Clone, PartialEq)]
struct Thread {
    name: String,
    ran_ns: u64,
    waited_ns: u64,
}

/// All threads of the process at one instant.
#[derive(Debug, Clone)]
struct Reading {
    at_ns: u64,
    threads: HashMap<u32, Thread>,
}

/// Reads the threads when the window begins and when it ends, if it is polled often enough.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    begin: Option<Reading>,
    end: Option<Reading>,
}

impl Watch {
    /// Takes a reading when the window begins or ends. `start_ns` is the start of streaming; a window does not begin
    /// earlier.
    pub fn look(&mut self, now_ns: u64, start_ns: u64, window: &Window) {
        if self.begin.is_none() && now_ns >= window.start_ns().max(start_ns) {
            self.begin = Some(Reading::now(now_ns));
        }
        if self.begin.is_some() && self.end.is_none() && now_ns >= window.end_ns() {
            self.end = Some(Reading::now(now_ns));
        }
    }

    /// The reading of the window up to `ended_ns`; `None` if the window never began or the kernel does not report it.
    pub fn end(self, ended_ns: u64) -> Option<Busy> {
        let begin = self.begin?;
        let end = self.end.unwrap_or_else(|| Reading::now(ended_ns));
        between(&begin, &end)
    }
}

impl Reading {
    /// Threads that end while they are read are left out.
    fn now(at_ns: u64) -> Self {
        let threads = fs::read_dir("/proc/self/task").into_iter().flatten().filter_map(|entry| {
            let entry = entry.ok()?;
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).ok();
            let id = entry.file_name().to_str()?.parse().ok()?;
            Some((id, Thread::parse(read("comm")?.trim_end(), &read("schedstat")?)?))
        });
        Self { at_ns, threads: threads.collect() }
    }
}

impl Thread {
    /// `schedstat` has nanoseconds on a core, nanoseconds waiting for one, and the number of time slices.
    fn parse(name: &str, schedstat: &str) -> Option<Self> {
        let mut numbers = schedstat.split_whitespace().map(str::parse);
        let (ran_ns, waited_ns) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        Some(Self { name: name.to_owned(), ran_ns, waited_ns })
    }
}

fn between(begin: &Reading, end: &Reading) -> Option<Busy> {
    let window_ns = end.at_ns.checked_sub(begin.at_ns).filter(|ns| *ns > 0)?;
    // A new thread used all of its time inside the window.
    let new = Thread { name: String::new(), ran_ns: 0, waited_ns: 0 };
    let since = end.threads.iter().map(|(id, now)| {
        let then = begin.threads.get(id).filter(|then| then.name == now.name).unwrap_or(&new);
        (now, now.ran_ns.saturating_sub(then.ran_ns), now.waited_ns.saturating_sub(then.waited_ns))
    });
    let (mut busiest, mut waited_ns): (Option<(&str, u64)>, u64) = (None, 0);
    for (thread, ran_ns, waited) in since {
        waited_ns += waited;
        if busiest.is_none_or(|(_, most)| ran_ns > most) {
            busiest = Some((&thread.name, ran_ns));
        }
    }
    let (name, ran_ns) = busiest?;
    Some(Busy {
        thread: name.to_owned(),
        of_core: ran_ns as f64 / window_ns as f64,
        waited_s: waited_ns as f64 / 1e9,
        window_s: window_ns as f64 / 1e9,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::window::WindowTimes;
    use nix::{
        sys::time::TimeValLike,
        time::{ClockId, clock_gettime},
        unistd::gettid,
    };

    fn reading(at_ns: u64, threads: &[(u32, &str, u64, u64)]) -> Reading {
        let thread = |(id, name, ran_ns, waited_ns): &(u32, &str, u64, u64)| {
            (*id, Thread { name: (*name).to_owned(), ran_ns: *ran_ns, waited_ns: *waited_ns })
        };
        Reading { at_ns, threads: threads.iter().map(thread).collect() }
    }

    #[test]
    fn the_busiest_thread_is_reported_with_its_part_of_the_window_only() {
        let begin = reading(1_000, &[(1, "workers", 900, 0), (2, "io", 0, 0), (3, "gone", 0, 0)]);
        let end = reading(2_000, &[(1, "workers", 1_200, 50), (2, "io", 850, 100), (4, "new", 10, 7)]);
        let busy = between(&begin, &end).unwrap();
        assert_eq!((busy.thread.as_str(), busy.of_core), ("io", 0.85));
        assert_eq!((busy.waited_s, busy.window_s), (157e-9, 1e-6));
        assert_eq!(between(&end, &end), None, "no time has passed");
        assert_eq!(Thread::parse("io", "nonsense"), None);
    }

    #[test]
    fn a_spin_of_the_workers_is_taken_off_and_that_of_no_other_thread() {
        let busy = |thread: &str| Busy { thread: thread.to_owned(), of_core: 0.95, waited_s: 0.0, window_s: 8.0 };
        assert!((busy(WORKERS_THREAD).of_core_in_use(4_000_000_000, 10.0) - 0.55).abs() < 1e-9);
        assert_eq!(busy("io").of_core_in_use(4_000_000_000, 10.0), 0.95);
        assert_eq!(busy(WORKERS_THREAD).of_core_in_use(20_000_000_000, 10.0), 0.0);
    }

    #[test]
    fn a_window_holds_what_a_thread_ran_in_it_and_begins_with_streaming() {
        // Reading a thread's clock has the kernel update it, so that the next value is not a tick old.
        let cpu_ns = || clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).unwrap().num_nanoseconds() as u64;
        let run_for = |ns: u64| {
            let until = cpu_ns() + ns;
            while cpu_ns() < until {}
        };
        let window = Window::at(WindowTimes { start_ns: 0, end_ns: 2_000, stop_ns: u64::MAX });
        let mut watch = Watch::default();
        watch.look(0, 1_000, &window);
        assert!(watch.begin.is_none(), "streaming has not begun");
        run_for(3_000_000);
        watch.look(1_000, 1_000, &window);
        run_for(20_000_000);
        watch.look(1_999, 1_000, &window);
        assert!(watch.end.is_none(), "the window has not ended");
        watch.look(2_000, 1_000, &window);
        run_for(3_000_000);
        // Of this thread alone: other tests run beside it.
        let own = gettid().as_raw() as u32;
        let [begin, end] = [watch.begin, watch.end].map(|reading| reading.unwrap().threads.remove(&own).unwrap());
        assert!(begin.ran_ns >= 3_000_000, "{begin:?}");
        assert!(end.ran_ns - begin.ran_ns >= 20_000_000, "{begin:?} {end:?}");
    }
}
