//! The two clocks. The wall clock can be replaced, so that tests set it back.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Instant;

use fades_core::engine::Now;
use jiff::Timestamp;

/// Reads both clocks.
#[derive(Clone)]
pub struct Clock {
    start: Instant,
    /// Added to the system's wall clock, in microseconds; 0 but in tests.
    offset_us: Arc<AtomicI64>,
}

impl Default for Clock {
    fn default() -> Self {
        Self { start: Instant::now(), offset_us: Arc::default() }
    }
}

impl Clock {
    /// Microseconds of Unix time.
    #[must_use]
    pub fn unix_us(&self) -> i64 {
        Timestamp::now().as_microsecond().saturating_add(self.offset_us.load(Ordering::Relaxed))
    }

    /// Microseconds since this clock was made; never goes back.
    #[must_use]
    pub fn mono_us(&self) -> u64 {
        u64::try_from(self.start.elapsed().as_micros()).unwrap_or(u64::MAX)
    }

    /// Both, as the engine takes them.
    #[must_use]
    pub fn now(&self) -> Now {
        Now { mono_us: self.mono_us(), unix_us: u64::try_from(self.unix_us()).unwrap_or(0) }
    }

    /// Shifts the wall clock, as a wrong hand on the host would.
    pub fn shift_us(&self, offset_us: i64) {
        self.offset_us.store(offset_us, Ordering::Relaxed);
    }
}

/// A stored time for people and for JSON.
#[must_use]
pub fn timestamp(unix_us: i64) -> Timestamp {
    Timestamp::from_microsecond(unix_us).unwrap_or(if unix_us < 0 { Timestamp::MIN } else { Timestamp::MAX })
}
