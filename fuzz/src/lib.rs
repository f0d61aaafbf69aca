//! What the targets share: the bounds of a parse.
//!
//! An input is [`LONGEST`] bytes at most. Reading it may take four times that in memory, and [`MOST_TIME`] in an optimised build, the best
//! of several tries counting, as machines are shared. What takes more ends the process as a crash would, and the fuzzer keeps the input.
//! Where the input is what another side does step by step, each step is bound in memory ([`step`]); it cannot be tried again.
//!
//! To add a target: a file in `targets/`, its `[[bin]]` in `Cargo.toml`, and something to begin with in `examples/seeds.rs`.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::Once;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Bytes of an input, at most.
pub const LONGEST: usize = 64 << 10;
/// Bytes that reading one may take.
pub const MOST_MEMORY: usize = 4 * LONGEST;
/// Time that it may take.
pub const MOST_TIME: Duration = Duration::from_millis(5);
/// Tries of an input that took longer.
const TRIES: usize = 8;

struct Counting;

static LIVE: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);
/// The most of all parses: bytes, and microseconds.
static MOST: [AtomicUsize; 2] = [AtomicUsize::new(0), AtomicUsize::new(0)];

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: the system's, with the sizes counted beside.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let live = LIVE.fetch_add(layout.size(), Relaxed) + layout.size();
        PEAK.fetch_max(live, Relaxed);
        // SAFETY: the caller's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        LIVE.fetch_sub(layout.size(), Relaxed);
        // SAFETY: the caller's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// Reads something, within the bounds.
///
/// # Panics
/// It took more memory or time.
pub fn parse<T>(read: impl Fn() -> T) -> T {
    let (mut best, mut parsed) = (Duration::MAX, None);
    for _ in 0..TRIES {
        drop(parsed.take());
        let started = Instant::now();
        parsed = Some(step(&read));
        best = best.min(started.elapsed());
        // A guess that is good enough to tell.
        if best <= MOST_TIME / 10 {
            break;
        }
    }
    assert!(best <= MOST_TIME, "reading this took {best:?}, {TRIES} times");
    MOST[1].fetch_max(best.as_micros() as usize, Relaxed);
    parsed.expect("it was read")
}

/// Does a step of something that goes on, within the bound of memory.
///
/// # Panics
/// It took more.
pub fn step<T>(step: impl FnOnce() -> T) -> T {
    static TELLS: Once = Once::new();
    // SAFETY: a function that lives as long as the process.
    TELLS.call_once(|| assert_eq!(unsafe { libc::atexit(tell) }, 0));
    let before = LIVE.load(Relaxed);
    PEAK.store(before, Relaxed);
    let done = step();
    let memory = PEAK.load(Relaxed) - before;
    assert!(memory <= MOST_MEMORY, "this took {memory} bytes of memory");
    MOST[0].fetch_max(memory, Relaxed);
    done
}

extern "C" fn tell() {
    let [memory, time] = [MOST[0].load(Relaxed), MOST[1].load(Relaxed)];
    eprintln!("fades: a parse took at most {memory} bytes and {time} us");
}
