//! The backend whose guests are threads.

use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use fades_core::Role;
use fades_core::backend::{
    Backend, BackendError, BackendKind, ExitCause, Guest, GuestExit, GuestSpec, Orphan,
};

use crate::guest;
use crate::line::{Arrival, Line};
use crate::network::ScriptedNetwork;
use crate::script::{BrokerAct, FunctionAct, Script};

/// Starts scripted guests on a [`ScriptedNetwork`].
pub struct ScriptedBackend {
    network: Arc<ScriptedNetwork>,
    script: Script,
    book: Mutex<Book>,
}

#[derive(Default)]
struct Book {
    brokers: usize,
    functions: usize,
    guests: Vec<(Role, Arc<ScriptedGuest>)>,
    orphans: Vec<Orphan>,
}

/// Locks, whatever a panicking test has left behind.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl ScriptedBackend {
    /// A backend whose guests follow `script`.
    #[must_use]
    pub fn new(network: Arc<ScriptedNetwork>, script: Script) -> Arc<Self> {
        Arc::new(Self { network, script, book: Mutex::default() })
    }

    /// An earlier daemon has left this guest behind.
    pub fn leave_orphan(&self, name: &str) {
        lock(&self.book).orphans.push(Orphan { name: name.into(), pid: None });
    }

    /// How many guests of this role were started so far.
    #[must_use]
    pub fn started(&self, role: Role) -> usize {
        let book = lock(&self.book);
        if role == Role::Broker { book.brokers } else { book.functions }
    }

    /// How many guests have not ended.
    #[must_use]
    pub fn running(&self) -> usize {
        lock(&self.book).guests.iter().filter(|(_, guest)| lock(&guest.exit).is_none()).count()
    }

    /// The most recently started guest of this role that still runs ends in this way; false when there is none.
    pub fn end(&self, role: Role, cause: ExitCause) -> bool {
        let book = lock(&self.book);
        let found = book.guests.iter().rev().find(|(own, guest)| *own == role && lock(&guest.exit).is_none());
        found.is_some_and(|(_, guest)| guest.arrivals.send(Arrival::End(cause)).is_ok())
    }
}

impl Backend for ScriptedBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::QemuTcg
    }

    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError> {
        let GuestSpec { name, role, mac, link, .. } = spec;
        let mut book = lock(&self.book);
        let act = match role {
            Role::Broker => Act::Broker(self.script.broker(book.brokers)),
            Role::Function => Act::Function(self.script.function(book.functions)),
        };
        let count = if role == Role::Broker { &mut book.brokers } else { &mut book.functions };
        *count += 1;
        if matches!(act, Act::Broker(BrokerAct::FailsToStart) | Act::Function(FunctionAct::FailsToStart)) {
            return Err(BackendError::Spec { name, reason: "the script does not let it start".into() });
        }
        let (arrivals, inbox) = channel();
        let Some(port) = self.network.plug(mac, arrivals.clone()) else {
            return Err(BackendError::Spec { name, reason: format!("no port has the address {mac:02x?}") });
        };
        let guest = Arc::new(ScriptedGuest {
            exit: Mutex::default(),
            ended: Condvar::new(),
            arrivals,
            name: name.clone(),
        });
        book.guests.push((role, Arc::clone(&guest)));
        let line = Line::new(Arc::clone(&self.network), port, inbox);
        let own = Arc::clone(&guest);
        let life = move || {
            let cause = match act {
                Act::Broker(act) => guest::broker(line, &act),
                Act::Function(act) => guest::function(line, &act),
            };
            drop(link);
            own.end(cause);
        };
        std::thread::Builder::new()
            .name(name)
            .spawn(life)
            .map_err(|source| BackendError::Io { action: "start a thread".into(), source })?;
        Ok(guest)
    }

    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError> {
        Ok(std::mem::take(&mut lock(&self.book).orphans))
    }
}

enum Act {
    Broker(BrokerAct),
    Function(FunctionAct),
}

/// A guest that is a thread.
struct ScriptedGuest {
    exit: Mutex<Option<GuestExit>>,
    ended: Condvar,
    arrivals: Sender<Arrival>,
    name: String,
}

impl ScriptedGuest {
    fn end(&self, cause: ExitCause) {
        *lock(&self.exit) = Some(GuestExit { cause, console_tail: self.console() });
        self.ended.notify_all();
    }
}

impl Guest for ScriptedGuest {
    fn wait(&self) -> GuestExit {
        let mut exit = lock(&self.exit);
        loop {
            match &*exit {
                Some(exit) => return exit.clone(),
                None => exit = self.ended.wait(exit).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    fn kill(&self) {
        // Fails only for a thread that has ended already.
        let _ = self.arrivals.send(Arrival::End(ExitCause::Killed));
    }

    fn console(&self) -> String {
        format!("[{}] scripted\n", self.name)
    }

    fn pid(&self) -> Option<u32> {
        None
    }

    fn resident_bytes(&self) -> Option<u64> {
        Some(1 << 20)
    }
}
