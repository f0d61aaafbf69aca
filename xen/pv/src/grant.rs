//! The grant table: which pages of ours other domains may use.
//!
//! Version 1 of the entries (`grant_table.h`): eight bytes each, 512 in a frame. The flags' lower bits are ours, the
//! two that say "mapped for reading" and "mapped for writing" are Xen's, so an entry is taken back with a
//! compare-exchange. The table's frames come from Xen ([`install`](crate::page::install) with
//! [`MapSpace::GrantTable`](crate::hypercall::MapSpace::GrantTable)). Who wants references of its own takes frames of
//! its own; then nothing is shared between the owners. The first eight references are the tools'.

use alloc::vec::Vec;
use core::fmt;
use core::mem::offset_of;
use core::ops::Range;
use core::sync::atomic::{AtomicU16, AtomicU32, Ordering};

use crate::hypercall::{Access, Domain};
use crate::shared::{Frame, Overlay, Shared};

/// References in a frame of the table.
pub const ENTRIES_PER_FRAME: u32 = 512;
/// References that the domain's builder keeps for itself.
pub const RESERVED: u32 = 8;

const PERMIT_ACCESS: u16 = 1;
const READ_ONLY: u16 = 1 << 2;
const READING: u16 = 1 << 3;
const WRITING: u16 = 1 << 4;

/// A grant's number, which its domain tells another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GrantRef(u32);

impl GrantRef {
    /// One that another domain told us.
    pub const fn from_number(number: u32) -> Self {
        Self(number)
    }

    /// As it is told.
    pub const fn number(self) -> u32 {
        self.0
    }
}

/// One entry, as Xen reads it.
#[repr(C)]
pub struct Entry {
    flags: AtomicU16,
    domain: AtomicU16,
    frame: AtomicU32,
}
const _: () = assert!(size_of::<Entry>() == 8);
const _: () = assert!(offset_of!(Entry, domain) == 2 && offset_of!(Entry, frame) == 4);

/// A frame of the table.
#[repr(transparent)]
pub struct GrantFrame([Entry; ENTRIES_PER_FRAME as usize]);
const _: () = assert!(size_of::<GrantFrame>() == 4096);

// SAFETY: atomics only.
unsafe impl Overlay for GrantFrame {}

#[cfg(test)]
impl GrantFrame {
    /// Flags, domain and frame of an entry, as Xen reads them for the other side.
    pub(crate) fn look(&self, at: usize) -> (u16, u16, u32) {
        let Entry { flags, domain, frame } = &self.0[at];
        (flags.load(Ordering::Acquire), domain.load(Ordering::Relaxed), frame.load(Ordering::Relaxed))
    }

    /// Marks an entry as mapped by the other side, or not.
    pub(crate) fn set_mapped(&self, at: usize, mapped: bool) {
        if mapped {
            self.0[at].flags.fetch_or(READING, Ordering::SeqCst);
        } else {
            self.0[at].flags.fetch_and(!READING, Ordering::SeqCst);
        }
    }
}

/// Why a page was not granted, or a grant not taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantError {
    /// All references of this owner are in use.
    Full,
    /// The page's number does not fit an entry: it lies above 16 TiB.
    Frame(Frame),
    /// This owner has not granted that.
    Unknown(GrantRef),
    /// The other domain still has it mapped. It stays granted.
    InUse(GrantRef),
}

impl fmt::Display for GrantError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => formatter.write_str("all grant references are in use"),
            Self::Frame(frame) => write!(formatter, "frame {} is too far up to be granted", frame.0),
            Self::Unknown(reference) => write!(formatter, "grant {} was not made here", reference.0),
            Self::InUse(reference) => {
                write!(formatter, "grant {} is still mapped by another domain", reference.0)
            }
        }
    }
}

impl core::error::Error for GrantError {}

/// The references of one owner.
#[derive(Debug)]
pub struct Grants {
    frames: Vec<Shared<GrantFrame>>,
    /// Reference of the first entry of `frames`.
    first: u32,
    free: Vec<u32>,
    /// By distance from `first`.
    granted: Vec<bool>,
}

impl Grants {
    /// Those in `range`, which lie in `frames`; the first of these is frame `index` of the table. Reserved
    /// references and what lies outside are left out.
    pub fn new(frames: Vec<Shared<GrantFrame>>, index: u32, range: Range<u32>) -> Self {
        let first = index.saturating_mul(ENTRIES_PER_FRAME);
        let count = u32::try_from(frames.len()).unwrap_or(u32::MAX).saturating_mul(ENTRIES_PER_FRAME);
        let range = range.start.max(first).max(RESERVED)..range.end.min(first.saturating_add(count));
        // The lowest is given first.
        Self { frames, first, free: range.rev().collect(), granted: alloc::vec![false; count as usize] }
    }

    /// How many more pages can be granted.
    pub fn free(&self) -> usize {
        self.free.len()
    }

    /// Lets `domain` use `frame`.
    ///
    /// # Errors
    /// [`GrantError::Full`] or [`GrantError::Frame`].
    pub fn grant(&mut self, domain: Domain, frame: Frame, access: Access) -> Result<GrantRef, GrantError> {
        let number = u32::try_from(frame.0).map_err(|_| GrantError::Frame(frame))?;
        let reference = GrantRef(self.free.pop().ok_or(GrantError::Full)?);
        let (Some(entry), at) = (self.entry(reference), self.place(reference)) else {
            return Err(GrantError::Full);
        };
        entry.domain.store(domain.0, Ordering::Relaxed);
        entry.frame.store(number, Ordering::Relaxed);
        // Xen may act on the entry as soon as it has a type.
        let flags = PERMIT_ACCESS | if access == Access::ReadOnly { READ_ONLY } else { 0 };
        entry.flags.store(flags, Ordering::Release);
        self.granted[at] = true;
        Ok(reference)
    }

