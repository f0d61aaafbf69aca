//! When the periods of a persistent task are due, which of them run, and what is known of those that are over.
//!
//! ```text
//! from ────────── to = due(0)                       period 0 reads [from, to)
//!      from+every ────────── to+every = due(1)      period 1 the same, `every` later
//!                                        until      none that is due later
//! ```
//!
//! Windows may overlap or leave gaps, and may lie in the past: periods may be due at once. What has begun has a number that is never
//! begun again under another run of the clock: only numbers that are not over are ever picked, so a clock that goes
//! back makes the next one wait and nothing else.

use fades_api::codes;
use fades_api::task::{Lifetime, Missed, Periods, Wrapper, limits};
use fades_wire::control::MAX_STATE;

use crate::admit::Refusal;

/// Most periods that are caught up with; of a longer arrear the latest so many run. A node that was away for a month is not to
/// spend the next one on it.
pub const MAX_CATCH_UP: u64 = 1_000;

/// When periods are due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Schedule {
    /// From one to the next, µs; at least 1.
    pub every_us: u64,
    /// When period 0 is due, µs since 1970 UTC.
    pub first_due_us: u64,
    /// Number of the last one.
    pub last: u64,
    /// What becomes of those that could not begin when they were due.
    pub missed: Missed,
    /// Most bytes of the function's state.
    pub state_limit: u64,
}

/// How far a persistent task is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct PeriodsSoFar {
    /// The lowest number that is not over.
    pub next: u64,
    /// The one that has begun and is not over; then it is `next`.
    pub running: Option<u64>,
    /// With a result.
    pub done: u64,
    /// Without one.
    pub failed: u64,
    /// Never begun.
    pub missed: u64,
}

/// The state of a function between two periods.
#[derive(Clone, PartialEq, Eq)]
pub struct FunctionState {
    /// The function's version of its form.
    pub version: u32,
    /// The state itself.
    pub bytes: Vec<u8>,
}

impl std::fmt::Debug for FunctionState {
    /// Its length, not its bytes: they are the function's business.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { version, bytes } = self;
        f.debug_struct("FunctionState").field("version", version).field("len", &bytes.len()).finish()
    }
}

impl Schedule {
    /// Of a persistent task; `None` for any other. `state_bytes` is what the issuer's policy allows.
    ///
    /// # Errors
    /// When no period, or too many of them, or some beyond the wrapper's life would be due.
    pub fn of(wrapper: &Wrapper, state_bytes: u64) -> Result<Option<Self>, Refusal> {
        let (Some(periods), Lifetime::Persistent { until, missed, .. }) =
            (Periods::of(wrapper), wrapper.dmf.lifetime)
        else {
            return Ok(None);
        };
        let wrong = |why: String| Err(Refusal::new(codes::PERIODS_WRONG, why));
        let expires_at = wrapper.credentials.expires_at;
        if until > expires_at {
            return wrong(format!("periods until {until}, but the wrapper expires at {expires_at}"));
        }
        let Some(last) = periods.count().checked_sub(1) else {
            return wrong(format!("until {until} no period is due: the first one is at the latest `to`"));
        };
        // Between 1970 and 2262, as the reader of wrappers has checked.
        let us = |us: i64| u64::try_from(us).unwrap_or(0);
        let (first_due_us, every_us) = (us(periods.first_due_us()), us(periods.every_us()));
        if last >= limits::PERIODS_MAX {
            return wrong(format!("{} periods until {until}, {} are allowed", last + 1, limits::PERIODS_MAX));
        }
        let schedule = Self { every_us, first_due_us, last, missed, state_limit: state_bytes.min(MAX_STATE) };
        // `until` may lie beyond 2262, where nanoseconds end.
        let latest_ns = wrapper.drb.operations.iter().map(|operation| operation.range_ns().1).max();
        let end_ns = latest_ns.unwrap_or(0).checked_add(schedule.shift_ns(last));
        match end_ns {
            Some(ns) if ns < i64::MAX => Ok(Some(schedule)),
            _ => wrong(format!("until {until} periods read beyond the year 2262")),
        }
    }

    /// How many there are.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.last + 1
    }

    /// When a period is due, µs since 1970 UTC.
    #[must_use]
    pub const fn due_us(&self, period: u64) -> u64 {
        self.first_due_us.saturating_add(period.saturating_mul(self.every_us))
    }

    /// By how much a period's windows lie later than those of period 0, ns.
    #[must_use]
    pub fn shift_ns(&self, period: u64) -> i64 {
        let ns = period.saturating_mul(self.every_us).saturating_mul(1000);
        i64::try_from(ns).unwrap_or(i64::MAX)
    }

    /// The latest period that is due.
    #[must_use]
    pub const fn latest_due(&self, now_unix_us: u64) -> Option<u64> {
        match now_unix_us.checked_sub(self.first_due_us) {
            None => None,
            Some(since_us) => {
                let latest = since_us / self.every_us;
                Some(if latest < self.last { latest } else { self.last })
            }
        }
    }

    /// The period that runs now, of those from `next` on: what lies between is missed. `None` while none is due.
    #[must_use]
    pub fn pick(&self, next: u64, now_unix_us: u64) -> Option<u64> {
        let latest = self.latest_due(now_unix_us).filter(|latest| *latest >= next)?;
        Some(match self.missed {
            Missed::Skip => latest,
            Missed::CatchUp => next.max((latest + 1).saturating_sub(MAX_CATCH_UP)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schedule(missed: Missed) -> Schedule {
        Schedule { every_us: 10, first_due_us: 100, last: 5000, missed, state_limit: 0 }
    }

    #[test]
    fn what_is_due_is_picked_once() {
        let skip = schedule(Missed::Skip);
        let picks = [(0, 99), (0, 100), (0, 109), (0, 110), (1, 109), (1, 135), (4, 135)]
            .map(|(next, now)| skip.pick(next, now));
        assert_eq!(picks, [None, Some(0), Some(0), Some(1), None, Some(3), None]);
        assert_eq!(skip.pick(0, u64::MAX), Some(5000), "none beyond the last");
        assert_eq!(skip.pick(5001, u64::MAX), None);
    }

    #[test]
    fn catching_up_goes_in_order_and_not_for_ever() {
        let catch_up = schedule(Missed::CatchUp);
        assert_eq!([0, 1, 2, 3].map(|next| catch_up.pick(next, 125)), [Some(0), Some(1), Some(2), None]);
        assert_eq!(catch_up.pick(0, 100 + 10 * 999), Some(0), "a thousand are due");
        assert_eq!(catch_up.pick(0, 100 + 10 * 1000), Some(1), "one more");
        assert_eq!(catch_up.pick(7, 100 + 10 * 5000), Some(4001));
    }

    #[test]
    fn a_clock_that_goes_back_picks_nothing_twice() {
        for missed in [Missed::Skip, Missed::CatchUp] {
            let schedule = schedule(missed);
            let first = schedule.pick(0, 135).unwrap();
            for now in 0..schedule.due_us(first + 1) {
                assert_ne!(schedule.pick(first + 1, now), Some(first));
            }
        }
    }

    #[test]
    fn windows_move_with_their_period() {
        let schedule = schedule(Missed::Skip);
        assert_eq!((schedule.due_us(3), schedule.shift_ns(3), schedule.count()), (130, 30_000, 5001));
    }
}
