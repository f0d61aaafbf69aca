//! How much room the disk has. A database that meets a full disk in the middle of a write has to be opened anew; so it is never written
//! where there is none.
//!
//! ```text
//! free bytes   accepted   what is under way
//! above `kept`    yes       written
//! below           no        written: the room is kept for it
//! below FLOOR     no        waits until there is room again
//! ```

use std::path::{Path, PathBuf};

/// Below it nothing is written, bytes: more than a transaction takes, but for one of the largest results.
const FLOOR: u64 = 8 << 20;

/// The file system that the store lies on.
#[derive(Clone, Debug)]
pub(crate) struct Room {
    folder: PathBuf,
    kept: u64,
}

impl Room {
    pub(crate) fn new(folder: &Path, kept: u64) -> Self {
        Self { folder: folder.to_owned(), kept }
    }

    /// Bytes that are free, if the file system says so.
    fn free(&self) -> Option<u64> {
        let says = rustix::fs::statvfs(&self.folder).ok()?;
        // Some have no such numbers.
        (says.f_blocks > 0).then(|| says.f_bavail.saturating_mul(says.f_frsize))
    }

    /// Bytes that are free, where that is too few for anything new.
    pub(crate) fn lacks(&self) -> Option<u64> {
        self.free().filter(|free| *free < self.kept)
    }

    /// Whether what is under way may be written.
    pub(crate) fn has_some(&self) -> bool {
        self.free().is_none_or(|free| free >= FLOOR.min(self.kept))
    }
}
