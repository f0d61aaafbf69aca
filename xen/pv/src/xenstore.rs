//! A client of XenStore over the domain's ring.
//!
//! One request at a time; watch events that come meanwhile are kept. Waiting is the owner's: the kernel polls at boot,
//! the application sleeps ([`Wait`]). Every call has a deadline by the owner's clock. When it passes before a
//! request is sent whole, the stream is in pieces and the client is [`StoreError::Broken`]; when it passes
//! before the reply, only that call has failed, and the late reply is dropped.
//!
//! The kernel's client goes on where the ring stands, and so does the application's after it: let go of one
//! ([`Xenstore::into_page`]) when no request is under way and no watch is set, before making the other.

mod errors;
mod page;

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

pub use errors::StoreError;
use fades_xen_store::{Decoder, Kind, Message, Path, Permissions, Request, Token, WatchEvent, reply};
pub use page::StorePage;

use crate::hypercall::{Port, Ports};
use crate::shared::Shared;
use fades_ring::{Reader, Writer};

/// Watch events that are kept for [`Xenstore::next_event`]. Further ones of a watch of which some wait are dropped; one of
/// another watch breaks the client.
pub const EVENTS_MAX: usize = 1024;

/// The owner's clock, and its way to wait for an event.
pub trait Wait {
    /// The time, in a unit of the owner's, never going back.
    fn now(&self) -> u64;

    /// Returns when `port` has had an event since `wait` last returned for it, or at `until`; it may return earlier for
    /// no reason. An event that came before the call counts. The event is forgotten before this returns, so
    /// that one that comes afterwards is found by the next call.
    fn wait(&self, port: Port, until: u64);
}

impl<W: Wait + ?Sized> Wait for &W {
    fn now(&self) -> u64 {
        (**self).now()
    }

    fn wait(&self, port: Port, until: u64) {
        (**self).wait(port, until);
    }
}

/// A connection to XenStore. Deadlines are times of `W`'s clock.
#[derive(Debug)]
pub struct Xenstore<P, W> {
    page: Shared<StorePage>,
    ports: P,
    port: Port,
    wait: W,
    writer: Writer,
    reader: Reader,
    decoder: Decoder,
    /// The number of the request under way, or of the last one.
    request: u32,
    reply: Option<Message>,
    /// Replies that nobody waits for any more.
    abandoned: u32,
    events: VecDeque<WatchEvent>,
    broken: bool,
}

impl<P: Ports, W: Wait> Xenstore<P, W> {
    /// The store behind `page` (the frame [`Param::StoreFrame`](crate::hypercall::Param::StoreFrame) names) with
    /// the port that [`Param::StorePort`](crate::hypercall::Param::StorePort) names.
    pub fn new(page: Shared<StorePage>, port: Port, ports: P, wait: W) -> Self {
        let writer = Writer::attach(&page.requests_produced);
        let reader = Reader::attach(&page.replies_consumed);
        Self {
            page,
            ports,
            port,
            wait,
            writer,
            reader,
            decoder: Decoder::new(),
            request: 0,
            reply: None,
            abandoned: 0,
            events: VecDeque::new(),
            broken: false,
        }
    }

    /// Lets go of the ring.
    pub fn into_page(self) -> Shared<StorePage> {
        self.page
    }

    /// The port on which the store says that it has read or written.
    pub const fn port(&self) -> Port {
        self.port
    }

    /// The owner's clock.
    pub fn now(&self) -> u64 {
        self.wait.now()
    }

