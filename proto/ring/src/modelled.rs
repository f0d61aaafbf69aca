//! A word and bytes that the model checker watches, for the tests of both parts.

use loom::cell::UnsafeCell;
use loom::sync::atomic::{AtomicU32, Ordering, fence};

use crate::words::{PeerWord, ReadBytes, Word, WriteBytes};

/// One word seen from both sides.
pub(crate) struct Index(pub(crate) AtomicU32);

impl Word for Index {
    fn publish(&self, value: u32) {
        self.0.store(value, Ordering::Release);
    }

    fn current(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }

    fn barrier() {
        fence(Ordering::SeqCst);
    }
}

impl PeerWord for Index {
    fn take(&self) -> u32 {
        let value = self.0.load(Ordering::Relaxed);
        fence(Ordering::Acquire);
        value
    }
}

/// Bytes that the model checker watches: it fails if one is written while it is read.
pub(crate) struct Data(pub(crate) [UnsafeCell<u8>; 2]);

// SAFETY: it is the model checker's to find out whether it is true.
unsafe impl Sync for Data {}

impl ReadBytes for Data {
    fn size(&self) -> usize {
        2
    }

    fn read(&self, at: usize, bytes: &mut [u8]) -> bool {
        for (cell, byte) in self.0[at..].iter().zip(bytes) {
            // SAFETY: checked by the model.
            *byte = cell.with(|cell| unsafe { *cell });
        }
        true
    }
}

impl WriteBytes for Data {
    fn size(&self) -> usize {
        2
    }

    fn write(&self, at: usize, bytes: &[u8]) -> bool {
        for (cell, byte) in self.0[at..].iter().zip(bytes) {
            // SAFETY: checked by the model.
            cell.with_mut(|cell| unsafe { *cell = *byte });
        }
        true
    }
}
