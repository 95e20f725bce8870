//! Time in which this process ran: limits count only this, so that a suspended process blames no other for its own
//! pause.

use std::{
    pin::pin,
    sync::{
        atomic::{AtomicU64, Ordering::Relaxed},
        mpsc::{Receiver, RecvTimeoutError},
    },
    time::{Duration, Instant},
};
use tokio::{sync::watch, time::timeout};

/// A gap of this length between two checks means that the process was suspended or had no core: no wait of this program
/// is half as long.
pub const SUSPENDED_MIN: Duration = Duration::from_secs(2);
/// How often a waiting thread has to check.
const LOOK_EVERY: Duration = Duration::from_millis(500);

/// A clock that stops while its process is suspended. It has to be read far more often than once in [`SUSPENDED_MIN`].
#[derive(Debug)]
pub struct Awake {
    looked: Instant,
    time: Time,
}

#[derive(Debug, Default)]
struct Time {
    awake: Duration,
    suspended: Duration,
}

impl Time {
    /// Adds a gap between two checks. Part of a long gap counts too, so that every wait ends even if the process runs
    /// rarely.
    fn pass(&mut self, gap: Duration) {
        self.awake += gap.min(SUSPENDED_MIN);
        if gap > SUSPENDED_MIN {
            self.suspended += gap;
        }
    }
}

impl Default for Awake {
    fn default() -> Self {
        Self { looked: Instant::now(), time: Time::default() }
    }
}

impl Awake {
    /// How long this process has been awake since the clock was started.
    pub fn look(&mut self) -> Duration {
        let now = Instant::now();
        self.time.pass(now - self.looked);
        self.looked = now;
        self.time.awake
    }
}

/// Does `work`. The second value is true if this process was suspended meanwhile.
pub async fn and_whether_suspended<T>(work: impl Future<Output = T>) -> (T, bool) {
    let mut awake = Awake::default();
    let mut work = pin!(work);
    loop {
        let done = timeout(LOOK_EVERY, &mut work).await;
        awake.look();
        if let Ok(done) = done {
            return (done, awake.time.suspended > Duration::ZERO);
        }
    }
}

/// For how long this process was suspended, measured on a thread that waits for no other rank: pauses of the main
/// thread may come from MPI.
#[derive(Debug, Default)]
pub(crate) struct Suspended(AtomicU64);

impl Suspended {
    /// The time so far.
    pub fn total(&self) -> Duration {
        Duration::from_nanos(self.0.load(Relaxed))
    }

    /// Measures until `stop`.
    pub async fn watch(&self, mut stop: watch::Receiver<bool>) {
        let mut awake = Awake::default();
        let mut stopped = false;
        while !stopped {
            stopped = timeout(LOOK_EVERY, stop.wait_for(|stop| *stop)).await.is_ok();
            awake.look();
            self.0.store(awake.time.suspended.as_nanos() as u64, Relaxed);
        }
    }
}

/// A limit on one wait or on several together.
#[derive(Debug)]
pub struct Patience {
    awake: Awake,
    limit: Duration,
}

impl Patience {
    /// A limit of `limit`, in time awake.
    pub fn new(limit: Duration) -> Self {
        Self { awake: Awake::default(), limit }
    }

    /// The remaining time.
    pub fn left(&mut self) -> Duration {
        self.limit.saturating_sub(self.awake.look())
    }

    /// Sleeps until something is received.
    ///
    /// # Errors
    ///
    /// [`RecvTimeoutError`] if the time is over, or the sender is gone.
    pub fn receive<T>(&mut self, receiver: &Receiver<T>) -> Result<T, RecvTimeoutError> {
        loop {
            let left = self.left();
            match receiver.recv_timeout(left.min(LOOK_EVERY)) {
                Err(RecvTimeoutError::Timeout) if !left.is_zero() => {}
                done => return done,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_clock_stands_still_while_its_process_does_and_yet_gets_on() {
        let mut time = Time::default();
        time.pass(S);
        assert_eq!((time.awake, time.suspended), (S, Duration::ZERO));
        time.pass(3600 * S);
        assert_eq!((time.awake, time.suspended), (3 * S, 3600 * S));
        (0..10).for_each(|_| time.pass(5 * S));
        assert!(time.awake >= 20 * S, "a process that runs seldom comes to its limits");
    }

    #[tokio::test]
    async fn work_during_which_the_process_had_no_core_is_distinguished_from_other_work() {
        let suspended = async { std::thread::sleep(SUSPENDED_MIN + S) };
        assert!(and_whether_suspended(suspended).await.1);
        assert_eq!(and_whether_suspended(async { 7 }).await, (7, false));
    }

    #[test]
    fn patience_ends_with_what_comes_with_who_would_send_it_and_by_itself() {
        let (sender, receiver) = channel();
        sender.send(7).unwrap();
        let mut patience = Patience::new(Duration::from_millis(1200));
        assert_eq!(patience.receive(&receiver), Ok(7));
        assert_eq!(patience.receive(&receiver), Err(RecvTimeoutError::Timeout));
        assert!(patience.left().is_zero());
        sender.send(8).unwrap();
        assert_eq!(patience.receive(&receiver), Ok(8), "what has come is taken however late it is");
        drop(sender);
        assert_eq!(Patience::new(60 * S).receive(&receiver), Err(RecvTimeoutError::Disconnected));
    }
}
