//! Stored records → what the interface shows.

use fades_api::codes::{self, Code};
use fades_api::http::{EventView, Problem, TaskState, TaskView};
use fades_api::task::TaskId;
use ulid::Ulid;

use crate::clock::timestamp;
use crate::live::Live;
use crate::reply::Refused;
use crate::store::record::{EventRecord, StoredState, TaskRecord};

/// The interface's state.
#[must_use]
pub(super) fn state(state: StoredState) -> TaskState {
    match state {
        StoredState::Accepted => TaskState::Accepted,
        StoredState::Queued => TaskState::Queued,
        StoredState::Starting => TaskState::Starting,
        StoredState::Streaming => TaskState::Streaming,
        StoredState::Computing => TaskState::Computing,
        StoredState::Succeeded => TaskState::Succeeded,
        StoredState::Failed => TaskState::Failed,
        StoredState::Cancelled => TaskState::Cancelled,
        StoredState::Expired => TaskState::Expired,
    }
}

/// A task as it is shown.
///
/// # Errors
/// When the record holds what cannot have been stored.
pub(super) fn task(id: Ulid, record: &TaskRecord, live: &Live) -> Result<TaskView, Refused> {
    Ok(TaskView {
        task: TaskId(id),
        issuer: parse(&record.issuer)?,
        state: state(record.state),
        code: code(record.code.as_deref()),
        detail: words(&record.detail),
        priority: record.priority,
        image: parse(&record.image)?,
        sources: record.sources.iter().map(|name| parse(name)).collect::<Result<_, _>>()?,
        attempts: record.attempts,
        accepted_at: timestamp(record.accepted_us),
        updated_at: timestamp(record.changed_us),
        expires_at: timestamp(record.expires_us),
        progress: live.get(id),
    })
}

/// An event as it is shown; `None` for a record that cannot have been stored.
pub(super) fn event(number: u64, record: &EventRecord) -> Option<EventView> {
    Some(EventView {
        id: number,
        task: record.task.parse().ok()?,
        state: state(record.state),
        at: timestamp(record.at_us),
        code: code(record.code.as_deref()),
        detail: words(&record.detail),
        progress: None,
    })
}

pub(super) fn code(text: Option<&str>) -> Option<Code> {
    text?.parse().ok()
}

fn words(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

/// Reads back what was written from a checked value.
pub(super) fn parse<T>(text: &str) -> Result<T, Refused>
where
    T: std::str::FromStr,
    T::Err: std::fmt::Display,
{
    text.parse()
        .map_err(|error: T::Err| Problem::new(codes::STORE_RECORD_MALFORMED, error.to_string()).into())
}
