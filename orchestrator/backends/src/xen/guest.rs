//! One domain as a guest.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};

use fades_core::backend::{Guest, GuestExit};

use super::supervise::{Shared, Supervisor};

/// A domain with the thread that looks after it.
pub(super) struct XenGuest {
    pid: u32,
    memory_bytes: u64,
    pub(super) shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl XenGuest {
    /// Starts the thread. When that fails, `xl` is ended; what it had begun is for the caller to destroy by name.
    pub(super) fn supervised(supervisor: Supervisor, memory_mib: u32) -> std::io::Result<Self> {
        let (pid, shared) = (supervisor.monitor.pid(), Arc::clone(&supervisor.shared));
        let thread =
            thread::Builder::new().name("fades-domain".to_owned()).spawn(move || supervisor.run())?;
        let memory_bytes = u64::from(memory_mib) << 20;
        Ok(Self { pid, memory_bytes, shared, thread: Mutex::new(Some(thread)) })
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