    /// The value of a node.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn read(&mut self, path: &Path, deadline: u64) -> Result<Vec<u8>, StoreError> {
        self.call(&Request::Read { path: path.clone() }, 0, deadline)
    }

    /// Gives a node a value, and makes it if it is not there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn write(&mut self, path: &Path, value: &[u8], deadline: u64) -> Result<(), StoreError> {
        self.act(&Request::Write { path: path.clone(), value: value.to_vec() }, deadline)
    }

    /// The names of a node's children.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn list(&mut self, path: &Path, deadline: u64) -> Result<Vec<String>, StoreError> {
        let names = self.call(&Request::Directory { path: path.clone() }, 0, deadline)?;
        Ok(reply::names(&names)?)
    }

    /// Makes a node without a value, unless it is there.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn mkdir(&mut self, path: &Path, deadline: u64) -> Result<(), StoreError> {
        self.act(&Request::MakeDirectory { path: path.clone() }, deadline)
    }

    /// Removes a node and what is under it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn remove(&mut self, path: &Path, deadline: u64) -> Result<(), StoreError> {
        self.act(&Request::Remove { path: path.clone() }, deadline)
    }

    /// Says who may do what with a node.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn set_permissions(
        &mut self,
        path: &Path,
        permissions: &Permissions,
        deadline: u64,
    ) -> Result<(), StoreError> {
        let (path, permissions) = (path.clone(), permissions.clone());
        self.act(&Request::SetPermissions { path, permissions }, deadline)
    }

    /// Has [`Xenstore::next_event`] tell what happens to a node and under it. The first event comes at once.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn watch(&mut self, path: &Path, token: &Token, deadline: u64) -> Result<(), StoreError> {
        self.act(&Request::Watch { path: path.clone(), token: token.clone() }, deadline)
    }

    /// Ends a watch and forgets those of its events that nobody has read.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn unwatch(&mut self, path: &Path, token: &Token, deadline: u64) -> Result<(), StoreError> {
        self.act(&Request::Unwatch { path: path.clone(), token: token.clone() }, deadline)?;
        self.events.retain(|event| event.token != *token);
        Ok(())
    }

    /// The next watch event, or `None` if there is none until the deadline (which may be in the past: then
    /// nothing is waited for).
    ///
    /// # Errors
    /// See [`StoreError`]; never [`StoreError::Deadline`] or a refusal.
    pub fn next_event(&mut self, deadline: u64) -> Result<Option<WatchEvent>, StoreError> {
        loop {
            let moved = self.receive()?;
            if let Some(event) = self.events.pop_front() {
                return Ok(Some(event));
            }
            if self.wait.now() >= deadline {
                return Ok(None);
            }
            if !moved {
                self.wait.wait(self.port, deadline);
            }
        }
    }

    /// Asks for something to be done.
    fn act(&mut self, request: &Request, deadline: u64) -> Result<(), StoreError> {
        let payload = self.call(request, 0, deadline)?;
        Ok(reply::done(&payload)?)
    }

    /// Sends a request in transaction `transaction` (0: in none) and waits for its reply's payload.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub fn call(
        &mut self,
        request: &Request,
        transaction: u32,
        deadline: u64,
    ) -> Result<Vec<u8>, StoreError> {
        self.request = self.request.wrapping_add(1);
        let message = request.message(self.request, transaction).map_err(StoreError::TooLong)?;
        self.reply = None;
        self.send(&message.encode(), deadline)?;
        let message = self.await_reply(deadline)?;
        Ok(reply::payload(request.kind(), &message)?.to_vec())
    }

    fn send(&mut self, mut bytes: &[u8], deadline: u64) -> Result<(), StoreError> {
        let whole = bytes.len();
        while !bytes.is_empty() {
            // The store may have to get rid of its replies before it reads on.
            let moved = self.receive()?;
            let page = &*self.page;
            let sent = self
                .writer
                .write(&page.requests_produced, &page.requests_consumed, &page.requests, bytes)
                .map_err(|error| self.give_up(StoreError::Index(error)))?;
            bytes = &bytes[sent..];
            if sent > 0 {
                self.notify()?;
            } else if self.wait.now() >= deadline {
                self.broken |= bytes.len() < whole;
                return Err(StoreError::Deadline);
            } else if !moved {
                self.wait.wait(self.port, deadline);
            }
        }
        Ok(())
    }

    fn await_reply(&mut self, deadline: u64) -> Result<Message, StoreError> {
        loop {
            let moved = self.receive()?;
            if let Some(message) = self.reply.take() {
                return Ok(message);
            }
            if self.wait.now() >= deadline {
                self.abandoned += 1;
                // So that the late reply is not taken for this request's.
                self.request = self.request.wrapping_add(1);
                return Err(StoreError::Deadline);
            }
            if !moved {
                self.wait.wait(self.port, deadline);
            }
        }
    }

    /// Takes in what is in the ring now, at most the ring's size. True if there was something.
    fn receive(&mut self) -> Result<bool, StoreError> {
        if self.broken {
            return Err(StoreError::Broken);
        }
        let mut bytes = [0; page::RING_SIZE];
        let page = &*self.page;
        let len = self
            .reader
            .read(&page.replies_consumed, &page.replies_produced, &page.replies, &mut bytes)
            .map_err(|error| self.give_up(StoreError::Index(error)))?;
        if len == 0 {
            return Ok(false);
        }
        self.notify()?;
        let mut input = &bytes[..len];
        loop {
            match self.decoder.push(&mut input) {
                Ok(None) => return Ok(true),
                Ok(Some(message)) => self.sort(message).map_err(|error| self.give_up(error))?,
                Err(error) => return Err(self.give_up(StoreError::TooLong(error))),
            }
        }
    }

    /// Puts a message where who wants it looks.
    fn sort(&mut self, message: Message) -> Result<(), StoreError> {
        if message.kind() == Kind::WatchEvent {
            let event = WatchEvent::decode(&message)?;
            if self.events.len() < EVENTS_MAX {
                self.events.push_back(event);
            } else if !self.events.iter().any(|kept| kept.token == event.token) {
                return Err(StoreError::Flood);
            }
            // Else it is joined with those of its watch that wait: another domain can make any number of them.
        } else if message.header().request == self.request && self.reply.is_none() {
            self.reply = Some(message);
        } else {
            self.abandoned = self.abandoned.checked_sub(1).ok_or(StoreError::Unasked)?;
        }
        Ok(())
    }

    fn notify(&mut self) -> Result<(), StoreError> {
        self.ports.send(self.port).map_err(|error| self.give_up(StoreError::Notify(error)))
    }

    fn give_up(&mut self, error: StoreError) -> StoreError {
        self.broken = true;
        error
    }
}

#[cfg(test)]
mod tests;
