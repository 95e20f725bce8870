//! The main thread while workers stream: it reports this rank's sums to rank 0, which opens the window and decides the end.

use crate::{
    host::{busy::Watch, usage::resident_bytes},
    ports::{Comm, CommError},
    run::{
        alarms::ConnectionAlarms,
        control::{Control, Ending, Expected, HEARD_EVERY, Overseer, Status, UNHEARD_MAX},
        handing::{self, Pieces},
        observer::{Observer, Snapshot},
        other_end::OtherEnd,
        times::{Times, planned_window},
    },
    time::{awake::Awake, clock::Clock, warm_up::WarmUp},
    worker::progress::Progress,
};
use measure::{Handed, Held};
use profile::{MeasuredWindow, Plan, RunLength};
use std::time::{Duration, Instant};

/// How often a rank checks for control messages and signals; it sleeps in between. A check takes some 30 us. If many
/// ranks share few cores, each check of an idle rank takes time from the working ones.
const NAP: Duration = Duration::from_millis(25);
const NAP_AT_FIRST: Duration = Duration::from_millis(5);
/// How often a rank reports its sums to rank 0: more often at first, because a short run would be over between two
/// reports.
const STATUS_EVERY: Duration = Duration::from_millis(100);
const STATUS_EVERY_AT_FIRST: Duration = Duration::from_millis(10);
/// How long after the limit on streaming a rank waits for rank 0 before it gives up.
const RANK_0_GRACE: Duration = Duration::from_secs(30);

/// The main thread's observations while the workers streamed.
pub(crate) struct Watched {
    /// Why streaming ended, and the last sums; on rank 0 only.
    pub ended: Option<(Ending, Snapshot)>,
    /// Notes on the window for the reader; on rank 0 only.
    pub notes: Vec<String>,
    /// Whether this rank received the window after its start.
    pub late_window: bool,
    pub busy: Watch,
    /// What consumers have handed over of their ledgers and rank 0 has joined; on rank 0 only.
    pub handed: Handed,
    /// What this rank's consumers have handed over and rank 0 has not joined.
    pub pieces: Pieces,
}

/// The main thread of a rank, watching over its workers.
pub(crate) struct Watching<'a, C> {
    comm: &'a C,
    plan: &'a Plan,
    clock: Clock,
    times: &'a Times,
    alarms: &'a ConnectionAlarms,
    /// On rank 0.
    other_end: OtherEnd<'a>,
    started: Instant,
    /// Time of its last report.
    reported: Option<Instant>,
    overseer: Overseer,
    /// Number of reports of each rank that rank 0 has received.
    heard: Vec<u32>,
    /// Number of reports of this rank that rank 0 has not acknowledged.
    unheard: u32,
    /// On rank 0, while the window waits for the end of the warm-up.
    warm_up: Option<(WarmUp, &'a MeasuredWindow)>,
    watched: Watched,
}

impl<'a, C: Comm> Watching<'a, C> {
    /// A watch that has received nothing yet.
    pub fn new(
        comm: &'a C,
        plan: &'a Plan,
        clock: Clock,
        times: &'a Times,
        (alarms, other_end): (&'a ConnectionAlarms, OtherEnd<'a>),
    ) -> Self {
        let planned = match &plan.length {
            RunLength::Window(planned) if comm.rank() == 0 && !planned.is_timed() => Some(planned),
            _ => None,
        };
        Self {
            comm,
            plan,
            clock,
            times,
            alarms,
            other_end,
            started: Instant::now(),
            reported: None,
            overseer: Overseer::new(comm.size(), Expected::of(plan), plan.limits.stream),
            heard: vec![0; comm.size()],
            unheard: 0,
            warm_up: planned.map(|planned| (WarmUp::new(planned), planned)),
            watched: Watched {
                ended: None,
                notes: Vec::new(),
                late_window: false,
                busy: Watch::default(),
                handed: Handed::default(),
                pieces: Pieces::default(),
            },
        }
    }

    /// Watches until rank 0 decides that streaming is over.
    pub fn run(mut self, progress: &[Progress], observer: &mut impl Observer) -> Result<Watched, CommError> {
        // Silence and limits are counted in time awake: a suspended process receives nothing.
        let mut awake = Awake::default();
        let limit = self.plan.limits.stream + RANK_0_GRACE;
        loop {
            let now = awake.look();
            self.watched.busy.look(self.clock.now_ns(), self.times.start_ns, &self.times.window);
            if self.listen(now)? {
                return Ok(self.watched);
            }
            let every = (self.started.elapsed() / 10).clamp(STATUS_EVERY_AT_FIRST, STATUS_EVERY);
            if self.reported.is_none_or(|at| at.elapsed() >= every) {
                self.reported = Some(Instant::now());
                self.report(progress, now, observer)?;
            }
            self.hand_over(progress)?;
            self.open_window()?;
            self.look_at_the_other_end();
            if self.leads()
                && let Some(ending) = self.overseer.decide(now, observer.stop_requested())
            {
                self.end(ending, observer)?;
                return Ok(self.watched);
            }
            if now > limit {
                return Err(CommError::Absent { step: "the end of streaming", limit });
            }
            std::thread::sleep((self.started.elapsed() / 100).clamp(NAP_AT_FIRST, NAP));
        }
    }

