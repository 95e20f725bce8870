//! What travels through the network, and what is remembered to be done later.

/// A message, by its place among those under way.
pub type Slot = u32;

/// What a packet carries, or what a time is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cargo {
    /// A message from its producer to the node that it is connected to.
    Publish(Slot),
    /// A message from there to a node with queues of it.
    Transfer(Slot, u32),
    /// A message into a queue.
    Enqueue(Slot, u32),
    /// A message to a consumer.
    Deliver(Slot, u32),
    /// The confirms of a batch of messages, by its number, to a producer.
    Confirm(u32, u32),
    /// Acknowledgements of a consumer, so many.
    Ack(u32, u32),
    /// A consumer's reply to the node that it is connected to.
    Reply(Slot, u32),
    /// A reply to the node of its producer's queue.
    ReplyTransfer(Slot),
    /// A reply into that queue.
    ReplyEnqueue(Slot),
    /// A reply to its producer.
    ReplyDeliver(Slot),
    /// A producer may go on.
    Turn(u32),
    /// A consumer has worked on its message.
    Worked(u32),
    /// A consumer's acknowledgements have waited long enough, if it has sent so many batches of them before.
    Flush(u32, u32),
    /// The measured window may begin, or ends.
    Window,
}
