//! The control channel's bytes through XenStore: a mailbox in nodes of this domain's own (`fades_xen_store::mailbox`).

use std::io;

use fades_xen_store::Path;
use fades_xen_store::mailbox::{DOWN, DOWN_TAKEN, Inbox, Outbox, UP, UP_TAKEN};

use super::here::{Here, Watched, path};

/// The way to the orchestrator.
pub struct MailOut {
    here: &'static Here,
    outbox: Outbox,
    up: Path,
    taken: Path,
    told: Watched,
}

/// The way from it.
pub struct MailIn {
    here: &'static Here,
    inbox: Inbox,
    down: Path,
    taken: Path,
    told: Watched,
    /// What was read of a piece, and how far it was given on.
    piece: Vec<u8>,
    given: usize,
}

/// Opens both. Nobody has to be there yet: what is written waits in the store.
///
/// # Errors
/// The store does not do it.
pub fn open(here: &'static Here) -> io::Result<(MailOut, MailIn)> {
    let (up_taken, down) = (path(UP_TAKEN)?, path(DOWN)?);
    let told = here.watch(&up_taken)?;
    let out = MailOut { here, outbox: Outbox::new(), up: path(UP)?, taken: up_taken, told };
    let told = here.watch(&down)?;
    let (inbox, taken) = (Inbox::new(), path(DOWN_TAKEN)?);
    Ok((out, MailIn { here, inbox, down, taken, told, piece: Vec::new(), given: 0 }))
}

impl MailOut {
    /// Writes all of it; blocks while the orchestrator does not read.
    ///
    /// # Errors
    /// The store does not do it, or the orchestrator counts wrong. What was written in part cannot be gone on with.
    pub fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outbox.push(bytes);
        loop {
            if self.told.has_fired()? {
                self.clear()?;
            }
            while let Some((name, piece)) = self.outbox.next_piece() {
                self.here.write(&below(&self.up, &name)?, &piece)?;
            }
            if self.outbox.waiting() == 0 {
                return Ok(());
            }
            self.told.next()?;
            self.clear()?;
        }
    }

    /// Writes all of it, or as much as can be had without waiting for anybody but the store, and for that a second at most.
    ///
    /// # Errors
    /// Not all was written: another thread uses the store or it does not answer, or the orchestrator has not read enough.
    pub fn write_last(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.outbox.push(bytes);
        // What was read makes room. Its nodes, which it names, go with the domain.
        if let Ok(count) = self.here.try_read(&self.taken) {
            let _ = self.outbox.taken(&count).map_err(io::Error::other)?;
        }
        while let Some((name, piece)) = self.outbox.next_piece() {
            self.here.try_write(&below(&self.up, &name)?, &piece)?;
        }
        if self.outbox.waiting() == 0 { Ok(()) } else { Err(io::ErrorKind::WouldBlock.into()) }
    }

    /// Removes what was read.
    fn clear(&mut self) -> io::Result<()> {
        let Some(count) = self.here.read(&self.taken)? else { return Ok(()) };
        for name in self.outbox.taken(&count).map_err(io::Error::other)? {
            self.here.remove(&below(&self.up, &name)?)?;
        }
        Ok(())
    }
}

impl MailIn {
    /// Waits for bytes and gives as many as there are and as `space` holds.
    ///
    /// # Errors
    /// The store does not answer, or what stands there is no piece.
    pub fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        while self.given == self.piece.len() {
            let node = below(&self.down, &self.inbox.next_name())?;
            match self.here.read(&node)? {
                Some(piece) => {
                    let count = self.inbox.took(&piece).map_err(io::Error::other)?;
                    (self.piece, self.given) = (piece, 0);
                    if let Some(count) = count {
                        self.here.write(&self.taken, count.as_bytes())?;
                    }
                }
                None => self.told.next()?,
            }
        }
        let rest = &self.piece[self.given..];
        let count = rest.len().min(space.len());
        space[..count].copy_from_slice(&rest[..count]);
        self.given += count;
        Ok(count)
    }
}

fn below(node: &Path, name: &str) -> io::Result<Path> {
    node.join(name).map_err(io::Error::other)
}
