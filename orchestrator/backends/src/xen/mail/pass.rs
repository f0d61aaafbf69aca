//! One look at a guest's nodes, and what follows from it. The nodes are an argument.
//!
//! What an event says of is looked at as it is by then: how often it changed before, and in which order, does not matter.
//! So events may be joined, and may be of what was seen already.

use std::sync::{Mutex, MutexGuard, PoisonError};

use fades_core::network::{NetEvent, NetEventSink, PortId};
use fades_xen_store::mailbox::{DOWN, DOWN_TAKEN, MailboxError, UP, UP_TAKEN, WINDOW};
use fades_xen_toolstack::StoreError;

use super::desk::Desk;

/// What of a guest's is watched: all that it writes, below its home.
pub(super) const WATCHED: &str = "data/fades";
/// A node that a domain has from its beginning to its end, and that nobody but dom0 can make or remove.
const NAME: &str = "name";

/// Nodes below a guest's home, by their names from there.
pub(super) trait Nodes {
    /// The value; `None`: there is no such node.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// Sets the value; makes the node, and those above it.
    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError>;
    /// Removes the node, if it is there.
    fn remove(&self, name: &str) -> Result<(), StoreError>;
    /// Removes the home with all in it.
    fn clear(&self) -> Result<(), StoreError>;
}

/// What may have changed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pieces: bool,
    count: bool,
    home: bool,
}

impl Seen {
    /// Anything.
    pub(super) const ALL: Self = Self { pieces: true, count: true, home: true };

    /// Adds what an event at `node` says, a name from [`WATCHED`] on; `next` is the piece that comes next.
    pub(super) fn add(&mut self, node: Option<&str>, next: &str) {
        let below = |of: &'static str| node?.strip_prefix(of.strip_prefix(WATCHED)?);
        if node.is_none_or(str::is_empty) {
            *self = Self::ALL;
        } else if let Some(piece) = below(UP) {
            // The guest removes what was read, which is an event as well.
            let number = |name: &str| name.parse::<u64>().ok();
            let is_old = piece
                .strip_prefix('/')
                .and_then(number)
                .zip(number(next))
                .is_some_and(|(at, next)| at < next);
            self.pieces |= !is_old;
        } else if below(DOWN_TAKEN).is_some() {
            self.count = true;
        }
    }
}

/// Why nothing more goes through a mailbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum Ended {
    /// The domain has no nodes any more.
    #[error("the domain's nodes in XenStore are gone")]
    Gone,
    /// XenStore does not carry it.
    #[error("XenStore does not carry it any more")]
    Store(#[from] StoreError),
    /// The guest does not keep to how it is done.
    #[error("the guest broke the protocol of its mailbox")]
    Broken(#[from] MailboxError),
}

/// One guest's mailbox, for as long as it is looked at.
pub(super) struct Pass<'a, N> {
    pub(super) desk: &'a Mutex<Desk>,
    pub(super) nodes: &'a N,
    pub(super) port: PortId,
    pub(super) events: &'a NetEventSink,
}

impl<N: Nodes> Pass<'_, N> {
    /// Looks at what may have changed, and writes what may be written.
    pub(super) fn look(&self, seen: Seen) -> Result<(), Ended> {
        self.hand_out()?;
        if seen.count {
            self.clear_up()?;
            self.hand_out()?;
        }
        if seen.pieces {
            while self.fetch()? && !self.desk().is_closing() {
                self.hand_out()?;
            }
        }
        if seen.home && !self.is_there()? {
            return Err(Ended::Gone);
        }
        Ok(())
    }

    /// The last look: takes what a window can hold, whatever the bound, and writes what still may be.
    pub(super) fn last(&self) -> Result<(), Ended> {
        // What is written below a home that is gone would make it anew.
        if !self.is_there()? {
            return Err(Ended::Gone);
        }
        for _ in 0..WINDOW {
            let name = self.desk().next_name();
            if self.take(&name)?.is_none() {
                break;
            }
        }
        self.hand_out()
    }

    /// After the end. The domain may have gone between a look and a write, which then made nodes of a domain that is none.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        match self.nodes.read(NAME)? {
            Some(_) => Ok(()),
            None => self.nodes.clear(),
        }
    }

    fn is_there(&self) -> Result<bool, Ended> {
        Ok(self.nodes.read(NAME)?.is_some())
    }

    /// Reads pieces until it is time to count them, or for others to have their turn; whether there may be more.
    fn fetch(&self) -> Result<bool, Ended> {
        loop {
            let Some(name) = self.desk().wanted() else { return Ok(false) };
            match self.take(&name)? {
                None => return Ok(false),
                Some(None) => {}
                Some(Some(count)) => {
                    self.nodes.write(UP_TAKEN, count.as_bytes())?;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads the piece of this name, which is the next, and hands it over. If it was there: the count, when that is to be
    /// written.
    fn take(&self, name: &str) -> Result<Option<Option<String>>, Ended> {
        let Some(piece) = self.nodes.read(&format!("{UP}/{name}"))? else { return Ok(None) };
        let took = self.desk().took(&piece)?;
        if took.is_first {
            (self.events)(NetEvent::ControlConnected(self.port));
        }
        (self.events)(NetEvent::ControlData(self.port, piece));
        Ok(Some(took.count))
    }

    /// Removes what the guest has read.
    fn clear_up(&self) -> Result<(), Ended> {
        let Some(count) = self.nodes.read(DOWN_TAKEN)? else { return Ok(()) };
        let read = self.desk().taken(&count)?;
        for name in read {
            self.nodes.remove(&format!("{DOWN}/{name}"))?;
        }
        Ok(())
    }

    /// Writes what the guest has room for.
    fn hand_out(&self) -> Result<(), Ended> {
        loop {
            let Some((name, piece)) = self.desk().next_piece() else { return Ok(()) };
            self.nodes.write(&format!("{DOWN}/{name}"), &piece)?;
        }
    }

    /// Never held over a look at the nodes: who sends waits for it.
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
