//! Samples the load balancer of EJFAT once a second while a run streams, on a thread of its own on which nothing waits.

use crate::route::ejfat::Reserved;
use ejfat::{Client, messages::Status};
use measure::record::{LoadBalancer, Shares};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// Time between two samples: a control plane makes an epoch once a second.
const INTERVAL: Duration = Duration::from_secs(1);
/// A load balancer reports its counts ten times a second, so that the last ones are there after this.
const REPORTED: Duration = Duration::from_millis(300);
/// Most samples that are kept: a run over an hour has none after that.
const SAMPLES_MAX: usize = 3_600;

/// What was seen so far.
#[derive(Default)]
struct Seen {
    view: LoadBalancer,
    epochs: BTreeSet<u64>,
    before: BTreeMap<String, u64>,
}

/// Watches from [`Watch::begin`] until [`Watch::end`], or until it is dropped.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    begin: Option<Sender<Instant>>,
}

impl Watch {
    /// Connects at once.
    pub fn start(reserved: &Reserved) -> Self {
        let seen = Arc::<Mutex<Seen>>::default();
        let (begin, began) = mpsc::channel();
        let (shared, reserved) = (Arc::clone(&seen), reserved.clone());
        let started = thread::Builder::new().name("ejfat".to_owned()).spawn(move || {
            let failed = run(&reserved, &shared, &began).err();
            with(&shared, |seen| seen.view.notes.extend(failed));
        });
        if let Err(error) = started {
            with(&seen, |seen| seen.view.notes.push(format!("there is no thread to watch the load balancer: {error}")));
        }
        Self { seen, begin: Some(begin) }
    }

    /// The stream begins now.
    pub fn begin(&self) {
        // The receiver is gone if the control plane did not reply.
        let _ = self.begin.as_ref().map(|begin| begin.send(Instant::now()));
    }

    /// The stream is over: one more sample, once the load balancer has reported its counts.
    pub fn end(&mut self) {
        self.begin = None;
    }

    /// What was seen so far, without waiting.
    pub fn seen(&self) -> LoadBalancer {
        with(&self.seen, |seen| LoadBalancer { epochs: seen.epochs.len() as u64, ..seen.view.clone() })
    }
}

fn with<T>(seen: &Mutex<Seen>, work: impl FnOnce(&mut Seen) -> T) -> T {
    work(&mut seen.lock().unwrap_or_else(PoisonError::into_inner))
}

fn run(reserved: &Reserved, seen: &Mutex<Seen>, began: &Receiver<Instant>) -> Result<(), String> {
    let runtime = shortage::runtime(|| tokio::runtime::Builder::new_current_thread().enable_all().build());
    let runtime = runtime.map_err(|error| format!("the load balancer is not watched: {error}"))?;
    let (client, lb_id) = runtime.block_on(reserved.client()).map_err(|failure| failure.sentence)?;
    let status = |client: &Client| runtime.block_on(client.status(&lb_id)).map_err(|error| error.to_string());
    let before = status(&client)?;
    with(seen, |seen| seen.before = counts(&before));
    let Ok(start) = began.recv() else { return Ok(()) };
    let mut due = INTERVAL / 2;
    while began.recv_timeout(due.saturating_sub(start.elapsed())) == Err(RecvTimeoutError::Timeout) {
        let (status, at) = (status(&client)?, start.elapsed());
        with(seen, |seen| seen.take(&status, Some(at)));
        // If replies take long, the seconds that they took have no sample.
        while due <= start.elapsed() {
            due += INTERVAL;
        }
    }
    thread::sleep(REPORTED);
    let last = status(&client)?;
    with(seen, |seen| seen.take(&last, None));
    Ok(())
}

/// The counts of the load balancer since its start.
fn counts(status: &Status) -> BTreeMap<String, u64> {
    status.packets.iter().map(|count| (count.name.clone(), count.value)).collect()
}

impl Seen {
    /// Takes in a status; without a time only what it counts, since consumers leave by then.
    fn take(&mut self, status: &Status, at: Option<Duration>) {
        let since = |(name, count): (String, u64)| {
            let before = self.before.get(&name).copied().unwrap_or_default();
            (name, count.saturating_sub(before))
        };
        self.view.packets = counts(status).into_iter().map(since).collect();
        self.view.slots = u64::from(status.slot_resolution);
        let Some(at) = at.filter(|_| self.view.at_s.len() < SAMPLES_MAX) else { return };
        self.epochs.insert(status.current_epoch);
        let samples = self.view.at_s.len();
        self.view.at_s.push(at.as_secs_f64());
        for worker in &status.workers {
            let known = self.view.consumers.iter().position(|consumer| consumer.name == worker.name);
            let index = known.unwrap_or_else(|| {
                self.view.consumers.push(Shares { name: worker.name.clone(), slots: vec![0; samples] });
                self.view.consumers.len() - 1
            });
            self.view.consumers[index].slots.push(u64::from(worker.slots_assigned));
        }
        for consumer in &mut self.view.consumers {
            consumer.slots.resize(samples + 1, 0);
        }
        self.view.consumers.sort_by(|one, other| one.name.cmp(&other.name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ejfat::messages::{Count, WorkerStatus};

    fn status(epoch: u64, received: u64, workers: &[(&str, u32)]) -> Status {
        let worker = |(name, slots): &(&str, u32)| WorkerStatus {
            name: (*name).to_owned(),
            slots_assigned: *slots,
            ..WorkerStatus::default()
        };
        Status {
            current_epoch: epoch,
            slot_resolution: 512,
            workers: workers.iter().map(worker).collect(),
            packets: vec![Count { name: "received".to_owned(), value: received }],
            ..Status::default()
        }
    }

    #[test]
    fn each_sample_has_the_slots_of_every_consumer_and_counts_are_those_since_the_stream_began() {
        let mut seen = Seen { before: [("received".to_owned(), 100)].into(), ..Seen::default() };
        let at = |seconds| Some(Duration::from_secs(seconds));
        seen.take(&status(7, 110, &[("consumer-1", 512)]), at(0));
        seen.take(&status(8, 120, &[("consumer-0", 200), ("consumer-1", 312)]), at(1));
        seen.take(&status(8, 130, &[("consumer-0", 512)]), at(2));
        seen.take(&status(9, 140, &[]), None);
        let slots: Vec<_> = seen.view.consumers.iter().map(|one| (one.name.as_str(), one.slots.clone())).collect();
        assert_eq!(slots, [("consumer-0", vec![0, 200, 512]), ("consumer-1", vec![512, 312, 0])]);
        assert_eq!((seen.epochs.len(), seen.view.packets["received"], seen.view.at_s.len()), (2, 40, 3));
        let shares: Vec<f64> = seen.view.mean_shares().map(|(_, share)| share).collect();
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9, "{shares:?}");
    }
}
