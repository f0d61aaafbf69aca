//! A connection to XenStore from dom0.
//!
//! The store's socket is tried first; where xenstored runs in a domain of its own, only the kernel's device is there.
//! One thread reads, requests of any threads are answered in any order, each by its deadline; the device is asked one thing at
//! a time. Watches deliver into a
//! bounded channel each. When the connection breaks, everybody who waits is told, and everything asked later fails
//! with the same reason: connect again.

mod connection;
mod error;

pub use error::{Broken, StoreError};

use crate::DomainName;
use connection::{Connection, is_absent};
use fades_xen_store::{DomainId, Path, Permissions, ReplyError, Request, Token, reply};
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::{Duration, Instant};

/// Where xenstored listens.
const SOCKETS: [&str; 2] = ["/run/xenstored/socket", "/var/run/xenstored/socket"];
/// The kernel's own connection.
const DEVICE: &str = "/dev/xen/xenbus";
/// How long a request may take. The store does each in well under a millisecond, one after another.
const PATIENCE: Duration = Duration::from_secs(10);
/// Events that wait in a watch before the next are dropped.
pub const EVENTS: usize = 64;

/// What leads to the store.
#[derive(Debug)]
pub enum Line {
    /// A socket of xenstored.
    Socket(OwnedFd),
    /// The kernel's device, which is asked for nothing before the last answer has come. Linux keeps the body of a request
    /// where the next one is written to (`xenbus_write_transaction` in `drivers/xen/xenbus/xenbus_dev_frontend.c`), so two at
    /// once may both be the second; and it takes or gives back a watch under a lock that any answer to the same file waits
    /// for, so an answer that is under way then stops all of the host's XenStore.
    Device(OwnedFd),
}

/// A connection; clones are the same one.
#[derive(Clone)]
pub struct Store {
    connection: Arc<Connection>,
}

impl Store {
    /// Connects to the store of this host.
    ///
    /// # Errors
    /// [`StoreError::NotThere`].
    pub fn connect() -> Result<Self, StoreError> {
        let socket = SOCKETS.iter().find_map(|path| UnixStream::connect(path).ok());
        match socket {
            Some(socket) => Self::over(Line::Socket(socket.into()), PATIENCE).map_err(not_there),
            None => Self::by_device(),
        }
    }

    /// Connects to the store through the kernel, where nothing else leads to it.
    ///
    /// # Errors
    /// [`StoreError::NotThere`].
    pub fn by_device() -> Result<Self, StoreError> {
        let device = OpenOptions::new().read(true).write(true).open(DEVICE).map_err(not_there)?;
        Self::over(Line::Device(device.into()), PATIENCE).map_err(not_there)
    }

    /// Speaks over an open connection, giving each request `patience`.
    ///
    /// # Errors
    /// The reading thread cannot be started.
    pub fn over(line: Line, patience: Duration) -> std::io::Result<Self> {
        Ok(Self { connection: Arc::new(Connection::open(line, patience)?) })
    }

