//! What happens when: events in the order of their time, and of their entry at one time.

use std::{cmp::Ordering, collections::BinaryHeap};

/// Events to come, and the time of the last one that was taken.
#[derive(Debug)]
pub struct Agenda<E> {
    heap: BinaryHeap<Entry<E>>,
    entered: u64,
    now_ns: u64,
}

#[derive(Debug)]
struct Entry<E> {
    at_ns: u64,
    number: u64,
    event: E,
}

impl<E> Agenda<E> {
    /// Without events, at time 0.
    pub fn new() -> Self {
        Self { heap: BinaryHeap::new(), entered: 0, now_ns: 0 }
    }

    /// The time of the last event.
    pub fn now_ns(&self) -> u64 {
        self.now_ns
    }

    /// Adds an event that happens `after_ns` from now.
    pub fn after(&mut self, after_ns: u64, event: E) {
        let at_ns = self.now_ns.saturating_add(after_ns);
        self.heap.push(Entry { at_ns, number: self.entered, event });
        self.entered += 1;
    }

    /// Takes the next event, and moves on to its time.
    pub fn next(&mut self) -> Option<E> {
        let entry = self.heap.pop()?;
        self.now_ns = entry.at_ns;
        Some(entry.event)
    }

    /// Number of events that were ever added.
    pub fn entered(&self) -> u64 {
        self.entered
    }
}

/// The heap takes the greatest first: the earliest, and of these the one that was added first.
impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.at_ns, other.number).cmp(&(self.at_ns, self.number))
    }
}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl<E> Eq for Entry<E> {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_the_order_of_time_and_then_of_entry() {
        let mut agenda = Agenda::new();
        for (after_ns, event) in [(5, 'c'), (1, 'a'), (5, 'd'), (3, 'b')] {
            agenda.after(after_ns, event);
        }
        let order: Vec<(char, u64)> = std::iter::from_fn(|| Some((agenda.next()?, agenda.now_ns()))).collect();
        assert_eq!(order, [('a', 1), ('b', 3), ('c', 5), ('d', 5)]);
        agenda.after(0, 'e');
        assert_eq!((agenda.next(), agenda.now_ns()), (Some('e'), 5));
    }
}
