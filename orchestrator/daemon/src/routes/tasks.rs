//! `/v1/tasks`: submitting, reading, cancelling.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::Response;
use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_api::http::{
    Accepted, OperationResult, PeriodResult, Problem, ResultDocument, TaskConsole, TaskList, TaskState,
    TimingsUs,
};
use fades_api::task::TaskId;
use ulid::Ulid;

use super::asked::Asked;
use super::{periods, view};
use crate::admission::{self, Caller};
use crate::clock::timestamp;
use crate::node::Node;
use crate::reply::{Refused, json};
use crate::serve::{Peer, body};
use crate::store::StoredResult;
use crate::store::record::{OutcomeRecord, ReadRecord, StoredState};

/// Tasks on one page of a list.
const PAGE: usize = 100;

pub(super) async fn submit(
    State(node): State<Arc<Node>>,
    Extension(peer): Extension<Peer>,
    request: Request,
) -> Result<Response, Refused> {
    if *node.stop.borrow() {
        return Err(Problem::new(codes::SHUTTING_DOWN, "the daemon is ending").retry_after(5).into());
    }
    check_media_type(request.headers())?;
    // A little above the envelope's cap, so that one a byte too long is told what it is.
    let cap = fades_envelope::MAX_ENVELOPE + 1024;
    let deadline = std::time::Duration::from_millis(node.config.door.body_ms);
    let (_, bytes) = body::read(request, cap, deadline).await?;
    if bytes.is_empty() {
        return Err(Problem::new(codes::BODY_MISSING, "the body has no bytes").into());
    }
    let (task, state) = admission::submit(&node, peer, &bytes).await?;
    let location = format!("/v1/tasks/{task}");
    let answer = Accepted { task, state: view::state(state), location: location.clone() };
    let mut response = json(StatusCode::ACCEPTED, &answer);
    if let Ok(value) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, value);
    }
    Ok(response)
}

/// `application/cose`, with or without the parameter that says which of COSE's messages.
fn check_media_type(headers: &HeaderMap) -> Result<(), Box<Problem>> {
    let given = headers.get(header::CONTENT_TYPE).map(|value| value.to_str().unwrap_or_default());
    let mut parts = given.unwrap_or_default().split(';').map(str::trim);
    let essence = parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/cose"));
    let parameters = parts.all(|parameter| match parameter.split_once('=') {
        Some((name, value)) => {
            name.eq_ignore_ascii_case("cose-type")
                && value.trim_matches('"').eq_ignore_ascii_case("cose-sign1")
        }
        None => parameter.is_empty(),
    });
    if essence && parameters {
        return Ok(());
    }
    Err(Problem::new(codes::MEDIA_TYPE_REFUSED, format!("content-type is {:?}", given.unwrap_or("missing")))
        .into())
}

pub(super) async fn list(
    State(node): State<Arc<Node>>,
    caller: Caller,
    uri: Uri,
) -> Result<Response, Refused> {
    let query = Query::read(uri.query().unwrap_or_default())?;
    let reader = Arc::clone(&node);
    // May walk over every task there is: not on a thread that serves connections.
    let listed = tokio::task::spawn_blocking(move || {
        reader.store.tasks(query.cursor, PAGE + 1, |record| {
            query.state.is_none_or(|state| state == record.state)
                && query.issuer.as_ref().is_none_or(|issuer| *issuer == record.issuer)
                && caller.may_read(&reader, record)
        })
    });
    let mut found = listed.await.map_err(|error| Problem::new(codes::INTERNAL, error.to_string()))??;
    let more = found.len() > PAGE;
    found.truncate(PAGE);
    let next = found.last().filter(|_| more).map(|(id, _)| id.to_string());
    let tasks: Result<_, _> = found.iter().map(|(id, record)| view::task(*id, record, &node.live)).collect();
    Ok(json(StatusCode::OK, &TaskList { tasks: tasks?, next }))
}

#[derive(Default)]
struct Query {
    state: Option<StoredState>,
    issuer: Option<String>,
    cursor: Option<Ulid>,
}

impl Query {
    /// Values are names, states and ULIDs: nothing in them is ever percent-encoded.
    fn read(text: &str) -> Result<Self, Box<Problem>> {
        let malformed = |detail: String| Problem::new(codes::QUERY_MALFORMED, detail);
        let mut query = Self::default();
        for pair in text.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let twice = match name {
                "state" => {
                    let state: TaskState = value.parse().map_err(|error| malformed(format!("{error}")))?;
                    // Refused ones are never stored, so no task is in that state.
                    let stored = StoredState::parse(state.as_str())
                        .ok_or_else(|| malformed("refused wrappers are not tasks".to_owned()))?;
                    query.state.replace(stored).is_some()
                }
                "issuer" => query.issuer.replace(value.to_owned()).is_some(),
                "cursor" => {
                    let cursor: TaskId = value
                        .parse()
                        .map_err(|error| Problem::new(codes::CURSOR_MALFORMED, format!("{error}")))?;
                    query.cursor.replace(cursor.0).is_some()
                }
                _ => return Err(malformed(format!("{name:?} is not a parameter of this list")).into()),
            };
            if twice {
                return Err(malformed(format!("{name} is given twice")).into());
            }
        }
        Ok(query)
    }
}

