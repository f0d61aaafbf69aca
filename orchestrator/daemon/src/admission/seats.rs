//! How many tasks of whom have not ended: taken before a task is stored, free again at its end.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use fades_core::admit::Standing;

/// Counts open tasks per issuer; cheap to clone.
#[derive(Clone, Default)]
pub struct Seats(Arc<Mutex<Counts>>);

#[derive(Default)]
struct Counts {
    by_issuer: HashMap<String, u32>,
    all: u32,
}

impl Seats {
    /// How things stand for one issuer.
    #[must_use]
    pub fn standing(&self, issuer: &str) -> Standing {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        Standing { active: counts.by_issuer.get(issuer).copied().unwrap_or(0), waiting: counts.all }
    }

    /// Takes a seat if fewer than `most` of this issuer and `most_in_all` of everybody are taken. Decided and taken in
    /// one, so that requests that come together cannot all see the last one free.
    #[must_use]
    pub fn take(&self, issuer: &str, most: u32, most_in_all: u32) -> Option<Seat> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = counts.by_issuer.get(issuer).copied().unwrap_or(0);
        if mine >= most || counts.all >= most_in_all {
            return None;
        }
        counts.by_issuer.insert(issuer.to_owned(), mine + 1);
        counts.all += 1;
        Some(Seat { seats: self.clone(), issuer: issuer.to_owned(), kept: false })
    }

    /// Frees a seat at a task's end.
    pub fn free(&self, issuer: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mine) = counts.by_issuer.get_mut(issuer) {
            *mine -= 1;
            if *mine == 0 {
                counts.by_issuer.remove(issuer);
            }
            counts.all -= 1;
        }
    }

    /// Tasks that have not ended.
    #[must_use]
    pub fn open(&self) -> u32 {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).all
    }
}

/// A seat that is free again on drop, unless kept.
pub struct Seat {
    seats: Seats,
    issuer: String,
    kept: bool,
}

impl Seat {
    /// The task is stored: the seat is taken until [`Seats::free`].
    pub fn keep(mut self) {
        self.kept = true;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if !self.kept {
            self.seats.free(&self.issuer);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seat_is_free_unless_kept() {
        let seats = Seats::default();
        let first = seats.take("a", 1, 2).unwrap();
        assert!(seats.take("a", 1, 2).is_none());
        drop(first);
        seats.take("a", 1, 2).unwrap().keep();
        assert_eq!(seats.standing("a"), Standing { active: 1, waiting: 1 });
        seats.take("b", 9, 2).unwrap().keep();
        assert!(seats.take("c", 9, 2).is_none());
        seats.free("a");
        seats.free("a");
        assert_eq!(seats.open(), 1);
    }
}
