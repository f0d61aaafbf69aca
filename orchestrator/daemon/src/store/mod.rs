//! The store: one redb file, one writer thread, many readers.
//!
//! Everything a node must remember over a crash is here: tasks with their signed wrappers, results with their
//! receipts, the replay table, events, refusals and whom the node trusts. What is stored has types of its own
//! ([`record`]), which are neither the API's nor the engine's.
//!
//! Writes go to one thread (`writer.rs`) that puts all that wait into one transaction and commits it with an fsync
//! (`Durability::Immediate`) before anybody is told. Readers see the last commit and never wait for the writer.
//!
//! To add a table: name it in `schema.rs`, give its value a type in [`record`], raise nothing (unknown fields are
//! ignored, new ones get `#[serde(default)]`). To change what a field means: raise [`schema::VERSION`] and convert on
//! opening.

mod consoles;
mod error;
mod events;
mod images;
mod periods;
pub mod record;
mod refusals;
mod retention;
mod revoked;
mod room;
pub mod schema;
mod tasks;
mod trust;
mod witness;
mod writer;

use std::path::Path;
use std::sync::Arc;

use redb::{Database, ReadTransaction, ReadableDatabase};
use tokio::sync::watch;

pub use error::StoreError;
pub use events::EventPage;
pub use images::digest_of;
pub use periods::{FoundState, KeptState, PeriodEnded};
pub use room::Shortage;
pub use tasks::{Acceptance, Accepted, CLOCK_TOLERANCE_US, Finished, StoredResult};
pub use witness::{Continuity, EPOCH_LEN};

use revoked::Revoked;
use room::Room;
use schema::Tables;
use writer::Writer;

/// How much the store keeps before the oldest goes.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// Events kept for resuming a stream.
    pub events: u64,
    /// Tasks kept after their end; at least the last one is.
    pub finished_tasks: u64,
    /// Bytes of what these leave: wrappers, results, receipts and what was read. The last one's may be above it.
    pub result_bytes: u64,
    /// Periods of each persistent task kept, with their results; the latest with a result is in any case.
    pub periods: u64,
    /// Refusals kept.
    pub refusals: u64,
    /// Ids of tasks remembered until their wrappers expire; beyond it nothing is accepted.
    pub remembered: u64,
    /// Bytes of the disk that are kept free for tasks under way; below it nothing is accepted.
    pub free: u64,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            events: 100_000,
            finished_tasks: 10_000,
            result_bytes: 1 << 30,
            periods: 100,
            refusals: 1_000,
            remembered: 1_000_000,
            free: 64 << 20,
        }
    }
}

/// What opening found out about the past.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The value that wrappers must carry as `node_epoch`.
    pub epoch: [u8; EPOCH_LEN],
    /// Whether the replay state is the one that this node had last.
    pub continuity: Continuity,
    /// Whether the last daemon ended in order.
    pub clean: bool,
}

/// A handle to the store; clones share one database and one writer.
#[derive(Clone)]
pub struct Store {
    db: Arc<Database>,
    writer: Writer,
    last_event: watch::Receiver<u64>,
    room: Room,
    revoked: Arc<Revoked>,
}

impl Store {
    /// Opens or creates `store.redb` in `dir` and starts the writer thread.
    ///
    /// # Errors
    /// When the file cannot be opened, is of a newer schema, or cannot be written.
    pub fn open(dir: &Path, bounds: Bounds) -> Result<(Self, Opened), StoreError> {
        let path = dir.join("store.redb");
        let existed = path.exists();
        if !existed {
            make(&path)?;
        }
        let db = Database::create(&path).map_err(|e| StoreError::redb("open", e))?;
        restrict(&path)?;
        let witness = witness::Witness::open(&dir.join("store.witness"))?;
        let opened = witness::establish(&db, &witness, existed, bounds, events::newest(&db)?)?;
        // Both may have been made just now, and are to be found after a power cut.
        witness.sync()?;
        sync_folder(dir)?;
        let db = Arc::new(db);
        let newest = events::newest(&db)?;
        let room = Room::new(dir, bounds.free);
        let revoked = Arc::new(Revoked::open(&dir.join("store.revoked"))?);
        let (writer, last_event) = Writer::start(Arc::clone(&db), witness, room.clone(), bounds, newest)?;
        let store = Self { db, writer, last_event, room, revoked };
        store.note_revoked(&store.stored_issuers()?)?;
        Ok((store, opened))
    }

