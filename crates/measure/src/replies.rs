//! The comparison of replies and sent messages: how many replies never arrived, and which.

use crate::{
    ledger::{EXAMPLES_MAX, MessageId},
    sentences::{first, were},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The replies to the messages of all producers.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Replies {
    /// Distinct replies that their producer received.
    pub delivered: u64,
    /// Replies that had to arrive: one, or one from each consumer, for each message that had to arrive.
    pub expected: u64,
    /// Expected replies that did not arrive although the service had nothing left, including replies to lost messages.
    pub lost: u64,
    /// Expected replies that did not arrive and are not proved to be lost, as for messages.
    #[serde(default)]
    pub undetermined: u64,
    /// Replies that were waiting for their producers at the end; absent if they were not counted, or if the service did not
    /// report.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_service: Option<u64>,
    /// Replies beyond the first of each.
    pub duplicated: u64,
    /// Replies that were sent again because the connection was lost before they were written.
    #[serde(default)]
    pub resent: u64,
    /// First replies that arrived after the reply to a later message.
    pub reordered: u64,
    /// Checked replies with a wrong body.
    pub corrupt: u64,
    /// Deliveries to a reply queue that reply to no message of this run.
    pub foreign: u64,
    /// Replies in the run's name to messages that none of its producers sent. They count nowhere else.
    #[serde(default)]
    pub unexpected: u64,
    /// The lowest messages without a reply, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_lost: Vec<MessageId>,
    /// The lowest messages whose reply is undetermined, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_undetermined: Vec<MessageId>,
    /// The lowest messages with a duplicate reply, at most ten.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub first_duplicated: Vec<MessageId>,
}

impl Replies {
    /// Separates lost from undetermined replies. `drained` is whether no message and no reply is under way.
    pub(crate) fn settle(&mut self, held: Option<u64>, drained: bool) {
        self.in_service = held;
        if !drained || held != Some(0) {
            self.undetermined += std::mem::take(&mut self.lost);
            take_all(&mut self.first_undetermined, &mut self.first_lost);
        }
    }

    /// The proven errors of the replies. A message that is delivered twice gets two replies: `explained` is how often
    /// that may have happened.
    pub(crate) fn findings(&self, explained: u64) -> Vec<String> {
        let unexplained = self.duplicated.saturating_sub(explained + self.resent);
        [
            (self.lost > 0).then(|| {
                let (lost, expected) = (self.lost, self.expected);
                format!("{lost} of {expected} replies never came{}", first(&self.first_lost))
            }),
            (self.corrupt > 0).then(|| {
                let (corrupt, were) = (self.corrupt, were(self.corrupt));
                format!("{corrupt} of the replies {were} corrupt")
            }),
            (self.unexpected > 0).then(|| {
                let (unexpected, were) = (self.unexpected, were(self.unexpected));
                format!("{unexpected} replies in this run's name {were} sent by none of its consumers")
            }),
            (unexplained > 0).then(|| {
                let were = were(unexplained);
                let first = first(&self.first_duplicated);
                format!(
                    "{unexplained} of {} duplicate replies {were} explained by no duplicate delivery{first}",
                    self.duplicated
                )
            }),
        ]
        .into_iter()
        .flatten()
        .collect()
    }
}

/// Moves examples behind others, as far as there is room.
pub(crate) fn take_all(examples: &mut Vec<MessageId>, more: &mut Vec<MessageId>) {
    examples.append(more);
    examples.sort();
    examples.truncate(EXAMPLES_MAX);
}

#[cfg(test)]
mod tests {
    use crate::{Deliveries, Integrity, Sent, SentSummary, join, join_replies};

    fn confirmed(count: u64) -> SentSummary {
        let mut sent = Sent::new(true);
        for _ in 0..count {
            let sequence = sent.publish();
            sent.confirm(sequence);
        }
        sent.finish()
    }

    fn got(producer: u32, sequences: impl IntoIterator<Item = u64>) -> Deliveries {
        let mut deliveries = Deliveries::new();
        for sequence in sequences {
            deliveries.observe(producer, sequence, false);
        }
        deliveries
    }

    fn integrity(sent: &[(u32, SentSummary)], collected: Vec<Vec<Deliveries>>, replies: usize) -> Integrity {
        let arrived = sent.iter().map(|(producer, summary)| got(*producer, 0..summary.published())).collect::<Vec<_>>();
        Integrity { replies: Some(join_replies(sent, collected, replies)), ..join(sent, arrived) }
    }

    #[test]
    fn a_reply_to_a_message_that_was_never_sent_fails() {
        let sent = [(0, confirmed(3))];
        let error = integrity(&sent, vec![vec![got(0, 0..4)]], 1).verdict().unwrap_err();
        assert!(error.contains("1 replies in this run's name was sent by none of its consumers"), "{error}");
    }

    #[test]
    fn one_reply_each_to_its_own_producer_passes() {
        let sent = [(0, confirmed(3)), (1, confirmed(2))];
        let integrity = integrity(&sent, vec![vec![got(0, 0..3)], vec![got(1, 0..2)]], 1);
        assert_eq!(integrity.verdict(), Ok(()));
        assert_eq!(integrity.replies.map(|replies| (replies.expected, replies.delivered)), Some((5, 5)));
    }

    #[test]
    fn a_gather_expects_a_reply_of_every_consumer() {
        let sent = [(0, confirmed(3))];
        let collected = vec![vec![got(0, 0..3), got(0, [0, 2])]];
        assert_eq!(
            integrity(&sent, collected, 2).verdict(),
            Err("1 of 6 replies never came (first: producer 0 sequence 1)".to_owned())
        );
        assert_eq!(join_replies(&sent, vec![], 2).lost, 6, "a producer that did not report got none");
    }

    #[test]
    fn a_second_reply_passes_only_if_the_message_came_twice() {
        let sent = [(0, confirmed(2))];
        let twice = vec![vec![got(0, [0, 1, 1])]];
        let error = integrity(&sent, twice.clone(), 1).verdict().expect_err("nothing came twice");
        assert!(error.contains("explained by no duplicate delivery (first: producer 0 sequence 1)"), "{error}");
        let mut explained = integrity(&sent, twice, 1);
        explained.redelivered = 1;
        assert_eq!(explained.verdict(), Ok(()));
    }
}
