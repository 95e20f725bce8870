//! Bodies that are read while they are sent: a producer waits for them, and one that cannot be read ends it.

use crate::support::{plan, run_world_of};
use engine::{
    double::{MemoryBroker, PlainPayloads},
    ports::{Body, Corruption, PayloadError, Payloads, Source},
};
use std::{
    task::{Context, Poll},
    thread,
    time::{Duration, Instant},
};

const LATE: Duration = Duration::from_millis(5);

/// Bodies that are at hand only a while after they are first asked for, up to one that cannot be read.
#[derive(Clone, Copy)]
struct LatePayloads {
    plain: PlainPayloads,
    fails_at: Option<u64>,
}

struct LateSource {
    plain: <PlainPayloads as Payloads>::Source,
    fails_at: Option<u64>,
    next: u64,
    due: Option<Instant>,
}

impl Payloads for LatePayloads {
    type Source = LateSource;

    fn source(&self, producer: u32) -> Result<LateSource, PayloadError> {
        Ok(LateSource { plain: self.plain.source(producer)?, fails_at: self.fails_at, next: 0, due: None })
    }
    fn body(&self, producer: u32, sequence: u64) -> Body {
        self.plain.body(producer, sequence)
    }
    fn events(&self, producer: u32, sequence: u64) -> u32 {
        self.plain.events(producer, sequence)
    }
    fn verify(&self, producer: u32, sequence: u64, checksum: u32, body: &[u8]) -> Result<(), Corruption> {
        self.plain.verify(producer, sequence, checksum, body)
    }
    fn inspects(&self) -> bool {
        false
    }
    fn inspect(&self, _: u32, _: u64, _: &[u8]) -> Result<(), Corruption> {
        Ok(())
    }
}

impl Source for LateSource {
    fn take(&mut self, sequence: u64) -> Body {
        assert!(self.due.take().is_some_and(|due| due <= Instant::now()), "message {sequence} has not been read");
        assert_eq!(sequence, self.next, "the run begins with the first, whatever was measured before it");
        self.next += 1;
        self.plain.take(sequence)
    }
    fn give_back(&mut self, sequence: u64, bytes: Vec<u8>) {
        self.plain.give_back(sequence, bytes);
    }
    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), PayloadError>> {
        if self.fails_at == Some(self.next) {
            return Poll::Ready(Err(PayloadError("`run.h5` is gone".to_owned())));
        }
        let due = *self.due.get_or_insert_with(|| Instant::now() + LATE);
        let rest = due.saturating_duration_since(Instant::now());
        if rest.is_zero() {
            return Poll::Ready(Ok(()));
        }
        let waker = context.waker().clone();
        thread::spawn(move || {
            thread::sleep(rest);
            waker.wake();
        });
        Poll::Pending
    }
    fn rewind(&mut self) -> Result<(), PayloadError> {
        (self.next, self.due) = (0, None);
        Ok(())
    }
}

fn late(fails_at: Option<u64>) -> LatePayloads {
    LatePayloads { plain: PlainPayloads { bytes: 100, spoilt_every: None }, fails_at }
}

#[test]
fn a_producer_waits_for_a_body_that_has_not_been_read_and_says_for_how_long() {
    let plan = plan("messages = 20\nproducers = 1\nconsumers = 1", 2);
    let result = run_world_of(&plan, &MemoryBroker::default(), 0, None, late(None)).0.unwrap();
    assert_eq!(result.integrity.delivered, 20);
    let counters = &result.counters;
    // 100 ms in all; a core that is taken away between two looks at the clock hides some of it.
    assert!(counters.reading_ns > 40_000_000, "{}", counters.reading_ns);
    assert_eq!(counters.backpressure_ns, 0, "the service held nothing back");
}

#[test]
fn a_body_that_can_no_longer_be_read_ends_the_run_with_the_reason() {
    let plan = plan("messages = 20\nproducers = 1\nconsumers = 1", 2);
    let result = run_world_of(&plan, &MemoryBroker::default(), 0, None, late(Some(5))).0.unwrap();
    let fault = result.ranks.iter().find_map(|rank| rank.fault.clone()).expect("it cannot go on");
    assert!(fault.to_string().contains("`run.h5` is gone"), "{fault}");
    assert_eq!(result.counters.sent, 5);
}
