//! The order in which waiting tasks get their turn: priority, then deadline, then arrival.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};

use crate::ids::TaskId;

/// A place in line; the smallest is next.
type Place = (Reverse<u8>, u64, u64, TaskId);

/// Waiting tasks, each at most once.
#[derive(Debug, Default)]
pub struct Queue {
    line: BTreeSet<Place>,
    deadlines: BTreeSet<(u64, TaskId)>,
    places: HashMap<TaskId, Place>,
}

impl Queue {
    /// Puts a task in line. `deadline_us` and `arrival` only need to be comparable among tasks; a task that comes back
    /// with its old arrival gets its old place. A task already in line is moved.
    pub fn insert(&mut self, task: TaskId, priority: u8, deadline_us: u64, arrival: u64) {
        let place = (Reverse(priority), deadline_us, arrival, task);
        if let Some(old) = self.places.insert(task, place) {
            self.line.remove(&old);
            self.deadlines.remove(&(old.1, task));
        }
        self.line.insert(place);
        self.deadlines.insert((deadline_us, task));
    }

    /// Takes a task out of line; false when it was not in it.
    pub fn remove(&mut self, task: TaskId) -> bool {
        match self.places.remove(&task) {
            Some(place) => {
                self.deadlines.remove(&(place.1, task));
                self.line.remove(&place)
            }
            None => false,
        }
    }

    /// The earliest deadline of all in line.
    #[must_use]
    pub fn first_deadline(&self) -> Option<u64> {
        self.deadlines.first().map(|(deadline_us, _)| *deadline_us)
    }

    /// One whose deadline has come, if there is one; it stays in line.
    #[must_use]
    pub fn expired(&self, now_us: u64) -> Option<TaskId> {
        self.deadlines.first().filter(|(deadline_us, _)| *deadline_us <= now_us).map(|(_, task)| *task)
    }

    /// Whose turn is next.
    #[must_use]
    pub fn first(&self) -> Option<TaskId> {
        self.line.first().map(|place| place.3)
    }

    /// How many wait.
    #[must_use]
    pub fn len(&self) -> usize {
        self.line.len()
    }

    /// Whether nobody waits.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.line.is_empty()
    }

    /// All in line, next first.
    pub fn iter(&self) -> impl Iterator<Item = TaskId> + '_ {
        self.line.iter().map(|place| place.3)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn task(number: u8) -> TaskId {
        TaskId([number; 16])
    }

    #[test]
    fn priority_comes_before_deadline_before_arrival() {
        let mut queue = Queue::default();
        queue.insert(task(1), 5, 900, 1);
        queue.insert(task(2), 5, 800, 2);
        queue.insert(task(3), 9, 999, 3);
        queue.insert(task(4), 5, 800, 0);
        queue.insert(task(5), 0, 1, 4);
        let order: Vec<_> = queue.iter().collect();
        assert_eq!(order, [task(3), task(4), task(2), task(1), task(5)]);
    }

    #[test]
    fn a_task_stands_in_line_once() {
        let mut queue = Queue::default();
        queue.insert(task(1), 1, 10, 0);
        queue.insert(task(2), 5, 10, 1);
        queue.insert(task(1), 9, 10, 0);
        assert_eq!(queue.len(), 2);
        assert_eq!(queue.first(), Some(task(1)));
        assert!(queue.remove(task(1)));
        assert!(!queue.remove(task(1)));
        assert!(queue.remove(task(2)));
        assert!(queue.is_empty());
        assert_eq!(queue.first_deadline(), None);
    }

    #[test]
    fn the_earliest_deadline_is_known_whatever_the_order() {
        let mut queue = Queue::default();
        queue.insert(task(1), 9, 300, 0);
        queue.insert(task(2), 0, 100, 1);
        queue.insert(task(2), 0, 200, 1);
        assert_eq!(queue.first_deadline(), Some(200));
        assert_eq!((queue.expired(199), queue.expired(200)), (None, Some(task(2))));
    }
}
