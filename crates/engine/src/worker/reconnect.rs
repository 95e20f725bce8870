//! Comes back after a lost connection: tries the next address until one works or the plan's limit is over.

use crate::{
    ports::{Fault, FaultKind, Loss},
    time::{clock::Clock, delay::unit},
    worker::progress::Down,
};
use measure::record::{LostConnection, Outage};
use profile::Reconnect;
use std::{pin::Pin, sync::Arc, time::Duration};
use tokio::{
    task::JoinHandle,
    time::{Instant, Sleep, sleep, timeout},
};

/// A try that begins just before the limit gets this long.
const TRY_MIN: Duration = Duration::from_secs(1);
/// How long all that is published over a connection that was made again may be rejected, before another one is tried.
const REJECTING_MAX: Duration = Duration::from_secs(1);
/// How often in a row that may be the reason: a queue that is full rejects, too.
const DOUBTS_MAX: u32 = 10;
/// Times without a connection that are kept one by one.
const OUTAGES_KEPT: usize = 20;

/// A future connection, ready for use.
pub(crate) type Dialling<C> = Pin<Box<dyn Future<Output = Result<C, Fault>> + Send>>;
/// Connects once more. Its arguments: how many tries there were before, and how many deliveries came before.
pub(crate) type Dial<C> = Box<dyn Fn(u32, u64) -> Dialling<C> + Send>;

/// Comes back after each loss of one connection of a worker.
pub(crate) struct Reconnector<C> {
    rule: Reconnect,
    clock: Clock,
    start_ns: u64,
    dial: Dial<C>,
    /// State of the jitter.
    random: u64,
    down: Arc<Down>,
    /// Tries in the whole run.
    tries: u32,
    /// Since when it tries. It stays when a connection is made, because one that is lost again at once is none.
    since: Instant,
    /// When the connection was made last.
    made: Option<Instant>,
    /// Whether the connection was made again, and has taken no message yet.
    doubtful: bool,
    /// Since when it has rejected all messages.
    rejecting: Option<Instant>,
    /// How often in a row it was given up for that.
    doubts: u32,
    /// The wait after the next try.
    pause: Duration,
    current: Option<Current<C>>,
    lost: LostConnection,
}

/// The current time without a connection.
struct Current<C> {
    began_ns: u64,
    tries: u32,
    fault: Fault,
    step: Step<C>,
}

enum Step<C> {
    Waiting(Pin<Box<Sleep>>),
    /// A task of its own: it ends in order, even if nobody waits for it any more.
    Dialling(JoinHandle<Result<C, Fault>>),
}

/// What belongs to one connection of a worker.
pub(crate) struct Connection<C> {
    /// Its name in the record.
    pub name: String,
    /// Gives each its own waits.
    pub seed: u64,
    pub dial: Dial<C>,
    pub down: Arc<Down>,
}

