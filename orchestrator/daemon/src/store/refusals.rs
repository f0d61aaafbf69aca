//! Refusals: the newest few, so that an operator sees who knocks and why nobody opened.

use redb::ReadableTable;

use super::record::RefusalRecord;
use super::schema::{REFUSALS, Tables, decode, encode};
use super::{Store, StoreError};

impl Tables<'_> {
    /// Keeps a refusal and lets the oldest go beyond the bound.
    pub(crate) fn append_refusal(&mut self, refusal: &RefusalRecord) -> Result<(), StoreError> {
        let number = self.refusals.last()?.map_or(0, |(number, _)| number.value()) + 1;
        self.refusals.insert(number, encode("refusals", refusal)?.as_slice())?;
        while self
            .refusals
            .first()?
            .is_some_and(|(oldest, _)| oldest.value() + self.bounds.refusals <= number)
        {
            self.refusals.pop_first()?;
        }
        Ok(())
    }
}

impl Store {
    /// Keeps a refusal, unless the writer is busy: a flood must not slow down what is accepted. Says whether it was taken.
    pub fn note_refusal(&self, refusal: RefusalRecord) -> bool {
        self.write_if_idle(move |tables| tables.append_refusal(&refusal))
    }

    /// Up to `limit` refusals, the newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn refusals(&self, limit: usize) -> Result<Vec<RefusalRecord>, StoreError> {
        let txn = self.read()?;
        let table = txn.open_table(REFUSALS)?;
        let mut found = Vec::new();
        for entry in table.iter()?.rev().take(limit) {
            found.push(decode("refusals", entry?.1.value())?);
        }
        Ok(found)
    }
}
