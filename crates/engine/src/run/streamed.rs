//! The result of streaming on one rank.

use crate::{
    host::{busy::Busy, usage::Usage},
    ports::{ConnectionFacts, Counts, Fault},
    record::{of_rank, per_message},
    result::report::RankReport,
    run::{control::Ending, observer::Snapshot, place::Place, start::Reports, wind_down::WindDown},
    time::{awake::Patience, clocks::Compared},
    worker::{ceiling::OwnCost, inspections::CorruptSample},
};
use measure::{
    Counters, Handed, Held, Histogram, Histograms, Metric,
    record::{LostConnection, RankSummary},
};
use profile::Plan;
use std::{sync::mpsc::Receiver, time::Duration};

/// The result of streaming on one rank.
pub(crate) struct Streamed {
    /// Why it ended, and the last sums; on rank 0 only.
    pub ended: Option<(Ending, Snapshot)>,
    /// When it ended, in common time.
    pub ended_ns: u64,
    /// Notes on the window for the reader; on rank 0 only.
    pub notes: Vec<String>,
    pub late_window: bool,
    pub reports: Reports,
    /// What consumers handed over of their ledgers while they streamed, joined; on rank 0 only.
    pub handed: Handed,
    /// What this rank's consumers handed over and rank 0 has not joined, encoded.
    pub pieces: Vec<Vec<u8>>,
    /// Counts of its connections.
    pub of_connections: Counters,
    pub producer_facts: Vec<ConnectionFacts>,
    pub consumer_facts: Vec<ConnectionFacts>,
    pub usage: Usage,
    pub busy: Option<Busy>,
    pub elapsed: Duration,
    pub fault: Option<Fault>,
    /// For how long this process was suspended.
    pub suspended: Duration,
    /// Limits of the steps that follow.
    pub wind_down: WindDown,
}

impl Streamed {
    /// Corrects one-way latencies for the offsets of the clocks, before latencies are summed.
    pub fn settle_one_way(&mut self, compared: &Compared) {
        for report in &mut self.reports.consumers {
            report.one_way.settle(compared, &mut report.histograms);
        }
    }

    /// Sums of the counts and latencies of this rank's workers.
    pub fn sums(&self) -> (Counters, Histograms) {
        let (mut counters, mut histograms) = (self.of_connections, Histograms::new());
        let producers = self.reports.producers.iter().map(|report| (&report.counters, &report.histograms));
        let collectors = self.reports.collectors.iter().map(|report| (&report.counters, &report.histograms));
        let consumers = self.reports.consumers.iter().map(|report| (&report.counters, &report.histograms));
        for (counts, latencies) in producers.chain(collectors).chain(consumers) {
            counters.merge(counts);
            histograms.merge(latencies);
        }
        (counters, histograms)
    }

    /// The first corrupt body that arrived at this rank.
    pub fn first_corrupt(&self) -> Option<&CorruptSample> {
        self.reports
            .consumers
            .iter()
            .filter_map(|report| report.first_corrupt.as_ref())
            .min_by_key(|first| first.arrival.at_ns)
    }

    /// When the last delivery or reply arrived at this rank.
    fn last_arrival_ns(&self) -> Option<u64> {
        let deliveries = self.reports.consumers.iter().filter_map(|report| report.last_ns);
        deliveries.chain(self.reports.collectors.iter().filter_map(|report| report.last_ns)).max()
    }

    /// Its consumers' side of the ledger, encoded.
    pub fn ledgers(&self) -> Vec<Vec<u8>> {
        let last = self.reports.consumers.iter().map(|report| report.deliveries.encode());
        last.chain(self.pieces.iter().cloned()).collect()
    }