impl<C: Send + 'static> Reconnector<C> {
    /// For a connection that is not lost. Times are counted from `start_ns`.
    pub fn new(rule: Reconnect, connection: Connection<C>, clock: Clock, start_ns: u64) -> Self {
        let Connection { name, seed, dial, down } = connection;
        Self {
            rule,
            clock,
            start_ns,
            dial,
            random: seed,
            down,
            tries: 0,
            since: Instant::now(),
            made: None,
            doubtful: false,
            rejecting: None,
            doubts: 0,
            pause: rule.backoff.min,
            current: None,
            lost: LostConnection { name, ..LostConnection::default() },
        }
    }

    /// Whether it comes back after this.
    pub fn covers(&self, fault: &Fault) -> bool {
        fault.kind == FaultKind::Lost
    }

    /// Whether the connection is lost and not made again.
    pub fn is_down(&self) -> bool {
        self.current.is_some()
    }

    /// The service has accepted a message.
    pub fn accepted(&mut self) {
        self.doubtful = false;
        self.doubts = 0;
    }

    /// The service has rejected a message. Returns the fault of the connection, if it was made again and has done nothing else for
    /// so long that another one may be better: a broker (RabbitMQ 3.10) that opened a quorum queue for it while the leader was on a
    /// node that is down rejects all that is published over it, until that node is back.
    pub fn rejected(&mut self) -> Option<Fault> {
        if !self.doubtful || self.is_down() || self.doubts == DOUBTS_MAX {
            return None;
        }
        let since = *self.rejecting.get_or_insert_with(Instant::now);
        (since.elapsed() >= REJECTING_MAX).then(|| {
            self.doubts += 1;
            // Others that were in flight over it say nothing new.
            self.doubtful = false;
            let limit = REJECTING_MAX.as_secs();
            Fault::lost(Loss::Rejected, format!("the service rejected all that was published over it for {limit} s"))
        })
    }

    /// The connection was lost.
    pub fn lose(&mut self, fault: Fault) {
        let held = self.made.is_none_or(|made| made.elapsed() > self.rule.backoff.max);
        if held {
            self.since = Instant::now();
            self.pause = self.rule.backoff.min;
        }
        self.down.lose();
        let first = self.rule.backoff.min.mul_f64(unit(&mut self.random));
        let wait = if held { first } else { self.next_pause() };
        let step = Step::Waiting(Box::pin(sleep(wait)));
        self.current = Some(Current { began_ns: self.clock.now_ns(), tries: 0, fault, step });
    }

    /// Waits until the connection is made again. Cancel safe. Call it only while it is down.
    ///
    /// # Errors
    ///
    /// The fault that ends the run: the limit is over, or no further try can succeed.
    pub async fn again(&mut self, delivered: u64) -> Result<C, Fault> {
        loop {
            let current = self.current.as_mut().expect("the connection is lost");
            match &mut current.step {
                Step::Waiting(wait) => {
                    wait.await;
                    let left = self.rule.limit.saturating_sub(self.since.elapsed()).max(TRY_MIN);
                    // The first goes to the next address already.
                    self.tries += 1;
                    current.tries += 1;
                    let dialling = (self.dial)(self.tries, delivered);
                    let limited = async move { timeout(left, dialling).await.unwrap_or_else(|_| Err(too_slow(left))) };
                    current.step = Step::Dialling(tokio::spawn(limited));
                }
                Step::Dialling(dialling) => {
                    let dialled = dialling.await.unwrap_or_else(|error| {
                        Err(Fault::new(FaultKind::Broken, format!("connecting again panicked: {error}")))
                    });
                    match dialled {
                        Ok(connection) => {
                            self.made = Some(Instant::now());
                            (self.doubtful, self.rejecting) = (true, None);
                            self.end(true);
                            return Ok(connection);
                        }
                        Err(fault) if !may_pass(fault.kind) => return Err(fault),
                        Err(fault) if self.since.elapsed() >= self.rule.limit => return Err(self.given_up(&fault)),
                        Err(_) => {
                            let wait = self.next_pause();
                            let current = self.current.as_mut().expect("the connection is lost");
                            current.step = Step::Waiting(Box::pin(sleep(wait)));
                        }
                    }
                }
            }
        }
    }

    /// The times without a connection, if there were any.
    pub fn report(mut self) -> Option<LostConnection> {
        self.end(false);
        (self.lost.all.times > 0).then_some(self.lost)
    }

    /// From half of the wait to all of it, which doubles each time.
    fn next_pause(&mut self) -> Duration {
        let wait = self.pause.mul_f64(0.5 + 0.5 * unit(&mut self.random));
        self.pause = (self.pause * 2).min(self.rule.backoff.max);
        wait
    }

    /// Ends the current time without a connection, if there is one.
    fn end(&mut self, made_again: bool) {
        let Some(Current { began_ns, tries, fault, .. }) = self.current.take() else { return };
        let for_ns = self.clock.now_ns().saturating_sub(began_ns);
        self.down.end(made_again);
        let outage = Outage {
            at_s: began_ns.saturating_sub(self.start_ns) as f64 / 1e9,
            for_s: for_ns as f64 / 1e9,
            cause: fault.loss.unwrap_or(Loss::Other).name().to_owned(),
            tries,
            made_again,
        };
        self.lost.add(outage, OUTAGES_KEPT);
    }

    fn given_up(&self, last: &Fault) -> Fault {
        let current = self.current.as_ref().expect("the connection is lost");
        let (tries, limit) = (current.tries, self.rule.limit);
        Fault {
            loss: current.fault.loss,
            ..Fault::new(
                FaultKind::Lost,
                format!(
                    "{} had no connection for {:.1} s and gave up after {tries} tries, beyond the limit of {} s \
                     (--reconnect): it was lost because {}; the last try failed because {last}",
                    self.lost.name,
                    self.since.elapsed().as_secs_f64(),
                    limit.as_secs_f64(),
                    current.fault
                ),
            )
        }
    }
}

/// Whether a later try may succeed: a service that starts refuses connections, logins and queues for a while.
fn may_pass(kind: FaultKind) -> bool {
    match kind {
        FaultKind::Unreachable | FaultKind::Login | FaultKind::Tls | FaultKind::Lost | FaultKind::Refused => true,
        FaultKind::Shortage | FaultKind::Bodies | FaultKind::Broken => false,
    }
}

