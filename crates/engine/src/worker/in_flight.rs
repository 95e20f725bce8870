//! Operations that are started in order and settled in bulk, each stamped when it resolved.
//!
//! Waking a task for every message costs more than the message. So each future is polled once, with a waker that only
//! stores the time, and the task waits for one that was started late enough that the earlier ones are ready too (D3).
//! The stamp is taken where the future is resolved (for a client library that is its I/O thread), so a latency does not
//! include the wait until the task runs.

use crate::time::clock::Clock;
use std::{
    pin::Pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// A future that has been polled at least once.
#[derive(Debug)]
pub(crate) struct InFlight<F: Future> {
    future: F,
    output: Option<F::Output>,
    stamp: Arc<Stamp>,
    waker: Waker,
}

/// When a future woke its task, and the task to wake.
#[derive(Debug)]
struct Stamp {
    clock: Clock,
    /// Common time; 0 means not yet.
    at_ns: AtomicU64,
    listener: Mutex<Option<Waker>>,
}

impl Stamp {
    fn listener(&self) -> std::sync::MutexGuard<'_, Option<Waker>> {
        self.listener.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Wake for Stamp {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        // Release ordering: a thread that sees the stamp sees everything before it.
        let _ = self.at_ns.compare_exchange(0, self.clock.now_ns(), Ordering::Release, Ordering::Relaxed);
        let listener = self.listener().take();
        if let Some(listener) = listener {
            listener.wake();
        }
    }
}

impl<F: Future + Unpin> InFlight<F> {
    /// Polls `future` for the first time.
    pub fn start(future: F, clock: Clock) -> Self {
        let stamp = Arc::new(Stamp { clock, at_ns: AtomicU64::new(0), listener: Mutex::new(None) });
        let mut operation = Self { future, output: None, waker: stamp.clone().into(), stamp };
        operation.poll_future();
        operation
    }

    /// Whether it has resolved. Costs one load if it has not.
    pub fn is_settled(&mut self) -> bool {
        if self.output.is_none() && self.stamp.at_ns.load(Ordering::Acquire) != 0 {
            // A spurious wake-up is followed by a new stamp at the final one.
            let woken_ns = self.stamp.at_ns.swap(0, Ordering::AcqRel);
            self.poll_future();
            if self.output.is_some() {
                self.stamp.at_ns.store(woken_ns, Ordering::Relaxed);
            }
        }
        self.output.is_some()
    }

    /// Ready when it has resolved.
    pub fn poll_settled(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.is_settled() {
            return Poll::Ready(());
        }
        *self.stamp.listener() = Some(cx.waker().clone());
        // It may have resolved before the waker was registered.
        if self.is_settled() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Its output, and when it resolved, in common time. `None` if it has not.
    pub fn settled(mut self) -> Option<(F::Output, u64)> {
        self.is_settled();
        let at_ns = self.stamp.at_ns.load(Ordering::Relaxed);
        self.output.map(|output| (output, at_ns))
    }

    fn poll_future(&mut self) {
        let mut cx = Context::from_waker(&self.waker);
        if let Poll::Ready(output) = Pin::new(&mut self.future).poll(&mut cx) {
            self.output = Some(output);
            let now_ns = self.stamp.clock.now_ns();
            let _ = self.stamp.at_ns.compare_exchange(0, now_ns, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::poll_fn;
    use std::time::Duration;
    use tokio::sync::oneshot;

    #[tokio::test]
    async fn a_future_is_stamped_when_it_resolves_and_not_when_it_is_looked_at() {
        let clock = Clock::default();
        let (sender, receiver) = oneshot::channel();
        let mut operation = InFlight::start(receiver, clock);
        assert!(!operation.is_settled());
        sender.send(7).unwrap();
        let resolved_ns = clock.now_ns();
        std::thread::sleep(Duration::from_millis(50));
        assert!(operation.is_settled());
        let (output, at_ns) = operation.settled().unwrap();
        assert_eq!(output, Ok(7));
        assert!(at_ns <= resolved_ns, "stamped {} ms late", (at_ns - resolved_ns) / 1_000_000);
    }

    #[tokio::test]
    async fn waiting_for_one_ends_when_that_one_resolves() {
        let (sender, receiver) = oneshot::channel();
        let mut operation = InFlight::start(receiver, Clock::default());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send(()).unwrap();
        });
        tokio::time::timeout(Duration::from_secs(5), poll_fn(|cx| operation.poll_settled(cx))).await.unwrap();
        assert!(operation.settled().is_some());
    }

    #[test]
    fn what_is_ready_at_once_needs_no_waker() {
        let operation = InFlight::start(std::future::ready(3), Clock::default());
        assert_eq!(operation.settled().unwrap().0, 3);
        assert!(InFlight::start(std::future::pending::<()>(), Clock::default()).settled().is_none());
    }

    #[test]
    fn a_wake_for_nothing_does_not_stamp() {
        let clock = Clock::default();
        let mut polls = 0;
        let mut operation = InFlight::start(
            poll_fn(move |cx| {
                polls += 1;
                // The first wake comes before there is anything.
                if polls == 1 {
                    cx.waker().wake_by_ref()
                }
                if polls < 3 { Poll::Pending } else { Poll::Ready(()) }
            }),
            clock,
        );
        assert!(!operation.is_settled());
        std::thread::sleep(Duration::from_millis(5));
        let later_ns = clock.now_ns();
        operation.waker.wake_by_ref();
        assert!(operation.is_settled());
        assert!(operation.settled().unwrap().1 >= later_ns);
    }
}
