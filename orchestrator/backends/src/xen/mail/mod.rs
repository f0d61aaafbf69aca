//! The post: control connections of guests, through nodes of theirs in XenStore (`fades_xen_store::mailbox`).
//!
//! ```text
//! engine --send--> desk --pieces--> fades/down/N        data/fades/up/N --pieces--> desk --events--> engine
//!                  (bounded)        data/fades/down-taken  fades/up-taken           (bounded)
//! ```
//! Each guest has a thread that sleeps in a watch of what the guest writes; who sends wakes it and never waits itself. One
//! connection to the store carries all of them. Whose words they are is told by where they stand, as on the virtual
//! network by the port: nobody but the guest and dom0 can write there.
//!
//! What a guest writes is hostile. A piece or a count that cannot be ends its connection, with words on its console, and
//! nothing else; what it can make this process hold is bounded both ways, and what it writes beside its pieces is not
//! looked at.
//!
//! | part | what it does |
//! |---|---|
//! | `desk` | queues and bounds; pure |
//! | `pass` | one look at the nodes, which are an argument |
//! | `carrier` | the thread and the nodes of the real store |

mod carrier;
mod desk;
mod pass;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use fades_core::network::{NetEvent, NetEventSink, NetworkError, PortId};
use fades_wire::address::Control;
use fades_xen_store::DomainId;
use fades_xen_toolstack::{Store, StoreError};

pub(super) use self::carrier::Mailbox;
use self::carrier::{Carrier, Slot};
use crate::console::Console;
use crate::postal::Post;

/// Makes a connection to the store.
pub(super) type Connect = Box<dyn Fn() -> Result<Store, StoreError> + Send + Sync>;

type Slots = Arc<Mutex<HashMap<PortId, Arc<Slot>>>>;

/// Carries control messages between this process and guests that are domains of this host. Shared by the backend, which
/// opens mailboxes, and [`crate::PostalNetwork`], which sends.
pub struct XenPost {
    connect: Connect,
    store: Mutex<Option<Store>>,
    slots: Slots,
    events: NetEventSink,
    connections: Arc<AtomicU64>,
}

/// Why a guest has no mailbox.
#[derive(Debug, thiserror::Error)]
pub(super) enum OpenError {
    /// Its nodes cannot be watched.
    #[error("its nodes in XenStore cannot be watched")]
    Store(#[from] StoreError),
    /// There is no thread for it.
    #[error("the system refused a thread for it")]
    Thread(#[source] io::Error),
}

impl XenPost {
    /// A post without mailboxes. `events` hears of every guest's connection, in order, on that guest's thread; it must not
    /// block. XenStore is connected to when it is needed first.
    #[must_use]
    pub fn new(events: NetEventSink) -> Arc<Self> {
        Self::over(Box::new(Store::connect), events)
    }

    /// The same by another way to the store.
    pub(super) fn over(connect: Connect, events: NetEventSink) -> Arc<Self> {
        let connections = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&connections);
        let events: NetEventSink = Arc::new(move |event| {
            if matches!(event, NetEvent::ControlConnected(_)) {
                counter.fetch_add(1, Ordering::Relaxed);
            }
            events(event);
        });
        Arc::new(Self { connect, store: Mutex::default(), slots: Slots::default(), events, connections })
    }

    /// Asks the store over the connection that all share, or over a new one if that is over: a store that was started
    /// anew is found.
    pub(super) fn ask<T>(&self, what: impl Fn(&Store) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let held = self.store.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(store) = held {
            match what(&store) {
                Err(StoreError::Over(_)) => {}
                answered => return answered,
            }
        }
        let store = (self.connect)()?;
        *self.store.lock().unwrap_or_else(PoisonError::into_inner) = Some(store.clone());
        what(&store)
    }

    /// Opens the mailbox of the guest on `port`, which is `domain`. What it does wrong is noted on `console`.
    pub(super) fn open(
        &self,
        port: PortId,
        domain: DomainId,
        console: &Console,
    ) -> Result<Mailbox, OpenError> {
        let carrier =
            self.ask(|store| Carrier::new(store, port, domain, Arc::clone(&self.events), console.clone()))?;
        let slot = Arc::clone(&carrier.slot);
        self.slots().insert(port, Arc::clone(&slot));
        let slots = Arc::clone(&self.slots);
        let end = move || drop(lock(&slots).remove(&port));
        if let Err(error) = carrier.spawn(end) {
            self.slots().remove(&port);
            return Err(OpenError::Thread(error));
        }
        Ok(Mailbox(slot))
    }

    fn slot(&self, port: PortId) -> Option<Arc<Slot>> {
        self.slots().get(&port).cloned()
    }

    fn slots(&self) -> MutexGuard<'_, HashMap<PortId, Arc<Slot>>> {
        lock(&self.slots)
    }
}

impl Post for XenPost {
    fn control(&self) -> Control {
        Control::Store
    }

    /// The bound is 1 MiB.
    fn send(&self, port: PortId, bytes: &[u8]) -> Result<(), NetworkError> {
        let slot = self.slot(port).ok_or(NetworkError::NotConnected(port))?;
        slot.send(port, bytes)
    }

    fn close(&self, port: PortId) {
        if let Some(slot) = self.slot(port) {
            slot.close();
        }
    }

    fn consumed(&self, port: PortId, bytes: usize) {
        if let Some(slot) = self.slot(port) {
            slot.consumed(bytes);
        }
    }

    fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

fn lock(slots: &Slots) -> MutexGuard<'_, HashMap<PortId, Arc<Slot>>> {
    slots.lock().unwrap_or_else(PoisonError::into_inner)
}