    /// Takes a grant back, unless the other domain still has it mapped: then that is told, and may be asked again.
    ///
    /// # Errors
    /// [`GrantError::InUse`], or [`GrantError::Unknown`] if it was not granted here.
    pub fn revoke(&mut self, reference: GrantRef) -> Result<(), GrantError> {
        let at = self.place(reference);
        let (Some(true), Some(entry)) = (self.granted.get(at), self.entry(reference)) else {
            return Err(GrantError::Unknown(reference));
        };
        let unused = |flags: u16| flags & (READING | WRITING) == 0;
        entry
            .flags
            .fetch_update(Ordering::SeqCst, Ordering::Relaxed, |flags| unused(flags).then_some(0))
            .map_err(|_| GrantError::InUse(reference))?;
        self.granted[at] = false;
        self.free.push(reference.0);
        Ok(())
    }

    fn place(&self, reference: GrantRef) -> usize {
        reference.0.wrapping_sub(self.first) as usize
    }

    fn entry(&self, reference: GrantRef) -> Option<&Entry> {
        let at = self.place(reference);
        self.frames.get(at / ENTRIES_PER_FRAME as usize)?.0.get(at % ENTRIES_PER_FRAME as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Memory;

    fn grants(memory: &Memory, index: u32, range: Range<u32>) -> Grants {
        Grants::new(std::vec![memory.page().share(), memory.page().share()], index, range)
    }

    fn raw(grants: &Grants, reference: GrantRef) -> (u16, u16, u32) {
        let entry = grants.entry(reference).unwrap();
        let (flags, domain) = (entry.flags.load(Ordering::Relaxed), entry.domain.load(Ordering::Relaxed));
        (flags, domain, entry.frame.load(Ordering::Relaxed))
    }

    #[test]
    fn references_come_from_the_range_and_not_from_the_reserved_ones() {
        let memory = Memory::new();
        let mut grants = grants(&memory, 0, 0..u32::MAX);
        assert_eq!(grants.free(), 2 * 512 - 8);
        let first = grants.grant(Domain(0), Frame(77), Access::ReadOnly).unwrap();
        assert_eq!(first.number(), 8);
        assert_eq!(raw(&grants, first), (PERMIT_ACCESS | READ_ONLY, 0, 77));
        for _ in 0..2 * 512 - 9 {
            grants.grant(Domain(3), Frame(78), Access::ReadWrite).unwrap();
        }
        assert_eq!(raw(&grants, GrantRef(1023)), (PERMIT_ACCESS, 3, 78));
        assert_eq!(grants.grant(Domain(0), Frame(1), Access::ReadOnly), Err(GrantError::Full));
    }

    #[test]
    fn a_later_frame_has_later_references() {
        let memory = Memory::new();
        let mut grants = grants(&memory, 2, 1030..1032);
        assert_eq!(grants.grant(Domain(1), Frame(5), Access::ReadWrite), Ok(GrantRef(1030)));
        assert_eq!(grants.grant(Domain(1), Frame(6), Access::ReadWrite), Ok(GrantRef(1031)));
        assert_eq!(grants.grant(Domain(1), Frame(7), Access::ReadWrite), Err(GrantError::Full));
        assert_eq!(grants.revoke(GrantRef(1029)), Err(GrantError::Unknown(GrantRef(1029))));
        assert_eq!(grants.revoke(GrantRef(3)), Err(GrantError::Unknown(GrantRef(3))));
        assert_eq!(grants.revoke(GrantRef(u32::MAX)), Err(GrantError::Unknown(GrantRef(u32::MAX))));
    }

    #[test]
    fn a_mapped_page_is_not_taken_back() {
        let memory = Memory::new();
        let mut grants = grants(&memory, 0, 8..10);
        let reference = grants.grant(Domain(1), Frame(5), Access::ReadWrite).unwrap();
        for flag in [READING, WRITING, READING | WRITING] {
            let flags = &grants.entry(reference).unwrap().flags;
            flags.fetch_or(flag, Ordering::Relaxed);
            assert_eq!(grants.revoke(reference), Err(GrantError::InUse(reference)));
            assert_eq!(raw(&grants, reference).0, PERMIT_ACCESS | flag);
            grants.entry(reference).unwrap().flags.fetch_and(!flag, Ordering::Relaxed);
        }
        assert_eq!(grants.revoke(reference), Ok(()));
        assert_eq!(raw(&grants, reference).0, 0);
        assert_eq!(grants.revoke(reference), Err(GrantError::Unknown(reference)));
        assert_eq!(grants.free(), 2);
    }

    #[test]
    fn a_frame_too_far_up_is_refused() {
        let memory = Memory::new();
        let mut grants = grants(&memory, 0, 8..9);
        let far = Frame(1 << 32);
        assert_eq!(grants.grant(Domain(1), far, Access::ReadOnly), Err(GrantError::Frame(far)));
        assert_eq!(grants.free(), 1);
    }
}
