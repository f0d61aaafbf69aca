//! The tables, and the handle that a write gets.
//!
//! Task ids are the 128-bit numbers of their ULIDs, so that tables are ordered by id. Times are microseconds of Unix
//! time. Records are JSON with a type of [`super::record`]; blobs lie in tables of their own.

use redb::{ReadableTable, Table, TableDefinition, WriteTransaction};
use serde::{Serialize, de::DeserializeOwned};
use std::sync::Arc;

use super::{Bounds, StoreError};

/// The schema that this program writes.
pub const VERSION: u64 = 1;

pub(crate) const TASKS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("tasks");
pub(crate) const ENVELOPES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("envelopes");
pub(crate) const RESULTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("results");
pub(crate) const RECEIPTS: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("receipts");
pub(crate) const OUTCOMES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("outcomes");
/// Periods that are over, by task and number.
pub(crate) const PERIODS: TableDefinition<'_, (u128, u64), &[u8]> = TableDefinition::new("periods");
pub(crate) const PERIOD_RESULTS: TableDefinition<'_, (u128, u64), &[u8]> =
    TableDefinition::new("period_results");
pub(crate) const PERIOD_RECEIPTS: TableDefinition<'_, (u128, u64), &[u8]> =
    TableDefinition::new("period_receipts");
/// States of functions of persistent tasks that have not ended.
pub(crate) const STATES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("states");
/// What the last guest of a task that had something to say wrote on its console.
pub(crate) const CONSOLES: TableDefinition<'_, u128, &[u8]> = TableDefinition::new("consoles");
/// Tasks that have not ended; what recovery walks.
pub(crate) const OPEN: TableDefinition<'_, u128, ()> = TableDefinition::new("open");
/// Tasks that have ended, by when; what retention walks.
pub(crate) const ENDED: TableDefinition<'_, (i64, u128), ()> = TableDefinition::new("ended");
/// Task id → payload digest and until when it must be remembered.
pub(crate) const REPLAY: TableDefinition<'_, u128, ([u8; 32], i64)> = TableDefinition::new("replay");
pub(crate) const REPLAY_UNTIL: TableDefinition<'_, (i64, u128), ()> = TableDefinition::new("replay_until");
pub(crate) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
pub(crate) const TASK_EVENTS: TableDefinition<'_, (u128, u64), ()> = TableDefinition::new("task_events");
pub(crate) const REFUSALS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("refusals");
pub(crate) const ISSUERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("issuers");
pub(crate) const SOURCES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("sources");
pub(crate) const SIGNERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("signers");
pub(crate) const IMAGES: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("images");
/// Hex digest of an image → when a task last started on it.
pub(crate) const IMAGE_USE: TableDefinition<'_, &str, i64> = TableDefinition::new("image_use");
pub(crate) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");

/// All tables of one write transaction.
pub struct Tables<'t> {
    pub(crate) tasks: Table<'t, u128, &'static [u8]>,
    pub(crate) envelopes: Table<'t, u128, &'static [u8]>,
    pub(crate) results: Table<'t, u128, &'static [u8]>,
    pub(crate) receipts: Table<'t, u128, &'static [u8]>,
    pub(crate) outcomes: Table<'t, u128, &'static [u8]>,
    pub(crate) periods: Table<'t, (u128, u64), &'static [u8]>,
    pub(crate) period_results: Table<'t, (u128, u64), &'static [u8]>,
    pub(crate) period_receipts: Table<'t, (u128, u64), &'static [u8]>,
    pub(crate) states: Table<'t, u128, &'static [u8]>,
    pub(crate) consoles: Table<'t, u128, &'static [u8]>,
    pub(crate) open: Table<'t, u128, ()>,
    pub(crate) ended: Table<'t, (i64, u128), ()>,
    pub(crate) replay: Table<'t, u128, ([u8; 32], i64)>,
    pub(crate) replay_until: Table<'t, (i64, u128), ()>,
    pub(crate) events: Table<'t, u64, &'static [u8]>,
    pub(crate) task_events: Table<'t, (u128, u64), ()>,
    pub(crate) refusals: Table<'t, u64, &'static [u8]>,
    pub(crate) issuers: Table<'t, &'static str, &'static [u8]>,
    pub(crate) sources: Table<'t, &'static str, &'static [u8]>,
    pub(crate) signers: Table<'t, &'static str, &'static [u8]>,
    pub(crate) images: Table<'t, &'static str, &'static [u8]>,
    pub(crate) image_use: Table<'t, &'static str, i64>,
    pub(crate) meta: Table<'t, &'static str, &'static [u8]>,
    pub(crate) bounds: Bounds,
    /// Number of the newest event, those of this transaction included.
    pub(crate) newest_event: u64,
}

impl<'t> Tables<'t> {
    /// Opens, and so creates, every table.
    pub(crate) fn open(
        txn: &'t WriteTransaction,
        bounds: Bounds,
        newest_event: u64,
    ) -> Result<Self, StoreError> {
        Ok(Self {
            tasks: txn.open_table(TASKS)?,
            envelopes: txn.open_table(ENVELOPES)?,
            results: txn.open_table(RESULTS)?,
            receipts: txn.open_table(RECEIPTS)?,
            outcomes: txn.open_table(OUTCOMES)?,
            periods: txn.open_table(PERIODS)?,
            period_results: txn.open_table(PERIOD_RESULTS)?,
            period_receipts: txn.open_table(PERIOD_RECEIPTS)?,
            states: txn.open_table(STATES)?,
            consoles: txn.open_table(CONSOLES)?,
            open: txn.open_table(OPEN)?,
            ended: txn.open_table(ENDED)?,
            replay: txn.open_table(REPLAY)?,
            replay_until: txn.open_table(REPLAY_UNTIL)?,
            events: txn.open_table(EVENTS)?,
            task_events: txn.open_table(TASK_EVENTS)?,
            refusals: txn.open_table(REFUSALS)?,
            issuers: txn.open_table(ISSUERS)?,
            sources: txn.open_table(SOURCES)?,
            signers: txn.open_table(SIGNERS)?,
            images: txn.open_table(IMAGES)?,
            image_use: txn.open_table(IMAGE_USE)?,
            meta: txn.open_table(META)?,
            bounds,
            newest_event,
        })
    }

    /// A number of the table of facts.
    pub(crate) fn number(&self, name: &'static str) -> Result<Option<u64>, StoreError> {
        let Some(value) = self.meta.get(name)? else { return Ok(None) };
        let bytes = value.value().try_into().map_err(|_short| StoreError::Meta { name })?;
        Ok(Some(u64::from_le_bytes(bytes)))
    }

    /// Sets a number of the table of facts.
    pub(crate) fn set_number(&mut self, name: &'static str, value: u64) -> Result<(), StoreError> {
        self.meta.insert(name, value.to_le_bytes().as_slice())?;
        Ok(())
    }
}

/// Record → stored bytes. Our records cannot fail to serialise, but a store must not panic on it either.
pub(crate) fn encode<T: Serialize>(table: &'static str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(|e| StoreError::Record { table, source: Arc::new(e) })
}

/// Stored bytes → record.
pub(crate) fn decode<T: DeserializeOwned>(table: &'static str, bytes: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(bytes).map_err(|e| StoreError::Record { table, source: Arc::new(e) })
}
