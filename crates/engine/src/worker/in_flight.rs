//! Operations that are started in order and settled in bulk, each stamped when it resolved.
//!
//! Waking a task for every message costs more than the message. So each future is polled once, with a waker that only
//! stores the time, and the task waits for one that was started late enough that the earlier ones are ready too (D3).
//! The stamp is taken where the future is resolved (for a client library that is its I/O thread), so a latency does not
//! include the wait until the task runs.

use crate::time::clock::Clock;
use futures_util::future::poll_fn;
use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
};

/// Whoever waits for several is woken this long after the first of them at most, if they resolve as far apart as they were started.
/// Over a distance a window would otherwise stay half empty for a part of each round trip.
const APART_NS: u64 = 250_000;

/// Operations in flight, in the order in which they were started, each with what it is for: that is the order on the wire.
pub(crate) struct Queue<T, F: Future> {
    clock: Clock,
    operations: VecDeque<(T, InFlight<F>)>,
    /// When each was started, in common time.
    started_ns: VecDeque<u64>,
    /// Of settled operations, for the next ones.
    spare: Vec<Watch>,
}

impl<T, F: Future + Unpin> Queue<T, F> {
    /// A queue whose operations are stamped by `clock`.
    pub fn new(clock: Clock) -> Self {
        Self { clock, operations: VecDeque::new(), started_ns: VecDeque::new(), spare: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.operations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.operations.is_empty()
    }

    /// Polls `operation` for the first time.
    pub fn start(&mut self, subject: T, started_ns: u64, operation: F) {
        self.started_ns.push_back(started_ns);
        let watch = self.spare.pop().unwrap_or_else(|| Watch::new(self.clock));
        self.operations.push_back((subject, InFlight::start(operation, watch)));
    }

    /// Waits for the last of the operations, or for the middle one of those that were started together. Earlier ones are then
    /// settled too, since a channel writes in order and a broker confirms nearly in order. If the first is not settled, it is
    /// awaited next.
    pub async fn settled(&mut self, middle: bool) {
        let at = if middle { self.middle() } else { self.len() - 1 };
        let at = if self.operations[at].1.is_settled() { 0 } else { at };
        poll_fn(|cx| self.operations[at].1.poll_settled(cx)).await;
    }

    /// The middle one, or an earlier one if that was started much later than the first.
    fn middle(&self) -> usize {
        let until_ns = self.started_ns[0].saturating_add(APART_NS);
        let together = self.started_ns.partition_point(|started_ns| *started_ns <= until_ns);
        (self.len() / 2).min(together.saturating_sub(1))
    }

    /// Waits for the first of the operations, if there is one. Cancel safe.
    pub async fn first_settled(&mut self) {
        if let Some((_, first)) = self.operations.front_mut() {
            poll_fn(|cx| first.poll_settled(cx)).await;
        }
    }

    /// Gives up the operations that are left; returns what they were for.
    pub fn give_up(&mut self) -> impl Iterator<Item = T> + '_ {
        self.started_ns.clear();
        self.operations.drain(..).map(|(subject, _)| subject)
    }

    /// The first of the operations, if it is settled: what it is for, its output, and when it resolved in common time.
    pub fn pop_settled(&mut self) -> Option<(T, F::Output, u64)> {
        if !self.operations.front_mut()?.1.is_settled() {
            return None;
        }
        let (subject, InFlight { state, watch }) = self.operations.pop_front()?;
        self.started_ns.pop_front();
        let at_ns = watch.stamp.at_ns.load(Ordering::Relaxed);
        self.spare.extend(watch.renew());
        match state {
            State::Settled(output) => Some((subject, output, at_ns)),
            State::Running(_) => None,
        }
    }
}

/// A future that has been polled at least once.
struct InFlight<F: Future> {
    state: State<F>,
    watch: Watch,
}

enum State<F: Future> {
    Running(F),
    Settled(F::Output),
}

/// A stamp, and the waker that sets it.
#[derive(Debug)]
struct Watch {
    stamp: Arc<Stamp>,
    waker: Waker,
}

impl Watch {
    fn new(clock: Clock) -> Self {
        let stamp = Arc::new(Stamp { clock, at_ns: AtomicU64::new(0), listener: Mutex::new(None) });
        Self { waker: stamp.clone().into(), stamp }
    }

    /// For another operation, unless the last one still has its waker.
    fn renew(self) -> Option<Self> {
        (Arc::strong_count(&self.stamp) == 2).then(|| {
            self.stamp.at_ns.store(0, Ordering::Relaxed);
            *self.stamp.listener() = None;
            self
        })
    }
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
    fn listener(&self) -> MutexGuard<'_, Option<Waker>> {
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
    fn start(future: F, watch: Watch) -> Self {
        let mut operation = Self { state: State::Running(future), watch };
        operation.poll_future();
        operation
    }

    /// Whether it has resolved. Costs one load if it has not.
    fn is_settled(&mut self) -> bool {
        let at_ns = &self.watch.stamp.at_ns;
        if let State::Running(_) = self.state
            && at_ns.load(Ordering::Acquire) != 0
        {
            // A spurious wake-up is followed by a new stamp at the final one.
            let woken_ns = at_ns.swap(0, Ordering::AcqRel);
            if self.poll_future() {
                self.watch.stamp.at_ns.store(woken_ns, Ordering::Relaxed);
            }
        }
        matches!(self.state, State::Settled(_))
    }

