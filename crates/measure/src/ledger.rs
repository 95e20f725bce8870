//! Which messages were sent and which were delivered, one by one.
//!
//! A message is named by its producer and a sequence that counts 0, 1, 2 … per producer. Each producer keeps a
//! [`Sent`], each consumer a [`Deliveries`]; both are encoded, gathered, and compared by [`crate::join`]. The sets are
//! exact and compressed: 100 million messages take about 12 MiB, and a contiguous range takes almost nothing on the
//! wire.

mod hand_over;

use roaring::RoaringTreemap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

/// The name of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub struct MessageId {
    /// The producer that sent it.
    pub producer: u32,
    /// Its number among that producer's messages, from 0.
    pub sequence: u64,
}

/// A delivery that is not of this run.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Foreign {
    /// The consumer that received it.
    pub consumer: u32,
    /// Size of its body.
    pub bytes: u64,
    /// The run in its envelope; absent without an envelope.
    #[serde(default)]
    pub run: Option<u32>,
}

/// Most examples of a kind: they help to find the cause; the counts have the numbers.
pub(crate) const EXAMPLES_MAX: usize = 10;

/// Why a ledger from another rank could not be read.
#[derive(Debug, Error)]
pub enum LedgerError {
    /// The outer structure is broken.
    #[error("a delivery ledger could not be decoded ({0}); run the same build on every rank")]
    Structure(#[from] bincode::error::DecodeError),
    /// One of the compressed sets is broken.
    #[error("a set in a delivery ledger is damaged ({0}); run the same build on every rank")]
    Set(#[from] std::io::Error),
}

/// The state of one producer's messages, kept by that producer.
///
/// Confirms arrive nearly in order, so one watermark and a few exceptions describe the confirmed sequences.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Sent {
    summary: SentSummary,
}

/// The end state of a [`Sent`], as the ledger's join reads it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct SentSummary {
    /// Whether the broker confirms messages. If it does, unconfirmed messages are not expected.
    confirms: bool,
    /// Sequences `0..published` were published at least once.
    published: u64,
    /// Every sequence below this one is either confirmed or in `abandoned`.
    settled_below: u64,
    /// Confirmed sequences at or above `settled_below`.
    confirmed_ahead: RoaringTreemap,
    /// Sequences abandoned, and not confirmed later.
    abandoned: RoaringTreemap,
    rejected: u64,
    returned: u64,
    republished: u64,
    /// Of `republished`: because the connection was lost.
    republished_after_loss: u64,
    /// Sequences published again because the connection was lost: they may arrive twice.
    again: RoaringTreemap,
    /// Without confirms: sequences below this one were written to a connection that was lost later, so that nobody knows whether
    /// the broker got them.
    unsure_below: u64,
}

impl Sent {
    /// Nothing published yet. `confirms`: whether the broker sends confirms.
    pub fn new(confirms: bool) -> Self {
        Self { summary: SentSummary { confirms, ..SentSummary::default() } }
    }

    /// Takes the next sequence, for a message published for the first time.
    #[inline]
    pub fn publish(&mut self) -> u64 {
        let sequence = self.summary.published;
        self.summary.published += 1;
        sequence
    }

    /// The broker accepted a message. A repeated confirm changes nothing, and a late one revokes an abandonment.
    #[inline]
    pub fn confirm(&mut self, sequence: u64) {
        let s = &mut self.summary;
        debug_assert!(sequence < s.published, "a confirm for a sequence never published");
        if !s.abandoned.is_empty() {
            s.abandoned.remove(sequence);
        }
        if sequence == s.settled_below {
            s.settled_below += 1;
            s.settle();
        } else if sequence > s.settled_below {
            s.confirmed_ahead.insert(sequence);
        }
    }

    /// The broker rejected a message. It is still open: publish it again or abandon it.
    pub fn reject(&mut self) {
        self.summary.rejected += 1;
    }

    /// A message came back as unroutable. It is still open: publish it again or abandon it. The
    /// confirm that the broker sends after a return must not be passed to [`Self::confirm`].
    pub fn give_back(&mut self) {
        self.summary.returned += 1;
    }

    /// A message was published again under its old sequence.
    pub fn republish(&mut self) {
        self.summary.republished += 1;
    }

