//! The end pages, and data that lies in several pages.

use core::mem::offset_of;
use core::sync::atomic::AtomicU32;

use crate::page::{Foreign, PeerOnly};
use crate::shared::{Overlay, PAGE_SIZE, PeerU32, PeerWords, ReadBytes, Words, WriteBytes};

use super::Granted;

/// Most data pages of a channel: 1 MiB.
pub const PAGES_MAX: usize = 256;

/// `fch1`: what an end page begins with. Another number means another layout.
pub(super) const VERSION: u32 = u32::from_le_bytes(*b"fch1");

/// A side's end page, as it sees it.
#[repr(C)]
#[derive(Debug)]
pub struct OwnEnd {
    pub(super) version: AtomicU32,
    /// Bytes put in, or taken out.
    pub(super) index: AtomicU32,
    /// An event is wanted when the other side's index gets here.
    pub(super) wake: AtomicU32,
    /// Not 0 when nothing comes any more, or nothing is wanted.
    pub(super) closed: AtomicU32,
    /// The producer's: how many data pages there are.
    pub(super) pages: AtomicU32,
    /// The producer's: their references.
    pub(super) references: [AtomicU32; PAGES_MAX],
}

/// The same, as the other side sees it.
#[repr(C)]
#[derive(Debug)]
pub struct PeerEnd {
    pub(super) version: PeerU32,
    pub(super) index: PeerU32,
    pub(super) wake: PeerU32,
    pub(super) closed: PeerU32,
    pub(super) pages: PeerU32,
    pub(super) references: [PeerU32; PAGES_MAX],
}
const _: () = assert!(size_of::<OwnEnd>() == 20 + 4 * PAGES_MAX && size_of::<OwnEnd>() <= PAGE_SIZE);
const _: () = assert!(size_of::<PeerEnd>() == size_of::<OwnEnd>());
const _: () = assert!(offset_of!(OwnEnd, index) == 4 && offset_of!(PeerEnd, index) == 4);
const _: () = assert!(offset_of!(OwnEnd, wake) == 8 && offset_of!(PeerEnd, wake) == 8);
const _: () = assert!(offset_of!(OwnEnd, closed) == 12 && offset_of!(PeerEnd, closed) == 12);
const _: () = assert!(offset_of!(OwnEnd, pages) == 16 && offset_of!(PeerEnd, pages) == 16);
const _: () = assert!(offset_of!(OwnEnd, references) == 20 && offset_of!(PeerEnd, references) == 20);

// SAFETY: atomics only.
unsafe impl Overlay for OwnEnd {}
// SAFETY: transparent atomics only.
unsafe impl Overlay for PeerEnd {}
// SAFETY: nothing in it can be written.
unsafe impl PeerOnly for PeerEnd {}

/// Whether a channel can have so many data pages.
pub(super) const fn is_size(pages: usize) -> bool {
    pages.is_power_of_two() && pages <= PAGES_MAX
}

/// Calls `each` with page, offset in it and range of the bytes, for `len` bytes from `at` on, until it says
/// false.
fn pieces(
    mut at: usize,
    len: usize,
    mut each: impl FnMut(usize, usize, core::ops::Range<usize>) -> bool,
) -> bool {
    let mut done = 0;
    while done < len {
        let offset = at % PAGE_SIZE;
        let size = (PAGE_SIZE - offset).min(len - done);
        if !each(at / PAGE_SIZE, offset, done..done + size) {
            return false;
        }
        done += size;
        at += size;
    }
    true
}

fn inside(at: usize, len: usize, pages: usize) -> bool {
    at.checked_add(len).is_some_and(|end| end <= pages * PAGE_SIZE)
}

/// Our pages, as the ring that they make.
pub(super) struct Ours<'a>(pub(super) &'a [Granted<Words>]);

impl WriteBytes for Ours<'_> {
    fn size(&self) -> usize {
        self.0.len() * PAGE_SIZE
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        inside(at, bytes.len(), self.0.len())
            && pieces(at, bytes.len(), |page, offset, range| self.0[page].page.write(offset, &bytes[range]))
    }
}

/// The producer's pages, as the ring that they make.
pub(super) struct Theirs<'a>(pub(super) &'a [Foreign<PeerWords>]);

impl ReadBytes for Theirs<'_> {
    fn size(&self) -> usize {
        self.0.len() * PAGE_SIZE
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        inside(at, bytes.len(), self.0.len())
            && pieces(at, bytes.len(), |page, offset, range| self.0[page].read(offset, &mut bytes[range]))
    }
}