    /// Ready when it has resolved.
    fn poll_settled(&mut self, cx: &Context<'_>) -> Poll<()> {
        if self.is_settled() {
            return Poll::Ready(());
        }
        *self.watch.stamp.listener() = Some(cx.waker().clone());
        // It may have resolved before the waker was registered.
        if self.is_settled() { Poll::Ready(()) } else { Poll::Pending }
    }

    /// Polls it, unless it has resolved; whether it resolves now.
    fn poll_future(&mut self) -> bool {
        let State::Running(future) = &mut self.state else { return false };
        let Poll::Ready(output) = Pin::new(future).poll(&mut Context::from_waker(&self.watch.waker)) else {
            return false;
        };
        self.state = State::Settled(output);
        let Stamp { clock, at_ns, .. } = &*self.watch.stamp;
        let _ = at_ns.compare_exchange(0, clock.now_ns(), Ordering::Relaxed, Ordering::Relaxed);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::{future::Ready, time::Duration};
    use tokio::sync::oneshot;

    /// A queue with one operation.
    fn started<F: Future + Unpin>(operation: F, clock: Clock) -> Queue<(), F> {
        let mut queue = Queue::new(clock);
        queue.start((), 0, operation);
        queue
    }

    #[tokio::test]
    async fn a_future_is_stamped_when_it_resolves_and_not_when_it_is_looked_at() {
        let clock = Clock::default();
        let (sender, receiver) = oneshot::channel();
        let mut queue = started(receiver, clock);
        assert!(queue.pop_settled().is_none());
        sender.send(7).unwrap();
        let resolved_ns = clock.now_ns();
        std::thread::sleep(Duration::from_millis(50));
        let ((), output, at_ns) = queue.pop_settled().unwrap();
        assert_eq!(output, Ok(7));
        assert!(at_ns <= resolved_ns, "stamped {} ms late", (at_ns - resolved_ns) / 1_000_000);
    }

    #[tokio::test]
    async fn waiting_for_one_ends_when_that_one_resolves() {
        let (sender, receiver) = oneshot::channel();
        let mut queue = started(receiver, Clock::default());
        tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            sender.send(()).unwrap();
        });
        tokio::time::timeout(Duration::from_secs(5), queue.first_settled()).await.unwrap();
        assert!(queue.pop_settled().is_some());
    }

    #[test]
    fn a_window_waits_for_its_middle_unless_that_was_sent_later() {
        let window = |apart_ns: u64| {
            let mut queue = Queue::new(Clock::default());
            (0..16).for_each(|at| queue.start((), 7 + at * apart_ns, std::future::pending::<()>()));
            queue.middle()
        };
        assert_eq!([0, 10_000, 100_000, 10_000_000].map(window), [8, 8, 2, 0]);
    }

    #[test]
    fn what_is_ready_at_once_needs_no_waker() {
        assert_eq!(started(std::future::ready(3), Clock::default()).pop_settled().unwrap().1, 3);
        assert!(started(std::future::pending::<()>(), Clock::default()).pop_settled().is_none());
    }

    #[test]
    fn operations_are_settled_in_the_order_in_which_they_were_started() {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..3).map(|_| oneshot::channel()).unzip();
        let mut queue = Queue::new(Clock::default());
        (0..).zip(receivers).for_each(|(at, receiver)| queue.start(at, 0, receiver));
        for (at, sender) in senders.into_iter().enumerate().rev() {
            assert!(queue.pop_settled().is_none(), "the first has not resolved");
            sender.send(at).unwrap();
        }
        let settled: Vec<_> = std::iter::from_fn(|| queue.pop_settled()).map(|(at, output, _)| (at, output)).collect();
        assert_eq!(settled, [(0, Ok(0)), (1, Ok(1)), (2, Ok(2))]);
    }

    #[test]
    fn a_stamp_is_used_again_unless_its_last_operation_may_still_set_it() {
        let clock = Clock::default();
        let mut queue: Queue<_, Ready<u8>> = Queue::new(clock);
        for at in 0..3 {
            let before_ns = clock.now_ns();
            queue.start((), before_ns, std::future::ready(at));
            let ((), output, at_ns) = queue.pop_settled().unwrap();
            assert!(output == at && at_ns >= before_ns, "stamped anew");
            assert_eq!(queue.spare.len(), 1);
        }
        let (sender, receiver) = std::sync::mpsc::channel();
        let mut queue = started(
            poll_fn(move |cx| {
                sender.send(cx.waker().clone()).unwrap();
                Poll::Ready(())
            }),
            clock,
        );
        assert!(queue.pop_settled().is_some());
        assert!(queue.spare.is_empty(), "a waker of it is left");
        drop(receiver);
    }

    #[test]
    fn a_wake_for_nothing_does_not_stamp() {
        let clock = Clock::default();
        let mut polls = 0;
        let mut queue = started(
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
        assert!(queue.pop_settled().is_none());
        std::thread::sleep(Duration::from_millis(5));
        let later_ns = clock.now_ns();
        queue.operations[0].1.watch.waker.wake_by_ref();
        assert!(queue.pop_settled().unwrap().2 >= later_ns);
    }
}
