//! A reserved load balancer: its senders, its receivers and its epochs.

use crate::{
    balance::{Epoch, Member, Tables},
    control::messages::{Status, Timestamp},
    plane::{
        prediction::Prediction,
        session::{Session, WEIGHT_MEAN},
        slots::{Share, Strategy, deal},
    },
    wire::{SLOTS, Sync},
};
use rand::Rng;
use std::{
    collections::{BTreeSet, HashMap, HashSet},
    net::IpAddr,
    sync::Arc,
};

/// How far ahead a new epoch begins: time to write tables, and for events under way.
const AHEAD_US: u64 = 800_000;
const EPOCHS_MAX: usize = 4;

/// A reservation.
pub struct Held {
    pub id: u64,
    pub name: String,
    pub token: String,
    pub until_us: u64,
    pub strategy: Strategy,
    pub senders: BTreeSet<IpAddr>,
    pub sessions: Vec<Session>,
    /// Receivers that have left, while a live calendar names them.
    left: HashMap<u16, Member>,
    prediction: Prediction,
    epochs: Vec<Epoch>,
    /// How many epochs there have been.
    epoch: u64,
}

impl Held {
    pub fn new(id: u64, name: String, token: String, until_us: u64, strategy: Strategy, now_us: u64) -> Self {
        Self {
            id,
            name,
            token,
            until_us,
            strategy,
            senders: BTreeSet::new(),
            sessions: Vec::new(),
            left: HashMap::new(),
            prediction: Prediction::new(now_us),
            epochs: Vec::new(),
            epoch: 0,
        }
    }

    pub fn sync(&mut self, sync: &Sync, now_us: u64) {
        self.prediction.add(sync, now_us);
    }

    /// Removes a receiver, whose packets are dropped from the next tick on. Returns its token.
    pub fn remove(&mut self, id: u64) -> Option<String> {
        let at = self.sessions.iter().position(|session| session.id == id)?;
        let session = self.sessions.remove(at);
        self.left.insert(session.member, Member { left: true, ..session.member() });
        Some(session.token)
    }

    /// An id for calendars that no receiver has and no live calendar names.
    pub fn free_member(&self, session: u64) -> Option<u16> {
        let taken = |member: u16| {
            self.left.contains_key(&member) || self.sessions.iter().any(|session| session.member == member)
        };
        let first = u16::try_from(session % u64::from(u16::MAX)).expect("it is below 65535");
        (0..u16::MAX).map(|more| (u32::from(first) + u32::from(more)) % u32::from(u16::MAX)).find_map(|member| {
            let member = u16::try_from(member).expect("it is below 65535");
            (!taken(member)).then_some(member)
        })
    }

    /// Makes the next epoch, if any receiver is ready. Returns the tokens of those that were removed.
    pub fn tick(&mut self, now_us: u64, random: &mut impl Rng) -> Vec<String> {
        let gone: Vec<u64> =
            self.sessions.iter().filter(|session| session.is_gone(now_us)).map(|session| session.id).collect();
        let tokens = gone.into_iter().filter_map(|id| self.remove(id)).collect();
        let mut ready: Vec<&mut Session> =
            self.sessions.iter_mut().filter(|session| session.is_ready(now_us)).collect();
        if !ready.is_empty() {
            let sum: f64 = ready.iter_mut().map(|session| session.moved_weight()).sum();
            if sum > 0.0 {
                let factor = WEIGHT_MEAN * ready.len() as f64 / sum;
                ready.iter_mut().for_each(|session| session.scale_weight(factor));
            }
            let boundary = self.prediction.tick_at(now_us, AHEAD_US).unwrap_or_default();
            let mut shares: Vec<Share<'_>> = ready.iter().map(|session| session.share()).collect();
            // A calendar that applies at once moves no slots without need.
            let shuffle = if boundary > 0 { Some(random) } else { None };
            let calendar = Arc::new(deal(self.strategy, &mut shares, shuffle));
            self.begin(Epoch { first_tick: boundary, calendar });
        }
        let named = |member: &u16| self.epochs.iter().any(|epoch| epoch.calendar.contains(member));
        self.left.retain(|member, _| named(member));
        tokens
    }

    /// Adds the newest epoch. Those that would begin after it are gone: its ticks run behind theirs.
    fn begin(&mut self, epoch: Epoch) {
        self.epochs.retain(|known| known.first_tick < epoch.first_tick);
        self.epochs.push(epoch);
        if self.epochs.len() > EPOCHS_MAX {
            self.epochs.remove(0);
        }
        self.epoch += 1;
    }

    /// What to balance by from now on; `None` if nothing has changed.
    pub fn tables(&self, known: &Tables) -> Option<Tables> {
        let present = self.sessions.iter().map(|session| (session.member, session.member()));
        let tables = Tables {
            version: known.version,
            senders: self.senders.iter().copied().collect::<HashSet<_>>(),
            epochs: self.epochs.clone(),
            members: present.chain(self.left.iter().map(|(id, member)| (*id, *member))).collect(),
        };
        (tables != *known).then(|| Tables { version: known.version + 1, ..tables })
    }

    pub fn status(&self, now_us: u64) -> Status {
        let newest = self.epochs.last().map_or(&[][..], |epoch| &epoch.calendar[..]);
        Status {
            timestamp: Some(Timestamp::of_us(now_us)),
            current_epoch: self.epoch,
            current_predicted_event_number: self.prediction.tick_at(now_us, 0).unwrap_or_default(),
            workers: self.sessions.iter().map(|session| session.status(newest)).collect(),
            sender_addresses: self.senders.iter().map(IpAddr::to_string).collect(),
            expires_at: Some(Timestamp::of_us(self.until_us)),
            slot_resolution: u32::from(SLOTS),
            packets: Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn epochs_ascend_also_where_ticks_have_run_back_and_the_oldest_ends_first() {
        let mut held = Held::new(1, "run".to_owned(), "token".to_owned(), u64::MAX, Strategy::Dynamic, 0);
        let calendar = Arc::new([0; SLOTS as usize]);
        for first_tick in [100, 200, 300, 150, 400, 500, 600] {
            held.begin(Epoch { first_tick, calendar: Arc::clone(&calendar) });
        }
        let first_ticks: Vec<u64> = held.epochs.iter().map(|epoch| epoch.first_tick).collect();
        assert_eq!((first_ticks, held.epoch), (vec![150, 400, 500, 600], 7));
    }
}
