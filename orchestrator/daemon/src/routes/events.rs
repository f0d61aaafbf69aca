//! Server-sent events without gaps.
//!
//! A stream keeps nothing but the number of the last event it sent, and reads on from the store whenever the store
//! tells that there is more. So there is no queue to overflow and no moment between replay and following in which
//! an event could be lost: both are the same loop. A reader that stands still is cut by the connection's own deadline.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::Response;
use fades_api::codes;
use fades_api::http::{EventView, Problem};
use futures_util::stream;
use tokio::sync::watch;
use tokio::time::Instant;
use ulid::Ulid;

use super::asked::Asked;
use super::view;
use crate::admission::Caller;
use crate::node::Node;
use crate::reply::Refused;
use crate::store::EventPage;

/// Events read from the store at a time.
const PAGE: usize = 256;
/// Silence after which a comment is sent, so that both ends notice a dead connection.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
/// Least time between two progress events of a stream.
const PROGRESS: Duration = Duration::from_millis(200);
/// Longest life of a stream: keys are revoked, policies change; who resumes is checked again.
const LIFE: Duration = Duration::from_secs(15 * 60);

pub(super) async fn of_task(
    State(node): State<Arc<Node>>,
    Asked { caller, id, .. }: Asked,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let after = last_event_id(&headers)?.unwrap_or(0);
    let first = node.store.events_after(after, Some(id), PAGE)?;
    // Without a number the stream begins with what is kept; with one, nothing behind it may be missing.
    if first.gone && after > 0 {
        return Err(gone(after));
    }
    follow(node, caller, Some(id), after)
}

pub(super) async fn of_node(
    State(node): State<Arc<Node>>,
    caller: Caller,
    headers: HeaderMap,
) -> Result<Response, Refused> {
    let after = match last_event_id(&headers)? {
        Some(after) => {
            if node.store.events_after(after, None, 1)?.gone {
                return Err(gone(after));
            }
            after
        }
        None => *node.store.watch_events().borrow(),
    };
    follow(node, caller, None, after)
}

fn last_event_id(headers: &HeaderMap) -> Result<Option<u64>, Box<Problem>> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let malformed = |detail: String| Problem::new(codes::EVENT_ID_MALFORMED, detail);
    let text = value.to_str().map_err(|error| malformed(error.to_string()))?;
    text.parse().map(Some).map_err(|error| malformed(format!("{text:?}: {error}")).into())
}

fn gone(after: u64) -> Refused {
    Problem::new(codes::EVENTS_GONE, format!("events right behind {after} are no longer kept")).into()
}