pub(super) async fn get(
    State(node): State<Arc<Node>>,
    Asked { id, record, .. }: Asked,
) -> Result<Response, Refused> {
    Ok(json(StatusCode::OK, &view::task(id, &record, &node.live)?))
}

pub(super) async fn cancel(
    State(node): State<Arc<Node>>,
    Asked { caller, id, record }: Asked,
) -> Result<Response, Refused> {
    if !caller.may_cancel(&record) {
        let detail = format!("task {id} is {}'s", record.issuer);
        return Err(Problem::new(codes::CANCEL_NOT_ALLOWED, detail).into());
    }
    if record.state.is_end() && record.state != StoredState::Cancelled {
        let detail = format!("task {id} is {}", record.state.as_str());
        return Err(Problem::new(codes::TASK_ALREADY_ENDED, detail).into());
    }
    if !record.state.is_end() {
        node.runtime.cancel(id);
    }
    Ok(json(StatusCode::ACCEPTED, &view::task(id, &record, &node.live)?))
}

pub(super) async fn console(State(node): State<Arc<Node>>, asked: Asked) -> Result<Response, Refused> {
    let kept = node.store.console(asked.id)?;
    let console = TaskConsole {
        task: TaskId(asked.id),
        ended_at: kept.as_ref().map(|kept| timestamp(kept.at_us)),
        console: kept.map(|kept| kept.text),
    };
    Ok(json(StatusCode::OK, &console))
}

pub(super) async fn result(
    State(node): State<Arc<Node>>,
    Asked { id, record, .. }: Asked,
) -> Result<Response, Refused> {
    if let Some(number) = record.periods.as_ref().and_then(|periods| periods.last_done)
        && let Some(latest) = periods::document(&node, id, &record, number)?
    {
        return Ok(latest);
    }
    if !record.state.is_end() {
        let detail = format!("task {id} is {}", record.state.as_str());
        return Err(Problem::new(codes::RESULT_NOT_READY, detail).retry_after(1).into());
    }
    let Some(stored) = node.store.result(id)? else {
        let why = record.code.as_deref().unwrap_or(record.state.as_str());
        let mut detail = format!("task {id} ended as {} ({why})", record.state.as_str());
        if !record.detail.is_empty() {
            detail += &format!(": {}", record.detail);
        }
        return Err(Problem::new(codes::RESULT_NONE, detail).into());
    };
    Ok(json(StatusCode::OK, &document(id, None, &stored)?))
}

/// A result with its receipt, as it is shown.
pub(super) fn document(
    id: Ulid,
    period: Option<PeriodResult>,
    stored: &StoredResult,
) -> Result<ResultDocument, Refused> {
    let aggregate = serde_json::from_slice(&stored.bytes)
        .map_err(|error| Problem::new(codes::STORE_RECORD_MALFORMED, error.to_string()))?;
    let operations: Result<Vec<_>, Refused> = stored.outcome.operations.iter().map(operation).collect();
    let operations = operations?;
    Ok(ResultDocument {
        task: TaskId(id),
        period,
        state: TaskState::Succeeded,
        result: aggregate,
        result_bytes: Base64UrlUnpadded::encode_string(&stored.bytes),
        receipt: Base64UrlUnpadded::encode_string(&stored.receipt),
        timings_us: timings(&stored.outcome),
        bytes_read: operations.iter().map(|operation| operation.bytes).sum(),
        operations,
        bytes_sent: stored.bytes.len() as u64,
        heap_peak_bytes: Some(stored.outcome.heap_peak_bytes).filter(|bytes| *bytes > 0),
    })
}

fn timings(outcome: &OutcomeRecord) -> TimingsUs {
    let stage = |name: &str| outcome.timings_us.get(name).copied().unwrap_or(0);
    TimingsUs {
        verify: stage("verify"),
        queue: stage("queue"),
        boot: stage("boot"),
        retrieve: stage("retrieve"),
        transfer: stage("transfer"),
        compute: stage("compute"),
        returned: stage("return"),
        total: stage("total"),
    }
}

fn operation(read: &ReadRecord) -> Result<OperationResult, Refused> {
    let instant = |ns: Option<i64>| ns.and_then(|ns| jiff::Timestamp::from_nanosecond(ns.into()).ok());
    Ok(OperationResult {
        id: view::parse(&read.id)?,
        points: read.points,
        bytes: read.bytes,
        series: read.series,
        chunks: read.chunks,
        first: instant(read.first_ns),
        last: instant(read.last_ns),
        digest: read.digest.clone(),
    })
}
