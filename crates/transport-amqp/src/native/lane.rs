//! The messages of one channel: deliveries that arrive, and confirms that are awaited.

use super::{
    frames::Properties,
    pool::{Body, Pool},
};
use engine::{
    envelope::{Envelope, EnvelopeText},
    ports::{Delivery, Outcome},
};
use profile::Mark;
use std::{
    collections::VecDeque,
    str::from_utf8,
    sync::Arc,
    task::{Context, Poll, Waker},
};

/// Memory in bytes of the deliveries that may wait for a consumer without acknowledgements; the rest waits in the network
/// and in the service.
const WAITING_BYTES_MAX: usize = 16 << 20;

/// A message of which a part has arrived.
#[derive(Debug)]
enum Content {
    /// Its header comes next.
    Headless { delivery: Option<(u64, bool)> },
    /// The first bytes of its body are there.
    Filling(Delivery<Body>, usize),
    /// A returned message: so many bytes of its body are not wanted.
    Unwanted(u64),
}

/// A message that is not confirmed yet.
#[derive(Debug)]
struct Awaited {
    envelope: EnvelopeText,
    returned: bool,
    outcome: Option<Outcome>,
    taken: bool,
    waker: Option<Waker>,
}

fn memory(delivery: &Delivery<Body>) -> usize {
    delivery.body.bytes() + size_of::<Delivery<Body>>()
}

/// One channel.
#[derive(Debug)]
pub(super) struct Lane {
    pub channel: u16,
    pool: Arc<Pool>,
    content: Option<Content>,
    arrived: VecDeque<Delivery<Body>>,
    /// Whether the prefetch limits how many deliveries wait.
    acks: bool,
    /// The number that is wanted of each message.
    wanted: Option<Mark>,
    /// Memory of the deliveries that wait.
    waiting_bytes: usize,
    reader: Waker,
    /// Where replies went last: mostly the next message names the same queue.
    reply_to: Option<Arc<str>>,
    /// The tag of the first awaited confirm.
    first_tag: u64,
    awaited: VecDeque<Awaited>,
    /// Nobody takes deliveries any more.
    discards: bool,
    /// The service closed it.
    pub closed: bool,
}

impl Lane {
    pub(super) fn new(channel: u16, acks: bool) -> Self {
        Self {
            channel,
            pool: Arc::default(),
            content: None,
            arrived: VecDeque::new(),
            acks,
            wanted: None,
            waiting_bytes: 0,
            reader: Waker::noop().clone(),
            reply_to: None,
            first_tag: 1,
            awaited: VecDeque::new(),
            discards: false,
            closed: false,
        }
    }

    /// It reads this number of each message.
    pub(super) fn reading(self, wanted: Option<Mark>) -> Self {
        Self { wanted, ..self }
    }

    /// The number that is wanted of each message.
    pub(super) fn wanted(&self) -> Option<&Mark> {
        self.wanted.as_ref()
    }

    /// Whether the next header or body of this channel belongs to a message that is read here.
    pub(super) fn expects_content(&self) -> bool {
        self.content.is_some()
    }

    /// `basic.deliver`.
    pub(super) fn deliver(&mut self, tag: u64, redelivered: bool) {
        self.content = Some(Content::Headless { delivery: Some((tag, redelivered)) });
    }

    /// `basic.return`: the service sends it before it confirms the message.
    pub(super) fn give_back(&mut self) {
        self.content = Some(Content::Headless { delivery: None });
    }

    /// The header of a message; false if none was due.
    pub(super) fn header(&mut self, bytes: u64, properties: &Properties<'_>) -> bool {
        let Some(Content::Headless { delivery }) = self.content.take() else { return false };
        let Some((tag, redelivered)) = delivery else {
            let awaited = self.awaited.iter_mut().filter(|awaited| awaited.outcome.is_none() && !awaited.returned);
            let is_it =
                |awaited: &&mut Awaited| properties.correlation_id == Some(awaited.envelope.as_str().as_bytes());
            if let Some(returned) = { awaited }.find(is_it) {
                returned.returned = true;
            }
            self.content = (bytes > 0).then_some(Content::Unwanted(bytes));
            return true;
        };
        let replied_by = properties.message_id.and_then(|id| from_utf8(id).ok()?.parse().ok());
        let arrived = Delivery {
            tag,
            redelivered,
            envelope: properties.correlation_id.and_then(Envelope::decode),
            reply_to: self.queue(properties.reply_to),
            replied_by,
            mark: properties.mark,
            body: self.pool.body(usize::try_from(bytes).unwrap_or(usize::MAX)),
        };
        self.content = Some(Content::Filling(arrived, 0));
        self.complete();
        true
    }

