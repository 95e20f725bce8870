//! Brings what every rank measured to rank 0: sums by reduce, reports by gather, ledgers in rounds.

use crate::{
    ports::{Comm, Payloads, Transport},
    result::{
        fetch::{Call, Rounds},
        join::join_ledgers,
        reduced::Reduced,
        report::RankReport,
    },
    run::{error::RunError, rank::Rank, streamed::Streamed, times::Times},
    time::clocks::ClockError,
    worker::ceiling::OwnCost,
};
use measure::{Counters, Histograms, Metric};
use profile::Plan;

impl<C: Comm, T: Transport, P: Payloads> Rank<'_, C, T, P> {
    /// Every rank calls it. Returns the result on rank 0, `None` on the others.
    pub fn reduce(
        &self,
        streamed: &mut Streamed,
        times: &Times,
        own_cost: OwnCost,
        clock_error: ClockError,
    ) -> Result<Option<Reduced>, RunError> {
        let limit = self.plan.limits.collective;
        let (counters, histograms) = streamed.sums();
        let metrics = metrics(self.plan);
        let mut vector = counters.to_vector().to_vec();
        vector.extend(histograms.reduce_vector(&metrics));
        self.comm.reduce_sum(&mut vector, limit)?;
        let ledgers = streamed.ledgers();
        let report = streamed.report(self.comm.rank(), self.plan, self.place, own_cost, &ledgers);
        let bytes = bincode::serde::encode_to_vec(report, bincode::config::standard()).expect("reports encode");
        let ranks: Vec<RankReport> = self
            .comm
            .gather(&bytes, limit)?
            .iter()
            .map(|bytes| bincode::serde::decode_from_slice(bytes, bincode::config::standard()))
            .map(|decoded| decoded.expect("ranks run the same binary").0)
            .collect();
        let call = Call::of(&ranks).spread(self.comm, limit)?;
        let mut rounds = Rounds::new(self.comm, &call, ledgers, limit);
        let handed = std::mem::take(&mut streamed.handed);
        let integrity = streamed.ended.is_some().then(|| join_ledgers(&self.plan.flow, &ranks, handed, &mut rounds));
        rounds.end()?;
        let first_corrupt = call.first_corrupt(self.comm, streamed.first_corrupt(), limit)?;
        let ending = streamed.ended.as_ref().map(|(ending, _)| ending.clone());
        let Some((ending, integrity)) = ending.zip(integrity) else { return Ok(None) };
        let (counters, counts) = vector.split_at(Counters::VECTOR_LEN);
        let counters = Counters::from_vector(counters.try_into().expect("split at its length"));
        let histograms = Histograms::from_reduced(counts, &metrics, &RankReport::merge_extremes(&ranks));
        let measured_ns = times.window.passed_ns(streamed.ended_ns);
        let notes = streamed.notes.clone();
        Ok(Some(Reduced {
            ending,
            measured_ns,
            notes,
            clock_error,
            counters,
            histograms,
            ranks,
            integrity,
            first_corrupt,
            wind_down: streamed.wind_down,
        }))
    }
}

/// The latencies that a run measures: only these are summed over ranks.
fn metrics(plan: &Plan) -> Vec<Metric> {
    let flow = &plan.flow;
    let always = [Metric::Confirm, Metric::OneWay].into_iter();
    let replied = [Metric::RttFromDue, Metric::RttFromSent, Metric::Service].into_iter().filter(|_| flow.replies > 0);
    let paced = plan.load.is_paced();
    let confirmed = (paced && plan.service.confirms.wanted()).then_some(Metric::ConfirmFromDue);
    let paced = paced.then_some(Metric::ScheduleLag).into_iter().chain(confirmed);
    let external = plan.external.as_ref();
    let stamped = external.filter(|external| external.timestamp.is_some()).map(|_| Metric::FromTimestamp);
    let reported = external.filter(|_| flow.replies > 0).map(|_| [Metric::ConsumerOwn, Metric::RttWithoutConsumer]);
    let external = stamped.into_iter().chain(reported.into_iter().flatten());
    let reduced = plan.service.reply.reduces().map(|_| Metric::Reduce);
    always
        .chain(external)
        .chain(replied)
        .chain(flow.gathers.then_some(Metric::Gather))
        .chain(reduced)
        .chain(paced)
        .collect()
}
