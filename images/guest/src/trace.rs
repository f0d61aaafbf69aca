//! The way to where a thread is: return addresses, found by following frame pointers. All that is unsafe about it is here.
//!
//! Guests are built with frame pointers in every function: on both processors one points at a pair, the caller's and the
//! return address.

/// Most frames that are told: a line on the console has room for them, and who recurses needs no more.
#[cfg(target_os = "hermit")]
const MOST: usize = 64;
/// Largest distance of two frames: what lies farther is no caller.
#[cfg(target_os = "hermit")]
const FAR: usize = 256 << 10;

/// Return addresses of this thread from the innermost on, counted from the image's first byte. None where the image is not a
/// unikernel: a process has better means.
#[cfg(not(target_os = "hermit"))]
pub(crate) fn frames() -> Vec<usize> {
    Vec::new()
}

#[cfg(target_os = "hermit")]
pub(crate) fn frames() -> Vec<usize> {
    unsafe extern "C" {
        /// The image's first byte; the linker's.
        static __executable_start: u8;
        /// The first byte behind its code; the linker's.
        static etext: u8;
    }
    // Only their addresses are taken.
    let (start, end) = ((&raw const __executable_start).addr(), (&raw const etext).addr());
    let mut frames = Vec::with_capacity(MOST);
    let mut at = frame_pointer();
    while frames.len() < MOST {
        // SAFETY: `at` is this function's own frame pointer, or that of a caller, as a callee that is still running has stored it: each
        // of them points at two words of the thread's stack. What the outermost has stored is whatever a new stack held: zero, or a
        // place on that same stack, as anything farther is not followed.
        let [caller, back] = unsafe { *core::ptr::with_exposed_provenance::<[usize; 2]>(at) };
        if back < start || back >= end {
            break;
        }
        frames.push(back - start);
        // The stack grows down, so callers lie above.
        if caller <= at || caller - at > FAR || !caller.is_multiple_of(size_of::<usize>()) {
            break;
        }
        at = caller;
    }
    frames
}

#[cfg(target_os = "hermit")]
#[inline(always)]
fn frame_pointer() -> usize {
    let at: usize;
    // SAFETY: reads a register.
    unsafe {
        #[cfg(target_arch = "x86_64")]
        core::arch::asm!("mov {}, rbp", out(reg) at, options(nomem, nostack, preserves_flags));
        #[cfg(target_arch = "aarch64")]
        core::arch::asm!("mov {}, x29", out(reg) at, options(nomem, nostack, preserves_flags));
    }
    at
}
