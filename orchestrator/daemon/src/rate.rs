//! Limits on how often: token buckets per name, in maps that cannot be made to grow.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use fades_core::limits::Bucket;
use serde::Deserialize;

/// A rate: so many per minute, so many at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// In the long run.
    pub per_minute: u32,
    /// At once, after a pause.
    pub burst: u32,
}

impl Rate {
    /// Seconds until there is a token again, at least 1.
    #[must_use]
    pub fn wait_s(self) -> u64 {
        u64::from(60u32.div_ceil(self.per_minute.max(1)))
    }

    /// Microseconds from empty to full.
    fn refill_us(self) -> u64 {
        u64::from(self.burst) * 60_000_000 / u64::from(self.per_minute.max(1))
    }
}

/// Buckets for at most `most` names.
pub struct Limiter<K> {
    most: usize,
    inner: Mutex<Inner<K>>,
}

struct Inner<K> {
    buckets: HashMap<K, (Bucket, Rate, u64)>,
    /// Shared by all names that found no place: who comes with ever new names gets no more out of it.
    overflow: Option<Bucket>,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    /// An empty map for at most `most` names.
    #[must_use]
    pub fn new(most: usize) -> Self {
        Self { most, inner: Mutex::new(Inner { buckets: HashMap::new(), overflow: None }) }
    }

    /// Takes a token of `key` at the monotonic time `now_us`; says whether there was one.
    pub fn take(&self, key: &K, rate: Rate, now_us: u64) -> bool {
        let mut inner = self.inner.lock().unwrap_or_else(PoisonError::into_inner);
        if !inner.buckets.contains_key(key) && inner.buckets.len() >= self.most {
            // A bucket that had time to fill up again is as good as a new one.
            inner.buckets.retain(|_, (_, rate, last)| now_us.saturating_sub(*last) < rate.refill_us());
            if inner.buckets.len() >= self.most {
                let overflow =
                    inner.overflow.get_or_insert_with(|| Bucket::new(rate.per_minute, rate.burst, now_us));
                return overflow.take(now_us);
            }
        }
        let fresh = || (Bucket::new(rate.per_minute, rate.burst, now_us), rate, now_us);
        let entry = inner.buckets.entry(key.clone()).or_insert_with(fresh);
        if entry.1 != rate {
            *entry = fresh();
        }
        entry.2 = now_us;
        entry.0.take(now_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: Rate = Rate { per_minute: 60, burst: 2 };

    #[test]
    fn names_do_not_share() {
        let limiter = Limiter::new(10);
        assert!(limiter.take(&1, RATE, 0) && limiter.take(&1, RATE, 0));
        assert!(!limiter.take(&1, RATE, 0));
        assert!(limiter.take(&2, RATE, 0));
        assert!(limiter.take(&1, RATE, 1_000_000));
        assert_eq!(RATE.wait_s(), 1);
    }

    #[test]
    fn new_names_beyond_the_bound_share_one_bucket_and_the_map_stays_small() {
        let limiter = Limiter::new(3);
        let given = (0..1000).filter(|name| limiter.take(name, RATE, 0)).count();
        assert_eq!(given, 3 + 2);
        assert_eq!(limiter.inner.lock().unwrap().buckets.len(), 3);
        // Idle names make room.
        assert!(limiter.take(&5000, RATE, 2_000_001));
        assert_eq!(limiter.inner.lock().unwrap().buckets.len(), 1);
    }
}