fn too_slow(limit: Duration) -> Fault {
    let sentence = format!("connecting again took more than the {:.1} s that were left", limit.as_secs_f64());
    Fault::new(FaultKind::Unreachable, sentence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::Backoff;
    use std::{collections::HashSet, sync::Mutex};

    const MS: Duration = Duration::from_millis(1);

    /// Connects at the `works`-th try; all tries are noted.
    fn reconnector(works: u32, limit: Duration, noted: &Arc<Mutex<Vec<u32>>>, seed: u64) -> Reconnector<u32> {
        let noted = noted.clone();
        let dial: Dial<u32> = Box::new(move |attempt, _| {
            noted.lock().unwrap().push(attempt);
            let result = match attempt {
                attempt if attempt >= works => Ok(attempt),
                _ => Err(Fault::new(FaultKind::Unreachable, "nobody listens")),
            };
            Box::pin(std::future::ready(result))
        });
        let rule = Reconnect { limit, backoff: Backoff { min: MS, max: 8 * MS } };
        let connection = Connection { name: "producer 3".to_owned(), seed, dial, down: Arc::default() };
        Reconnector::new(rule, connection, Clock::default(), 0)
    }

    fn lost() -> Fault {
        Fault::lost(Loss::Reset, "it was reset")
    }

    #[tokio::test]
    async fn each_try_goes_to_the_next_address() {
        let noted = Arc::default();
        let mut reconnector = reconnector(9, 60_000 * MS, &noted, 7);
        reconnector.lose(lost());
        assert_eq!(reconnector.again(0).await, Ok(9));
        assert_eq!(*noted.lock().unwrap(), (1..=9).collect::<Vec<_>>());
        reconnector.lose(lost());
        assert_eq!(reconnector.again(0).await, Ok(10), "not the one that was just lost");
        let report = reconnector.report().unwrap();
        assert_eq!((report.all.times, report.all.made_again, report.first.len()), (2, 2, 2));
        assert_eq!((report.first[0].cause.as_str(), report.first[0].tries), ("reset", 9));
        assert_eq!(report.by_cause["reset"], report.all);
    }

    #[test]
    fn waits_grow_up_to_the_longest_and_differ_between_workers() {
        let mut firsts = HashSet::new();
        for seed in 0..20 {
            let mut reconnector = reconnector(0, 60_000 * MS, &Arc::default(), seed);
            let waits: Vec<_> = (0..6).map(|_| reconnector.next_pause()).collect();
            for (wait, longest) in waits.iter().zip([1, 2, 4, 8, 8, 8]) {
                assert!((longest * MS / 2..=longest * MS).contains(wait), "{waits:?}");
            }
            firsts.insert(waits[0]);
        }
        assert_eq!(firsts.len(), 20);
    }

    #[tokio::test]
    async fn it_gives_up_after_the_limit_with_how_long_it_tried_and_why() {
        let mut reconnector = reconnector(u32::MAX, 100 * MS, &Arc::default(), 7);
        let began = Instant::now();
        reconnector.lose(lost());
        let fault = reconnector.again(0).await.unwrap_err();
        assert!(began.elapsed() >= 100 * MS);
        assert_eq!((fault.kind, fault.loss), (FaultKind::Lost, Some(Loss::Reset)));
        let parts =
            ["producer 3 had no connection for", "limit of 0.1 s (--reconnect)", "it was reset", "nobody listens"];
        assert!(parts.iter().all(|part| fault.sentence.contains(part)), "{fault}");
        assert_eq!(reconnector.report().map(|lost| lost.all.made_again), Some(0));
    }

    #[tokio::test]
    async fn a_connection_that_is_lost_again_at_once_does_not_begin_the_limit_anew() {
        let mut reconnector = reconnector(0, 60_000 * MS, &Arc::default(), 7);
        reconnector.lose(lost());
        reconnector.again(0).await.unwrap();
        let since = reconnector.since;
        // As if no time had passed since.
        reconnector.made = Some(Instant::now());
        reconnector.lose(lost());
        assert_eq!(reconnector.since, since);
        reconnector.again(0).await.unwrap();
        sleep(9 * MS).await;
        reconnector.lose(lost());
        assert!(reconnector.since > since, "it had held");
    }

    #[tokio::test]
    async fn waiting_for_it_can_be_interrupted_and_taken_up_again() {
        let noted = Arc::default();
        let mut reconnector = reconnector(5, 60_000 * MS, &noted, 7);
        reconnector.lose(lost());
        while timeout(MS / 2, reconnector.again(0)).await.is_err() {}
        assert_eq!(noted.lock().unwrap().len(), 5);
        assert!(!reconnector.is_down());
    }
}
