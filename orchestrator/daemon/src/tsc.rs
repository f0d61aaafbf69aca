//! The rate of the time stamp counter, measured: guests on small machines have no timer to measure it by.

use std::time::{Duration, Instant};

/// Long enough that reading the clocks does not matter: an error of 1 µs is one part in 20,000.
const SPAN: Duration = Duration::from_millis(20);

/// Ticks per microsecond, rounded. Blocks for 20 ms. `None` where there is no such counter; guests then measure it.
#[must_use]
pub(crate) fn mhz() -> Option<u32> {
    let (start, first) = (Instant::now(), ticks()?);
    std::thread::sleep(SPAN);
    let (took, last) = (start.elapsed(), ticks()?);
    let us = u64::try_from(took.as_micros()).ok().filter(|us| *us > 0)?;
    u32::try_from((last.checked_sub(first)? + us / 2) / us).ok().filter(|mhz| *mhz > 0)
}

#[cfg(target_arch = "x86_64")]
fn ticks() -> Option<u64> {
    // SAFETY: rdtsc reads a counter and touches no memory; every x86_64 processor has it, and Linux leaves it to
    // user programs unless a process forbids it to itself, which this one does not.
    Some(unsafe { core::arch::x86_64::_rdtsc() })
}

#[cfg(not(target_arch = "x86_64"))]
fn ticks() -> Option<u64> {
    None
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    #[test]
    fn the_rate_is_that_of_a_processor_and_stays() {
        let (one, two) = (super::mhz().unwrap(), super::mhz().unwrap());
        assert!((500..10_000).contains(&one), "{one} MHz");
        assert!(one.abs_diff(two) * 50 < one, "{one} and {two} MHz");
    }
}
