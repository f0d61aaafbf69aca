//! The shell around the engine: one actor that hears everything and carries out what the engine says.
//!
//! ```text
//!   HTTP ----accepted, cancel---+                              +--> store   (fsync before the next effect)
//!   network thread --events-----+--> inbox --> engine --> effects --> network, backend, guests
//!   guest threads --exits-------+        \__ clock (ticks)      +--> receipts, events, status
//! ```
//!
//! The engine decides, and has no I/O; the actor does, and decides nothing. Effects are carried out in the order given;
//! what is to be stored is on disk before the next effect begins. If the store fails the actor ends, and the daemon
//! with it: a node that cannot remember must not go on.

mod actor;
mod ends;
mod guests;
mod log;
mod prepare;
mod receipt;
mod recover;
mod start;

use std::sync::{Arc, PoisonError, RwLock};

use fades_core::GuestId;
use fades_core::backend::GuestExit;
use fades_core::fault::Fault;
use fades_core::network::{NetEvent, Network, NetworkCounters, PortId};
use fades_core::task::TaskSpec;
use fades_wire::address::Place;
use tokio::sync::mpsc;
use ulid::Ulid;

pub(crate) use actor::{Actor, Parts};
pub use actor::{Consumed, RuntimeError};
pub(crate) use receipt::Signer;
pub(crate) use recover::{Recovered, recover};
pub(crate) use start::Starter;

/// What the actor hears.
pub(crate) enum Message {
    /// A task is stored as accepted.
    Accepted(Box<TaskSpec>),
    /// Somebody entitled to it wants a task ended.
    Cancel(Ulid),
    /// An image was added or removed, or its signer is not trusted any more: there may be a broker now, and functions that were
    /// started ahead may be what nobody wants.
    ImagesChanged,
    /// Something on the control endpoint.
    Net(NetEvent),
    /// A port's link has ended; everything that came over it was told before.
    LinkLost(PortId),
    /// A port was made for a guest that is being started.
    Attached(GuestId, PortId),
    /// The guest exists.
    Started(GuestId, Place),
    /// The guest does not exist and never will.
    StartFailed(GuestId, Fault),
    /// The guest has ended.
    Exited(GuestId, GuestExit),
    /// The daemon is to end.
    Stop,
}

/// How things are, for `status`, health and metrics.
#[derive(Clone, Debug, Default)]
pub struct Status {
    /// `starting`, `ready`, `restarting`, `absent`.
    pub broker_state: &'static str,
    /// Its image.
    pub broker_image: Option<String>,
    /// How often it was started again.
    pub broker_restarts: u32,
    /// Why it is not ready, or died last.
    pub broker_detail: Option<String>,
    /// Tasks under way.
    pub running: u32,
    /// Persistent tasks between two periods.
    pub between: u32,
    /// Guests, the broker included.
    pub guests: u32,
    /// Their memory, MiB.
    pub memory_mib: u32,
}

/// What requests may tell and ask the actor.
#[derive(Clone)]
pub struct Handle {
    inbox: mpsc::UnboundedSender<Message>,
    status: Arc<RwLock<Status>>,
    network: Arc<dyn Network>,
}

impl Handle {
    pub(crate) fn new(
        inbox: mpsc::UnboundedSender<Message>,
        status: Arc<RwLock<Status>>,
        network: Arc<dyn Network>,
    ) -> Self {
        Self { inbox, status, network }
    }

    /// A task is stored as accepted. The inbox is as bounded as the number of open tasks.
    pub fn accepted(&self, spec: TaskSpec) {
        self.tell(Message::Accepted(Box::new(spec)));
    }

    /// Somebody entitled to it wants a task ended.
    pub fn cancel(&self, task: Ulid) {
        self.tell(Message::Cancel(task));
    }

    /// An image was added or removed, or its signer is not trusted any more.
    pub fn images_changed(&self) {
        self.tell(Message::ImagesChanged);
    }

    /// The daemon is to end: guests are killed, tasks stay as recorded.
    pub(crate) fn stop(&self) {
        self.tell(Message::Stop);
    }

    /// How things are.
    #[must_use]
    pub fn status(&self) -> Status {
        self.status.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What passed the virtual network.
    #[must_use]
    pub fn network_counters(&self) -> NetworkCounters {
        self.network.counters()
    }

    fn tell(&self, message: Message) {
        // An actor that has ended has ended the daemon too; what is stored is taken up at the next start.
        if self.inbox.send(message).is_err() {
            tracing::debug!("the runtime has ended already");
        }
    }
}
