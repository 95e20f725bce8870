//! The thread on which a rank's workers live. The main thread keeps MPI; neither calls the other's API.

use crate::ports::{Fault, FaultKind};
use std::{
    future::Future,
    io,
    sync::mpsc::{self, Receiver, RecvTimeoutError},
    thread::JoinHandle,
    time::Duration,
};
use tokio::{runtime::Handle, sync::oneshot};

/// A current-thread runtime on a thread of its own.
#[derive(Debug)]
pub struct Workers {
    handle: Handle,
    shutdown: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Workers {
    /// Starts the thread.
    pub fn start() -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let handle = runtime.handle().clone();
        let (shutdown, ended) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name("workers".to_owned()).spawn(move || {
            // Either the sender speaks or it is gone: both mean the end.
            let _ = runtime.block_on(ended);
            runtime.shutdown_background();
        })?;
        Ok(Self { handle, shutdown: Some(shutdown), thread: Some(thread) })
    }

    /// Runs a future on the thread; its result comes through the channel.
    pub fn spawn<T: Send + 'static>(&self, future: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
        let (sender, receiver) = mpsc::channel();
        self.handle.spawn(async move {
            // Nobody listens any more where the main thread has given up waiting.
            let _ = sender.send(future.await);
        });
        receiver
    }

    /// Drives a future from the calling thread, with the thread's timers.
    pub fn block_on<T>(&self, future: impl Future<Output = T>) -> T {
        self.handle.block_on(future)
    }

    /// Runs a future on the thread and sleeps until it is done, at most `limit`.
    pub fn call<T: Send + 'static>(
        &self,
        step: &str,
        limit: Duration,
        future: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        match self.spawn(future).recv_timeout(limit) {
            Ok(result) => result,
            Err(RecvTimeoutError::Timeout) => {
                Err(Fault::new(FaultKind::Unreachable, format!("{step} took more than {} s", limit.as_secs())))
            }
            Err(RecvTimeoutError::Disconnected) => Err(Fault::new(FaultKind::Lost, format!("{step} panicked"))),
        }
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        drop(self.shutdown.take());
        if let Some(thread) = self.thread.take() {
            // A panic of the thread has been reported by the panic hook.
            let _ = thread.join();
        }
    }
}
