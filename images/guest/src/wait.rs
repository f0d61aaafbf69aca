//! Waiting for a count that the kernel raises with each interrupt of some kind: a bell's rings, a domain's events.

use std::cell::Cell;
use std::ptr;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// A time as the kernel takes it (`timespec`).
#[repr(C)]
struct Time {
    seconds: i64,
    nanoseconds: i32,
}

/// The timeout counts from now.
const RELATIVE: u32 = 1;

unsafe extern "C" {
    fn sys_futex_wait(address: *const u32, expected: u32, timeout: *const Time, flags: u32) -> i32;
}

/// One that waits for a count, and what it has seen of it.
#[derive(Debug)]
pub(crate) struct Waiter {
    count: &'static AtomicU32,
    seen: Cell<u32>,
}

impl Waiter {
    /// One that has seen all so far.
    pub(crate) fn new(count: &'static AtomicU32) -> Self {
        Self { count, seen: Cell::new(count.load(Ordering::SeqCst)) }
    }

    /// Waits until the count has moved since the last wait, for so long at most if that is said.
    pub(crate) fn wait(&self, longest: Option<Duration>) {
        let time = longest.map(|longest| Time {
            seconds: i64::try_from(longest.as_secs()).unwrap_or(i64::MAX),
            nanoseconds: i32::try_from(longest.subsec_nanos()).unwrap_or(0),
        });
        let time = time.as_ref().map_or(ptr::null(), ptr::from_ref);
        // SAFETY: the kernel reads the count, and the time unless it is null; both live until the call returns.
        unsafe { sys_futex_wait(self.count.as_ptr(), self.seen.get(), time, RELATIVE) };
        self.seen.set(self.count.load(Ordering::SeqCst));
    }
}
