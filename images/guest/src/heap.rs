//! Counts the bytes that the application has on its heap, for heartbeats, for the most that a function needed, and for the report of a
//! failed allocation. The allocator itself is the system's.

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

static USED: AtomicUsize = AtomicUsize::new(0);
static PEAK: AtomicUsize = AtomicUsize::new(0);

/// Bytes allocated now. 0 where [`Counting`] is not the allocator: on the host.
#[must_use]
pub fn used() -> u64 {
    USED.load(Ordering::Relaxed) as u64
}

/// Most bytes that were allocated at once. 0 where [`Counting`] is not the allocator.
#[must_use]
pub fn peak() -> u64 {
    PEAK.load(Ordering::Relaxed) as u64
}

fn add(bytes: usize) {
    let used = USED.fetch_add(bytes, Ordering::Relaxed) + bytes;
    // Mostly a read: a peak is seldom a new one.
    if used > PEAK.load(Ordering::Relaxed) {
        PEAK.fetch_max(used, Ordering::Relaxed);
    }
}

/// The system's allocator with a count.
#[derive(Clone, Copy, Debug)]
pub struct Counting;

#[cfg(target_os = "hermit")]
#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: every call goes to `System` with the arguments as they came, whose contract is the caller's to keep
// for this allocator alike; the count touches no memory but its own.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc`.
        let block = unsafe { System.alloc(layout) };
        if !block.is_null() {
            add(layout.size());
        }
        block
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `alloc_zeroed`.
        let block = unsafe { System.alloc_zeroed(layout) };
        if !block.is_null() {
            add(layout.size());
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract of `dealloc`.
        unsafe { System.dealloc(block, layout) };
        USED.fetch_sub(layout.size(), Ordering::Relaxed);
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // SAFETY: the caller keeps the contract of `realloc`.
        let moved = unsafe { System.realloc(block, layout, size) };
        if !moved.is_null() {
            // Both were there while it was moved, if it was.
            add(size);
            USED.fetch_sub(layout.size(), Ordering::Relaxed);
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The one test that touches the count, as it is one for the whole process.
    #[test]
    fn what_is_allocated_is_counted_until_it_is_freed() {
        let layout = Layout::from_size_align(1000, 8).unwrap();
        let grown = Layout::from_size_align(5000, 8).unwrap();
        let before = used();
        // SAFETY: the layouts are not empty, and each block is freed with the layout it has then.
        unsafe {
            let plain = Counting.alloc(layout);
            let zeroed = Counting.alloc_zeroed(layout);
            assert_eq!((used() - before, *zeroed), (2000, 0));
            let plain = Counting.realloc(plain, layout, grown.size());
            assert_eq!(used() - before, 6000);
            assert_eq!(peak(), before + 7000);
            Counting.dealloc(plain, grown);
            Counting.dealloc(zeroed, layout);
        }
        assert_eq!((used(), peak()), (before, before + 7000));
    }
}
