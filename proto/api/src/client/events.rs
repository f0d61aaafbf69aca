//! A stream of events that survives broken connections.

use std::time::{Duration, Instant};

use http_body_util::BodyExt;
use hyper::Method;
use hyper::body::Incoming;
use hyper::header::HeaderValue;

use super::connect::{self, Driver};
use super::sse::Parser;
use super::{Client, ClientError};
use crate::http::EventView;
use crate::request;

/// A node sends a comment at least every 15 s; three of them missing means that the connection is dead.
const SILENCE: Duration = Duration::from_secs(45);
/// A stream that ends sooner than this without an event has nothing to say.
const BRIEF: Duration = Duration::from_secs(2);
/// How often to connect anew in a row before giving up.
const ATTEMPTS: u32 = 8;
/// Pause before connecting anew: doubles from here ...
const PAUSE: Duration = Duration::from_millis(100);
/// ... up to here.
const PAUSE_MAX: Duration = Duration::from_secs(5);

/// Numbered events in their order, none twice, none left out: after a break the stream goes on right behind the last one. In
/// between come events that tell progress only; they carry the number of the event before them.
pub struct Events {
    client: Client,
    path: String,
    last: Option<u64>,
    ends_with_task: bool,
    ended: bool,
    open: Option<Stream>,
    failures: u32,
    brief_ends: u32,
}

struct Stream {
    opened: Instant,
    told: bool,
    body: Incoming,
    parser: Parser,
    _driver: Driver,
}

/// What came of waiting on an open stream.
enum Came {
    /// An event with a number of its own.
    State(Box<EventView>),
    /// One without: told in passing.
    Progress(Box<EventView>),
    /// The node ended the stream in order.
    End,
    /// The connection broke or fell silent.
    Broke(ClientError),
}

impl Events {
    pub(super) fn new(client: Client, path: String, last: Option<u64>, ends_with_task: bool) -> Self {
        Self { client, path, last, ends_with_task, ended: false, open: None, failures: 0, brief_ends: 0 }
    }

    /// Id of the last event given out, to resume later.
    pub fn last_id(&self) -> Option<u64> {
        self.last
    }

    /// The next event; `None` behind the last event of a task. Dropping the future loses nothing.
    ///
    /// # Errors
    /// What the node says against it, or that it cannot be reached in eight attempts over about 16 s.
    pub async fn next(&mut self) -> Result<Option<EventView>, ClientError> {
        while !self.ended {
            let Some(stream) = &mut self.open else {
                match self.connect().await {
                    Ok(stream) => self.open = Some(stream),
                    Err(error) => self.pause_after(error).await?,
                }
                continue;
            };
            match stream.next(&self.client).await {
                Came::Progress(event) => {
                    self.failures = 0;
                    return Ok(Some(*event));
                }
                Came::State(event) => {
                    stream.told = true;
                    // a node that repeats itself must not make the caller see things twice
                    if self.last.is_some_and(|last| event.id <= last) {
                        continue;
                    }
                    self.failures = 0;
                    self.last = Some(event.id);
                    self.ended = self.ends_with_task && event.state.is_ended();
                    return Ok(Some(*event));
                }
                Came::End => {
                    let brief = !stream.told && stream.opened.elapsed() < BRIEF;
                    self.open = None;
                    self.after_end(brief).await?;
                }
                Came::Broke(error) => {
                    self.open = None;
                    self.pause_after(error).await?;
                }
            }
        }
        self.open = None;
        Ok(None)
    }

    /// A node ends streams in order when it ends itself, when they are old, and when their task is over.
    async fn after_end(&mut self, brief: bool) -> Result<(), ClientError> {
        if !brief {
            self.brief_ends = 0;
            tokio::time::sleep(PAUSE).await;
            return Ok(());
        }
        self.brief_ends += 1;
        // twice in a row with nothing to say: the task's end lies at or before `last`
        if self.ends_with_task && self.brief_ends >= 2 {
            self.ended = true;
            return Ok(());
        }
        let source = "the node ends it at once".into();
        let node = self.client.address.clone();
        self.pause_after(ClientError::Unreachable { node, what: "stream of events", source }).await
    }

    async fn connect(&self) -> Result<Stream, ClientError> {
        let authorization = self.client.authorize(request::Method::Get, &self.path).await?;
        let mut request = self.client.build(Method::GET, &self.path, authorization, None)?;
        if let Some(last) = self.last {
            request.headers_mut().insert("last-event-id", HeaderValue::from(last));
        }
        let exchange = async { connect::exchange(&self.client.address, request).await?.stream().await };
        match tokio::time::timeout(self.client.timeout, exchange).await {
            Ok(opened) => {
                let (body, driver) = opened?;
                Ok(Stream {
                    opened: Instant::now(),
                    told: false,
                    body,
                    parser: Parser::default(),
                    _driver: driver,
                })
            }
            Err(_elapsed) => Err(self.timed_out(self.client.timeout)),
        }
    }

    fn timed_out(&self, after: Duration) -> ClientError {
        ClientError::TimedOut { node: self.client.address.clone(), after }
    }

    /// Waits a little if the error may pass, else hands it on.
    async fn pause_after(&mut self, error: ClientError) -> Result<(), ClientError> {
        self.failures += 1;
        if !error.is_passing() || self.failures >= ATTEMPTS {
            return Err(error);
        }
        let asked = match &error {
            ClientError::Problem { problem } => problem.retry_after_s.map(Duration::from_secs),
            _ => None,
        };
        let pause = PAUSE.saturating_mul(1 << self.failures.min(10)).min(PAUSE_MAX);
        tokio::time::sleep(asked.map_or(pause, |asked| asked.clamp(pause, Duration::from_secs(30)))).await;
        Ok(())
    }
}

impl Stream {
    async fn next(&mut self, client: &Client) -> Came {
        loop {
            if let Some(event) = self.parser.next_event() {
                return match serde_json::from_str(&event.data) {
                    Ok(view) if event.id.is_some() => Came::State(Box::new(view)),
                    Ok(view) => Came::Progress(Box::new(view)),
                    Err(source) => {
                        let what = format!("event {:?}", event.id.unwrap_or_default());
                        Came::Broke(client.malformed(what, source))
                    }
                };
            }
            let frame = match tokio::time::timeout(SILENCE, self.body.frame()).await {
                Err(_elapsed) => {
                    return Came::Broke(ClientError::TimedOut {
                        node: client.address.clone(),
                        after: SILENCE,
                    });
                }
                Ok(None) => return Came::End,
                Ok(Some(Err(source))) => {
                    return Came::Broke(ClientError::Unreachable {
                        node: client.address.clone(),
                        what: "stream of events broke off",
                        source: source.into(),
                    });
                }
                Ok(Some(Ok(frame))) => frame,
            };
            if let Ok(data) = frame.into_data()
                && let Err(source) = self.parser.push(&data)
            {
                return Came::Broke(client.malformed("stream of events".to_owned(), source));
            }
        }
    }
}
