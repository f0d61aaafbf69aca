//! The thread of one mailbox, and who holds it.

use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use fades_core::network::{NetEvent, NetEventSink, NetworkError, PortId};
use fades_xen_store::{DomainId, Path};
use fades_xen_toolstack::store::EVENTS;
use fades_xen_toolstack::{Nudge, Store, StoreError, Watch};

use super::super::failure::words;
use super::desk::Desk;
use super::pass::{Ended, Nodes, Pass, Seen, WATCHED};
use crate::console::Console;

/// How long a watch is waited for before it is looked without; nothing hangs on it.
const LONG: Duration = Duration::from_secs(3600);

/// What the thread and everybody else share.
pub(super) struct Slot {
    desk: Mutex<Desk>,
    over: Condvar,
    nudge: Nudge,
}

impl Slot {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// [`Desk::send`].
    pub(super) fn send(&self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError> {
        self.desk().send(port, bytes)?;
        self.nudge.wake();
        Ok(())
    }

    /// [`Desk::consumed`].
    pub(super) fn consumed(&self, bytes: usize) {
        let goes_on = self.desk().consumed(bytes);
        if goes_on {
            self.nudge.wake();
        }
    }

    /// [`Desk::close`].
    pub(super) fn close(&self) {
        self.desk().close();
        self.nudge.wake();
    }
}

/// A guest's mailbox, for who looks after the guest. Dropped, it closes.
pub(in crate::xen) struct Mailbox(pub(super) Arc<Slot>);

impl Mailbox {
    /// Closes it, when the domain has ended: what the guest left is handed over as far as it is there, and the end is told.
    /// Waits for that, no longer than `patience`.
    pub(in crate::xen) fn finish(self, patience: Duration) {
        self.0.close();
        let waited = self.0.over.wait_timeout_while(self.0.desk(), patience, |desk| !desk.is_over());
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Mailbox {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// What the thread has for itself.
pub(super) struct Carrier {
    pub(super) slot: Arc<Slot>,
    port: PortId,
    home: Home,
    watch: Watch,
    watched: Path,
    events: NetEventSink,
    console: Console,
}

impl Carrier {
    /// Watches the nodes of `domain`, for the guest on `port`. What it does wrong is written to `console`.
    pub(super) fn new(
        store: &Store,
        port: PortId,
        domain: DomainId,
        events: NetEventSink,
        console: Console,
    ) -> Result<Self, StoreError> {
        let home = Home { store: store.clone(), path: domain.home() };
        let watched = home.path.join(WATCHED)?;
        let watch = store.watch(&watched)?;
        let slot = Slot { desk: Mutex::default(), over: Condvar::new(), nudge: watch.nudge() };
        Ok(Self { slot: Arc::new(slot), port, home, watch, watched, events, console })
    }

    /// Starts the thread; `end` is called on it when it is over.
    pub(super) fn spawn(self, end: impl FnOnce() + Send + 'static) -> io::Result<()> {
        let live = move || {
            self.live();
            end();
        };
        thread::Builder::new().name("fades-mail".to_owned()).spawn(live).map(drop)
    }

    fn live(self) {
        let pass = Pass { desk: &self.slot.desk, nodes: &self.home, port: self.port, events: &self.events };
        let ended = loop {
            let seen = self.wait();
            let is_closing = self.slot.desk().is_closing();
            let looked = match seen {
                Ok(_) if is_closing => pass.last(),
                Ok(seen) => pass.look(seen),
                Err(error) => Err(error.into()),
            };
            match looked {
                Ok(()) if is_closing => break None,
                Ok(()) => {}
                Err(Ended::Gone) => break None,
                Err(error) => break Some(error),
            }
        };
        if let Some(error) = ended {
            let words = words(&error);
            self.console.note(&format!("the control connection of this guest was ended: {words}"));
            tracing::warn!(port = %self.port, error = words, "the control connection of a guest was ended");
        }
        if let Err(error) = pass.sweep() {
            tracing::debug!(port = %self.port, error = words(&error), "nodes of a guest may be left in XenStore");
        }
        let was_connected = {
            let mut desk = self.slot.desk();
            desk.close();
            desk.is_connected()
        };
        // Told before it is over: who waits for that knows that everything was told.
        if was_connected {
            (self.events)(NetEvent::ControlClosed(self.port));
        }
        self.slot.desk().end();
        self.slot.over.notify_all();
    }

    /// What has changed since it was asked last; waits for that.
    fn wait(&self) -> Result<Seen, StoreError> {
        let next = self.slot.desk().next_name();
        let mut seen = Seen::default();
        let Some(mut node) = self.watch.next(Instant::now() + LONG)? else { return Ok(Seen::ALL) };
        for _ in 1..EVENTS {
            seen.add(node.as_str().strip_prefix(self.watched.as_str()), &next);
            node = match self.watch.next(Instant::now())? {
                Some(node) => node,
                None => return Ok(seen),
            };
        }
        // As many as wait at most: others may have been dropped.
        Ok(Seen::ALL)
    }
}

/// A guest's nodes in the store.
struct Home {
    store: Store,
    path: Path,
}

impl Nodes for Home {
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.read(&self.path.join(name)?)
    }

    fn write(&self, name: &str, value: &[u8]) -> Result<(), StoreError> {
        self.store.write(&self.path.join(name)?, value)
    }

    fn remove(&self, name: &str) -> Result<(), StoreError> {
        self.store.remove(&self.path.join(name)?)
    }

    fn clear(&self) -> Result<(), StoreError> {
        self.store.remove(&self.path)
    }
}
