//! Events: numbered without gaps in the order of their commits, so that a stream can be resumed by number.

use redb::{Database, ReadableDatabase, ReadableTable, TableError};
use ulid::Ulid;

use super::record::EventRecord;
use super::schema::{EVENTS, TASK_EVENTS, Tables, decode, encode};
use super::{Store, StoreError};

/// Stored events after a number.
#[derive(Debug, Default)]
pub struct EventPage {
    /// In order of their numbers.
    pub events: Vec<(u64, EventRecord)>,
    /// Whether events after the asked number have been pruned already, or the number was never given: the reader has
    /// missed some.
    pub gone: bool,
}

impl Tables<'_> {
    /// Stores an event with the next number and lets the oldest go beyond the bound.
    pub(crate) fn append_event(&mut self, task: Ulid, event: &EventRecord) -> Result<u64, StoreError> {
        let number = self.newest_event + 1;
        self.events.insert(number, encode("events", event)?.as_slice())?;
        self.task_events.insert((task.0, number), ())?;
        self.newest_event = number;
        // One in, at most two out: shrinks after the bound was lowered, and never takes long.
        for _ in 0..2 {
            let oldest = self.events.first()?.map(|(number, _)| number.value());
            match oldest {
                Some(oldest) if oldest + self.bounds.events <= number => self.drop_event(oldest)?,
                _ => break,
            }
        }
        Ok(number)
    }

    fn drop_event(&mut self, number: u64) -> Result<(), StoreError> {
        let task = match self.events.remove(number)? {
            Some(value) => decode::<EventRecord>("events", value.value())?.task,
            None => return Ok(()),
        };
        if let Ok(task) = task.parse::<Ulid>() {
            self.task_events.remove((task.0, number))?;
        }
        Ok(())
    }
}

impl Store {
    /// Up to `limit` events with numbers above `after`, of one task or of all.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn events_after(
        &self,
        after: u64,
        task: Option<Ulid>,
        limit: usize,
    ) -> Result<EventPage, StoreError> {
        let txn = self.read()?;
        let events = txn.open_table(EVENTS)?;
        let oldest = events.first()?.map_or(u64::MAX, |(number, _)| number.value());
        let newest = events.last()?.map_or(0, |(number, _)| number.value());
        // A number that was never given is of a store that is lost.
        let gone = after > newest || (newest > after && after + 1 < oldest);
        let mut page = EventPage { gone, ..EventPage::default() };
        match task {
            Some(task) => {
                let index = txn.open_table(TASK_EVENTS)?;
                for entry in index.range((task.0, after.saturating_add(1))..=(task.0, u64::MAX))?.take(limit)
                {
                    let number = entry?.0.value().1;
                    if let Some(value) = events.get(number)? {
                        page.events.push((number, decode("events", value.value())?));
                    }
                }
            }
            None => {
                for entry in events.range(after.saturating_add(1)..)?.take(limit) {
                    let (number, value) = entry?;
                    page.events.push((number.value(), decode("events", value.value())?));
                }
            }
        }
        Ok(page)
    }
}

/// The number of the newest event, before the writer runs.
pub(crate) fn newest(db: &Database) -> Result<u64, StoreError> {
    let txn = db.begin_read()?;
    match txn.open_table(EVENTS) {
        Ok(table) => Ok(table.last()?.map_or(0, |(number, _)| number.value())),
        Err(TableError::TableDoesNotExist(_)) => Ok(0),
        Err(other) => Err(other.into()),
    }
}
