//! A guest's domain, as all of its threads use it: one connection to XenStore, and one part of the grant table.

use std::collections::BTreeSet;
use std::io::{self, ErrorKind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::Instant;

use fades_xen_pv::channel::Leftover;
use fades_xen_pv::grant::Grants;
use fades_xen_pv::hypercall::Hypercalls;
use fades_xen_pv::xenstore::{StoreError, Xenstore};
use fades_xen_store::{Access, DomainId, Path, Permissions, Token};

use super::{Domain, OwnPages, Upcalls};

/// Microseconds that the store may take for an answer. It does each in well under a millisecond, one after another. Less than
/// a meeting is waited for, which takes several.
const PATIENCE: u64 = 10_000_000;
/// The same for a guest that is dying.
const HASTE: u64 = 1_000_000;

/// The domain that this guest is. See [`here`].
pub struct Here {
    domain: Domain,
    store: Mutex<Store>,
    granted: Mutex<Option<Granted>>,
    number: OnceLock<DomainId>,
    next_watch: AtomicU32,
}

struct Store {
    connection: Xenstore<Hypercalls, Upcalls>,
    /// Watches of which an event came that nobody has looked at.
    fired: BTreeSet<Token>,
}

struct Granted {
    grants: Grants,
    leftover: Vec<Leftover>,
}

/// The domain that this guest is; `None` elsewhere than on Xen. The first call takes it from the kernel.
pub fn here() -> Option<&'static Here> {
    static HERE: OnceLock<Option<Here>> = OnceLock::new();
    HERE.get_or_init(Here::take).as_ref()
}

impl Here {
    fn take() -> Option<Self> {
        let mut domain = Domain::take()?;
        let connection = domain.store().ok()??;
        let store = Mutex::new(Store { connection, fired: BTreeSet::new() });
        let (granted, number, next_watch) = (Mutex::default(), OnceLock::new(), AtomicU32::new(0));
        Some(Self { domain, store, granted, number, next_watch })
    }

    /// Xen.
    #[must_use]
    pub const fn calls(&self) -> Hypercalls {
        self.domain.calls()
    }

    /// A new way to wait for events.
    #[must_use]
    pub fn upcalls(&self) -> Upcalls {
        self.domain.upcalls()
    }

    /// This domain's number.
    ///
    /// # Errors
    /// The store does not tell it.
    pub fn number(&self) -> io::Result<DomainId> {
        if let Some(number) = self.number.get() {
            return Ok(*number);
        }
        let value = self.read(&path("domid")?)?.unwrap_or_default();
        let number = std::str::from_utf8(&value).ok().and_then(|text| DomainId::parse(text).ok());
        let number = number.ok_or_else(|| io::Error::other("XenStore does not tell this domain's number"))?;
        Ok(*self.number.get_or_init(|| number))
    }

    /// A node's value; `None`: it is not there, or not for us yet.
    ///
    /// # Errors
    /// The store does not answer.
    pub fn read(&self, path: &Path) -> io::Result<Option<Vec<u8>>> {
        match self.ask(|store, until| store.read(path, until)) {
            Ok(value) => Ok(Some(value)),
            Err(error) if is_closed(&error) => Ok(None),
            Err(error) => Err(failed("read", path, error)),
        }
    }

    /// Gives a node of ours a value.
    ///
    /// # Errors
    /// The store does not do it.
    pub fn write(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        self.ask(|store, until| store.write(path, value, until)).map_err(|error| failed("write", path, error))
    }

    /// [`Self::write`] for who cannot wait for other threads: fails while one uses the store, be it this one further down its
    /// stack.
    ///
    /// # Errors
    /// The store is in use, or does not do it within a second.
    pub(super) fn try_write(&self, path: &Path, value: &[u8]) -> io::Result<()> {
        self.try_ask(|store, until| store.write(path, value, until))
    }

    /// [`Self::read`] of a node that is there, in the same way.
    ///
    /// # Errors
    /// As [`Self::try_write`], or there is no such node.
    pub(super) fn try_read(&self, path: &Path) -> io::Result<Vec<u8>> {
        self.try_ask(|store, until| store.read(path, until))
    }

    /// Gives a node of ours a value that one other domain may read.
    ///
    /// # Errors
    /// The store does not do it.
    pub fn show(&self, path: &Path, value: &[u8], reader: DomainId) -> io::Result<()> {
        let permissions = Permissions::new(self.number()?, Access::None).with(reader, Access::Read);
        self.write(path, value)?;
        // The reader's watch tells it of this, not of the value, which it could not see before.
        self.ask(|store, until| store.set_permissions(path, &permissions, until))
            .map_err(|error| failed("show", path, error))
    }

    /// Removes a node of ours with all under it, if it is there.
    ///
    /// # Errors
    /// The store does not do it.
    pub fn remove(&self, path: &Path) -> io::Result<()> {
        match self.ask(|store, until| store.remove(path, until)) {
            Err(error) if !error.is_missing() => Err(failed("remove", path, error)),
            _ => Ok(()),
        }
    }

