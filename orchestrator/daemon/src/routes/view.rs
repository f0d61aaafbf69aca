//! Stored records → what the interface shows.

use fades_api::codes::{self, Code};
use fades_api::http::{
    EventView, PeriodNews, PeriodState, PeriodView, PeriodsView, Problem, StateView, TaskState, TaskView,
};
use fades_api::task::TaskId;
use ulid::Ulid;

use crate::clock::timestamp;
use crate::live::Live;
use crate::reply::Refused;
use crate::store::record::{
    EventRecord, PeriodRecord, PeriodsRecord, StoredPeriodState, StoredState, TaskRecord,
};

/// The interface's state.
#[must_use]
pub(super) fn state(state: StoredState) -> TaskState {
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
        periods: record.periods.as_ref().map(|stored| periods(stored, record.state)),
    })
}

fn periods(stored: &PeriodsRecord, state: StoredState) -> PeriodsView {
    let next = stored.running.map_or(stored.next, |running| running + 1);
    let more = !state.is_end() && next <= stored.last;
    PeriodsView {
        done: stored.done,
        failed: stored.failed,
        missed: stored.missed,
        running: stored.running,
        next_due: more.then(|| timestamp(stored.due_us(next))),
        state: stored.state.as_ref().map(|state| StateView {
            period: state.period,
            version: state.version,
            bytes: state.bytes,
            sha256: state.sha256.clone(),
        }),
    }
}

/// A period that is over, as it is shown.
pub(super) fn period(number: u64, row: &PeriodRecord, periods: &PeriodsRecord) -> PeriodView {
    PeriodView {
        number,
        through: row.through,
        state: period_state(row.state),
        due: timestamp(periods.due_us(number)),
        started_at: row.started_us.map(timestamp),
        ended_at: timestamp(row.ended_us),
        code: code(row.code.as_deref()),
        detail: words(&row.detail),
    }
}

const fn period_state(state: StoredPeriodState) -> PeriodState {
    match state {
        StoredPeriodState::Running => PeriodState::Running,
        StoredPeriodState::Done => PeriodState::Done,
        StoredPeriodState::Failed => PeriodState::Failed,
        StoredPeriodState::Missed => PeriodState::Missed,
    }
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
        period: record.period.as_ref().map(|news| PeriodNews {
            number: news.number,
            through: news.through,
            state: period_state(news.state),
        }),
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
