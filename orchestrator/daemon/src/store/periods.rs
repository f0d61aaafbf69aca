//! Periods of persistent tasks: stored with their results and their function's state in one transaction, each once.

use redb::ReadableTable;
use ulid::Ulid;

use super::record::{
    EventRecord, PeriodNewsRecord, PeriodRecord, STATE_FORMAT, StateRecord, StoredPeriodState, StoredState,
    TaskRecord, WindowRecord,
};
use super::schema::{PERIOD_RECEIPTS, PERIOD_RESULTS, PERIODS, STATES, TASKS, Tables, decode, encode};
use super::{Store, StoreError, StoredResult};

/// Most rows that go at one end: a bound that was lowered is reached step by step.
const MOST_AT_ONCE: usize = 16;

/// How a period ended, about to be stored.
#[derive(Clone, Debug)]
pub struct PeriodEnded {
    /// Whose.
    pub id: Ulid,
    /// Its number.
    pub number: u64,
    /// When, in microseconds of Unix time.
    pub at_us: i64,
    /// Why it failed; `None` for one that did not.
    pub code: Option<String>,
    /// A sentence.
    pub detail: String,
    /// What each operation asked for.
    pub windows: Vec<WindowRecord>,
    /// What it gave, of one that did not fail.
    pub result: Option<StoredResult>,
    /// What its function wants kept, of one that did not fail.
    pub state: Option<KeptState>,
}

/// The state of a function between two periods.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptState {
    /// The function's version of its form.
    pub version: u32,
    /// The state itself.
    pub bytes: Vec<u8>,
}

/// What was found where a function's state lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoundState {
    /// None was kept yet.
    None,
    /// It is as it was stored.
    Whole(KeptState),
    /// It is not, and why.
    Damaged(String),
}

impl Tables<'_> {
    /// Stores how a period ended; the task waits then. Nothing happens to a task that has ended, nor for a period that is over
    /// already; says whether it did.
    pub(crate) fn end_period(&mut self, end: &PeriodEnded) -> Result<bool, StoreError> {
        let Some(mut record) = self.task(end.id)?.filter(|record| !record.state.is_end()) else {
            return Ok(false);
        };
        let image = record.image.clone();
        let Some(periods) = record.periods.as_mut().filter(|periods| end.number >= periods.next) else {
            return Ok(false);
        };
        let key = (end.id.0, end.number);
        let state_before = periods.state.as_ref().map(|state| state.sha256.clone());
        if let Some(state) = &end.state {
            periods.state = Some(StateRecord {
                format: STATE_FORMAT,
                version: state.version,
                bytes: state.bytes.len() as u64,
                sha256: fades_envelope::Digest::of(&state.bytes).to_string(),
                image,
                period: end.number,
            });
            self.states.insert(end.id.0, state.bytes.as_slice())?;
        }
        let state = match &end.result {
            Some(result) => {
                self.period_results.insert(key, result.bytes.as_slice())?;
                self.period_receipts.insert(key, result.receipt.as_slice())?;
                periods.done += 1;
                periods.last_done = Some(end.number);
                StoredPeriodState::Done
            }
            None => {
                periods.failed += 1;
                StoredPeriodState::Failed
            }
        };
        (periods.next, periods.running) = (end.number + 1, None);
        let row = PeriodRecord {
            state,
            through: None,
            started_us: record.started_us,
            ended_us: end.at_us,
            code: end.code.clone(),
            detail: end.detail.clone(),
            windows: end.windows.clone(),
            state_before,
            state_after: periods.state.as_ref().map(|state| state.sha256.clone()),
            outcome: end.result.as_ref().map(|result| result.outcome.clone()),
        };
        (record.state, record.attempts, record.started_us) = (StoredState::Waiting, 0, None);
        let news = PeriodNewsRecord { number: end.number, through: None, state };
        self.put_period(end.id, record, &row, news)?;
        Ok(true)
    }

    /// Stores that periods were missed, as [`Tables::end_period`] does.
    pub(crate) fn miss_periods(
        &mut self,
        id: Ulid,
        first: u64,
        last: u64,
        at_us: i64,
    ) -> Result<bool, StoreError> {
        let Some(mut record) = self.task(id)?.filter(|record| !record.state.is_end()) else {
            return Ok(false);
        };
        let Some(periods) = record.periods.as_mut().filter(|periods| first >= periods.next) else {
            return Ok(false);
        };
        periods.missed += last - first + 1;
        (periods.next, periods.running) = (last + 1, None);
        let (state, through) = (StoredPeriodState::Missed, (last > first).then_some(last));
        let row = PeriodRecord {
            state,
            through,
            started_us: None,
            ended_us: at_us,
            code: None,
            detail: String::new(),
            windows: Vec::new(),
            state_before: None,
            state_after: None,
            outcome: None,
        };
        self.put_period(id, record, &row, PeriodNewsRecord { number: first, through, state })?;
        Ok(true)
    }

    /// Writes a row, the task's record and the event of both, and lets the oldest rows go beyond the bound.
    fn put_period(
        &mut self,
        id: Ulid,
        mut record: TaskRecord,
        row: &PeriodRecord,
        news: PeriodNewsRecord,
    ) -> Result<(), StoreError> {
        self.periods.insert((id.0, news.number), encode("periods", row)?.as_slice())?;
        record.changed_us = row.ended_us;
        (record.code, record.detail) = (None, String::new());
        if let Some(periods) = &mut record.periods {
            periods.kept += 1;
            for _ in 0..MOST_AT_ONCE {
                if periods.kept <= self.bounds.periods.max(1) {
                    break;
                }
                // Whose result is told as the task's stays.
                let spared = [periods.last_done, Some(news.number)];
                let mut oldest = None;
                for entry in self.periods.range((id.0, 0)..=(id.0, u64::MAX))? {
                    let number = entry?.0.value().1;
                    if !spared.contains(&Some(number)) {
                        oldest = Some(number);
                        break;
                    }
                }
                let Some(number) = oldest else { break };
                self.drop_period((id.0, number))?;
                periods.kept -= 1;
            }
        }
        self.tasks.insert(id.0, encode("tasks", &record)?.as_slice())?;
        let event = EventRecord {
            task: id.to_string(),
            issuer: record.issuer,
            state: record.state,
            code: row.code.clone(),
            detail: row.detail.clone(),
            period: Some(news),
            at_us: row.ended_us,
        };
        self.append_event(id, &event)?;
        Ok(())
    }

    fn drop_period(&mut self, key: (u128, u64)) -> Result<(), StoreError> {
        self.periods.remove(key)?;
        self.period_results.remove(key)?;
        self.period_receipts.remove(key)?;
        Ok(())
    }

    /// Forgets every period of a task that is let go, and its function's state.
    pub(crate) fn drop_periods(&mut self, id: u128) -> Result<(), StoreError> {
        self.states.remove(id)?;
        let mut numbers = Vec::new();
        for entry in self.periods.range((id, 0)..=(id, u64::MAX))? {
            numbers.push(entry?.0.value().1);
        }
        numbers.into_iter().try_for_each(|number| self.drop_period((id, number)))
    }

    /// Bytes that the periods of a task take.
    pub(crate) fn periods_size(&self, id: u128) -> Result<u64, StoreError> {
        let mut size = self.states.get(id)?.map_or(0, |value| value.value().len() as u64);
        for table in [&self.periods, &self.period_results, &self.period_receipts] {
            for entry in table.range((id, 0)..=(id, u64::MAX))? {
                size += entry?.1.value().len() as u64;
            }
        }
        Ok(size)
    }
}

