//! Event channels: which ports have news.
//!
//! The two-level form of `event_channel.h`. Each port has a pending bit, which Xen sets, and a mask bit, which is
//! ours. When an unmasked port's bit goes up, Xen sets its word's bit in the processor's selector, then the processor's
//! pending flag, and raises the interrupt. [`Events::take`] walks the same way back: it clears the flag, exchanges the
//! selector for zero, and clears the bits it reports. A bit that goes up at any moment of this is either reported
//! or has raised the flag again; the test `an_event_is_never_lost` tries the interleavings.
//!
//! With the callback set to a vector ([`Hypercalls::set_callback_vector`](crate::hypercall::Hypercalls::set_callback_vector))
//! the interrupt does not pass the local APIC, so nothing is acknowledged there: the upcall calls [`Events::take`],
//! and that is all.

use core::mem::offset_of;
use core::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use crate::hypercall::{HypercallError, Port, Ports};
use crate::shared::{Overlay, Shared};

/// How many ports this form has.
pub const PORTS: u32 = 64 * 64;

/// What the processor of number 0 is told. (`struct vcpu_info`)
#[repr(C)]
struct Vcpu {
    upcall_pending: AtomicU8,
    /// Only read in domains without hardware virtualisation.
    upcall_mask: AtomicU8,
    pad: [AtomicU8; 6],
    selector: AtomicU64,
    /// Page fault address, and time.
    rest: [AtomicU64; 6],
}
const _: () = assert!(size_of::<Vcpu>() == 64 && offset_of!(Vcpu, selector) == 8);

/// The page that Xen and the domain share. (`struct shared_info`, up to the bitmaps)
#[repr(C)]
pub struct SharedInfo {
    vcpus: [Vcpu; 32],
    pending: [AtomicU64; 64],
    mask: [AtomicU64; 64],
}
const _: () = assert!(offset_of!(SharedInfo, pending) == 0x800 && offset_of!(SharedInfo, mask) == 0xa00);

// SAFETY: atomics only.
unsafe impl Overlay for SharedInfo {}

/// The atomic operations that the bitmaps need, so that a model checker can put its own in.
trait Bits {
    fn get(&self) -> u64;
    /// Sets it to zero and tells what it was.
    fn take(&self) -> u64;
    fn set(&self, bits: u64);
    fn clear(&self, bits: u64);
}

// All of them sequentially consistent: what is set before is seen by who sees the next thing set. (They are locked
// instructions on x86 anyway.)
impl Bits for AtomicU64 {
    fn get(&self) -> u64 {
        self.load(Ordering::SeqCst)
    }

    fn take(&self) -> u64 {
        self.swap(0, Ordering::SeqCst)
    }

    fn set(&self, bits: u64) {
        self.fetch_or(bits, Ordering::SeqCst);
    }

    fn clear(&self, bits: u64) {
        self.fetch_and(!bits, Ordering::SeqCst);
    }
}

/// Reports and clears what is pending and not masked in the words that the selector names. Words and bits beyond
/// `pending` are ignored.
fn scan<B: Bits>(selector: &B, pending: &[B], mask: &[B], mut each: impl FnMut(Port)) {
    let mut words = selector.take();
    while words != 0 {
        let word = words.trailing_zeros();
        words &= words - 1;
        let (Some(pending), Some(mask)) = (pending.get(word as usize), mask.get(word as usize)) else {
            continue;
        };
        let mut bits = pending.get() & !mask.get();
        // Cleared before they are reported: what happens from here on raises them again.
        pending.clear(bits);
        while bits != 0 {
            each(Port(word * 64 + bits.trailing_zeros()));
            bits &= bits - 1;
        }
    }
}

/// The event channels of a domain with one processor.
#[derive(Debug)]
pub struct Events {
    info: Shared<SharedInfo>,
}

impl Events {
    /// Those told in the page that [`install`](crate::page::install) with
    /// [`MapSpace::SharedInfo`](crate::hypercall::MapSpace::SharedInfo) put in place. Until the callback
    /// is set, nothing interrupts.
    pub const fn new(info: Shared<SharedInfo>) -> Self {
        Self { info }
    }

    /// Masks all ports, as one does before the callback is set.
    pub fn mask_all(&self) {
        for word in &self.info.mask {
            word.set(u64::MAX);
        }
    }

    /// Whether [`Events::take`] may have something to report. To be asked with interrupts off before the processor is
    /// halted.
    pub fn pending(&self) -> bool {
        self.info.vcpus[0].upcall_pending.load(Ordering::SeqCst) != 0
    }

    /// Reports the ports that have news, each once, and forgets the news. What comes meanwhile interrupts again.
    ///
    /// `each` is called at most [`PORTS`] times.
    pub fn take(&self, each: impl FnMut(Port)) {
        let vcpu = &self.info.vcpus[0];
        // An exchange, for the barrier: the flag is down before the selector is looked at.
        vcpu.upcall_pending.swap(0, Ordering::SeqCst);
        scan(&vcpu.selector, &self.info.pending, &self.info.mask, each);
    }

    /// Keeps `port` from interrupting. Its news are kept. A port that cannot exist is ignored.
    pub fn mask(&self, port: Port) {
        if let Some((word, bit)) = place(port) {
            self.info.mask[word].set(bit);
        }
    }

    /// Lets `port` interrupt, now if it has news.
    ///
    /// # Errors
    /// What Xen says, [`HypercallError::Invalid`] if there is no such port.
    pub fn unmask(&self, port: Port, ports: &impl Ports) -> Result<(), HypercallError> {
        let (word, bit) = place(port).ok_or(HypercallError::Invalid)?;
        self.info.mask[word].clear(bit);
        if self.info.pending[word].get() & bit == 0 {
            return Ok(());
        }
        // Its edge may have been lost while it was masked. Xen finds that out, but only for a masked port.
        self.info.mask[word].set(bit);
        ports.unmask(port)
    }

    /// Whether `port` has news, which stay. False for a port that cannot exist.
    pub fn has_news(&self, port: Port) -> bool {
        place(port).is_some_and(|(word, bit)| self.info.pending[word].get() & bit != 0)
    }

    /// Forgets the news of one port, and tells whether there were any. For who waits for a masked port without
    /// interrupts: forget first, then look at what the event was about.
    pub fn forget(&self, port: Port) -> bool {
        let Some((word, bit)) = place(port) else { return false };
        self.info.pending[word].fetch_and(!bit, Ordering::SeqCst) & bit != 0
    }
}

/// Word and bit of a port.
fn place(port: Port) -> Option<(usize, u64)> {
    (port.0 < PORTS).then_some(((port.0 / 64) as usize, 1 << (port.0 % 64)))
}

#[cfg(test)]
mod tests;