    /// A message was published again under its old sequence, because the connection was lost before it was confirmed or, without
    /// confirms, written.
    pub fn republish_after_loss(&mut self, sequence: u64) {
        let s = &mut self.summary;
        s.republished += 1;
        s.republished_after_loss += 1;
        s.again.insert(sequence);
    }

    /// The connection was lost.
    pub fn lose_connection(&mut self) {
        let s = &mut self.summary;
        if !s.confirms {
            s.unsure_below = s.published;
        }
    }

    /// A message was abandoned. This has no effect on a confirmed message.
    pub fn abandon(&mut self, sequence: u64) {
        let s = &mut self.summary;
        let is_confirmed = sequence < s.settled_below || s.confirmed_ahead.contains(sequence);
        if !is_confirmed {
            s.abandoned.insert(sequence);
            s.settle();
        }
    }

    /// The end state, when nothing more will be published or confirmed.
    pub fn finish(mut self) -> SentSummary {
        self.summary.confirmed_ahead.optimize();
        self.summary.abandoned.optimize();
        self.summary.again.optimize();
        self.summary
    }
}

impl SentSummary {
    /// Messages published, re-publishes not counted.
    pub fn published(&self) -> u64 {
        self.published
    }

    /// Messages that the broker accepted.
    pub fn confirmed(&self) -> u64 {
        let abandoned = self.abandoned.range_cardinality(..self.settled_below);
        self.settled_below - abandoned + self.confirmed_ahead.len()
    }

    /// Messages abandoned.
    pub fn abandoned(&self) -> u64 {
        self.abandoned.len()
    }

    /// Messages that were neither confirmed nor abandoned, if confirms are on.
    pub fn unconfirmed(&self) -> u64 {
        if self.confirms { self.published - self.confirmed() - self.abandoned() } else { 0 }
    }

    /// Negative confirms, each counted.
    pub fn rejected(&self) -> u64 {
        self.rejected
    }

    /// Returns of unroutable messages, each counted.
    pub fn returned(&self) -> u64 {
        self.returned
    }

    /// Publishes of a message that had been published before, each counted.
    pub fn republished(&self) -> u64 {
        self.republished
    }

    /// Of [`Self::republished`]: because the connection was lost.
    pub fn republished_after_loss(&self) -> u64 {
        self.republished_after_loss
    }

    /// Sequences published again because the connection was lost.
    pub(crate) fn again(&self) -> &RoaringTreemap {
        &self.again
    }

    /// Sequences below this one may have been lost with their connection, which promises nothing without confirms.
    pub(crate) fn unsure_below(&self) -> u64 {
        self.unsure_below
    }

    /// Number of sequences that must arrive: those that the broker accepted or, without confirms, all that were not
    /// abandoned.
    pub(crate) fn expected(&self) -> u64 {
        let contiguous = self.contiguous();
        contiguous - self.abandoned.range_cardinality(..contiguous) + self.confirmed_ahead.len()
    }

    /// The expected sequences that are not in `delivered`. If nothing is missing, no set is built.
    pub(crate) fn missing_from(&self, delivered: &RoaringTreemap) -> RoaringTreemap {
        let contiguous = self.contiguous();
        let plain = self.abandoned.is_empty() && self.confirmed_ahead.is_empty();
        if plain && delivered.range_cardinality(..contiguous) == contiguous {
            return RoaringTreemap::new();
        }
        let mut missing = RoaringTreemap::new();
        missing.insert_range(..contiguous);
        missing -= &self.abandoned;
        missing |= &self.confirmed_ahead;
        missing -= delivered;
        missing
    }

    /// Every sequence below this must arrive, except abandoned ones.
    fn contiguous(&self) -> u64 {
        if self.confirms { self.settled_below } else { self.published }
    }

    /// This summary as bytes, for the gather.
    pub fn encode(&self) -> Vec<u8> {
        to_bytes(&SentWire {
            confirms: self.confirms,
            published: self.published,
            settled_below: self.settled_below,
            confirmed_ahead: as_bytes(&self.confirmed_ahead),
            abandoned: as_bytes(&self.abandoned),
            rejected: self.rejected,
            returned: self.returned,
            republished: self.republished,
            republished_after_loss: self.republished_after_loss,
            again: as_bytes(&self.again),
            unsure_below: self.unsure_below,
        })
    }

