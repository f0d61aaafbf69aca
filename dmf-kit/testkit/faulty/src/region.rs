//! What a function can do with memory that it shares with its broker and the orchestrator: all of it can be written.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use dmf_kit::prelude::Error;
use fades_guest::region::{Own, own};
use fades_wire::region::{Memory, REGION_LEN, peer};

/// Between two looks at the clock.
const AT_ONCE: u32 = 64;

/// Writes anything anywhere, while the broker writes there.
pub(crate) fn scribble(millis: u64) -> Result<(), Error> {
    let (region, until) = (here()?.region(), Instant::now() + Duration::from_millis(millis));
    let mut state = 0x9e37_79b9_u32;
    while Instant::now() < until {
        for _ in 0..AT_ONCE {
            state ^= state << 13;
            state ^= state >> 17;
            state ^= state << 5;
            // Half of it where the indices are, which are few.
            let within = if state & 1 == 0 { 16 << 10 } else { REGION_LEN };
            region.own(state as usize % within & !3).store(state.rotate_left(7), Ordering::SeqCst);
        }
    }
    Ok(())
}

/// Rings the broker's bell and the orchestrator's as fast as it can; how often each.
pub(crate) fn storm(millis: u64) -> Result<u64, Error> {
    let (own, until) = (here()?, Instant::now() + Duration::from_millis(millis));
    let mut rung = 0;
    while Instant::now() < until {
        for _ in 0..AT_ONCE {
            own.ring(peer::BROKER);
            own.ring(peer::ORCHESTRATOR);
        }
        rung += u64::from(AT_ONCE);
    }
    Ok(rung)
}

fn here() -> Result<&'static Own, Error> {
    own().ok_or_else(|| Error::new("this function has no region"))
}
