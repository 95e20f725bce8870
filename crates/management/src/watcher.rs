//! Samples the service once a second while a run streams, on a thread of its own on which nothing waits.

use crate::{
    client::{Access, Client, Error, QUEUES_MAX},
    replies::{Node, Queue, total},
};
use measure::{
    ServiceSample,
    record::{ServiceNode, ServiceSettings},
};
use std::{
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        mpsc::{self, Receiver, RecvTimeoutError, Sender},
    },
    thread,
    time::{Duration, Instant},
};

/// Time between samples. The service updates its own figures no faster.
const INTERVAL: Duration = Duration::from_secs(1);
/// Most samples that are kept: a run over an hour keeps every second one, then every fourth, and so on.
const SAMPLES_MAX: usize = 3_600;

/// Most notes that are kept: a reason may have a time in it, and then each is another one.
const NOTES_MAX: usize = 50;

/// The samples so far.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// The address of the API.
    pub url: String,
    /// The service's settings, once it has reported them.
    pub settings: Option<ServiceSettings>,
    /// Ascending in time.
    pub samples: Vec<ServiceSample>,
    /// Time between two samples, in seconds.
    pub interval_s: f64,
    /// Values that could not be read, each once.
    pub notes: Vec<String>,
}

/// Watches until [`Watcher::end`], or until it is dropped.
pub struct Watcher {
    seen: Arc<Mutex<Seen>>,
    begin: Option<Sender<Instant>>,
}

impl Watcher {
    /// Reads the settings at once, and samples from [`Watcher::begin`] on.
    pub fn start(access: Access) -> Self {
        let url = access.url.clone();
        let seen = Arc::new(Mutex::new(Seen { url, interval_s: INTERVAL.as_secs_f64(), ..Seen::default() }));
        let (begin, started) = mpsc::channel();
        let shared = seen.clone();
        let started = thread::Builder::new().name("management".to_owned()).spawn(move || {
            let watched = Client::new(access).and_then(|client| {
                let settings = client.settings()?;
                lock(&shared).settings = Some(settings);
                watch(&client, &shared, &started);
                Ok(())
            });
            note(&shared, watched);
        });
        if let Err(error) = started {
            lock(&seen).notes.push(format!("the service is not watched, for want of a thread: {error}"));
        }
        Self { seen, begin: Some(begin) }
    }

    /// Streaming begins now.
    pub fn begin(&self) {
        // The receiver is gone if the API did not reply.
        let _ = self.begin.as_ref().map(|begin| begin.send(Instant::now()));
    }

    /// Streaming is over: no more samples.
    pub fn end(&mut self) {
        self.begin = None;
    }

    /// The samples so far, without waiting.
    pub fn seen(&self) -> Seen {
        lock(&self.seen).clone()
    }

