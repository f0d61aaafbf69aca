//! Tasks: accepting once, changing state, ending once, and finding again what was under way.

use redb::ReadableTable;
use ulid::Ulid;

use super::record::{
    EventRecord, OutcomeRecord, PeriodNewsRecord, StoredPeriodState, StoredState, TaskRecord,
};
use super::schema::{
    ENVELOPES, META, OPEN, OUTCOMES, RECEIPTS, REPLAY, RESULTS, TASKS, Tables, decode, encode,
};
use super::{Store, StoreError, witness};

/// Replay entries let go in one acceptance: keeps every transaction short, and still outpaces what comes in.
const PRUNED_AT_ONCE: usize = 4;

/// How far a clock may lie behind the highest one seen: requests that wait for each other, and small corrections.
/// Safe because an id is remembered for longer than this after its wrapper has expired.
pub const CLOCK_TOLERANCE_US: i64 = 10_000_000;

/// A task that passed every check, about to be stored.
#[derive(Clone, Debug)]
pub struct Acceptance {
    /// Its id.
    pub id: Ulid,
    /// SHA-256 of its signed payload.
    pub payload_digest: [u8; 32],
    /// The envelope as it was received.
    pub envelope: Vec<u8>,
    /// Until when the id must be remembered, in microseconds of Unix time: at least [`CLOCK_TOLERANCE_US`] after expiry.
    pub remember_until_us: i64,
    /// The record as it will stand.
    pub record: TaskRecord,
    /// Tasks not ended that the node takes at most.
    pub most_open: u64,
}

/// How an acceptance went.
#[derive(Clone, Debug)]
pub enum Accepted {
    /// Stored just now.
    New(TaskRecord),
    /// The same payload was stored before; this is where it stands.
    Known(TaskRecord),
    /// The same payload was run before; its record is gone already.
    KnownGone,
    /// The id is taken by another payload.
    Conflict,
    /// The clock by which the task was judged is behind one that was used before, in microseconds of Unix time.
    ClockBehind {
        /// The highest clock so far.
        high_us: i64,
    },
    /// So many tasks wait already.
    Full,
    /// So many ids are remembered already.
    TooManyRemembered,
}

/// How a task ended, about to be stored.
#[derive(Clone, Debug)]
pub struct Finished {
    /// Which task.
    pub id: Ulid,
    /// One of the ends.
    pub state: StoredState,
    /// When, in microseconds of Unix time.
    pub at_us: i64,
    /// Why it failed.
    pub code: Option<String>,
    /// A sentence.
    pub detail: String,
    /// For one that succeeded.
    pub result: Option<StoredResult>,
}

/// A result with what belongs to it.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredResult {
    /// The aggregate, as the function wrote it.
    pub bytes: Vec<u8>,
    /// The receipt's envelope.
    pub receipt: Vec<u8>,
    /// What it took and read.
    pub outcome: OutcomeRecord,
}

