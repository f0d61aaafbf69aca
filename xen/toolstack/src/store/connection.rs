//! One connection: a thread that reads, and a table of who waits for what.
//!
//! ```text
//! open --store closes, garbage, failed write--> over (all who wait are told, and all who ask later)
//!   \---last handle dropped--> reader wakes and ends
//! ```

use super::Line;
use super::error::{Broken, StoreError};
use fades_xen_store::{
    Decoder, ErrorName, Kind, Message, Path, ReplyError, Request, Token, WatchEvent, reply,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Keeps the reader alive; dropped with the last handle.
pub(super) struct Connection {
    shared: Arc<Shared>,
    patience: Duration,
    /// Held from a request to its answer, where the other end takes one at a time.
    turn: Option<Mutex<()>>,
    /// Closing it wakes the reader, which then ends.
    _wake: OwnedFd,
}

struct Shared {
    socket: OwnedFd,
    /// Held while a message is written, so that messages do not mix.
    writing: Mutex<()>,
    table: Mutex<Table>,
}

#[derive(Default)]
struct Table {
    next: u32,
    asked: HashMap<u32, SyncSender<Message>>,
    watches: HashMap<Token, SyncSender<Path>>,
    over: Option<Arc<Broken>>,
}

impl Connection {
    /// Starts the reader on `line`. Requests are given `patience`.
    pub(super) fn open(line: Line, patience: Duration) -> std::io::Result<Self> {
        let (socket, turn) = match line {
            Line::Socket(socket) => (socket, None),
            Line::Device(device) => (device, Some(Mutex::default())),
        };
        rustix::io::ioctl_fionbio(&socket, true)?;
        let (asleep, wake) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        let shared = Arc::new(Shared { socket, writing: Mutex::default(), table: Mutex::default() });
        let reading = Arc::clone(&shared);
        thread::Builder::new().name("fades-xenstore".to_owned()).spawn(move || {
            if let Some(broken) = reading.read(&asleep) {
                reading.end(broken);
            }
        })?;
        Ok(Self { shared, patience, turn, _wake: wake })
    }

    /// Asks, waits for the answer, and gives its payload. Replies come in any order.
    pub(super) fn ask(&self, request: &Request) -> Result<Vec<u8>, StoreError> {
        let _turn = self.turn.as_ref().map(|turn| turn.lock().unwrap_or_else(PoisonError::into_inner));
        let (answer, answered) = sync_channel(1);
        let number = self.shared.expect(answer)?;
        let deadline = Instant::now() + self.patience;
        let sent = request
            .message(number, 0)
            .map_err(StoreError::from)
            .and_then(|message| self.shared.send(&message, deadline));
        if let Err(error) = sent {
            self.shared.table().asked.remove(&number);
            return Err(error);
        }
        let message = match answered.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(message) => message,
            Err(RecvTimeoutError::Timeout) => {
                self.shared.table().asked.remove(&number);
                if self.turn.is_some() {
                    self.shared.end(Broken::Unanswered);
                }
                return Err(StoreError::Slow { what: words(request), after: self.patience });
            }
            Err(RecvTimeoutError::Disconnected) => return Err(self.shared.over()),
        };
        match reply::payload(request.kind(), &message) {
            Ok(payload) => Ok(payload.to_vec()),
            Err(ReplyError::Refused(name)) => Err(StoreError::Refused { what: words(request), name }),
            Err(source) => Err(StoreError::Answer { what: words(request), source }),
        }
    }

    /// Sends without waiting for an answer, where that can be; what comes is dropped.
    pub(super) fn tell(&self, request: &Request) -> Result<(), StoreError> {
        if self.turn.is_some() {
            return self.ask(request).map(drop);
        }
        // The number is drawn and not expected by anyone.
        let number = self.shared.draw(&mut self.shared.table());
        self.shared.send(&request.message(number, 0)?, Instant::now() + self.patience)
    }

    /// Makes a token whose events go to `events`; from now on, as they may come before the reply.
    pub(super) fn listen(&self, events: SyncSender<Path>) -> Result<Token, StoreError> {
        let mut table = self.shared.table();
        if let Some(broken) = &table.over {
            return Err(StoreError::Over(Arc::clone(broken)));
        }
        loop {
            let number = self.shared.draw(&mut table);
            let Ok(token) = Token::new(&format!("fades-{number}")) else { continue };
            if !table.watches.contains_key(&token) {
                table.watches.insert(token.clone(), events);
                return Ok(token);
            }
        }
    }

    /// No events for `token` any more.
    pub(super) fn forget(&self, token: &Token) {
        self.shared.table().watches.remove(token);
    }

    /// As if an event had come for `token`; nothing when its watch is gone.
    pub(super) fn nudge(&self, token: &Token, path: &Path) {
        if let Some(events) = self.shared.table().watches.get(token) {
            // Full: there is enough to wake up for.
            let _ = events.try_send(path.clone());
        }
    }

    /// Why the connection is over, if it is.
    pub(super) fn over(&self) -> Option<StoreError> {
        self.shared.table().over.clone().map(StoreError::Over)
    }
}