    fn leads(&self) -> bool {
        self.comm.rank() == 0
    }

    /// Time streamed so far; zero before the start.
    fn streamed(&self) -> Duration {
        Duration::from_nanos(self.clock.now_ns().saturating_sub(self.times.start_ns))
    }

    /// Handles the messages of other ranks; true if rank 0 ends streaming.
    fn listen(&mut self, now: Duration) -> Result<bool, CommError> {
        while let Some((rank, bytes)) = self.comm.poll()? {
            match Control::decode(&bytes) {
                Control::Status(run, status) if run == self.plan.run => {
                    self.overseer.hear(rank, *status, now);
                    self.heard[rank] += 1;
                    if self.heard[rank].is_multiple_of(HEARD_EVERY) {
                        self.comm.post(rank, &Control::Heard.encode())?;
                    }
                }
                Control::Handed(run, piece) if run == self.plan.run => {
                    handing::take(&mut self.watched.handed, &piece);
                    self.comm.post(rank, &Control::Joined.encode())?;
                }
                Control::Joined => self.watched.pieces.joined(),
                Control::Heard => self.unheard = self.unheard.saturating_sub(HEARD_EVERY),
                Control::Window(window) => {
                    self.watched.late_window = self.clock.now_ns() > window.start_ns;
                    self.times.window.set(window);
                }
                Control::Finish => return Ok(true),
                Control::Status(..) | Control::Handed(..) | Control::Ping | Control::Pong(_) | Control::Timed => {}
            }
        }
        Ok(false)
    }

    /// Reports this rank's sums, unless rank 0 does not receive any.
    fn report(&mut self, progress: &[Progress], now: Duration, observer: &mut impl Observer) -> Result<(), CommError> {
        let mut sums = Status { counters: self.alarms.counters(), blocked: self.alarms.blocked(), ..Status::default() };
        progress.iter().for_each(|worker| sums.merge(&worker.status()));
        sums.resident_bytes = resident_bytes();
        sums.ledger_bytes += self.watched.pieces.bytes() + self.watched.handed.bytes() as u64;
        sums.fault = sums.fault.or_else(|| self.alarms.refusal());
        if self.leads() {
            self.overseer.hear(0, sums, now);
            observer.progress(&self.snapshot());
        } else if self.unheard < UNHEARD_MAX {
            self.unheard += 1;
            self.comm.post(0, &Control::Status(self.plan.run, Box::new(sums)).encode())?;
        }
        Ok(())
    }

    /// Brings what consumers have handed over of their ledgers to rank 0.
    fn hand_over(&mut self, progress: &[Progress]) -> Result<(), CommError> {
        let leads = self.leads();
        let Watched { pieces, handed, .. } = &mut self.watched;
        pieces.collect(progress);
        if leads {
            pieces.join(handed);
            return Ok(());
        }
        pieces.send(self.comm, self.plan.run)
    }

    /// The run goes on until the other end is done, if that is not the run's own.
    fn look_at_the_other_end(&mut self) {
        if !self.leads() {
            return;
        }
        let window_is_over = self.clock.now_ns() >= self.times.window.end_ns();
        let total = self.overseer.total();
        let sent_all = total.producers_done == self.plan.placement.producers;
        let done = self.other_end.is_done(sent_all, total.counters.received, window_is_over);
        self.overseer.other_end(done);
    }

    /// Announces the measured window to all ranks, once the warm-up is over.
    fn open_window(&mut self) -> Result<(), CommError> {
        let streamed = self.streamed();
        let Some((warm_up, planned)) = &mut self.warm_up else { return Ok(()) };
        let Some(warm) = warm_up.hear(streamed, self.overseer.total().counters.received) else { return Ok(()) };
        let window = planned_window(planned, self.times.start_ns + warm.start.as_nanos() as u64);
        self.times.window.set(window);
        self.post_to_all(&Control::Window(window))?;
        self.watched.notes.extend(warm.short);
        self.warm_up = None;
        Ok(())
    }

    /// Ends streaming on all ranks.
    fn end(&mut self, ending: Ending, observer: &mut impl Observer) -> Result<(), CommError> {
        let snapshot = self.snapshot();
        observer.progress(&snapshot);
        if ending != Ending::Complete {
            observer.cut_short(&snapshot, &ending);
        }
        self.post_to_all(&Control::Finish)?;
        self.watched.ended = Some((ending, snapshot));
        Ok(())
    }

    fn post_to_all(&self, control: &Control) -> Result<(), CommError> {
        (1..self.comm.size()).try_for_each(|rank| self.comm.post(rank, &control.encode()))
    }

    fn snapshot(&self) -> Snapshot {
        Snapshot {
            elapsed: self.streamed(),
            total: self.overseer.total(),
            ranks: self.overseer.ranks().cloned().collect(),
            held: Held::default(),
        }
    }
}
