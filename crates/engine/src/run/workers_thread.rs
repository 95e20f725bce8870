//! The thread on which a rank's workers run. The main thread uses MPI; neither calls the other's API.

use crate::{
    ports::{Fault, FaultKind},
    time::awake::Patience,
};
use std::{
    future::Future,
    io,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{self, Receiver, RecvTimeoutError},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{runtime::Handle, sync::oneshot};

/// Name of the thread that serves the network: no slow library may be called on it.
pub const WORKERS_THREAD: &str = "workers";

/// How long a thread for inspections waits for the next one: longer than any run.
const KEEP_ALIVE: Duration = Duration::from_secs(7 * 24 * 3600);

/// A current-thread runtime on a thread of its own.
#[derive(Debug)]
pub struct WorkersThread {
    handle: Handle,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl WorkersThread {
    /// Starts the thread, which goes idle at most once in `coalesce`.
    pub fn start(coalesce: Duration) -> Result<Self, Fault> {
        Self::try_start(coalesce).map_err(|error| Fault::new(FaultKind::Shortage, shortage::explain(&error)))
    }

    fn try_start(coalesce: Duration) -> io::Result<Self> {
        let mut builder = tokio::runtime::Builder::new_current_thread();
        builder
            .enable_all()
            .on_thread_park(rest(coalesce))
            // For inspections and name look-ups. The inspecting libraries have one lock: more threads would only wait
            // for it.
            .max_blocking_threads(2)
            .thread_keep_alive(KEEP_ALIVE);
        let runtime = shortage::runtime(|| builder.build())?;
        let handle = runtime.handle().clone();
        // The runtime panics if it cannot start such a thread: so the first one is started while threads are available.
        thread::Builder::new().spawn(|| ())?;
        drop(handle.spawn_blocking(|| ()));
        let (shutdown, ended) = oneshot::channel::<()>();
        let thread = thread::Builder::new().name(WORKERS_THREAD.to_owned()).spawn(move || {
            // Otherwise naps of 100 us take 150 us. If the kernel refuses, they do.
            let _ = nix::sys::prctl::set_timerslack(1_000);
            // A message and a dropped sender both mean the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Runs a future on the thread; the channel returns its result.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move {
            // The receiver is gone if the main thread has given up waiting.
            let _ = sender.send(future.await);
        });
        receiver
    }

    /// Drives a future from the calling thread, with the thread's timers.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// Runs a future on the thread and sleeps until it is done, at most `limit` of time awake.
    pub fn call<T: Send + 'static>(
        &self,
        step: &str,
        limit: Duration,
        future: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        match Patience::new(limit).receive(&self.spawn(future)) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err(Fault::new(FaultKind::Unreachable, format!("{step} took more than {} s", limit.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Fault::new(FaultKind::Broken, format!("{step} panicked"))),
        }
    }
}

/// Called before the thread goes idle. If it was idle less than `interval` ago, it sleeps until `interval` has passed,
/// so that messages that arrive meanwhile are handled together (D4). At high rates a wake-up per message costs more CPU
/// than the message; below one message per `interval` nothing is delayed.
fn rest(interval: Duration) -> impl Fn() + Send + Sync {
    let origin = Instant::now();
    let last_ns = AtomicU64::new(0);
    move || {
        let since_last = origin.elapsed().saturating_sub(Duration::from_nanos(last_ns.load(Relaxed)));
        if since_last < interval {
            thread::sleep(interval - since_last);
        }
        last_ns.store(origin.elapsed().as_nanos() as u64, Relaxed);
    }
}

impl Drop for WorkersThread {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