    /// The latest sample.
    pub fn latest(&self) -> Option<ServiceSample> {
        lock(&self.seen).samples.last().cloned()
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

fn note<T>(seen: &Mutex<Seen>, looked: Result<T, Error>) -> Option<T> {
    looked.map_err(|error| add_note(seen, error.to_string())).ok()
}

fn add_note(seen: &Mutex<Seen>, sentence: String) {
    let notes = &mut lock(seen).notes;
    if notes.len() < NOTES_MAX && !notes.contains(&sentence) {
        notes.push(sentence);
    }
}

/// Takes samples until the other end of `started` is gone, in the middle of each second of streaming.
fn watch(client: &Client, seen: &Mutex<Seen>, started: &Receiver<Instant>) {
    let Ok(began) = started.recv() else { return };
    let mut interval = INTERVAL;
    let mut due = INTERVAL / 2;
    while started.recv_timeout(due.saturating_sub(began.elapsed())) == Err(RecvTimeoutError::Timeout) {
        // A node that has just started does not report everything yet.
        let settings = if is_complete(seen) { None } else { note(seen, client.settings()) };
        let at = began.elapsed();
        let sample = sample(client, seen, at);
        let mut shared = lock(seen);
        shared.settings = settings.or(shared.settings.take());
        shared.samples.extend(sample);
        if thin(&mut shared.samples, SAMPLES_MAX) {
            interval *= 2;
            shared.interval_s = interval.as_secs_f64();
        }
        drop(shared);
        // If replies take long, the seconds that they took have no sample.
        while due <= began.elapsed() {
            due += interval;
        }
    }
}

/// Whether every running node has reported its settings.
fn is_complete(seen: &Mutex<Seen>) -> bool {
    let settings = &lock(seen).settings;
    let complete = |node: &ServiceNode| !node.running || node.memory_limit_bytes.is_some();
    settings.as_ref().is_some_and(|settings| settings.nodes.iter().all(complete))
}

/// Drops every second sample if there are too many; returns whether it did.
fn thin(samples: &mut Vec<ServiceSample>, most: usize) -> bool {
    let full = samples.len() >= most;
    if full {
        let mut at = 0;
        samples.retain(|_| {
            at += 1;
            at % 2 == 1
        });
    }
    full
}

/// The note for a service that collects no statistics.
const NO_STATISTICS: &str = "the service gathers no statistics (its metrics collector is off, or management.disable_stats is set): how \
     full its queues are, their rates, its memory and its alarms are not known";

/// One sample, as far as there are replies; `None` if there are none.
fn sample(client: &Client, seen: &Mutex<Seen>, at: Duration) -> Option<ServiceSample> {
    let (queues, nodes) = (note(seen, client.queues()), note(seen, client.nodes()));
    let totals = note(seen, client.totals());
    if queues.is_none() && nodes.is_none() && totals.is_none() {
        return None;
    }
    if totals.as_ref().is_some_and(|totals| totals.disable_stats) {
        add_note(seen, NO_STATISTICS.to_owned());
    }
    if let Some(count) = queues.as_ref().and_then(|page| page.filtered_count).filter(|count| *count > QUEUES_MAX) {
        add_note(seen, format!("of {count} queues the first {QUEUES_MAX} are watched"));
    }
    let running = nodes.map(|nodes| nodes.into_iter().filter(|node| node.running).collect::<Vec<_>>());
    let queues = queues.as_ref().map(|page| &page.items[..]).unwrap_or_default();
    let nodes = running.as_deref().unwrap_or_default();
    // Without any report, the sum is unknown and not zero.
    let of_queues = |of: fn(&Queue) -> Option<u64>| total(queues, of).filter(|_| !queues.is_empty());
    let rate = |of| total(queues, |queue| queue.rate(of)).filter(|_| !queues.is_empty());
    let of_limit = |node: &Node| Some(node.mem_used? as f64 / node.mem_limit.filter(|limit| *limit > 0)? as f64);
    Some(ServiceSample {
        at_s: at.as_secs_f64(),
        ready: of_queues(|queue| queue.messages_ready),
        unacknowledged: of_queues(|queue| queue.messages_unacknowledged),
        publish_per_second: rate(|stats| stats.publish_details.as_ref()),
        deliver_per_second: rate(|stats| stats.deliver_get_details.as_ref()),
        memory_bytes: total(nodes, |node| node.mem_used).filter(|_| !nodes.is_empty()),
        memory_of_limit: nodes.iter().filter_map(of_limit).reduce(f64::max),
        connections: totals.and_then(|totals| totals.object_totals.connections),
        alarms: nodes.iter().flat_map(alarms).collect(),
    })
}

/// The raised alarms of a node.
fn alarms(node: &Node) -> impl Iterator<Item = String> {
    let raised = [("memory", node.mem_alarm), ("disk", node.disk_free_alarm)];
    let raised = raised.into_iter().filter(|(_, raised)| *raised == Some(true));
    raised.map(|(what, _)| format!("{what} alarm on {}", node.name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_run_keeps_a_bounded_number_of_samples_over_all_of_it() {
        let mut samples = Vec::new();
        let mut halved = 0;
        for at in 0..100 {
            samples.push(ServiceSample { at_s: f64::from(at), ..ServiceSample::default() });
            halved += u32::from(thin(&mut samples, 16));
        }
        assert!(samples.len() < 16 && halved > 1, "{} samples", samples.len());
        assert_eq!(samples[0].at_s, 0.0);
        assert!(samples.windows(2).all(|pair| pair[0].at_s < pair[1].at_s));
    }

    #[test]
    fn a_service_that_does_not_reply_is_a_note_and_delays_nothing() {
        let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let text = |text: &str| text.to_owned();
        let watcher = Watcher::start(Access {
            url: format!("http://{free}"),
            user: text("bench"),
            password: text("hush"),
            token_file: None,
            ca_pem: None,
            vhost: text("/"),
            queues: text("q."),
        });
        let deadline = Instant::now() + Duration::from_secs(5);
        while watcher.seen().notes.is_empty() && Instant::now() < deadline {
            thread::sleep(Duration::from_millis(5));
        }
        watcher.begin();
        let seen = watcher.seen();
        assert!(seen.notes[0].contains("does not respond") && seen.samples.is_empty(), "{seen:?}");
    }
}