    /// Runs `work` in the next write transaction and returns its value once that is on disk.
    ///
    /// An `Err` from `work` means that the store failed: it undoes the whole transaction, that of others too. What is
    /// refused by rule is an `Ok` with a value that says so, and must have written nothing.
    ///
    /// # Errors
    /// When the store cannot be written; nothing of `work` has happened then.
    pub async fn write<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut Tables<'_>) -> Result<T, StoreError> + Send + 'static,
    {
        self.writer.write(work).await
    }

    /// Like [`Store::write`] but without waiting for room or for the outcome; says whether it was taken at all.
    pub fn write_if_idle<F>(&self, work: F) -> bool
    where
        F: FnOnce(&mut Tables<'_>) -> Result<(), StoreError> + Send + 'static,
    {
        self.writer.write_if_idle(work)
    }

    /// Follows the number of the newest stored event.
    #[must_use]
    pub fn watch_events(&self) -> watch::Receiver<u64> {
        self.last_event.clone()
    }

    /// Transactions committed since opening; writes divided by these is how well group commit works.
    #[must_use]
    pub fn commits(&self) -> u64 {
        self.writer.commits()
    }

    /// What of the disk speaks against new tasks.
    #[must_use]
    pub fn lacks_room(&self) -> Option<Shortage> {
        self.room.lacks()
    }

    /// Whether the writer still runs: after a failed disk it does not, and nothing can be accepted.
    #[must_use]
    pub fn is_alive(&self) -> bool {
        self.writer.is_alive()
    }

    /// Ends the writer after what waits, marked as an ending in order.
    ///
    /// # Errors
    /// When the last transaction fails.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.writer.end();
        // Without room for that it is as if the power had been cut.
        let marked = match self.room.blocks() {
            None => self.write(|tables| witness::mark_clean(tables, true)).await,
            Some(_) => Ok(()),
        };
        self.writer.stop().await;
        marked
    }

    /// Gives the node a new epoch: whatever was signed for the old one is worthless from now on.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub async fn renew_epoch(&self) -> Result<[u8; EPOCH_LEN], StoreError> {
        let epoch = self.write(witness::renew_epoch).await?;
        epoch.try_into().map_err(|_other: Vec<u8>| StoreError::Meta { name: "epoch" })
    }

    fn read(&self) -> Result<ReadTransaction, StoreError> {
        self.db.begin_read().map_err(|e| StoreError::redb("begin a read of", e))
    }
}

/// Makes a database that is whole before it has its name: a power cut in the midst leaves a file that is none.
fn make(path: &Path) -> Result<(), StoreError> {
    let partial = path.with_extension("new");
    let failed = |source| StoreError::File { path: partial.clone(), source: Arc::new(source) };
    match std::fs::remove_file(&partial) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    drop(Database::create(&partial).map_err(|e| StoreError::redb("make", e))?);
    restrict(&partial)?;
    let synced = std::fs::File::open(&partial).and_then(|file| file.sync_all());
    synced.and_then(|()| std::fs::rename(&partial, path)).map_err(failed)
}

/// Has the names of new files on disk.
fn sync_folder(path: &Path) -> Result<(), StoreError> {
    let synced = std::fs::File::open(path).and_then(|folder| folder.sync_all());
    synced.map_err(|source| StoreError::File { path: path.to_owned(), source: Arc::new(source) })
}

/// The store holds results and signed wrappers: nobody else's business.
fn restrict(path: &Path) -> Result<(), StoreError> {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o600))
        .map_err(|source| StoreError::File { path: path.to_owned(), source: Arc::new(source) })
}

#[cfg(test)]
mod tests;
