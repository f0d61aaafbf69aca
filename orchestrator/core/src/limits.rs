//! How much a node gives: guests, memory and tasks at once, rates, and the patience of the engine.

/// What a node can hold at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Guests, the broker included.
    pub guests: u32,
    /// Memory of all guests, the broker included, with the region that each of them shares, MiB.
    pub memory_mib: u32,
    /// The region that each guest has beside its memory, MiB; 0 where guests have none.
    pub region_mib: u32,
    /// Tasks under way.
    pub tasks: u32,
    /// Tasks waiting; what comes beyond is refused by admission.
    pub waiting: u32,
    /// Memory of functions that were started ahead of their tasks, without their regions, MiB: a part of `memory_mib`. 0: none
    /// are.
    pub dormant_mib: u32,
}

impl Default for Limits {
    /// Room for the broker and six functions of ordinary size on a small edge machine.
    fn default() -> Self {
        Self { guests: 7, memory_mib: 1024, region_mib: 0, tasks: 6, waiting: 10_000, dormant_mib: 0 }
    }
}

impl Limits {
    /// What a guest of so much memory takes of [`Limits::memory_mib`].
    #[must_use]
    pub const fn cost_mib(&self, memory_mib: u32) -> u32 {
        memory_mib.saturating_add(self.region_mib)
    }

    /// Memory of the largest function that there is room for beside a broker of so much.
    #[must_use]
    pub const fn function_mib(&self, broker_mib: u32) -> u32 {
        self.memory_mib.saturating_sub(self.cost_mib(broker_mib)).saturating_sub(self.region_mib)
    }
}

/// How long the engine waits for what, in µs unless said otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Patience {
    /// From asking for a function to its being ready. Emulated guests on a busy machine need seconds.
    pub boot_us: u64,
    /// From asking for the broker to its hello.
    pub broker_boot_us: u64,
    /// Between two pings of the broker.
    pub heartbeat_us: u64,
    /// So many unanswered pings and the broker is dead.
    pub heartbeat_misses: u32,
    /// Before the broker's first restart; doubles with every failure.
    pub backoff_first_us: u64,
    /// Longest pause before a restart.
    pub backoff_most_us: u64,
    /// A broker ready for this long has its failures forgotten.
    pub stable_us: u64,
    /// How long a function's result waits for the broker's own count of what was sent, and how long a lost control
    /// connection waits for the guest's cause of death.
    pub settle_us: u64,
    /// How often a task's function is started before the task fails.
    pub max_attempts: u32,
}

impl Default for Patience {
    fn default() -> Self {
        const SECOND: u64 = 1_000_000;
        Self {
            boot_us: 30 * SECOND,
            broker_boot_us: 30 * SECOND,
            heartbeat_us: SECOND,
            heartbeat_misses: 5,
            backoff_first_us: SECOND / 4,
            backoff_most_us: 30 * SECOND,
            stable_us: 30 * SECOND,
            settle_us: 8 * SECOND,
            max_attempts: 3,
        }
    }
}

impl Patience {
    /// Pause before the broker's next start, after `failures` deaths in a row (at least 1), in µs.
    #[must_use]
    pub fn backoff_us(&self, failures: u32) -> u64 {
        let doublings = failures.saturating_sub(1).min(32);
        self.backoff_first_us.saturating_mul(1 << doublings).min(self.backoff_most_us)
    }
}

/// What the guests that exist take together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Guests.
    pub guests: u32,
    /// Their memory and regions, MiB.
    pub memory_mib: u32,
}

impl Usage {
    /// Whether one more guest of this size stays within the limits.
    #[must_use]
    pub const fn fits(self, memory_mib: u32, limits: &Limits) -> bool {
        let cost_mib = limits.cost_mib(memory_mib);
        self.guests < limits.guests && self.memory_mib.saturating_add(cost_mib) <= limits.memory_mib
    }

    /// Counts one guest in, by its [cost](Limits::cost_mib).
    pub const fn add(&mut self, cost_mib: u32) {
        self.guests += 1;
        self.memory_mib += cost_mib;
    }

    /// Counts one guest out.
    pub const fn sub(&mut self, cost_mib: u32) {
        self.guests -= 1;
        self.memory_mib -= cost_mib;
    }
}

/// A token bucket over a monotonic clock: `burst` at once, refilled at `per_minute`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bucket {
    per_minute: u32,
    burst: u32,
    /// In µs of refill: a token is worth one minute divided by `per_minute`.
    credit_us: u64,
    last_us: u64,
}

const MINUTE_US: u64 = 60_000_000;

impl Bucket {
    /// A full bucket. With `per_minute` or `burst` 0 it gives nothing.
    #[must_use]
    pub fn new(per_minute: u32, burst: u32, now_us: u64) -> Self {
        let mut bucket = Self { per_minute, burst, credit_us: 0, last_us: now_us };
        bucket.credit_us = bucket.token_us().saturating_mul(u64::from(burst));
        bucket
    }

    const fn token_us(&self) -> u64 {
        if self.per_minute == 0 { u64::MAX } else { MINUTE_US / self.per_minute as u64 }
    }

    /// Takes one token, if there is one.
    pub fn take(&mut self, now_us: u64) -> bool {
        if self.per_minute == 0 || self.burst == 0 {
            return false;
        }
        let full = self.token_us().saturating_mul(u64::from(self.burst));
        self.credit_us = self.credit_us.saturating_add(now_us.saturating_sub(self.last_us)).min(full);
        self.last_us = self.last_us.max(now_us);
        let enough = self.credit_us >= self.token_us();
        if enough {
            self.credit_us -= self.token_us();
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_gives_its_burst_then_its_rate() {
        let mut bucket = Bucket::new(60, 3, 0);
        assert_eq!(
            [bucket.take(0), bucket.take(0), bucket.take(0), bucket.take(0)],
            [true, true, true, false]
        );
        assert!(!bucket.take(999_999));
        assert!(bucket.take(1_000_000));
        assert!(!bucket.take(1_000_001));
        assert!(bucket.take(u64::MAX));
        assert!(!Bucket::new(0, 3, 0).take(u64::MAX));
        assert!(!Bucket::new(3, 0, 0).take(u64::MAX));
    }

    #[test]
    fn backoff_doubles_up_to_its_bound() {
        let patience = Patience { backoff_first_us: 10, backoff_most_us: 70, ..Patience::default() };
        let pauses: Vec<_> = [1, 2, 3, 4, 5, 200].map(|n| patience.backoff_us(n)).into();
        assert_eq!(pauses, [10, 20, 40, 70, 70, 70]);
    }

    #[test]
    fn usage_counts_guests_and_memory() {
        let limits = Limits { guests: 2, memory_mib: 100, ..Limits::default() };
        let mut usage = Usage::default();
        assert!(usage.fits(100, &limits) && !usage.fits(101, &limits));
        usage.add(60);
        assert!(usage.fits(40, &limits) && !usage.fits(41, &limits));
        usage.add(1);
        assert!(!usage.fits(1, &limits));
        usage.sub(60);
        usage.sub(1);
        assert_eq!(usage, Usage::default());
    }

    #[test]
    fn a_region_is_counted_with_its_guest() {
        let limits = Limits { guests: 9, memory_mib: 200, region_mib: 4, ..Limits::default() };
        let mut usage = Usage::default();
        usage.add(limits.cost_mib(128));
        assert_eq!(limits.function_mib(128), 64);
        assert!(usage.fits(64, &limits) && !usage.fits(65, &limits));
        assert_eq!(limits.function_mib(196), 0, "not even a broker's own fits");
    }
}