    /// Watches a node with all under it. The first event comes at once.
    ///
    /// # Errors
    /// The store does not do it.
    pub fn watch(&'static self, path: &Path) -> io::Result<Watched> {
        let number = self.next_watch.fetch_add(1, Ordering::Relaxed);
        let token = Token::new(&format!("fades-{number}")).map_err(io::Error::other)?;
        let watched = Watched { here: self, path: path.clone(), token, upcalls: self.upcalls() };
        self.ask(|store, until| store.watch(path, &watched.token, until))
            .map_err(|error| failed("watch", path, error))?;
        Ok(watched)
    }

    /// Uses this domain's grants. The first call says in how many frames of the table, 512 grants in each.
    ///
    /// # Errors
    /// Xen gives none.
    pub fn with_grants<T>(&self, frames: u32, use_them: impl FnOnce(&mut Grants) -> T) -> io::Result<T> {
        let mut granted = self.granted();
        let granted = match &mut *granted {
            Some(granted) => granted,
            none => {
                let grants = self.domain.grants(frames).map_err(io::Error::other)?;
                none.insert(Granted { grants, leftover: Vec::new() })
            }
        };
        Ok(use_them(&mut granted.grants))
    }

    /// Keeps pages that another domain still has mapped, to be asked for again.
    pub(super) fn keep(&self, leftover: Leftover) {
        if let Some(granted) = self.granted().as_mut() {
            granted.leftover.push(leftover);
        }
        self.reclaim();
    }

    /// Takes back what other domains have let go of, and tells how many pages they still have.
    pub fn reclaim(&self) -> usize {
        let mut granted = self.granted();
        let Some(Granted { grants, leftover }) = granted.as_mut() else { return 0 };
        let mut left = 0;
        leftover.retain_mut(|pages| {
            let still = pages.release(&OwnPages, grants);
            left += still;
            still > 0
        });
        left
    }

    /// Grants that nothing is granted by; 0 before the first use.
    #[must_use]
    pub fn free_grants(&self) -> usize {
        self.granted().as_ref().map_or(0, |granted| granted.grants.free())
    }

    fn granted(&self) -> MutexGuard<'_, Option<Granted>> {
        self.granted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn ask<T>(
        &self,
        request: impl FnOnce(&mut Xenstore<Hypercalls, Upcalls>, u64) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let connection = &mut self.store().connection;
        let until = connection.now() + PATIENCE;
        request(connection, until)
    }

    fn try_ask<T>(
        &self,
        request: impl FnOnce(&mut Xenstore<Hypercalls, Upcalls>, u64) -> Result<T, StoreError>,
    ) -> io::Result<T> {
        let mut store = match self.store.try_lock() {
            Ok(store) => store,
            Err(TryLockError::Poisoned(store)) => store.into_inner(),
            Err(TryLockError::WouldBlock) => return Err(ErrorKind::WouldBlock.into()),
        };
        let until = store.connection.now() + HASTE;
        request(&mut store.connection, until).map_err(io::Error::other)
    }

    /// Whether an event of this watch came since it was last asked for.
    fn has_fired(&self, token: &Token) -> Result<bool, StoreError> {
        let Store { connection, fired } = &mut *self.store();
        while let Some(event) = connection.next_event(0)? {
            fired.insert(event.token);
        }
        Ok(fired.remove(token))
    }
}

/// A watch; dropped, it is taken back. For one thread at a time.
pub struct Watched {
    here: &'static Here,
    path: Path,
    token: Token,
    upcalls: Upcalls,
}

impl Watched {
    /// Whether something happened since this was last asked.
    ///
    /// # Errors
    /// The store is broken.
    pub fn has_fired(&self) -> io::Result<bool> {
        self.here.has_fired(&self.token).map_err(|error| failed("watch", &self.path, error))
    }

    /// Waits until something has happened.
    ///
    /// # Errors
    /// The store is broken.
    pub fn next(&self) -> io::Result<()> {
        while !self.has_fired()? {
            // What came since the last wait ends this one at once, so nothing is missed between look and wait.
            self.upcalls.pause(None);
        }
        Ok(())
    }

    /// Waits until something may have happened, or it is `until`.
    pub fn pause(&self, until: Instant) {
        self.upcalls.pause(Some(until.saturating_duration_since(Instant::now())));
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        // Of a broken store there are no events.
        let _ = self.here.ask(|store, until| store.unwatch(&self.path, &self.token, until));
        self.here.store().fired.remove(&self.token);
    }
}

/// A path, of text that is ours.
pub(super) fn path(text: &str) -> io::Result<Path> {
    Path::new(text).map_err(io::Error::other)
}

/// Whether a node is not there, or not for us: who may not read one above it is told no more.
fn is_closed(error: &StoreError) -> bool {
    error.is_missing() || error.is_forbidden()
}

fn failed(what: &str, path: &Path, error: StoreError) -> io::Error {
    io::Error::other(format!("XenStore, asked to {what} {path}: {error}"))
}