    /// The summary of another rank.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] if the bytes are not a summary of this build.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let wire: SentWire = from_bytes(bytes)?;
        Ok(Self {
            confirms: wire.confirms,
            published: wire.published,
            settled_below: wire.settled_below,
            confirmed_ahead: set_from_bytes(&wire.confirmed_ahead)?,
            abandoned: set_from_bytes(&wire.abandoned)?,
            rejected: wire.rejected,
            returned: wire.returned,
            republished: wire.republished,
            republished_after_loss: wire.republished_after_loss,
            again: set_from_bytes(&wire.again)?,
            unsure_below: wire.unsure_below,
        })
    }

    /// Moves `settled_below` over everything that is settled already.
    fn settle(&mut self) {
        while self.confirmed_ahead.remove(self.settled_below) || self.abandoned.contains(self.settled_below) {
            self.settled_below += 1;
        }
    }
}

/// Whether a consumer saw a message for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observation {
    /// This consumer had not seen the message before.
    New,
    /// This consumer had seen the message before.
    Duplicate,
}

/// The deliveries to one consumer.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Deliveries {
    /// Ascending by producer.
    logs: Vec<ProducerLog>,
    redelivered: u64,
    corrupt: u64,
    foreign: u64,
    unexpected: u64,
    first_redelivered: Vec<MessageId>,
    first_foreign: Vec<Foreign>,
    first_unexpected: Vec<MessageId>,
}

/// The deliveries of one producer's messages to one consumer.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ProducerLog {
    pub(crate) producer: u32,
    /// Every sequence below this watermark was delivered: if a consumer gets everything nearly in order, it describes
    /// nearly all (D6).
    seen_below: u64,
    /// Sequences that were delivered, above `seen_below`.
    seen_ahead: RoaringTreemap,
    /// The sequences that were delivered more than once.
    pub(crate) repeated: RoaringTreemap,
    /// Deliveries beyond the first of each sequence.
    pub(crate) extra: u64,
    /// One above the highest sequence seen.
    in_order_from: u64,
    /// What it was when old deliveries were handed over last.
    old_below: u64,
    /// Sequences whose first delivery arrived after a later one, and was not a redelivery.
    pub(crate) late: RoaringTreemap,
    /// Sequences whose first delivery was a redelivery: this consumer cannot know whether they were late.
    pub(crate) again: RoaringTreemap,
    /// Every sequence below this was delivered over a connection that was lost later.
    unsure_below: u64,
    /// The same, above `unsure_below`.
    unsure_ahead: RoaringTreemap,
}

impl Deliveries {
    /// Nothing delivered yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Records a delivery with a valid envelope. `redelivered` is the broker's flag.
    ///
    /// A first delivery is late if a later message of the same producer arrived before it, unless the broker
    /// redelivered it: then it is late for another reason.
    #[inline]
    pub fn observe(&mut self, producer: u32, sequence: u64, redelivered: bool) -> Observation {
        if redelivered {
            self.redelivered += 1;
            add_example(&mut self.first_redelivered, MessageId { producer, sequence });
        }
        let log = match self.logs.binary_search_by_key(&producer, |log| log.producer) {
            Ok(at) => &mut self.logs[at],
            Err(at) => {
                self.logs.insert(at, ProducerLog::new(producer));
                &mut self.logs[at]
            }
        };
        if !log.see(sequence) {
            log.repeated.insert(sequence);
            log.extra += 1;
            return Observation::Duplicate;
        }
        if redelivered {
            log.again.insert(sequence);
        } else if sequence < log.in_order_from {
            log.late.insert(sequence);
        }
        log.in_order_from = log.in_order_from.max(sequence.saturating_add(1));
        Observation::New
    }

    /// The connection was lost: what it has delivered may come again, because its acknowledgement may not have arrived.
    pub fn lose_connection(&mut self) {
        for log in &mut self.logs {
            log.unsure_below = log.seen_below;
            log.unsure_ahead.clone_from(&log.seen_ahead);
        }
    }

    /// Records that the body of a delivery, already observed, is corrupt.
    pub fn observe_corrupt(&mut self) {
        self.corrupt += 1;
    }

