//! The calendar of a persistent task (see [`Lifetime::Persistent`]), for the node that runs its periods, and for who tries the first few
//! of them, in order, on a fixed set of readings.

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Lifetime, TaskDraft, TaskError, Wrapper, parse};
use crate::json;

/// When the periods of a persistent task are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Periods {
    first_due_us: i64,
    every_us: i64,
    until_us: i64,
}

impl Periods {
    /// Periods that are tried where nobody says how many: on a node each is a guest of its own.
    pub const TRIED: u64 = 8;

    /// Of a persistent task; `None` for any other.
    pub fn of(wrapper: &Wrapper) -> Option<Self> {
        let Lifetime::Persistent { every_ms, until, .. } = wrapper.dmf.lifetime else { return None };
        let latest_ns = wrapper.drb.operations.iter().map(|operation| operation.range_ns().1).max()?;
        // A due time is never before the end of what is read.
        let first_due_us = latest_ns.div_euclid(1000) + i64::from(latest_ns.rem_euclid(1000) > 0);
        let every_us = i64::try_from(every_ms.max(1)).unwrap_or(i64::MAX).saturating_mul(1000);
        Some(Self { first_due_us, every_us, until_us: until.as_microsecond() })
    }

    /// When period 0 is due, µs since 1970 UTC.
    pub const fn first_due_us(&self) -> i64 {
        self.first_due_us
    }

    /// From one to the next, µs; at least 1.
    pub const fn every_us(&self) -> i64 {
        self.every_us
    }

    /// How many there are; a node refuses a task with none.
    pub fn count(&self) -> u64 {
        self.due_at(self.until_us)
    }

    /// How many of them are due by then.
    pub fn due_by(&self, now: Timestamp) -> u64 {
        self.due_at(self.until_us.min(now.as_microsecond()))
    }

    fn due_at(&self, us: i64) -> u64 {
        let since = us.saturating_sub(self.first_due_us);
        u64::try_from(since.div_euclid(self.every_us).saturating_add(1)).unwrap_or(0)
    }

    /// When a period is due; no later than times go.
    pub fn due(&self, period: u64) -> Timestamp {
        let later = i64::try_from(period).unwrap_or(i64::MAX).saturating_mul(self.every_us);
        Timestamp::from_microsecond(self.first_due_us.saturating_add(later)).unwrap_or(Timestamp::MAX)
    }

    /// By how much a period reads later than period 0.
    fn shift(&self, period: u64) -> SignedDuration {
        let period = i64::try_from(period).unwrap_or(i64::MAX);
        SignedDuration::from_micros(period.saturating_mul(self.every_us))
    }
}

impl Wrapper {
    /// The same with the windows of a period; of a task that is not persistent, the same.
    ///
    /// # Errors
    /// When the period reads beyond the times that a wrapper may name.
    pub fn in_period(&self, period: u64) -> Result<Self, TaskError> {
        let mut wrapper = self.clone();
        let Some(periods) = Periods::of(self) else { return Ok(wrapper) };
        let later = |at: Timestamp| at.saturating_add(periods.shift(period)).unwrap_or(Timestamp::MAX);
        for operation in &mut wrapper.drb.operations {
            (operation.from, operation.to) = (later(operation.from), later(operation.to));
        }
        // Its reader knows how far times go.
        parse::wrapper(&json::read_document(&wrapper.to_json())?)
    }
}

impl TaskDraft {
    /// The same with its first `count` periods alone, of which none is left out however late they begin; as it is, if it is not
    /// persistent.
    ///
    /// # Errors
    /// As [`TaskDraft::from_toml`].
    pub fn first_periods(&self, count: u64) -> Result<Self, TaskError> {
        let Some(periods) = Periods::of(&self.on_trial()?) else { return Ok(self.clone()) };
        let last = periods.due(count.min(periods.count()).saturating_sub(1));
        let mut root = self.root().clone();
        if let Some(Value::Object(persistent)) =
            root.get_mut("dmf").and_then(|dmf| dmf.get_mut("lifetime")?.get_mut("persistent"))
        {
            persistent.insert("until".to_owned(), last.to_string().into());
            persistent.insert("missed".to_owned(), "catch_up".into());
        }
        Self::from_value(Value::Object(root))
    }

    /// The same as a task that runs once, with the windows of period 0.
    ///
    /// # Errors
    /// As [`TaskDraft::from_toml`].
    pub fn once(&self) -> Result<Self, TaskError> {
        let mut root = self.root().clone();
        if let Some(lifetime) = root.get_mut("dmf").and_then(|dmf| dmf.get_mut("lifetime")) {
            *lifetime = json!("ephemeral");
        }
        Self::from_value(Value::Object(root))
    }
}
