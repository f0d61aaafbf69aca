//! Lines for the node's log: over the control channel, at a bounded rate.

use std::time::{Duration, Instant};

/// Levels, as in [`fades_wire::control::Log::level`].
pub mod level {
    /// Something failed.
    pub const ERROR: u8 = 1;
    /// Something is odd.
    pub const WARNING: u8 = 2;
    /// Something happened.
    pub const INFORMATION: u8 = 3;
    /// For those who look for a mistake.
    pub const DEBUG: u8 = 4;
    /// Everything.
    pub const TRACE: u8 = 5;
}

/// Lines that may come at once, and that come back at one per [`EVERY`].
const BURST: u32 = 64;
/// Lasting rate: ten lines per second are more than anybody reads.
const EVERY: Duration = Duration::from_millis(100);

/// How many lines may go out; time is an argument.
#[derive(Clone, Debug)]
pub(crate) struct Budget {
    left: u32,
    since: Instant,
    dropped: u64,
}

impl Budget {
    pub(crate) const fn new(now: Instant) -> Self {
        Self { left: BURST, since: now, dropped: 0 }
    }

    /// Whether a line may go out now; if so, how many were dropped before it.
    pub(crate) fn take(&mut self, now: Instant) -> Option<u64> {
        let ticks = now.saturating_duration_since(self.since).as_millis() / EVERY.as_millis();
        let earned = u32::try_from(ticks).unwrap_or(u32::MAX);
        if earned > 0 {
            self.left = self.left.saturating_add(earned).min(BURST);
            self.since = self.since.checked_add(EVERY.saturating_mul(earned)).unwrap_or(now);
        }
        if self.left == 0 {
            self.dropped += 1;
            return None;
        }
        self.left -= 1;
        Some(std::mem::take(&mut self.dropped))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_thinned_and_counted() {
        let start = Instant::now();
        let mut budget = Budget::new(start);
        let sent = (0..1000).filter(|_| budget.take(start).is_some()).count();
        assert_eq!(sent, BURST as usize);
        assert_eq!(budget.take(start + EVERY / 2), None);
        assert_eq!(budget.take(start + EVERY), Some(1000 - u64::from(BURST) + 1));
        assert_eq!(budget.take(start + EVERY), None);
        assert_eq!(budget.take(start + EVERY * 5), Some(1));
        assert_eq!(
            (0..1000).filter(|_| budget.take(start + EVERY * 10_000).is_some()).count(),
            BURST as usize
        );
    }
}