impl Tables<'_> {
    /// Stores a task unless its id is known or a bound is reached; nothing of it is written then.
    pub(crate) fn accept(&mut self, task: &Acceptance) -> Result<Accepted, StoreError> {
        let known = self.replay.get(task.id.0)?.map(|entry| entry.value());
        let record = self.task(task.id)?;
        if known.is_some() || record.is_some() {
            let digest = known.map(|(digest, _)| crate::hex(&digest));
            let digest = digest.or_else(|| record.as_ref().map(|r| r.payload_digest.clone()));
            return Ok(match record {
                _ if digest != Some(crate::hex(&task.payload_digest)) => Accepted::Conflict,
                Some(record) => Accepted::Known(record),
                None => Accepted::KnownGone,
            });
        }
        let now = task.record.accepted_us;
        let high = witness::clock(&self.meta)?;
        if now.saturating_add(CLOCK_TOLERANCE_US) < high {
            return Ok(Accepted::ClockBehind { high_us: high });
        }
        // The clock rises in the transaction that prunes by it: what it lets go can never be judged unexpired again.
        // Before the bounds, which would otherwise never let anything in again.
        witness::raise_clock(self, now)?;
        self.prune_replay(now)?;
        if redb::ReadableTableMetadata::len(&self.open)? >= task.most_open {
            return Ok(Accepted::Full);
        }
        if redb::ReadableTableMetadata::len(&self.replay)? >= self.bounds.remembered {
            return Ok(Accepted::TooManyRemembered);
        }
        self.replay.insert(task.id.0, (task.payload_digest, task.remember_until_us))?;
        self.replay_until.insert((task.remember_until_us, task.id.0), ())?;
        self.envelopes.insert(task.id.0, task.envelope.as_slice())?;
        self.open.insert(task.id.0, ())?;
        self.put(task.id, &task.record)?;
        Ok(Accepted::New(task.record.clone()))
    }

    fn prune_replay(&mut self, now_us: i64) -> Result<(), StoreError> {
        for _ in 0..PRUNED_AT_ONCE {
            let first =
                self.replay_until.first()?.map(|(key, _)| key.value()).filter(|(until, _)| *until < now_us);
            let Some((until, id)) = first else { break };
            self.replay_until.remove((until, id))?;
            self.replay.remove(id)?;
        }
        Ok(())
    }

    /// Changes where a task stands. Nothing happens to a task that has ended or is unknown; says whether it did.
    pub(crate) fn advance(
        &mut self,
        id: Ulid,
        state: StoredState,
        attempts: u32,
        period: Option<u64>,
        detail: &str,
        at_us: i64,
    ) -> Result<bool, StoreError> {
        let Some(mut record) = self.task(id)?.filter(|record| !record.state.is_end()) else {
            return Ok(false);
        };
        record.state = state;
        record.attempts = record.attempts.max(attempts);
        if let Some(periods) = &mut record.periods {
            // Counted anew in every period.
            record.attempts = attempts;
            periods.running = period;
        }
        if state == StoredState::Starting {
            record.started_us = Some(at_us);
            self.note_image_use(&record.image, at_us)?;
        }
        record.changed_us = at_us;
        detail.clone_into(&mut record.detail);
        self.put(id, &record)?;
        Ok(true)
    }

    /// Ends a task, with its result where there is one, and says whose it is. A task ends once: later endings change
    /// nothing and say `None`.
    pub(crate) fn finish(&mut self, end: &Finished) -> Result<Option<String>, StoreError> {
        let Some(mut record) = self.task(end.id)?.filter(|record| !record.state.is_end()) else {
            return Ok(None);
        };
        if let Some(result) = &end.result {
            self.results.insert(end.id.0, result.bytes.as_slice())?;
            self.receipts.insert(end.id.0, result.receipt.as_slice())?;
            self.outcomes.insert(end.id.0, encode("outcomes", &result.outcome)?.as_slice())?;
        }
        record.state = end.state;
        record.changed_us = end.at_us;
        record.ended_us = Some(end.at_us);
        record.code.clone_from(&end.code);
        record.detail.clone_from(&end.detail);
        if let Some(periods) = &mut record.periods {
            // Nobody goes on from it any more.
            (periods.running, periods.state) = (None, None);
            self.states.remove(end.id.0)?;
        }
        self.open.remove(end.id.0)?;
        self.put(end.id, &record)?;
        self.retain(end.id, end.at_us)?;
        Ok(Some(record.issuer))
    }

    pub(super) fn task(&self, id: Ulid) -> Result<Option<TaskRecord>, StoreError> {
        self.tasks.get(id.0)?.map(|value| decode("tasks", value.value())).transpose()
    }

    /// Writes a record and the event of its change.
    fn put(&mut self, id: Ulid, record: &TaskRecord) -> Result<(), StoreError> {
        self.tasks.insert(id.0, encode("tasks", record)?.as_slice())?;
        let event =
            EventRecord {
                task: id.to_string(),
                issuer: record.issuer.clone(),
                state: record.state,
                code: record.code.clone(),
                detail: record.detail.clone(),
                period: record.periods.as_ref().and_then(|periods| periods.running).map(|number| {
                    PeriodNewsRecord { number, through: None, state: StoredPeriodState::Running }
                }),
                at_us: record.changed_us,
            };
        self.append_event(id, &event)?;
        Ok(())
    }
}

