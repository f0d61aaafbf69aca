//! How long ended tasks are kept: a number and a sum of bytes bound them, and the oldest end goes first.
//!
//! The sum is a fact of its own, changed in the transaction that stores or removes what it counts, so no end has to
//! look at what was kept before. It is counted when the store is opened, as an older program may have written to it.

use redb::ReadableTable;
use ulid::Ulid;

use super::StoreError;
use super::schema::Tables;

/// Bytes of wrappers, results, receipts, outcomes and periods of ended tasks.
const KEPT: &str = "kept_bytes";

/// Most tasks that go at one end: bounds that were lowered are reached step by step, and no end waits for all of it.
const MOST_AT_ONCE: usize = 16;

/// Counts what is kept.
pub(super) fn establish(tables: &mut Tables<'_>) -> Result<(), StoreError> {
    let mut kept = 0;
    for entry in tables.ended.iter()? {
        kept += tables.size(entry?.0.value().1)?;
    }
    tables.set_number(KEPT, kept)
}

impl Tables<'_> {
    /// Notes that a task has ended, and lets the oldest go that are beyond the bounds; never the one that ended just
    /// now, whose issuer has yet to read it.
    pub(super) fn retain(&mut self, id: Ulid, at_us: i64) -> Result<(), StoreError> {
        let mut kept = self.number(KEPT)?.unwrap_or(0) + self.size(id.0)?;
        self.ended.insert((at_us, id.0), ())?;
        for _ in 0..MOST_AT_ONCE {
            let many = redb::ReadableTableMetadata::len(&self.ended)? > self.bounds.finished_tasks.max(1);
            if !many && kept <= self.bounds.result_bytes {
                break;
            }
            let mut oldest = None;
            for entry in self.ended.iter()? {
                let key = entry?.0.value();
                // After a clock was set back the newest end need not be the last.
                if key.1 != id.0 {
                    oldest = Some(key);
                    break;
                }
            }
            let Some(key) = oldest else { break };
            self.ended.remove(key)?;
            kept = kept.saturating_sub(self.size(key.1)?);
            self.tasks.remove(key.1)?;
            for table in [
                &mut self.envelopes,
                &mut self.results,
                &mut self.receipts,
                &mut self.outcomes,
                &mut self.consoles,
            ] {
                table.remove(key.1)?;
            }
            self.drop_periods(key.1)?;
        }
        self.set_number(KEPT, kept)
    }

    /// Bytes that a task takes, its record and its console aside, whose sizes are bounded.
    fn size(&self, id: u128) -> Result<u64, StoreError> {
        let mut size = self.periods_size(id)?;
        for table in [&self.envelopes, &self.results, &self.receipts, &self.outcomes] {
            size += table.get(id)?.map_or(0, |value| value.value().len() as u64);
        }
        Ok(size)
    }
}