    /// A node's value; `None`: there is no such node.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn read(&self, path: &Path) -> Result<Option<Vec<u8>>, StoreError> {
        absent(self.connection.ask(&Request::Read { path: path.clone() }))
    }

    /// Names of a node's children; `None`: there is no such node.
    ///
    /// # Errors
    /// As [`StoreError`] has them; a list over 4096 bytes is refused with `E2BIG`.
    pub fn list(&self, path: &Path) -> Result<Option<Vec<String>>, StoreError> {
        let request = Request::Directory { path: path.clone() };
        match absent(self.connection.ask(&request))? {
            Some(payload) => reply::names(&payload).map(Some).map_err(answer(&request)),
            None => Ok(None),
        }
    }

    /// Sets a value, making the node and those above it as needed.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn write(&self, path: &Path, value: &[u8]) -> Result<(), StoreError> {
        self.do_it(&Request::Write { path: path.clone(), value: value.to_vec() })
    }

    /// Makes a node, if there is none.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn mkdir(&self, path: &Path) -> Result<(), StoreError> {
        self.do_it(&Request::MakeDirectory { path: path.clone() })
    }

    /// Removes a node and all under it, if it is there.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn remove(&self, path: &Path) -> Result<(), StoreError> {
        match self.do_it(&Request::Remove { path: path.clone() }) {
            Err(error) if is_absent(&error) => Ok(()),
            done => done,
        }
    }

    /// Changes who may do what with a node.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn set_permissions(&self, path: &Path, permissions: &Permissions) -> Result<(), StoreError> {
        self.do_it(&Request::SetPermissions { path: path.clone(), permissions: permissions.clone() })
    }

    /// Where a domain's own nodes are. The domain need not exist.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn domain_path(&self, domain: DomainId) -> Result<Path, StoreError> {
        let request = Request::GetDomainPath { domain };
        reply::path(&self.connection.ask(&request)?).map_err(answer(&request))
    }

    /// Watches a node with all under it, or one of the store's special names. The first event comes at once.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn watch(&self, path: &Path) -> Result<Watch, StoreError> {
        let (sender, events) = sync_channel(EVENTS);
        let token = self.connection.listen(sender)?;
        let watch = Watch { store: self.clone(), path: path.clone(), token: token.clone(), events };
        // If it fails the watch is dropped, and with it what was prepared.
        self.do_it(&Request::Watch { path: path.clone(), token })?;
        Ok(watch)
    }

    /// The living domain of this name, by the names under `/local/domain`.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn domain_of_name(&self, name: &DomainName) -> Result<Option<DomainId>, StoreError> {
        let domains = Path::new("/local/domain")?;
        for number in self.list(&domains)?.unwrap_or_default() {
            let value = self.read(&domains.join(&number)?.join("name")?)?;
            if value.as_deref() == Some(name.as_str().as_bytes()) {
                return Ok(DomainId::parse(&number).ok());
            }
        }
        Ok(None)
    }

    /// Whether a domain's nodes are there: from before it runs until it is destroyed.
    ///
    /// # Errors
    /// As [`StoreError`] has them.
    pub fn has_domain(&self, domain: DomainId) -> Result<bool, StoreError> {
        Ok(self.read(&domain.home())?.is_some())
    }

    /// Waits until `look`, asked now and after each event at `path`, gives something; `None`: the deadline came.
    ///
    /// # Errors
    /// As [`StoreError`] has them, or what `look` says.
    pub fn wait_until<T, E: From<StoreError>>(
        &self,
        path: &Path,
        deadline: Instant,
        mut look: impl FnMut(&Self) -> Result<Option<T>, E>,
    ) -> Result<Option<T>, E> {
        let watch = self.watch(path).map_err(E::from)?;
        loop {
            if let Some(found) = look(self)? {
                return Ok(Some(found));
            }
            if watch.next(deadline).map_err(E::from)?.is_none() {
                return Ok(None);
            }
        }
    }

    fn do_it(&self, request: &Request) -> Result<(), StoreError> {
        reply::done(&self.connection.ask(request)?).map_err(answer(request))
    }
}

/// A watch of ours; dropped, it is taken back.
pub struct Watch {
    store: Store,
    path: Path,
    token: Token,
    events: Receiver<Path>,
}

impl Watch {
    /// The next event: at which node something happened. `None`: none by `deadline`. Events tell that something is
    /// different, not what: look. While [`EVENTS`] wait, further ones are dropped.
    ///
    /// # Errors
    /// [`StoreError::Over`].
    pub fn next(&self, deadline: Instant) -> Result<Option<Path>, StoreError> {
        match self.events.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
            Ok(path) => Ok(Some(path)),
            Err(RecvTimeoutError::Timeout) => Ok(None),
            Err(RecvTimeoutError::Disconnected) => {
                Err(self.store.connection.over().unwrap_or(StoreError::Over(Arc::new(Broken::Closed))))
            }
        }
    }
}

impl Watch {
    /// A way to wake whoever waits in [`Self::next`], for another reason than an event.
    #[must_use]
    pub fn nudge(&self) -> Nudge {
        Nudge {
            connection: Arc::clone(&self.store.connection),
            path: self.path.clone(),
            token: self.token.clone(),
        }
    }
}

/// Wakes who waits for a watch's events.
pub struct Nudge {
    connection: Arc<Connection>,
    path: Path,
    token: Token,
}

impl Nudge {
    /// Makes an event of the watched path come, if the watch is still there.
    pub fn wake(&self) {
        self.connection.nudge(&self.token, &self.path);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.store.connection.forget(&self.token);
        // On a broken connection there is no watch left to take back.
        let _ = self
            .store
            .connection
            .tell(&Request::Unwatch { path: self.path.clone(), token: self.token.clone() });
    }
}

fn not_there(error: std::io::Error) -> StoreError {
    StoreError::NotThere { tried: format!("{} nor {DEVICE}", SOCKETS.join(" nor ")), source: Arc::new(error) }
}

fn absent(answer: Result<Vec<u8>, StoreError>) -> Result<Option<Vec<u8>>, StoreError> {
    match answer {
        Ok(payload) => Ok(Some(payload)),
        Err(error) if is_absent(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn answer(request: &Request) -> impl FnOnce(ReplyError) -> StoreError {
    let what = connection::words(request);
    move |source| StoreError::Answer { what, source }
}