    /// Records a delivery without a valid envelope of this run, which cannot be observed.
    pub fn observe_foreign(&mut self, foreign: Foreign) {
        self.foreign += 1;
        add_example(&mut self.first_foreign, foreign);
    }

    /// Records a delivery in the run's name that none of its producers sent: the message that it claims to be is not
    /// observed.
    pub fn observe_unexpected(&mut self, claimed: MessageId) {
        self.unexpected += 1;
        add_example(&mut self.first_unexpected, claimed);
    }

    /// Deliveries that the broker flagged as redelivered.
    pub fn redelivered(&self) -> u64 {
        self.redelivered
    }

    /// Deliveries with a wrong body.
    pub fn corrupt(&self) -> u64 {
        self.corrupt
    }

    /// Deliveries that did not belong to this run.
    pub fn foreign(&self) -> u64 {
        self.foreign
    }

    /// Compresses the sets once nothing more will be delivered: growing sets are faster uncompressed. In place, since a
    /// copy would take the same memory again.
    pub fn pack(&mut self) {
        for log in &mut self.logs {
            log.seen_ahead.optimize();
            log.repeated.optimize();
            log.late.optimize();
            log.again.optimize();
            log.unsure_ahead.optimize();
        }
    }

    /// This ledger as bytes, for the gather: a head, and the sets one after the other, each written once, since a copy
    /// would take the same memory again.
    pub fn encode<'a>(&'a self) -> Vec<u8> {
        let of = |log: &'a ProducerLog| [&log.seen_ahead, &log.repeated, &log.late, &log.again, &log.unsure_ahead];
        let sets = || self.logs.iter().flat_map(of);
        let head = to_bytes(&DeliveriesHead {
            logs: self.logs.iter().map(LogHead::of).collect(),
            redelivered: self.redelivered,
            corrupt: self.corrupt,
            foreign: self.foreign,
            unexpected: self.unexpected,
            first_redelivered: self.first_redelivered.clone(),
            first_foreign: self.first_foreign.clone(),
            first_unexpected: self.first_unexpected.clone(),
        });
        let mut bytes = Vec::with_capacity(head.len() + sets().map(RoaringTreemap::serialized_size).sum::<usize>());
        bytes.extend(head);
        for set in sets() {
            set.serialize_into(&mut bytes).expect("writing to memory cannot fail");
        }
        bytes
    }

    /// The ledger of another rank.
    ///
    /// # Errors
    ///
    /// [`LedgerError`] if the bytes are not a ledger of this build.
    pub fn decode(bytes: &[u8]) -> Result<Self, LedgerError> {
        let (head, at): (DeliveriesHead, usize) =
            bincode::serde::decode_from_slice(bytes, bincode::config::standard())?;
        let mut rest = &bytes[at..];
        let mut next_set = || RoaringTreemap::deserialize_from(&mut rest);
        let mut logs = Vec::new();
        for LogHead { producer, seen_below, extra, in_order_from, unsure_below } in head.logs {
            logs.push(ProducerLog {
                producer,
                seen_below,
                seen_ahead: next_set()?,
                repeated: next_set()?,
                extra,
                in_order_from,
                old_below: 0,
                late: next_set()?,
                again: next_set()?,
                unsure_below,
                unsure_ahead: next_set()?,
            });
        }
        Ok(Self {
            logs,
            redelivered: head.redelivered,
            corrupt: head.corrupt,
            foreign: head.foreign,
            unexpected: head.unexpected,
            first_redelivered: head.first_redelivered,
            first_foreign: head.first_foreign,
            first_unexpected: head.first_unexpected,
        })
    }

    /// The first deliveries that the broker flagged as redelivered.
    pub fn first_redelivered(&self) -> &[MessageId] {
        &self.first_redelivered
    }

    /// The first deliveries that did not belong to this run.
    pub fn first_foreign(&self) -> &[Foreign] {
        &self.first_foreign
    }

    /// Deliveries in the run's name that none of its producers sent.
    pub fn unexpected(&self) -> u64 {
        self.unexpected
    }

    /// The messages that the first of them claim to be.
    pub fn first_unexpected(&self) -> &[MessageId] {
        &self.first_unexpected
    }

    pub(crate) fn producers(&self) -> impl Iterator<Item = u32> + '_ {
        self.logs.iter().map(|log| log.producer)
    }

    pub(crate) fn into_logs(self) -> Vec<ProducerLog> {
        self.logs
    }
}

