//! How far tasks under way are: told to whoever watches, never stored.

use std::collections::HashMap;
use std::sync::atomic::AtomicUsize;
use std::sync::{Mutex, PoisonError};

use fades_api::http::Progress;
use tokio::sync::watch;
use ulid::Ulid;

/// Progress by task. Holds tasks under way only, so it is as bounded as they are.
pub struct Live {
    progress: Mutex<HashMap<Ulid, Progress>>,
    changed: watch::Sender<u64>,
    /// Event streams open now.
    pub(crate) streams: AtomicUsize,
}

impl Default for Live {
    fn default() -> Self {
        Self { progress: Mutex::default(), changed: watch::channel(0).0, streams: AtomicUsize::new(0) }
    }
}

impl Live {
    /// Notes how far a task is.
    pub fn set(&self, task: Ulid, progress: Progress) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).insert(task, progress);
        self.changed.send_modify(|count| *count += 1);
    }

    /// Forgets a task that has ended or begins anew.
    pub fn forget(&self, task: Ulid) {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).remove(&task);
    }

    /// How far a task is.
    #[must_use]
    pub fn get(&self, task: Ulid) -> Option<Progress> {
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).get(&task).copied()
    }

    /// Changes whenever any progress does.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }
}
