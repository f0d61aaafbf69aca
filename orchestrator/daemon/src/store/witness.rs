//! Whether the replay state is the one this node had last, and the epoch that follows from it.
//!
//! A wrapper runs at most once because its id is remembered. If that memory is lost or an older copy of it is put
//! back, captured wrappers would run again; so every wrapper names the node's *epoch*, and the epoch changes whenever
//! the memory is not continuous with what was there before.
//!
//! How a restored copy is noticed: every commit counts `sequence` up inside the store, and the same number is then
//! written to `store.witness` beside it. The witness is never ahead of a store that was not exchanged: it is written
//! after the commit. So a store whose sequence is below the witness is an older copy, and gets a new epoch. So does a
//! new or missing store, and a store whose witness is missing. Tasks that an older copy has not ended are ended with it, as nobody
//! knows whether they have run since.
//!
//! What this cannot notice: a copy of the whole folder put back, witness included. Who restores a folder must delete `store.witness`
//! before the node starts: to renew the epoch afterwards (`POST /v1/admin/epoch`) is too late for tasks that the copy has not
//! ended, which have begun again by then. And a copy that lacks the last transaction alone, after a kill between a commit and the note of it;
//! after a power cut several of them, as the note is not synced. It errs only in that direction.

use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use fades_api::codes;
use redb::{Database, Durability, ReadableTable};
use ulid::Ulid;

use super::record::StoredState;
use super::schema::{self, Tables};
use super::tasks::Finished;
use super::{Bounds, Opened, StoreError, retention};

/// Bytes of an epoch.
pub const EPOCH_LEN: usize = 16;

const SEQUENCE: &str = "sequence";
const EPOCH: &str = "epoch";
const CLEAN: &str = "clean";
const SCHEMA: &str = "schema";
/// The highest wall clock, in microseconds of Unix time, by which anything was decided.
const CLOCK: &str = "clock_high";

/// What opening found about the replay state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Continuity {
    /// It is what this node had last.
    Kept,
    /// There was no store.
    New,
    /// The store is older than what this node had, or there is nothing to compare it with.
    Restored,
}

/// The number beside the store.
pub(crate) struct Witness {
    file: File,
    path: PathBuf,
}

impl Witness {
    pub(crate) fn open(path: &Path) -> Result<Self, StoreError> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(path)
            .map_err(|source| StoreError::File { path: path.to_owned(), source: Arc::new(source) })?;
        Ok(Self { file, path: path.to_owned() })
    }

    /// The last number noted; `None` when there is none that can be read.
    fn last(&self) -> Option<u64> {
        let mut bytes = [0; 8];
        self.file.read_exact_at(&mut bytes, 0).ok()?;
        Some(u64::from_le_bytes(bytes))
    }

    /// Has it on disk with a number in it: one that is empty after a power cut would say that the store is an older copy.
    pub(crate) fn sync(&self) -> Result<(), StoreError> {
        self.file
            .sync_all()
            .map_err(|source| StoreError::File { path: self.path.clone(), source: Arc::new(source) })
    }

    /// Notes a committed sequence. Survives the death of the process, not always that of the machine.
    pub(crate) fn note(&self, sequence: u64) -> Result<(), StoreError> {
        self.file
            .write_all_at(&sequence.to_le_bytes(), 0)
            .map_err(|source| StoreError::File { path: self.path.clone(), source: Arc::new(source) })
    }
}

/// Counts the store's sequence up within a transaction.
pub(crate) fn advance(tables: &mut Tables<'_>) -> Result<u64, StoreError> {
    let next = tables.number(SEQUENCE)?.unwrap_or(0) + 1;
    tables.set_number(SEQUENCE, next)?;
    Ok(next)
}