    /// Where the next bytes of the body go, at most `most`; none if they are not wanted.
    pub(super) fn room(&mut self, most: usize) -> Option<&mut [u8]> {
        match &mut self.content {
            Some(Content::Filling(arrived, filled)) => Some(arrived.body.room(*filled, most)),
            _ => None,
        }
    }

    /// How many bytes of the body are due.
    pub(super) fn due(&self) -> u64 {
        match &self.content {
            Some(Content::Filling(arrived, filled)) => (arrived.body.bytes() - filled) as u64,
            Some(Content::Unwanted(bytes)) => *bytes,
            _ => 0,
        }
    }

    /// So many bytes of the body have come.
    pub(super) fn fill(&mut self, bytes: usize) {
        match &mut self.content {
            Some(Content::Filling(_, filled)) => {
                *filled += bytes;
                self.complete();
            }
            Some(Content::Unwanted(left)) => {
                *left -= bytes as u64;
                if *left == 0 {
                    self.content = None;
                }
            }
            _ => {}
        }
    }

    fn complete(&mut self) {
        let whole = matches!(&self.content, Some(Content::Filling(arrived, filled)) if *filled == arrived.body.bytes());
        if let Some(Content::Filling(arrived, _)) = self.content.take_if(|_| whole) {
            if self.discards {
                return;
            }
            self.waiting_bytes += memory(&arrived);
            self.arrived.push_back(arrived);
            self.reader.wake_by_ref();
        }
    }

    /// The name of a queue for replies, if it is one.
    fn queue(&mut self, name: Option<&[u8]>) -> Option<Arc<str>> {
        let name = name?;
        if self.reply_to.as_deref().is_none_or(|last| last.as_bytes() != name) {
            self.reply_to = from_utf8(name).ok().map(Arc::from);
        }
        self.reply_to.clone()
    }

    /// The next delivery.
    pub(super) fn poll_delivery(&mut self, cx: &Context<'_>) -> Poll<Delivery<Body>> {
        match self.arrived.pop_front() {
            Some(arrived) => {
                self.waiting_bytes -= memory(&arrived);
                Poll::Ready(arrived)
            }
            None => {
                self.reader.clone_from(cx.waker());
                Poll::Pending
            }
        }
    }

    /// Whether deliveries wait for their consumer.
    pub(super) fn is_waiting(&self) -> bool {
        !self.arrived.is_empty()
    }

    /// Whether so much waits that no more should be read.
    pub(super) fn is_full(&self) -> bool {
        !self.acks && self.waiting_bytes > WAITING_BYTES_MAX
    }

    /// A message was published of which a confirm is awaited; returns its tag.
    pub(super) fn publish(&mut self, envelope: EnvelopeText) -> u64 {
        let awaited = Awaited { envelope, returned: false, outcome: None, taken: false, waker: None };
        self.awaited.push_back(awaited);
        self.first_tag + self.awaited.len() as u64 - 1
    }

    /// The service confirms or rejects message `tag`, and with `multiple` all before it.
    pub(super) fn confirm(&mut self, tag: u64, multiple: bool, accepted: bool) {
        let all = self.awaited.len();
        let range = match tag.checked_sub(self.first_tag) {
            // Tag 0 means all of them.
            _ if tag == 0 => 0..all,
            None => return,
            Some(at) => {
                let at = usize::try_from(at).unwrap_or(usize::MAX).min(all);
                (if multiple { 0 } else { at })..(at + 1).min(all)
            }
        };
        for awaited in self.awaited.range_mut(range).filter(|awaited| awaited.outcome.is_none()) {
            awaited.outcome = Some(match (awaited.returned, accepted) {
                (true, _) => Outcome::Returned,
                (false, true) => Outcome::Accepted,
                (false, false) => Outcome::Rejected,
            });
            if let Some(waker) = awaited.waker.take() {
                waker.wake();
            }
        }
    }

    /// The outcome of message `tag`.
    pub(super) fn poll_outcome(&mut self, tag: u64, cx: &Context<'_>) -> Poll<Outcome> {
        let at = (tag - self.first_tag) as usize;
        let Some(outcome) = self.awaited[at].outcome else {
            self.awaited[at].waker = Some(cx.waker().clone());
            return Poll::Pending;
        };
        self.awaited[at].taken = true;
        while self.awaited.front().is_some_and(|first| first.taken) {
            self.awaited.pop_front();
            self.first_tag += 1;
        }
        Poll::Ready(outcome)
    }

    /// Drops all deliveries from now on.
    pub(super) fn discard(&mut self) {
        self.discards = true;
        self.waiting_bytes = 0;
        self.arrived.clear();
    }

    /// Wakes all that wait for something that will not come.
    pub(super) fn close(&mut self) {
        self.closed = true;
        self.awaited.iter_mut().filter_map(|awaited| awaited.waker.take()).for_each(Waker::wake);
        self.reader.wake_by_ref();
    }
}