impl ProducerLog {
    fn new(producer: u32) -> Self {
        Self {
            producer,
            seen_below: 0,
            seen_ahead: RoaringTreemap::new(),
            repeated: RoaringTreemap::new(),
            extra: 0,
            in_order_from: 0,
            old_below: 0,
            late: RoaringTreemap::new(),
            again: RoaringTreemap::new(),
            unsure_below: 0,
            unsure_ahead: RoaringTreemap::new(),
        }
    }

    /// Records a sequence; false if it is not new.
    #[inline]
    fn see(&mut self, sequence: u64) -> bool {
        if sequence != self.seen_below {
            return sequence > self.seen_below && self.seen_ahead.insert(sequence);
        }
        self.seen_below += 1;
        if !self.seen_ahead.is_empty() {
            while self.seen_ahead.remove(self.seen_below) {
                self.seen_below += 1;
            }
        }
        true
    }

    /// Whether nothing was delivered over a connection that was lost later.
    pub(crate) fn is_sure(&self) -> bool {
        self.unsure_below == 0 && self.unsure_ahead.is_empty()
    }

    /// The sequences that were delivered over a connection that was lost later.
    pub(crate) fn take_unsure(&mut self) -> RoaringTreemap {
        let mut unsure = std::mem::take(&mut self.unsure_ahead);
        unsure.insert_range(..std::mem::take(&mut self.unsure_below));
        unsure
    }

    /// Takes every delivered sequence out of the log, which is then empty.
    pub(crate) fn take_seen(&mut self) -> RoaringTreemap {
        let mut seen = std::mem::take(&mut self.seen_ahead);
        seen.insert_range(..std::mem::take(&mut self.seen_below));
        seen
    }
}

fn add_example<T>(examples: &mut Vec<T>, example: T) {
    if examples.len() < EXAMPLES_MAX {
        examples.push(example);
    }
}

#[derive(Serialize, Deserialize)]
struct SentWire {
    confirms: bool,
    published: u64,
    settled_below: u64,
    confirmed_ahead: Vec<u8>,
    abandoned: Vec<u8>,
    rejected: u64,
    returned: u64,
    republished: u64,
    republished_after_loss: u64,
    again: Vec<u8>,
    unsure_below: u64,
}

/// All of a [`Deliveries`] except its sets, which follow it: five for each log.
#[derive(Serialize, Deserialize)]
struct DeliveriesHead {
    logs: Vec<LogHead>,
    redelivered: u64,
    corrupt: u64,
    foreign: u64,
    unexpected: u64,
    first_redelivered: Vec<MessageId>,
    first_foreign: Vec<Foreign>,
    first_unexpected: Vec<MessageId>,
}

#[derive(Serialize, Deserialize)]
struct LogHead {
    producer: u32,
    seen_below: u64,
    extra: u64,
    in_order_from: u64,
    unsure_below: u64,
}

impl LogHead {
    fn of(log: &ProducerLog) -> Self {
        let ProducerLog { producer, seen_below, extra, in_order_from, unsure_below, .. } = *log;
        Self { producer, seen_below, extra, in_order_from, unsure_below }
    }
}

fn to_bytes(wire: &impl Serialize) -> Vec<u8> {
    bincode::serde::encode_to_vec(wire, bincode::config::standard()).expect("numbers and bytes can always be encoded")
}

fn from_bytes<T: for<'de> Deserialize<'de>>(bytes: &[u8]) -> Result<T, LedgerError> {
    let (wire, _) = bincode::serde::decode_from_slice(bytes, bincode::config::standard())?;
    Ok(wire)
}

fn as_bytes(set: &RoaringTreemap) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(set.serialized_size());
    set.serialize_into(&mut bytes).expect("writing to memory cannot fail");
    bytes
}

fn set_from_bytes(bytes: &[u8]) -> Result<RoaringTreemap, std::io::Error> {
    RoaringTreemap::deserialize_from(bytes)
}

#[cfg(test)]
mod tests;
