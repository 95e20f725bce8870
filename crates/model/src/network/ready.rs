//! Which lane of a station comes next: each in turn, or each by its share.
//!
//! Cores are taken in turn. Connections that fill a link together do not: what each of TCP's gets within seconds differs
//! several times over, with the losses and pauses that it happens to have. So each has a share that is drawn, exponentially with
//! mean 1, whenever it begins to send again or has sent as much as its buffers hold: there is no number in it that somebody would
//! have to fit. The link never idles for it, and in the long run shares are equal.

use super::Lane;
use crate::draws::Draws;
use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

/// No share is smaller: a connection that pauses comes back.
const SHARE_MIN: f64 = 0.05;

/// Lanes that have work, and the order in which they are served.
#[derive(Debug)]
pub enum Ready {
    /// One after the other.
    Turns(VecDeque<Lane>),
    /// By shares.
    Shares(Shares),
}

/// Start-time fair queueing: a lane's next packet starts when its last one would have ended at the lane's own share.
#[derive(Debug)]
pub struct Shares {
    draws: Draws,
    /// Lanes by the start of their next packet, and by how long they have waited.
    waiting: BinaryHeap<Reverse<(u64, u64, Lane)>>,
    /// The start of the packet that was served last.
    clock_ns: u64,
    listed: u64,
    /// So many bytes a lane keeps its share for.
    kept_bytes: u64,
    lanes: Vec<State>,
}

#[derive(Debug, Clone, Copy, Default)]
struct State {
    share: f64,
    /// When its last packet would have ended at its share.
    end_ns: u64,
    /// What it may still send at this share.
    left_bytes: u64,
}

impl Ready {
    /// In turn.
    pub fn turns() -> Self {
        Self::Turns(VecDeque::new())
    }

    /// By shares that are drawn, each for so many bytes.
    pub fn shares(draws: Draws, kept_bytes: u64) -> Self {
        let (waiting, lanes) = (BinaryHeap::new(), Vec::new());
        Self::Shares(Shares { draws, waiting, clock_ns: 0, listed: 0, kept_bytes, lanes })
    }

    /// A lane has work again.
    pub fn begins(&mut self, lane: Lane) {
        if let Self::Shares(shares) = self {
            shares.lane(lane).left_bytes = 0;
        }
        self.goes_on(lane);
    }

    /// A lane has more work.
    pub fn goes_on(&mut self, lane: Lane) {
        match self {
            Self::Turns(lanes) => lanes.push_back(lane),
            Self::Shares(shares) => {
                let start_ns = shares.lane(lane).end_ns.max(shares.clock_ns);
                shares.listed += 1;
                shares.waiting.push(Reverse((start_ns, shares.listed, lane)));
            }
        }
    }

    /// Whether no lane has work.
    pub fn is_empty(&self) -> bool {
        match self {
            Self::Turns(lanes) => lanes.is_empty(),
            Self::Shares(shares) => shares.waiting.is_empty(),
        }
    }

    /// The lane that is served next.
    pub fn next(&mut self) -> Option<Lane> {
        match self {
            Self::Turns(lanes) => lanes.pop_front(),
            Self::Shares(shares) => {
                let Reverse((start_ns, _, lane)) = shares.waiting.pop()?;
                shares.clock_ns = start_ns;
                Some(lane)
            }
        }
    }

    /// It is served for so long, with so many bytes.
    pub fn served(&mut self, lane: Lane, work_ns: u64, bytes: u32) {
        if let Self::Shares(shares) = self {
            shares.serve(lane, work_ns, u64::from(bytes));
        }
    }
}

impl Shares {
    fn serve(&mut self, lane: Lane, work_ns: u64, bytes: u64) {
        let mut state = *self.lane(lane);
        if state.left_bytes == 0 {
            state.share = self.draws.exponential().max(SHARE_MIN);
            state.left_bytes = self.kept_bytes;
        }
        state.left_bytes = state.left_bytes.saturating_sub(bytes);
        state.end_ns = self.clock_ns + (work_ns as f64 / state.share).round() as u64;
        *self.lane(lane) = state;
    }

    fn lane(&mut self, lane: Lane) -> &mut State {
        let place = lane.0 as usize;
        if place >= self.lanes.len() {
            self.lanes.resize(place + 1, State::default());
        }
        &mut self.lanes[place]
    }
}
