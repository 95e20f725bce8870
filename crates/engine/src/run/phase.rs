//! The phases of a run.

/// A phase of a run, in the order in which a run goes through them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Each producer builds its ring of bodies.
    Payloads,
    /// Each rank measures its own loops over a transport that does nothing.
    Ceiling,
    /// Workers connect.
    Connect,
    /// Exchanges and queues are declared, and workers subscribe.
    Topology,
    /// Programs of others come to the other end, if the run waits for them.
    Peers,
    /// Hosts compare their clocks.
    Clocks,
    /// Ranks agree on the start.
    Start,
    /// Messages flow.
    Stream,
    /// Workers report, and all ranks meet.
    Finish,
    /// Rank 0 receives sums, reports and ledgers.
    Reduce,
    /// Queues are deleted. The record is written before, without it.
    Close,
}

impl Phase {
    /// Its name in a record.
    pub fn name(self) -> &'static str {
        match self {
            Self::Payloads => "payloads",
            Self::Ceiling => "ceiling",
            Self::Connect => "connect",
            Self::Topology => "topology",
            Self::Peers => "peers",
            Self::Clocks => "clocks",
            Self::Start => "start",
            Self::Stream => "stream",
            Self::Finish => "finish",
            Self::Reduce => "reduce",
            Self::Close => "close",
        }
    }
}
