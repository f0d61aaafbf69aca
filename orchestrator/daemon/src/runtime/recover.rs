//! Tasks that an earlier daemon did not end: planned again from their signed wrappers, or failed with the reason.

use fades_api::codes::{self, Code};
use fades_api::task::Wrapper;
use fades_core::admit::{self, NodeFacts, Received, Refusal};
use fades_core::periods::PeriodsSoFar;
use fades_core::task::{RecordedState, TaskSpec, TaskState};
use ulid::Ulid;

use crate::store::record::{PeriodsRecord, StoredState, TaskRecord};

/// What became of one of them.
pub(crate) enum Recovered {
    /// It can go on, from its start.
    Again(Box<TaskSpec>, RecordedState),
    /// It cannot, and why.
    Lost(Code, String),
}

/// Plans a recorded task again. It was verified and judged when it was accepted, and its wrapper has lain in the
/// store since, so only what it names is looked for.
pub(crate) fn recover(id: Ulid, record: &TaskRecord, envelope: &[u8], facts: &NodeFacts) -> Recovered {
    let lost = |code: Code, why: String| Recovered::Lost(code, format!("taken up after a restart: {why}"));
    let wrapper = match stored_wrapper(id, record, envelope) {
        Ok(wrapper) => wrapper,
        Err(refusal) => return lost(refusal.code, refusal.message),
    };
    let received = Received {
        unix_us: u64::try_from(record.accepted_us).unwrap_or(0),
        mono_us: None,
        verify_us: record.verify_us,
    };
    let mut periods = PeriodsSoFar::default();
    if let Some(stored) = &record.periods {
        let PeriodsRecord { next, running, done, failed, missed, .. } = *stored;
        periods = PeriodsSoFar { next, running, done, failed, missed };
    }
    match admit::plan(&wrapper, record.allowed(), facts, received) {
        Ok(spec) => {
            let (state, attempts) = (engine_state(record.state), record.attempts);
            let recorded = RecordedState { state, attempts, periods };
            Recovered::Again(Box::new(spec), recorded)
        }
        Err(refusal) => lost(refusal.code, refusal.message),
    }
}

/// The wrapper of a task, out of the envelope that it was accepted in.
///
/// # Errors
/// It is not the accepted one any more.
pub(super) fn stored_wrapper(id: Ulid, record: &TaskRecord, envelope: &[u8]) -> Result<Wrapper, Refusal> {
    let malformed = |why: String| Refusal::new(codes::STORE_RECORD_MALFORMED, why);
    let parsed = fades_envelope::parse(envelope).map_err(|error| malformed(error.to_string()))?;
    let payload = parsed.unverified_payload();
    if fades_envelope::Digest::of(payload).to_string() != record.payload_digest {
        return Err(malformed(format!("the stored wrapper of {id} is not the accepted one")));
    }
    Wrapper::from_json(payload).map_err(|error| Refusal::new(error.code, error.to_string()))
}

/// The engine's state for a stored one.
pub(crate) fn engine_state(state: StoredState) -> TaskState {
    match state {
        StoredState::Accepted => TaskState::Accepted,
        StoredState::Queued => TaskState::Queued,
        StoredState::Starting => TaskState::Starting,
        StoredState::Streaming => TaskState::Streaming,
        StoredState::Computing => TaskState::Computing,
        StoredState::Waiting => TaskState::Waiting,
        StoredState::Succeeded => TaskState::Succeeded,
        StoredState::Failed => TaskState::Failed,
        StoredState::Cancelled => TaskState::Cancelled,
        StoredState::Expired => TaskState::Expired,
    }
}

/// The stored state for one of the engine's. Refused wrappers never become tasks.
pub(crate) fn stored_state(state: TaskState) -> StoredState {
    match state {
        TaskState::Accepted => StoredState::Accepted,
        TaskState::Queued => StoredState::Queued,
        TaskState::Starting => StoredState::Starting,
        TaskState::Streaming => StoredState::Streaming,
        TaskState::Computing => StoredState::Computing,
        TaskState::Waiting => StoredState::Waiting,
        TaskState::Succeeded => StoredState::Succeeded,
        TaskState::Failed | TaskState::Refused => StoredState::Failed,
        TaskState::Cancelled => StoredState::Cancelled,
        TaskState::Expired => StoredState::Expired,
    }
}
