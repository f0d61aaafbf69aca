//! Bytes between two domains through small values of the store: how a guest and its orchestrator talk on Xen.
//!
//! ```text
//! sender     DIR/0, DIR/1, …  = pieces, at most WINDOW at a time      receiver reads them in order,
//! receiver   TAKEN            = how many it has read, every COUNTED   sender removes these and writes on
//! ```
//! Each side writes only below a node of its own and only reads the other's, so that the least permissions do. Both wait
//! by watches. What the other side wrote is foreign input: a count that runs ahead or back is an error, and what a peer
//! can make the other hold is bounded by the window.
//!
//! What each writes, by names below the guest's home (`/local/domain/N`), which is where a guest's own names begin:
//!
//! | node | written by | read by |
//! |---|---|---|
//! | [`UP`]`/0`, `/1`, … | guest | orchestrator |
//! | [`UP_TAKEN`] | orchestrator | guest |
//! | [`DOWN`]`/0`, `/1`, … | orchestrator | guest |
//! | [`DOWN_TAKEN`] | guest | orchestrator |
//!
//! Under `data` everything is the guest's own, and nobody else but dom0 may read it. What dom0 makes beside it the guest may
//! read, as all of its home, and not write.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use crate::number;

/// Longest piece, in bytes. A store takes values of 2,048 bytes from domains that are not privileged
/// (`quota-maxentity`), and counts names and permissions in.
pub const PIECE_MAX: usize = 1536;
/// Pieces written and not yet known to be read. A store allows a domain 1,000 nodes.
pub const WINDOW: u64 = 8;
/// Pieces after which a reader says that it has read them. Not each: that costs both sides as much as a piece itself. Half of
/// the window: the sender writes the next ones meanwhile.
pub const COUNTED: u64 = WINDOW / 2;

/// Pieces of what the guest says.
pub const UP: &str = "data/fades/up";
/// How many of them were read.
pub const UP_TAKEN: &str = "fades/up-taken";
/// Pieces of what the guest is told.
pub const DOWN: &str = "fades/down";
/// How many of them were read.
pub const DOWN_TAKEN: &str = "data/fades/down-taken";

/// The end that bytes go in at.
#[derive(Debug, Default)]
pub struct Outbox {
    waiting: VecDeque<u8>,
    written: u64,
    taken: u64,
}

impl Outbox {
    /// Nothing sent.
    #[must_use]
    pub const fn new() -> Self {
        Self { waiting: VecDeque::new(), written: 0, taken: 0 }
    }

    /// Bytes that are to be sent.
    pub fn push(&mut self, bytes: &[u8]) {
        self.waiting.extend(bytes);
    }

    /// Bytes that are in no piece yet.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The next piece that may be written: its node's name, and its bytes.
    pub fn next_piece(&mut self) -> Option<(String, Vec<u8>)> {
        if self.waiting.is_empty() || self.written - self.taken >= WINDOW {
            return None;
        }
        let len = self.waiting.len().min(PIECE_MAX);
        let piece = self.waiting.drain(..len).collect();
        let name = self.written.to_string();
        self.written += 1;
        Some((name, piece))
    }

    /// What the other side says it has read: the names of pieces that are to be removed.
    ///
    /// # Errors
    /// It is no count, goes back, or is over what was written.
    pub fn taken(&mut self, value: &[u8]) -> Result<impl Iterator<Item = String> + use<>, MailboxError> {
        let count = core::str::from_utf8(value).ok().and_then(number::parse).ok_or(MailboxError::NoCount)?;
        if count < self.taken || count > self.written {
            return Err(MailboxError::Count { count, taken: self.taken, written: self.written });
        }
        let gone = self.taken..count;
        self.taken = count;
        Ok(gone.map(|piece| piece.to_string()))
    }
}

/// The end that bytes come out of.
#[derive(Debug, Default)]
pub struct Inbox {
    taken: u64,
}

impl Inbox {
    /// Nothing read.
    #[must_use]
    pub const fn new() -> Self {
        Self { taken: 0 }
    }

    /// The name of the piece that is to be read next. It may not be there yet.
    #[must_use]
    pub fn next_name(&self) -> String {
        self.taken.to_string()
    }

    /// That piece was read: checks it, and gives what is to be written as the count, if it is time for that.
    ///
    /// # Errors
    /// It is longer than a piece, or empty.
    pub fn took(&mut self, piece: &[u8]) -> Result<Option<String>, MailboxError> {
        if piece.is_empty() || piece.len() > PIECE_MAX {
            return Err(MailboxError::Length(piece.len()));
        }
        self.taken += 1;
        Ok(self.taken.is_multiple_of(COUNTED).then(|| self.taken.to_string()))
    }
}

/// What the other side did wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MailboxError {
    /// The count is not a number.
    NoCount,
    /// The count cannot be.
    Count {
        /// What it says.
        count: u64,
        /// What it said before.
        taken: u64,
        /// Pieces that were ever written.
        written: u64,
    },
    /// A piece of this length.
    Length(usize),
}

impl fmt::Display for MailboxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCount => f.write_str("the count of pieces read is not a number"),
            Self::Count { count, taken, written } => {
                write!(f, "the count of pieces read is {count}, after {taken} and with {written} written")
            }
            Self::Length(length) => write!(f, "a piece has {length} bytes, 1 to {PIECE_MAX} are allowed"),
        }
    }
}

impl core::error::Error for MailboxError {}