    /// This rank's report; `ledgers` are those of its consumers.
    pub fn report(
        &self,
        rank: usize,
        plan: &Plan,
        place: &Place,
        own_cost: OwnCost,
        ledgers: &[Vec<u8>],
    ) -> RankReport {
        let (counters, histograms) = self.sums();
        RankReport {
            summary: self.summary(rank, plan, place, &counters, &histograms),
            machine: place.machine.clone(),
            allowed: place.allowed.clone(),
            own_cost,
            window_s: self.busy.as_ref().map(|busy| busy.window_s),
            producer_facts: self.producer_facts.clone(),
            consumer_facts: self.consumer_facts.clone(),
            transport: self.transport(),
            fault: self.fault.clone(),
            lost: self.lost(),
            resent: self.reports.consumers.iter().map(|report| report.resent.replies).sum(),
            replies_unsure: self.reports.consumers.iter().any(|report| report.resent.lost.is_some()),
            catchup_run_max: self
                .reports
                .producers
                .iter()
                .map(|report| report.catchup_run_max)
                .max()
                .unwrap_or_default(),
            first_sent_ns: self.reports.producers.iter().filter_map(|report| Some(report.sent_ns?.0)).min(),
            last_sent_ns: self.reports.producers.iter().filter_map(|report| Some(report.sent_ns?.1)).max(),
            last_arrival_ns: self.last_arrival_ns(),
            late_window: self.late_window,
            suspended: self.suspended,
            extremes: histograms.extremes(),
            spans: self.reports.consumers.iter().map(|report| report.span).collect(),
            timelines: self.reports.consumers.iter().filter_map(|report| report.timeline.clone()).collect(),
            sent: self.reports.producers.iter().map(|report| (report.index, report.sent.encode())).collect(),
            ledger_bytes: ledgers.iter().map(|ledger| ledger.len() as u64).sum(),
            external_bytes: self
                .reports
                .consumers
                .iter()
                .filter_map(|report| report.external_bytes)
                .reduce(|one, other| (one.0.min(other.0), one.1.max(other.1))),
            first_corrupt_ns: self.first_corrupt().map(|first| first.arrival.at_ns),
            replies: self
                .reports
                .collectors
                .iter()
                .map(|report| report.ledgers.iter().map(measure::Deliveries::encode).collect())
                .collect(),
        }
    }

    /// The connections of its workers that were lost, if they came back.
    fn lost(&self) -> Vec<LostConnection> {
        let producers = self.reports.producers.iter().map(|report| &report.lost);
        let collectors = self.reports.collectors.iter().map(|report| &report.lost);
        let consumers = self.reports.consumers.iter().flat_map(|report| [&report.lost, &report.resent.lost]);
        producers.chain(collectors).chain(consumers).flatten().cloned().collect()
    }

    /// Counts of the transport, summed over this rank's workers.
    fn transport(&self) -> Counts {
        let producers = self.reports.producers.iter().map(|report| &report.transport);
        let mut sums = Counts::new();
        for (name, count) in producers.chain(self.reports.consumers.iter().map(|report| &report.transport)).flatten() {
            *sums.entry(name.clone()).or_default() += count;
        }
        sums
    }

    /// The record's entry of this rank.
    fn summary(
        &self,
        rank: usize,
        plan: &Plan,
        place: &Place,
        counters: &Counters,
        histograms: &Histograms,
    ) -> RankSummary {
        let Usage { user_s, system_s, max_rss_bytes, voluntary_switches, involuntary_switches } = self.usage;
        let (busy, stream_s) = (self.busy.as_ref(), self.elapsed.as_secs_f64());
        let lag = histograms.get(Metric::ScheduleLag).map(Histogram::summary).unwrap_or_default();
        RankSummary {
            host: place.machine.host.clone(),
            pid: std::process::id(),
            cpu_us_per_message: per_message(self.usage.cpu_s(), counters.sent + counters.received),
            cpu_s: self.usage.cpu_s(),
            cpu_user_s: user_s,
            cpu_system_s: system_s,
            voluntary_switches,
            involuntary_switches,
            cores: place.allowed.count(),
            busiest_thread: busy.map(|busy| busy.thread.clone()),
            busiest_thread_of_core: busy.map(|busy| busy.of_core_in_use(counters.spun_ns, stream_s)),
            cpu_wait_s: busy.map(|busy| busy.waited_s),
            schedule_lag_p50_ns: lag.p50_ns,
            schedule_lag_p99_ns: lag.p99_ns,
            schedule_lag_max_ns: lag.max_ns,
            wall_s: stream_s,
            max_rss_bytes: Some(max_rss_bytes),
            failure: self.fault.as_ref().map(ToString::to_string),
            ..of_rank(plan, rank, counters)
        }
    }

    /// Waits until every connection is closed, within limits: acknowledgements reach the broker before its queues are
    /// deleted. Returns the number of messages that this rank's own queues still held.
    pub fn closed(&self) -> Held {
        let mut patience = Patience::new(self.wind_down.to_close());
        // If it is late or gone, nothing more can be done.
        let closed = |closing: &Receiver<Held>| patience.receive(closing).unwrap_or_default();
        let held = self.reports.closing.iter().map(closed).fold(Held::NOTHING, Held::and);
        if self.reports.missing > 0 { Held::default() } else { held }
    }
}