/// Compares store and witness, renews the epoch where it must be, and marks the store as in use.
pub(crate) fn establish(
    db: &Database,
    witness: &Witness,
    existed: bool,
    bounds: Bounds,
    newest_event: u64,
) -> Result<Opened, StoreError> {
    let mut txn = db.begin_write()?;
    txn.set_durability(Durability::Immediate).map_err(|e| StoreError::redb("make durable", e))?;
    let (opened, sequence) = {
        let mut tables = Tables::open(&txn, bounds, newest_event)?;
        check_schema(&mut tables)?;
        retention::establish(&mut tables)?;
        let stored = tables.number(SEQUENCE)?;
        let continuity = match (existed, stored, witness.last()) {
            (true, Some(stored), Some(seen)) if stored >= seen => Continuity::Kept,
            (_, None, None) => Continuity::New,
            _ => Continuity::Restored,
        };
        let clean = tables.number(CLEAN)? == Some(1);
        mark_clean(&mut tables, false)?;
        let known = tables.meta.get(EPOCH)?.map(|value| value.value().to_vec());
        let epoch = match known {
            Some(epoch) if continuity == Continuity::Kept => epoch,
            _ => renew_epoch(&mut tables)?,
        };
        if continuity == Continuity::Restored {
            give_up_open(&mut tables)?;
        }
        // Never below the witness again, or the next opening would see an old copy once more.
        let floor = stored.unwrap_or(0).max(witness.last().unwrap_or(0));
        tables.set_number(SEQUENCE, floor)?;
        let epoch = epoch.try_into().map_err(|_other: Vec<u8>| StoreError::Meta { name: EPOCH })?;
        (Opened { epoch, continuity, clean }, advance(&mut tables)?)
    };
    txn.commit()?;
    witness.note(sequence)?;
    Ok(opened)
}

/// Ends all tasks that an older copy of the store has not ended: each may have run since, and would run again. In the
/// transaction that renews the epoch, as the next opening could not tell any more.
fn give_up_open(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let at_us = clock(&tables.meta)?;
    let open: Result<Vec<u128>, _> =
        tables.open.iter()?.map(|entry| Ok::<_, StoreError>(entry?.0.value())).collect();
    for id in open? {
        tables.finish(&Finished {
            id: Ulid(id),
            state: StoredState::Failed,
            at_us,
            code: Some(codes::STORE_RESTORED.to_string()),
            detail:
                "the store was put back or lost its witness: whether this task has run since is not known"
                    .into(),
            result: None,
        })?;
    }
    Ok(())
}

/// Gives the node a new epoch: every wrapper signed for the old one is worthless from now on.
pub(crate) fn renew_epoch(tables: &mut Tables<'_>) -> Result<Vec<u8>, StoreError> {
    let mut epoch = vec![0; EPOCH_LEN];
    getrandom::fill(&mut epoch).map_err(StoreError::Entropy)?;
    tables.meta.insert(EPOCH, epoch.as_slice())?;
    Ok(epoch)
}

/// Notes whether the daemon ended in order.
pub(crate) fn mark_clean(tables: &mut Tables<'_>, clean: bool) -> Result<(), StoreError> {
    tables.set_number(CLEAN, u64::from(clean))
}

/// Raises the highest wall clock to `now_us`; returns what holds then.
pub(crate) fn raise_clock(tables: &mut Tables<'_>, now_us: i64) -> Result<i64, StoreError> {
    let now = u64::try_from(now_us).unwrap_or(0);
    let high = tables.number(CLOCK)?.unwrap_or(0).max(now);
    tables.set_number(CLOCK, high)?;
    Ok(i64::try_from(high).unwrap_or(i64::MAX))
}

/// The highest wall clock by which anything was decided.
pub(crate) fn clock(meta: &impl ReadableTable<&'static str, &'static [u8]>) -> Result<i64, StoreError> {
    let Some(value) = meta.get(CLOCK)? else { return Ok(0) };
    let bytes = value.value().try_into().map_err(|_short| StoreError::Meta { name: CLOCK })?;
    Ok(i64::try_from(u64::from_le_bytes(bytes)).unwrap_or(i64::MAX))
}

fn check_schema(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    match tables.number(SCHEMA)? {
        Some(found) if found > schema::VERSION => Err(StoreError::TooNew { found, known: schema::VERSION }),
        Some(_) => Ok(()),
        None => tables.set_number(SCHEMA, schema::VERSION),
    }
}
