//! What guests wrote on their consoles, kept for whoever asks why a task failed: one text per task, gone with it.

use redb::ReadableTable;
use ulid::Ulid;

use super::record::ConsoleRecord;
use super::schema::{CONSOLES, Tables, decode, encode};
use super::{Store, StoreError};

/// Most that is kept of a console, in bytes: its end, where the cause stands.
const MOST: usize = 16 << 10;

impl Tables<'_> {
    /// Keeps what a guest of this task wrote, instead of what one before it did. Nothing happens for a task that is not kept.
    pub(crate) fn keep_console(&mut self, id: Ulid, text: &str, at_us: i64) -> Result<(), StoreError> {
        if self.tasks.get(id.0)?.is_some() {
            let start = (text.len().saturating_sub(MOST)..=text.len()).find(|&at| text.is_char_boundary(at));
            let text = text.get(start.unwrap_or(0)..).unwrap_or(text).to_owned();
            self.consoles.insert(id.0, encode("consoles", &ConsoleRecord { at_us, text })?.as_slice())?;
        }
        Ok(())
    }
}

impl Store {
    /// What was kept of the console of a task's last guest that wrote on it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn console(&self, id: Ulid) -> Result<Option<ConsoleRecord>, StoreError> {
        let table = self.read()?.open_table(CONSOLES)?;
        table.get(id.0)?.map(|value| decode("consoles", value.value())).transpose()
    }
}
