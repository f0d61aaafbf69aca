//! What the thread of a mailbox shares with those who send: queues, bounds, and whether there is a connection. Pure.

use fades_core::network::{NetworkError, PortId};
use fades_xen_store::mailbox::{Inbox, MailboxError, Outbox, PIECE_MAX};

/// Bytes that were sent and are in no piece yet; as the virtual network's `control_unsent`.
pub(super) const UNSENT: usize = 1 << 20;
/// Bytes handed over and not yet reported as consumed, from which on the guest's pieces are left where they are; as the
/// virtual network's `control_unread`.
pub(super) const UNREAD: usize = 1 << 20;

/// One mailbox as the host has it.
///
/// ```text
/// quiet --first piece--> connected --\
///    \------------------------------> over
/// ```
#[derive(Debug, Default)]
pub(super) struct Desk {
    inbox: Inbox,
    outbox: Outbox,
    unread: usize,
    connection: Connection,
    closing: bool,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Connection {
    #[default]
    Quiet,
    Connected,
    Over,
}

/// A piece that was accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Took {
    /// What is to be written as the count of pieces read, if it is time for that.
    pub(super) count: Option<String>,
    /// It is the guest's first: there is a connection from now on.
    pub(super) is_first: bool,
}

impl Desk {
    /// Queues bytes for the guest, which is on `port`.
    pub(super) fn send(&mut self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError> {
        if !self.is_connected() || self.closing {
            return Err(NetworkError::NotConnected(port));
        }
        let queued = self.outbox.waiting();
        if queued + bytes.len() > UNSENT {
            return Err(NetworkError::Congested { port, queued, bound: UNSENT });
        }
        self.outbox.push(bytes);
        Ok(())
    }

    /// Bytes of the guest were dealt with: whether pieces that were left may now be read.
    pub(super) fn consumed(&mut self, bytes: usize) -> bool {
        let was_full = self.is_full();
        self.unread = self.unread.saturating_sub(bytes);
        was_full && !self.is_full()
    }

    fn is_full(&self) -> bool {
        self.unread + PIECE_MAX > UNREAD
    }

    /// The name of the piece that comes next.
    pub(super) fn next_name(&self) -> String {
        self.inbox.next_name()
    }

    /// The name of the piece to be read now, while its bytes have room.
    pub(super) fn wanted(&self) -> Option<String> {
        (!self.is_full()).then(|| self.inbox.next_name())
    }

    /// The piece that comes next was read.
    pub(super) fn took(&mut self, piece: &[u8]) -> Result<Took, MailboxError> {
        let count = self.inbox.took(piece)?;
        self.unread += piece.len();
        let is_first = self.connection == Connection::Quiet;
        if is_first {
            self.connection = Connection::Connected;
        }
        Ok(Took { count, is_first })
    }

    /// The guest's count was read: the pieces to be removed.
    pub(super) fn taken(&mut self, count: &[u8]) -> Result<Vec<String>, MailboxError> {
        self.outbox.taken(count).map(Iterator::collect)
    }

    /// The piece to be written now, while the guest has not too many.
    pub(super) fn next_piece(&mut self) -> Option<(String, Vec<u8>)> {
        self.outbox.next_piece()
    }

    /// Nothing more is sent; one last pass follows.
    pub(super) fn close(&mut self) {
        self.closing = true;
    }

    /// Whether only the last pass is left.
    pub(super) fn is_closing(&self) -> bool {
        self.closing
    }

    /// Whether the guest has written.
    pub(super) fn is_connected(&self) -> bool {
        self.connection == Connection::Connected
    }

    /// The end, after all was told.
    pub(super) fn end(&mut self) {
        self.connection = Connection::Over;
    }

    /// Whether that was.
    pub(super) fn is_over(&self) -> bool {
        self.connection == Connection::Over
    }
}