impl Store {
    /// Stores a task that passed every check; returns once it is on disk.
    ///
    /// # Errors
    /// When the store fails; the task is not accepted then.
    pub async fn accept(&self, task: Acceptance) -> Result<Accepted, StoreError> {
        self.write(move |tables| tables.accept(&task)).await
    }

    /// What is remembered of an id: the payload digest it stands for.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn replayed(&self, id: Ulid) -> Result<Option<[u8; 32]>, StoreError> {
        let table = self.read()?.open_table(REPLAY)?;
        Ok(table.get(id.0)?.map(|entry| entry.value().0))
    }

    /// A task's record.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn task(&self, id: Ulid) -> Result<Option<TaskRecord>, StoreError> {
        let table = self.read()?.open_table(TASKS)?;
        table.get(id.0)?.map(|value| decode("tasks", value.value())).transpose()
    }

    /// The signed wrapper of a task, as it was received.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn envelope(&self, id: Ulid) -> Result<Option<Vec<u8>>, StoreError> {
        let table = self.read()?.open_table(ENVELOPES)?;
        Ok(table.get(id.0)?.map(|value| value.value().to_vec()))
    }

    /// What a task that succeeded gave.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn result(&self, id: Ulid) -> Result<Option<StoredResult>, StoreError> {
        let txn = self.read()?;
        let results = txn.open_table(RESULTS)?;
        let (receipts, outcomes) = (txn.open_table(RECEIPTS)?, txn.open_table(OUTCOMES)?);
        let (Some(bytes), Some(receipt), Some(outcome)) =
            (results.get(id.0)?, receipts.get(id.0)?, outcomes.get(id.0)?)
        else {
            return Ok(None);
        };
        Ok(Some(StoredResult {
            bytes: bytes.value().to_vec(),
            receipt: receipt.value().to_vec(),
            outcome: decode("outcomes", outcome.value())?,
        }))
    }

    /// What a task that succeeded took and read.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn outcome(&self, id: Ulid) -> Result<Option<OutcomeRecord>, StoreError> {
        let table = self.read()?.open_table(OUTCOMES)?;
        table.get(id.0)?.map(|value| decode("outcomes", value.value())).transpose()
    }

    /// Tasks with ids below `before`, the newest id first, that `keep` lets through; at most `limit`.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn tasks(
        &self,
        before: Option<Ulid>,
        limit: usize,
        keep: impl Fn(&TaskRecord) -> bool,
    ) -> Result<Vec<(Ulid, TaskRecord)>, StoreError> {
        let table = self.read()?.open_table(TASKS)?;
        let mut found = Vec::new();
        for entry in table.range(..before.map_or(u128::MAX, |id| id.0))?.rev() {
            if found.len() == limit {
                break;
            }
            let (id, value) = entry?;
            let record = decode("tasks", value.value())?;
            if keep(&record) {
                found.push((Ulid(id.value()), record));
            }
        }
        Ok(found)
    }

    /// Tasks that have not ended, with their wrappers, oldest id first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn unfinished(&self) -> Result<Vec<(Ulid, TaskRecord, Vec<u8>)>, StoreError> {
        let txn = self.read()?;
        let (open, tasks, envelopes) =
            (txn.open_table(OPEN)?, txn.open_table(TASKS)?, txn.open_table(ENVELOPES)?);
        let mut found = Vec::new();
        for entry in open.iter()? {
            let id = entry?.0.value();
            if let (Some(record), Some(envelope)) = (tasks.get(id)?, envelopes.get(id)?) {
                found.push((Ulid(id), decode("tasks", record.value())?, envelope.value().to_vec()));
            }
        }
        Ok(found)
    }

    /// The highest wall clock by which anything was decided, in microseconds of Unix time.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn clock_high(&self) -> Result<i64, StoreError> {
        let table = self.read()?.open_table(META)?;
        witness::clock(&table)
    }

    /// Number of tasks that have not ended.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn open_tasks(&self) -> Result<u64, StoreError> {
        let table = self.read()?.open_table(OPEN)?;
        Ok(redb::ReadableTableMetadata::len(&table)?)
    }
}
