//! The streaming phase of one rank: workers run on their thread, the main thread reports and decides.

use crate::{
    host::usage::Usage,
    ports::{Comm, CommError, Fault, FaultKind, Payloads, Publisher, Subscriber, Transport},
    run::{
        alarms::ConnectionAlarms,
        connect::Connected,
        observer::Observer,
        rank::Rank,
        streamed::Streamed,
        times::Times,
        watch::{Watched, Watching},
        wind_down::WindDown,
    },
    time::{
        awake::{Patience, Suspended},
        clock::sleep_until,
        clocks::Clocks,
    },
};
use std::{
    sync::{Arc, mpsc::Receiver},
    time::Instant,
};
use tokio::sync::watch;

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Streams until rank 0 ends it. Fails only if ranks cannot communicate.
    pub fn stream(
        &self,
        workers: Connected<T, P>,
        clocks: &Clocks,
        times: &Times,
        observer: &mut impl Observer,
    ) -> Result<Streamed, CommError> {
        let (producing, consuming) = &workers;
        let producer_facts = producing.iter().map(|producing| producing.publisher.facts().clone()).collect();
        let consumer_facts = consuming.iter().map(|consuming| consuming.subscriber.facts().clone()).collect();
        let alarms = ConnectionAlarms::of(producing, consuming, self.plan.service.reconnect.is_some());
        let (stopper, stop) = watch::channel(false);
        let started = self.start(workers, clocks, times, (&alarms, &stop));
        let usage_at_start = self.usage_at(clocks, times.start_ns);
        let suspended = self.watch_for_suspension(stop);

        let began = Instant::now();
        let watching = Watching::new(self.comm, self.plan, clocks.clock, times, (&alarms, self.other_end()));
        let Watched { ended, notes, late_window, busy, handed, mut pieces } =
            watching.run(&started.progress, observer)?;
        let ended_ns = clocks.clock.now_ns();
        let refused = alarms.refusal();
        let busy = busy.end(ended_ns);
        stopper.send_replace(true);
        let wind_down = WindDown::begin();
        let mut patience = Patience::new(wind_down.to_stop());
        let progress = started.progress.clone();
        let reports = started.gather(&mut patience);
        pieces.collect(&progress);
        let usage = Usage::now().since(&patience.receive(&usage_at_start).unwrap_or_default());
        let suspended = suspended.total();
        let missing = reports.missing;
        let stuck = || Fault::new(FaultKind::Broken, format!("{missing} worker(s) did not stop when streaming ended"));
        let fault = reports.fault().or(refused).or_else(|| (missing > 0).then(stuck));
        Ok(Streamed {
            ended,
            ended_ns,
            notes,
            late_window,
            reports,
            handed,
            pieces: pieces.left(),
            of_connections: alarms.counters(),
            producer_facts,
            consumer_facts,
            usage,
            busy,
            elapsed: began.elapsed(),
            fault,
            suspended,
            wind_down,
        })
    }

    /// Reads the usage of the process at a common time, so that connecting does not count.
    fn usage_at(&self, clocks: &Clocks, at_ns: u64) -> Receiver<Usage> {
        let clock = clocks.clock;
        self.thread.spawn(async move {
            sleep_until(clock, at_ns).await;
            Usage::now()
        })
    }

    /// Detects suspensions of this process until `stop`.
    fn watch_for_suspension(&self, stop: watch::Receiver<bool>) -> Arc<Suspended> {
        let suspended = Arc::<Suspended>::default();
        let watched = suspended.clone();
        drop(self.thread.spawn(async move { watched.watch(stop).await }));
        suspended
    }
}
