//! Flow control by credit, as pure accounting: the unit is bytes of chunk bodies, per stream.
//!
//! A receiver's window must be at least as long as the longest chunk that the sender makes,
//! [`MAX_BATCH_LEN`] unless both agree on less.

use crate::batch::MAX_BATCH_LEN;

/// What a sender may still send.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    available: u64,
}

/// A grant that no receiver of ours would make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("credit of {granted} on top of {available} bytes overflows")]
pub struct CreditOverflow {
    /// What was granted.
    pub granted: u64,
    /// What was there.
    pub available: u64,
}

impl Sender {
    /// Takes a grant.
    ///
    /// # Errors
    /// The sum does not fit.
    pub fn grant(&mut self, bytes: u64) -> Result<(), CreditOverflow> {
        let overflow = CreditOverflow { granted: bytes, available: self.available };
        self.available = self.available.checked_add(bytes).ok_or(overflow)?;
        Ok(())
    }

    /// Bytes that may be sent now.
    #[must_use]
    pub const fn available(&self) -> u64 {
        self.available
    }

    /// Takes `bytes` out of the credit if all of them are there, and says whether they were.
    #[must_use]
    pub fn take(&mut self, bytes: u64) -> bool {
        match self.available.checked_sub(bytes) {
            Some(rest) => {
                self.available = rest;
                true
            }
            None => false,
        }
    }
}

/// What a receiver has granted, and when to grant again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receiver {
    window: u64,
    outstanding: u64,
    consumed: u64,
}

/// A chunk came that no credit was granted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("chunk of {received} bytes is over the credit of {outstanding}")]
pub struct CreditExceeded {
    /// Bytes of the chunk.
    pub received: u64,
    /// Bytes that were granted and not yet used.
    pub outstanding: u64,
}

impl Receiver {
    /// A receiver that lets at most `window` bytes be on their way. Nothing is granted yet.
    #[must_use]
    pub const fn new(window: u64) -> Self {
        Self { window, outstanding: 0, consumed: window }
    }

    /// The grant that is due now, if any. What is returned counts as granted.
    ///
    /// The first window is due at once; then half a window, to spare frames, unless the sender might be
    /// waiting for room for a whole chunk. So no chunk that fits the window waits for ever.
    #[must_use]
    pub fn due(&mut self) -> Option<u64> {
        let spare = self.outstanding >= MAX_BATCH_LEN as u64;
        if self.consumed == 0 || (spare && self.consumed < self.window / 2) {
            return None;
        }
        let bytes = core::mem::take(&mut self.consumed);
        self.outstanding += bytes;
        Some(bytes)
    }

    /// Notes a chunk that came.
    ///
    /// # Errors
    /// The sender had no credit for it.
    pub fn received(&mut self, bytes: u64) -> Result<(), CreditExceeded> {
        let exceeded = CreditExceeded { received: bytes, outstanding: self.outstanding };
        self.outstanding = self.outstanding.checked_sub(bytes).ok_or(exceeded)?;
        Ok(())
    }

    /// Notes that a received chunk was dealt with, so that its room can be granted again.
    pub fn consumed(&mut self, bytes: u64) {
        self.consumed = self.consumed.saturating_add(bytes).min(self.window - self.outstanding);
    }
}