impl Store {
    /// Periods of a task with numbers below `before`, the newest first; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn periods(
        &self,
        id: Ulid,
        before: Option<u64>,
        limit: usize,
    ) -> Result<Vec<(u64, PeriodRecord)>, StoreError> {
        let table = self.read()?.open_table(PERIODS)?;
        let rows = table.range((id.0, 0)..(id.0, before.unwrap_or(u64::MAX)))?.rev().take(limit);
        rows.map(|entry| {
            let (key, value) = entry?;
            Ok((key.value().1, decode("periods", value.value())?))
        })
        .collect()
    }

    /// The row that tells of a period: its own, or the one of several that were missed with it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn period(&self, id: Ulid, number: u64) -> Result<Option<PeriodRecord>, StoreError> {
        let table = self.read()?.open_table(PERIODS)?;
        let Some(entry) = table.range((id.0, 0)..=(id.0, number))?.next_back() else { return Ok(None) };
        let (key, value) = entry?;
        let row: PeriodRecord = decode("periods", value.value())?;
        let through = row.through.unwrap_or(key.value().1);
        Ok((number <= through).then_some(row))
    }

    /// What a period gave.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn period_result(&self, id: Ulid, number: u64) -> Result<Option<StoredResult>, StoreError> {
        let txn = self.read()?;
        let key = (id.0, number);
        let (results, receipts) = (txn.open_table(PERIOD_RESULTS)?, txn.open_table(PERIOD_RECEIPTS)?);
        let (Some(bytes), Some(receipt)) = (results.get(key)?, receipts.get(key)?) else { return Ok(None) };
        let row = txn.open_table(PERIODS)?.get(key)?;
        let row: Option<PeriodRecord> = row.map(|row| decode("periods", row.value())).transpose()?;
        let Some(outcome) = row.and_then(|row| row.outcome) else { return Ok(None) };
        Ok(Some(StoredResult { bytes: bytes.value().to_vec(), receipt: receipt.value().to_vec(), outcome }))
    }

    /// The state that a task's function has kept, if it is what was stored. Never a part of one, and never none in the place
    /// of one that is damaged.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn state(&self, id: Ulid) -> Result<FoundState, StoreError> {
        let txn = self.read()?;
        let record: Option<TaskRecord> =
            txn.open_table(TASKS)?.get(id.0)?.map(|value| decode("tasks", value.value())).transpose()?;
        let Some(record) = record else { return Ok(FoundState::None) };
        let Some(head) = record.periods.and_then(|periods| periods.state) else {
            return Ok(FoundState::None);
        };
        let bytes = txn.open_table(STATES)?.get(id.0)?.map(|value| value.value().to_vec());
        Ok(check(&head, bytes, &record.image))
    }
}

/// Whether a state is what its record says, in the order of what is cheap.
fn check(head: &StateRecord, bytes: Option<Vec<u8>>, image: &str) -> FoundState {
    let Some(bytes) = bytes else {
        return FoundState::Damaged(format!("the state of period {} is gone", head.period));
    };
    let found = if head.format != STATE_FORMAT {
        format!("is stored in form {}, this program knows {STATE_FORMAT}", head.format)
    } else if head.image != image {
        format!("was made by {}", head.image)
    } else if head.bytes != bytes.len() as u64 {
        format!("has {} bytes, {} were stored", bytes.len(), head.bytes)
    } else if fades_envelope::Digest::of(&bytes).to_string() != head.sha256 {
        "has another checksum than was stored".to_owned()
    } else {
        return FoundState::Whole(KeptState { version: head.version, bytes });
    };
    FoundState::Damaged(format!("the state of period {} {found}", head.period))
}

#[cfg(test)]
#[path = "periods_tests.rs"]
mod tests;