fn follow(node: Arc<Node>, caller: Caller, task: Option<Ulid>, after: u64) -> Result<Response, Refused> {
    let open = OpenStream::count(&node)?;
    let now = Instant::now();
    let follower = Follower {
        news: node.store.watch_events(),
        progress: node.live.watch(),
        stop: node.stop.clone(),
        ready: VecDeque::from([Bytes::from_static(b"retry: 1000\n: events of a fades node\n\n")]),
        last: after,
        ended: false,
        told_progress: None,
        progress_after: now,
        until: now + LIFE,
        node,
        caller,
        task,
        _open: open,
    };
    let bytes = stream::unfold(follower, |mut follower| async move {
        let next = follower.next().await?;
        Some((Ok::<_, std::convert::Infallible>(next), follower))
    });
    let mut response = Response::new(Body::from_stream(bytes));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// Counts an open stream as long as it lives.
struct OpenStream(Arc<Node>);

impl OpenStream {
    fn count(node: &Arc<Node>) -> Result<Self, Box<Problem>> {
        let most = node.config.limits.streams;
        if node.live.streams.fetch_add(1, Ordering::Relaxed) >= most {
            node.live.streams.fetch_sub(1, Ordering::Relaxed);
            return Err(Problem::new(codes::TOO_MANY_STREAMS, format!("{most} are open"))
                .retry_after(5)
                .into());
        }
        node.metrics.events_streams.set(node.live.streams.load(Ordering::Relaxed) as u64);
        Ok(Self(Arc::clone(node)))
    }
}

impl Drop for OpenStream {
    fn drop(&mut self) {
        let before = self.0.live.streams.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.events_streams.set(before.saturating_sub(1) as u64);
    }
}

/// One stream.
struct Follower {
    node: Arc<Node>,
    caller: Caller,
    task: Option<Ulid>,
    news: watch::Receiver<u64>,
    progress: watch::Receiver<u64>,
    stop: watch::Receiver<bool>,
    /// Written out, not yet taken; one page at most.
    ready: VecDeque<Bytes>,
    /// Number of the last event read.
    last: u64,
    /// The task's end was read.
    ended: bool,
    told_progress: Option<fades_api::http::Progress>,
    progress_after: Instant,
    until: Instant,
    _open: OpenStream,
}

impl Follower {
    /// The next piece of the stream; `None` at its end.
    async fn next(&mut self) -> Option<Bytes> {
        loop {
            if let Some(bytes) = self.ready.pop_front() {
                return Some(bytes);
            }
            if self.ended || Instant::now() >= self.until {
                return None;
            }
            // Seen before reading: what is committed after this wakes the wait below.
            self.news.borrow_and_update();
            let page = match self.node.store.events_after(self.last, self.task, PAGE) {
                Ok(page) => page,
                Err(error) => {
                    tracing::error!(%error, "an event stream ends");
                    return None;
                }
            };
            if page.gone && self.last > 0 && self.task.is_none() {
                // Too slow for what is kept; coming back with its number it is told so.
                return None;
            }
            if self.take(page) {
                continue;
            }
            if self.is_over() {
                return None;
            }
            let keep_alive = tokio::time::sleep(KEEP_ALIVE);
            tokio::select! {
                changed = self.news.changed() => changed.ok()?,
                () = crate::serve::accept::stopped(&mut self.stop) => return None,
                told = progressed(&mut self.progress, self.progress_after), if self.task.is_some() => {
                    told?;
                    self.tell_progress();
                }
                () = keep_alive => return Some(Bytes::from_static(b": still here\n\n")),
            }
        }
    }

    /// Takes in a page; whether there was anything in it.
    fn take(&mut self, page: EventPage) -> bool {
        let any = !page.events.is_empty();
        for (number, record) in page.events {
            self.last = number;
            self.ended = self.task.is_some() && record.state.is_end();
            if self.task.is_none() && !self.caller.may_read_issuer(&self.node, &record.issuer) {
                continue;
            }
            if let Some(event) = view::event(number, &record) {
                self.ready.extend(write("state", Some(number), &event));
            }
        }
        any
    }

    /// Whether nothing will ever come: the task ended, and its end lies at or before what was read.
    fn is_over(&self) -> bool {
        let Some(id) = self.task else { return false };
        match self.node.store.task(id) {
            // It may have ended after its events were read; then there is one more.
            Ok(Some(record)) if record.state.is_end() => {
                self.node.store.events_after(self.last, self.task, 1).is_ok_and(|page| page.events.is_empty())
            }
            Ok(Some(_)) => false,
            Ok(None) | Err(_) => true,
        }
    }

    fn tell_progress(&mut self) {
        self.progress_after = Instant::now() + PROGRESS;
        let Some(id) = self.task else { return };
        let progress = self.node.live.get(id);
        if progress.is_none() || progress == self.told_progress {
            return;
        }
        self.told_progress = progress;
        let Ok(Some(record)) = self.node.store.task(id) else { return };
        let event = EventView {
            id: self.last,
            task: fades_api::task::TaskId(id),
            state: view::state(record.state),
            at: crate::clock::timestamp(self.node.clock.unix_us()),
            code: None,
            detail: None,
            period: None,
            progress,
        };
        // Without a number of its own: it is not stored, and nothing can be resumed behind it.
        self.ready.extend(write("progress", None, &event));
    }
}

/// Waits for any task's progress, at a bounded rate.
async fn progressed(progress: &mut watch::Receiver<u64>, not_before: Instant) -> Option<()> {
    progress.changed().await.ok()?;
    tokio::time::sleep_until(not_before).await;
    Some(())
}

/// One event in the form of the HTML standard, section 9.2.
fn write(kind: &str, number: Option<u64>, event: &EventView) -> Option<Bytes> {
    let data = serde_json::to_string(event).ok()?;
    let id = number.map(|number| format!("id: {number}\n")).unwrap_or_default();
    Some(format!("{id}event: {kind}\ndata: {data}\n\n").into())
}