/// What a request is, for errors: values are left out, as they may be long, or secret.
pub(super) fn words(request: &Request) -> String {
    match request {
        Request::Directory { path } => format!("list {path}"),
        Request::Read { path } => format!("read {path}"),
        Request::GetPermissions { path } => format!("permissions of {path}"),
        Request::Watch { path, .. } => format!("watch {path}"),
        Request::Unwatch { path, .. } => format!("unwatch {path}"),
        Request::GetDomainPath { domain } => format!("path of domain {domain}"),
        Request::Write { path, .. } => format!("write {path}"),
        Request::MakeDirectory { path } => format!("make {path}"),
        Request::Remove { path } => format!("remove {path}"),
        Request::SetPermissions { path, .. } => format!("set permissions of {path}"),
        Request::TransactionStart | Request::TransactionEnd { .. } => "transaction".to_owned(),
        Request::ResetWatches => "reset watches".to_owned(),
    }
}

impl Shared {
    fn table(&self) -> MutexGuard<'_, Table> {
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn over(&self) -> StoreError {
        StoreError::Over(self.table().over.clone().unwrap_or_else(|| Arc::new(Broken::Closed)))
    }

    /// A number that nobody waits for. 0 is left to events.
    fn draw(&self, table: &mut Table) -> u32 {
        loop {
            table.next = table.next.wrapping_add(1);
            if table.next != 0 && !table.asked.contains_key(&table.next) {
                return table.next;
            }
        }
    }

    fn expect(&self, answer: SyncSender<Message>) -> Result<u32, StoreError> {
        let mut table = self.table();
        if let Some(broken) = &table.over {
            return Err(StoreError::Over(Arc::clone(broken)));
        }
        let number = self.draw(&mut table);
        table.asked.insert(number, answer);
        Ok(number)
    }

    /// Writes a whole message, or ends the connection: what was begun and not finished cannot be taken back.
    fn send(&self, message: &Message, deadline: Instant) -> Result<(), StoreError> {
        let bytes = message.encode();
        let _one_at_a_time = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut rest = bytes.as_slice();
        while !rest.is_empty() {
            let broken = match rustix::io::write(&self.socket, rest) {
                Ok(count) => {
                    rest = &rest[count..];
                    continue;
                }
                Err(Errno::INTR) => continue,
                // The kernel's device never says this, nor when it could be written to: only the socket does both.
                Err(Errno::AGAIN) => match wait_for(&self.socket, PollFlags::OUT, deadline) {
                    Ok(true) => continue,
                    Ok(false) => Broken::Stuck,
                    Err(error) => Broken::Io(error.into()),
                },
                Err(error) => Broken::Io(error.into()),
            };
            self.end(broken);
            return Err(self.over());
        }
        Ok(())
    }

    /// Reads until the connection is over, and says why; `None`: nobody wants it any more.
    fn read(&self, asleep: &OwnedFd) -> Option<Broken> {
        let (mut decoder, mut block) = (Decoder::new(), [0; 8192]);
        loop {
            let mut watched =
                [PollFd::new(&self.socket, PollFlags::IN), PollFd::new(asleep, PollFlags::empty())];
            match poll(&mut watched, None) {
                Ok(_) if !watched[1].revents().is_empty() => return None,
                Ok(_) => {}
                Err(Errno::INTR) => continue,
                Err(error) => return Some(Broken::Io(error.into())),
            }
            let mut input = match rustix::io::read(&self.socket, &mut block) {
                Ok(0) if decoder.is_inside() => return Some(Broken::Truncated),
                Ok(0) => return Some(Broken::Closed),
                Ok(count) => &block[..count],
                Err(Errno::INTR | Errno::AGAIN) => continue,
                Err(error) => return Some(Broken::Io(error.into())),
            };
            loop {
                match decoder.push(&mut input) {
                    Ok(Some(message)) => {
                        if let Err(error) = self.deliver(message) {
                            return Some(Broken::Event(error));
                        }
                    }
                    Ok(None) => break,
                    Err(error) => return Some(Broken::Protocol(error)),
                }
            }
        }
    }

    fn deliver(&self, message: Message) -> Result<(), ReplyError> {
        let mut table = self.table();
        if message.kind() == Kind::WatchEvent {
            let event = WatchEvent::decode(&message)?;
            if let Some(events) = table.watches.get(&event.token) {
                // Full: whoever is behind has events left that tell them to look again. Gone: nobody to tell.
                let _ = events.try_send(event.path);
            }
        } else if let Some(answer) = table.asked.remove(&message.header().request) {
            // Gone: whoever asked gave up in this moment.
            let _ = answer.try_send(message);
        }
        // Else it is an answer that came too late, or to what nobody asked: nobody is misled by it.
        Ok(())
    }

    /// The connection is over; the first reason stays. Dropping the senders tells all who wait.
    fn end(&self, broken: Broken) {
        let mut table = self.table();
        table.over.get_or_insert_with(|| Arc::new(broken));
        table.asked.clear();
        table.watches.clear();
    }
}

/// Whether `flags` came true before `deadline`.
fn wait_for(socket: &OwnedFd, flags: PollFlags, deadline: Instant) -> rustix::io::Result<bool> {
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(false);
        }
        match poll(&mut [PollFd::new(socket, flags)], Timespec::try_from(left).ok().as_ref()) {
            Ok(0) | Err(Errno::INTR) => {}
            Ok(_) => return Ok(true),
            Err(error) => return Err(error),
        }
    }
}

/// Whether this is the store's way to say that there is no such node.
pub(super) fn is_absent(error: &StoreError) -> bool {
    matches!(error, StoreError::Refused { name: ErrorName::NotFound, .. })
}
