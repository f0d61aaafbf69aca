//! How often a source's failures are told: a broker that tries again and again must not fill the node's log.

use std::collections::HashMap;
use std::time::Instant;

use fades_core::limits::Bucket;

/// Failures of one source that are told per minute.
pub(crate) const PER_MINUTE: u32 = 12;
/// And at once.
pub(crate) const BURST: u32 = 12;

/// What was told of each gateway port's source.
pub(crate) struct Quiet {
    start: Instant,
    told: HashMap<u16, Told>,
}

struct Told {
    bucket: Bucket,
    /// Not told since it last was.
    kept_back: u64,
}

impl Quiet {
    pub(crate) fn new(start: Instant) -> Self {
        Self { start, told: HashMap::new() }
    }

    /// Whether a failure is to be told, and then how many before it were not.
    pub(crate) fn tell(&mut self, source_port: u16, now: Instant) -> Option<u64> {
        let now_us = u64::try_from(now.saturating_duration_since(self.start).as_micros()).unwrap_or(u64::MAX);
        let told = self
            .told
            .entry(source_port)
            .or_insert_with(|| Told { bucket: Bucket::new(PER_MINUTE, BURST, now_us), kept_back: 0 });
        if told.bucket.take(now_us) {
            return Some(std::mem::take(&mut told.kept_back));
        }
        told.kept_back += 1;
        None
    }

    /// The port is another source's from now on, or nobody's.
    pub(crate) fn forget(&mut self, source_port: u16) {
        self.told.remove(&source_port);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_source_is_heard_at_first_and_then_at_times() {
        let start = Instant::now();
        let mut quiet = Quiet::new(start);
        let told = (0..100).filter_map(|_| quiet.tell(1, start)).count();
        assert_eq!(told, BURST as usize);
        assert_eq!(quiet.tell(2, start), Some(0), "another source has its own");
        let later = start + Duration::from_secs(5);
        assert_eq!(quiet.tell(1, later), Some(100 - u64::from(BURST)));
        assert_eq!(quiet.tell(1, later), None);
        quiet.forget(1);
        assert_eq!(quiet.tell(1, later), Some(0));
    }
}
