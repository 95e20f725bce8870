//! The events that ended last, so that their late segments begin no new event.

use super::Key;
use std::collections::{HashMap, VecDeque};

/// How an event ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// All its segments arrived.
    Whole,
    /// It was given up.
    GivenUp,
}

/// The newest ends, as many as the limit allows.
#[derive(Debug)]
pub struct Remembered {
    limit: usize,
    ends: HashMap<Key, End>,
    order: VecDeque<Key>,
}

impl Remembered {
    pub fn new(limit: usize) -> Self {
        Self { limit, ends: HashMap::new(), order: VecDeque::new() }
    }

    pub fn end_of(&self, key: Key) -> Option<End> {
        self.ends.get(&key).copied()
    }

    /// Remembers an event that is not remembered yet.
    pub fn add(&mut self, key: Key, end: End) {
        if self.limit == 0 {
            return;
        }
        if self.order.len() == self.limit
            && let Some(oldest) = self.order.pop_front()
        {
            self.ends.remove(&oldest);
        }
        let known = self.ends.insert(key, end);
        debug_assert!(known.is_none(), "an event ends once");
        self.order.push_back(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_ends_are_remembered_and_no_more() {
        let mut remembered = Remembered::new(2);
        let key = |number| Key { number, data_id: 0 };
        for number in 0..3 {
            remembered.add(key(number), if number == 1 { End::GivenUp } else { End::Whole });
        }
        assert_eq!(remembered.end_of(key(0)), None);
        assert_eq!(remembered.end_of(key(1)), Some(End::GivenUp));
        assert_eq!(remembered.end_of(key(2)), Some(End::Whole));
        assert_eq!(remembered.ends.len(), 2);
    }
}
