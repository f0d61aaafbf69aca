//! Memory that others write at any time: pages, and the only ways to look into them.
//!
//! A [`Page`] that Xen, another domain or a backend can reach is never borrowed as plain bytes. What lies in
//! it is described by an [`Overlay`], a structure of atomics, so that a shared reference to it is sound
//! whatever the other side does. A word that the other side writes is a [`PeerU32`]: it can only be read, and
//! with the one kind of load that the language also allows on pages which are mapped read-only.

use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use core::ptr::NonNull;
use core::sync::atomic::AtomicU64;

pub use fades_ring::{PeerU32, PeerU64, PeerWord, ReadBytes, Word, WriteBytes};

/// Bytes in a page.
pub const PAGE_SIZE: usize = 4096;

/// A page's place in memory. Only ever seen behind a pointer.
#[repr(C, align(4096))]
pub struct Page([AtomicU64; PAGE_SIZE / 8]);

/// Number of a page in the guest's physical address space (its address divided by [`PAGE_SIZE`]).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Frame(pub u64);

impl Frame {
    /// The guest-physical address of its first byte.
    pub const fn address(self) -> u64 {
        self.0.wrapping_mul(PAGE_SIZE as u64)
    }
}

/// A mapped page that belongs to whoever holds this value.
///
/// Not `Clone`: who holds it may let Xen take the memory behind it away and put other memory there.
#[derive(Debug)]
pub struct OwnPage {
    at: NonNull<Page>,
    frame: Frame,
}

// SAFETY: it is an address and a number; what lies there is reached through atomics only.
unsafe impl Send for OwnPage {}
// SAFETY: a shared reference only tells address and number.
unsafe impl Sync for OwnPage {}

impl OwnPage {
    /// Takes the page at `at`, which is the guest frame `frame`.
    ///
    /// # Safety
    /// Until this value is given back to the one who made it, `at` stays mapped to `frame` for reading and
    /// (unless only overlays of [`PeerU32`] and [`PeerU64`] are made of it) writing, with ordinary caching, and
    /// no code of this program touches the page but by atomics.
    pub const unsafe fn new(at: NonNull<Page>, frame: Frame) -> Self {
        Self { at, frame }
    }

    /// Where it is mapped.
    pub const fn address(&self) -> NonNull<Page> {
        self.at
    }

    /// Its number, which is what Xen and other domains know it by.
    pub const fn frame(&self) -> Frame {
        self.frame
    }

    /// Looks at it as a `T` from now on.
    pub const fn share<T: Overlay>(self) -> Shared<T> {
        const { assert!(size_of::<T>() <= PAGE_SIZE && align_of::<T>() <= PAGE_SIZE) }
        Shared { page: self, overlay: PhantomData }
    }
}

/// What can be laid over a page that others write.
///
/// # Safety
/// Made of atomics and of the types of this module only (arrays and `repr(C)` structures of them), so that
/// every byte is inside a cell and every bit pattern is valid.
pub unsafe trait Overlay: Sync {}

// SAFETY: atomics only.
unsafe impl<const N: usize> Overlay for [AtomicU64; N] {}
// SAFETY: `PeerU64` is a transparent atomic.
unsafe impl<const N: usize> Overlay for [PeerU64; N] {}

/// A page seen as a `T`, for as long as this value lives.
pub struct Shared<T: Overlay> {
    page: OwnPage,
    overlay: PhantomData<fn() -> T>,
}

impl<T: Overlay> Shared<T> {
    /// The page's number.
    pub const fn frame(&self) -> Frame {
        self.page.frame
    }

    /// Ends the look at it.
    pub fn into_page(self) -> OwnPage {
        self.page
    }
}

impl<T: Overlay> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: `OwnPage::new`'s caller keeps the page mapped for as long as the page inside `self` lives;
        // `share` checked size and alignment; `T` is an `Overlay`, so concurrent writes by others are fine.
        unsafe { self.page.at.cast::<T>().as_ref() }
    }
}

impl<T: Overlay> fmt::Debug for Shared<T> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Shared").field(&self.page.frame).finish()
    }
}

/// A page of bytes, of which a program writes its own words.
pub type Words = [AtomicU64; PAGE_SIZE / 8];

/// A page of bytes that only another one writes.
pub type PeerWords = [PeerU64; PAGE_SIZE / 8];
