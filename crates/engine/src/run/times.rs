//! When a run streams: rank 0 sets the start and draws the seal key, and every rank uses both.

use crate::{
    envelope::SealKey,
    ports::{Comm, Payloads, Transport},
    run::{error::RunError, rank::Rank},
    time::{
        clock::Clock,
        window::{Window, WindowTimes},
    },
};
use profile::{MeasuredWindow, RunLength};
use std::{sync::Arc, time::Duration};

/// Threads of a rank that are busy while it streams: its workers', its client library's and its main thread. All ranks
/// are assumed to be on one host, which errs on the side of not spinning.
const THREADS_OF_A_RANK: usize = 3;

/// When a run streams, in common time.
#[derive(Debug, Clone)]
pub(crate) struct Times {
    pub start_ns: u64,
    /// The key that rank 0 drew for this run.
    pub seal: SealKey,
    pub window: Arc<Window>,
    /// Whether this rank's cores allow a sender to spin.
    pub spin: bool,
}

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Rank 0 sets the start shortly ahead; each rank starts at that time on its own, since a barrier releases ranks at
    /// different times.
    pub fn agree_on_times(&self, clock: Clock) -> Result<Times, RunError> {
        let start_ns = clock.now_ns() + start_margin(self.comm.size()).as_nanos() as u64;
        let mine = [start_ns.to_le_bytes(), SealKey::random().to_bytes()].concat();
        let bytes = self.comm.broadcast(mine, self.plan.limits.collective)?;
        let (words, _) = bytes.as_chunks::<8>();
        let (start_ns, seal) = (u64::from_le_bytes(words[0]), SealKey::from_bytes(words[1]));
        let window = Arc::new(match self.plan.length {
            RunLength::Messages(_) => Window::always(),
            RunLength::Window(planned) if planned.is_timed() => {
                Window::at(planned_window(&planned, start_ns + planned.warmup_ns))
            }
            RunLength::Window(_) => Window::default(),
        });
        // A spinning thread takes a core from others, unless there are more cores than working threads.
        let cores = self.place.machine.cores as usize;
        let own = self.place.allowed.count().is_none_or(|own| own as usize >= THREADS_OF_A_RANK);
        let spin = self.plan.load.spin.unwrap_or(own && cores > THREADS_OF_A_RANK * self.comm.size());
        Ok(Times { start_ns, seal, window, spin })
    }
}

/// How far ahead rank 0 sets the start: the message must reach every rank, and several ranks may share a core.
fn start_margin(ranks: usize) -> Duration {
    Duration::from_millis((40 + 5 * ranks as u64).min(200))
}

/// A window that begins at `start_ns`.
pub(crate) fn planned_window(planned: &MeasuredWindow, start_ns: u64) -> WindowTimes {
    let end_ns = start_ns.saturating_add(planned.window_ns);
    WindowTimes { start_ns, end_ns, stop_ns: end_ns.saturating_add(planned.cooldown_ns) }
}
