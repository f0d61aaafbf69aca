//! One domain as a guest.

use std::io;
use std::sync::mpsc::sync_channel;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::thread::{self, JoinHandle};

use fades_core::backend::{Guest, GuestExit};
use fades_wire::address::Neighbour;
use fades_xen_store::DomainId;

use super::supervise::{Shared, Supervisor};

/// A domain with the thread that looks after it.
pub(super) struct XenGuest {
    pid: u32,
    memory_bytes: u64,
    domain: OnceLock<DomainId>,
    pub(super) shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl XenGuest {
    /// Starts the thread, and on it, by `begin`, the `xl`; returns when that runs. In this order, as an `xl` without a
    /// thread would build a domain that nobody ends; a thread without an `xl` only ends.
    pub(super) fn supervised(
        shared: Arc<Shared>,
        memory_mib: u32,
        begin: impl FnOnce() -> io::Result<Supervisor> + Send + 'static,
    ) -> io::Result<Self> {
        let (tell, told) = sync_channel(1);
        let live = move || match begin() {
            Ok(supervisor) => {
                // Who is told waits for it.
                let _ = tell.send(Ok(supervisor.monitor.pid()));
                supervisor.run();
            }
            Err(error) => {
                let _ = tell.send(Err(error));
            }
        };
        let thread = thread::Builder::new().name("fades-domain".to_owned()).spawn(live)?;
        let pid = told.recv().map_err(io::Error::other)??;
        let memory_bytes = u64::from(memory_mib) << 20;
        Ok(Self { pid, memory_bytes, domain: OnceLock::new(), shared, thread: Mutex::new(Some(thread)) })
    }

    /// Its domain is there, and this is its number. Said once.
    pub(super) fn is_domain(&self, domain: DomainId) {
        self.domain.get_or_init(|| domain);
    }
}

impl Guest for XenGuest {
    fn wait(&self) -> GuestExit {
        self.shared.wait()
    }

    fn kill(&self) {
        self.shared.kill();
    }

    fn console(&self) -> String {
        self.shared.console.tail()
    }

    fn neighbour(&self) -> Option<Neighbour> {
        self.domain.get().map(|domain| Neighbour::Domain(domain.get()))
    }

    fn pid(&self) -> Option<u32> {
        Some(self.pid)
    }

    /// What the domain has, which is there for nobody else while it lives.
    fn resident_bytes(&self) -> Option<u64> {
        Some(self.memory_bytes)
    }
}

impl Drop for XenGuest {
    fn drop(&mut self) {
        self.kill();
        if let Some(thread) = self.thread.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Bounded by the deadlines of what it runs. Without it a daemon that ends would leave the domain.
            let _ = thread.join();
        }
    }
}
