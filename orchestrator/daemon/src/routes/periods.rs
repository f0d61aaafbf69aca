//! `/v1/tasks/{id}/periods`: what became of each period of a persistent task, and what it gave.

use std::sync::Arc;

use axum::extract::{RawPathParams, State};
use axum::http::{StatusCode, Uri};
use axum::response::Response;
use fades_api::codes;
use fades_api::http::{PeriodList, PeriodResult, PeriodWindow, Problem};
use ulid::Ulid;

use super::asked::Asked;
use super::{tasks, view};
use crate::clock::timestamp;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::store::record::{PeriodRecord, StoredPeriodState, TaskRecord};

/// Periods on one page of a list.
const PAGE: usize = 100;

pub(super) async fn list(
    State(node): State<Arc<Node>>,
    Asked { id, record, .. }: Asked,
    uri: Uri,
) -> Result<Response, Refused> {
    let before = cursor(uri.query().unwrap_or_default())?;
    let Some(periods) = &record.periods else {
        return Ok(json(StatusCode::OK, &PeriodList::default()));
    };
    let mut found = node.store.periods(id, before, PAGE + 1)?;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|(number, _)| number.to_string());
    let views = found.iter().map(|(number, row)| view::period(*number, row, periods));
    Ok(json(StatusCode::OK, &PeriodList { periods: views.collect(), next }))
}

fn cursor(query: &str) -> Result<Option<u64>, Box<Problem>> {
    let mut cursor = None;
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        if name != "cursor" || cursor.is_some() {
            let detail = format!("{name:?} is not a parameter of this list, or given twice");
            return Err(Problem::new(codes::QUERY_MALFORMED, detail).into());
        }
        let number: u64 = value
            .parse()
            .map_err(|error| Problem::new(codes::CURSOR_MALFORMED, format!("{value:?}: {error}")))?;
        cursor = Some(number);
    }
    Ok(cursor)
}

pub(super) async fn result(
    State(node): State<Arc<Node>>,
    Asked { id, record, .. }: Asked,
    path: RawPathParams,
) -> Result<Response, Refused> {
    let text = path.iter().find(|(name, _)| *name == "period").map_or("", |(_, text)| text);
    let missing = |detail: String| Refused::from(Problem::new(codes::PERIOD_NOT_FOUND, detail));
    let number: u64 = text.parse().map_err(|error| missing(format!("period {text:?}: {error}")))?;
    if record.periods.is_none() {
        return Err(missing(format!("task {id} is not persistent")));
    }
    let Some(row) = node.store.period(id, number)? else {
        return Err(missing(format!("period {number} of task {id} is not over, or not kept")));
    };
    match document(&node, id, &record, number)? {
        Some(document) => Ok(document),
        None => Err(without_result(number, &row)),
    }
}

fn without_result(number: u64, row: &PeriodRecord) -> Refused {
    let mut detail = match row.state {
        StoredPeriodState::Missed => format!("period {number} was missed"),
        _ => format!("period {number} failed ({})", row.code.as_deref().unwrap_or("no reason given")),
    };
    if !row.detail.is_empty() {
        detail += &format!(": {}", row.detail);
    }
    Problem::new(codes::PERIOD_WITHOUT_RESULT, detail).into()
}

/// What a period gave, as it is shown; `None` for one that gave nothing, or is not kept.
pub(super) fn document(
    node: &Node,
    id: Ulid,
    record: &TaskRecord,
    number: u64,
) -> Result<Option<Response>, Refused> {
    let Some(periods) = &record.periods else { return Ok(None) };
    let (Some(stored), Some(row)) = (node.store.period_result(id, number)?, node.store.period(id, number)?)
    else {
        return Ok(None);
    };
    let windows = row.windows.iter().map(|window| {
        let instant = |ns: i64| {
            jiff::Timestamp::from_nanosecond(ns.into()).map_err(|error| {
                Refused::from(Problem::new(codes::STORE_RECORD_MALFORMED, error.to_string()))
            })
        };
        Ok(PeriodWindow {
            id: view::parse(&window.id)?,
            from: instant(window.from_ns)?,
            to: instant(window.to_ns)?,
        })
    });
    let period = PeriodResult {
        number,
        due: timestamp(periods.due_us(number)),
        windows: windows.collect::<Result<_, Refused>>()?,
        state_before: row.state_before,
        state_after: row.state_after,
    };
    Ok(Some(json(StatusCode::OK, &tasks::document(id, Some(period), &stored)?)))
}
