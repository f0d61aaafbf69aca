//! How much room the disk has, and whether it can be written at all. A database that fails in the middle of a write has to be opened
//! anew; so it is never written where that can be known before.
//!
//! ```text
//! free bytes   accepted   what is under way
//! above `kept`    yes       written
//! below           no        written: the room is kept for it
//! below FLOOR     no        waits until there is room again
//! read-only       no        waits until it can be written again
//! ```

use std::fmt;
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, UTIME_OMIT, utimensat};
use rustix::io::Errno;

/// Below it nothing is written, bytes: more than a transaction takes, but for one of the largest results.
const FLOOR: u64 = 8 << 20;

/// The file system that the store lies on.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    folder: PathBuf,
    kept: u64,
}

/// Why nothing new is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shortage {
    /// So many bytes are free.
    Room(u64),
    /// The file system is read-only, for instance as the kernel has found a fault in it.
    ReadOnly,
}

impl fmt::Display for Shortage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Room(free) => write!(f, "the disk has {} MiB left", free >> 20),
            Self::ReadOnly => f.write_str("the disk is read-only"),
        }
    }
}

impl Room {
    pub(crate) fn new(folder: &Path, kept: u64) -> Self {
        Self { folder: folder.to_owned(), kept }
    }

    /// Whether nothing can be written, found by a change that harms nobody: what a file system says of itself leaves out that the
    /// kernel has stopped it.
    fn is_read_only(&self) -> bool {
        let at = |nanoseconds| Timespec { tv_sec: 0, tv_nsec: nanoseconds };
        let now = Timestamps { last_access: at(UTIME_OMIT), last_modification: at(UTIME_NOW) };
        utimensat(CWD, &self.folder, &now, AtFlags::empty()) == Err(Errno::ROFS)
    }

    /// Bytes that are free, if the file system says so.
    fn free(&self) -> Option<u64> {
        let says = rustix::fs::statvfs(&self.folder).ok()?;
        // Some have no such numbers.
        (says.f_blocks > 0).then(|| says.f_bavail.saturating_mul(says.f_frsize))
    }

    /// What speaks against anything new.
    pub(crate) fn lacks(&self) -> Option<Shortage> {
        match self.free().filter(|free| *free < self.kept) {
            Some(free) => Some(Shortage::Room(free)),
            None => self.is_read_only().then_some(Shortage::ReadOnly),
        }
    }

    /// Why what is under way must wait.
    pub(crate) fn blocks(&self) -> Option<Shortage> {
        match self.free().filter(|free| *free < FLOOR.min(self.kept)) {
            Some(free) => Some(Shortage::Room(free)),
            None => self.is_read_only().then_some(Shortage::ReadOnly),
        }
    }
}
