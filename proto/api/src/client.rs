//! A client of a node: over TCP (`http://HOST:PORT`) or its local socket (`unix:/PATH`), inside a tokio runtime.
//!
//! Every request is safe to send twice: submitting the same bytes again gives the same answer, the rest reads or cancels. The
//! client itself sends nothing twice, but for event streams, which it takes up again where they broke off.
//! Keys stay outside: whoever wants signed requests brings a [`Signer`].

mod address;
mod connect;
mod error;
mod events;
#[doc(hidden)] // for its fuzzer
pub mod sse;

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use bytes::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use hyper::{Method, Request as HttpRequest};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use address::{AddressMalformed, NodeAddress};
pub use error::ClientError;
pub use events::Events;

use crate::http::{
    AUTHORIZATION_SCHEME, Accepted, ENVELOPE_MEDIA_TYPE, EventView, NodeInfo, PeriodList, ResultDocument,
    TaskList, TaskState, TaskView,
};
use crate::request::{self, Nonce, Request};
use crate::task::{Name, TaskId};
use connect::Answer;

/// Makes envelopes of purpose `fades/request/v1`.
pub trait Signer: Send + Sync {
    /// The envelope of `payload`, whose content type is [`request::CONTENT_TYPE`].
    ///
    /// # Errors
    /// Whatever keeps it from signing; the client hands it on as [`ClientError::Sign`].
    fn sign_request(&self, payload: &[u8]) -> Result<Vec<u8>, SignerError>;
}

/// Why a signer did not sign.
pub type SignerError = Box<dyn std::error::Error + Send + Sync>;

/// Which tasks to list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only in this state.
    pub state: Option<TaskState>,
    /// Only of this issuer.
    pub issuer: Option<Name>,
    /// `next` of the page before.
    pub cursor: Option<String>,
}

impl TaskFilter {
    /// Path and query.
    fn path(&self) -> String {
        let mut query = Vec::new();
        query.extend(self.state.map(|state| format!("state={state}")));
        query.extend(self.issuer.as_ref().map(|issuer| format!("issuer={issuer}")));
        query.extend(self.cursor.as_ref().map(|cursor| format!("cursor={}", escape(cursor))));
        if query.is_empty() { "/v1/tasks".to_owned() } else { format!("/v1/tasks?{}", query.join("&")) }
    }
}

/// Percent-encodes what RFC 3986 does not call unreserved.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
                escaped.push(char::from(byte))
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// A client of one node. Clones share what they have learned of the node.
#[derive(Clone)]
pub struct Client {
    address: NodeAddress,
    signer: Option<Arc<dyn Signer>>,
    timeout: Duration,
    node: Arc<OnceLock<Name>>,
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { address, signer, timeout, .. } = self;
        f.debug_struct("Client")
            .field("address", address)
            .field("signs", &signer.is_some())
            .field("timeout", timeout)
            .finish()
    }
}

impl Client {
    /// A client that signs nothing and waits 30 s for an answer.
    pub fn new(address: NodeAddress) -> Self {
        Self { address, signer: None, timeout: Duration::from_secs(30), node: Arc::default() }
    }

    /// The same, signing its requests. Needed over TCP for all but submitting and [`node`](Self::node).
    #[must_use]
    pub fn with_signer(mut self, signer: Arc<dyn Signer>) -> Self {
        self.signer = Some(signer);
        self
    }

    /// The same, waiting this long for each answer, connecting included.
    #[must_use]
    pub fn with_timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Where the node is.
    pub fn address(&self) -> &NodeAddress {
        &self.address
    }

    /// What the node is.
    ///
    /// # Errors
    /// See [`ClientError`]; so for all methods below.
    pub async fn node(&self) -> Result<NodeInfo, ClientError> {
        let answer = self.send(Method::GET, "/v1/node", None, None).await?;
        let info: NodeInfo = answer.json()?;
        // the first answer stays: a node does not change its id
        let _known = self.node.set(info.node.clone());
        Ok(info)
    }

    /// Submits a signed wrapper. The same bytes may be sent again.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn submit(&self, envelope: Vec<u8>) -> Result<Accepted, ClientError> {
        let body = (ENVELOPE_MEDIA_TYPE, Bytes::from(envelope));
        self.send(Method::POST, "/v1/tasks", None, Some(body)).await?.json()
    }

    /// One page of tasks, newest first.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn tasks(&self, filter: &TaskFilter) -> Result<TaskList, ClientError> {
        self.signed(request::Method::Get, &filter.path()).await?.json()
    }

    /// The state of a task.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn task(&self, id: TaskId) -> Result<TaskView, ClientError> {
        self.signed(request::Method::Get, &format!("/v1/tasks/{id}")).await?.json()
    }

    /// The aggregate and its receipt.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn result(&self, id: TaskId) -> Result<ResultDocument, ClientError> {
        self.signed(request::Method::Get, &format!("/v1/tasks/{id}/result")).await?.json()
    }

    /// One page of the periods of a persistent task, the newest first.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn periods(&self, id: TaskId, cursor: Option<&str>) -> Result<PeriodList, ClientError> {
        let query = cursor.map(|cursor| format!("?cursor={}", escape(cursor))).unwrap_or_default();
        self.signed(request::Method::Get, &format!("/v1/tasks/{id}/periods{query}")).await?.json()
    }

    /// The aggregate of one period and its receipt.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn period_result(&self, id: TaskId, period: u64) -> Result<ResultDocument, ClientError> {
        self.signed(request::Method::Get, &format!("/v1/tasks/{id}/periods/{period}/result")).await?.json()
    }

    /// Asks for a task to be cancelled.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn cancel(&self, id: TaskId) -> Result<TaskView, ClientError> {
        self.signed(request::Method::Delete, &format!("/v1/tasks/{id}")).await?.json()
    }

    /// Events of one task, from its first one on or right behind `after`; they end with the task.
    pub fn task_events(&self, id: TaskId, after: Option<u64>) -> Events {
        Events::new(self.clone(), format!("/v1/tasks/{id}/events"), after, true)
    }

    /// Events of all tasks, from now on or right behind `after`; they do not end.
    pub fn events(&self, after: Option<u64>) -> Events {
        Events::new(self.clone(), "/v1/events".to_owned(), after, false)
    }

    /// Follows a task to its end, telling each event, and gives its last state. The caller sets a limit in time around it.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn wait(&self, id: TaskId, mut tell: impl FnMut(&EventView)) -> Result<TaskView, ClientError> {
        let mut after = None;
        loop {
            let mut events = self.task_events(id, after);
            let ended = loop {
                match events.next().await {
                    Ok(Some(event)) => tell(&event),
                    Ok(None) => break true,
                    // the task is older than the events that are kept: its state is what is left to ask for
                    Err(error) if error.code() == crate::codes::EVENTS_GONE => break false,
                    Err(error) => return Err(error),
                }
            };
            let view = self.task(id).await?;
            if view.state.is_ended() {
                return Ok(view);
            }
            // a node that ends ends its streams as well, and some events may be gone for good
            after = if ended { events.last_id() } else { None };
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    }

    /// Any other request with JSON both ways, such as the operator's over the local socket. Not signed.
    /// An empty answer reads as `null`.
    ///
    /// # Errors
    /// As ever, and [`ClientError::Malformed`] for a method that HTTP does not have.
    pub async fn call<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&(impl Serialize + Sync)>,
    ) -> Result<T, ClientError> {
        let body = body.map(|body| ("application/json", Bytes::from(crate::json::to_bytes(body))));
        self.call_bytes(method, path, body).await
    }

    /// The same with a body of any media type.
    ///
    /// # Errors
    /// As for [`call`](Self::call).
    pub async fn call_bytes<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<T, ClientError> {
        let method = Method::from_bytes(method.as_bytes())
            .map_err(|source| self.malformed(format!("method {method:?}"), source))?;
        self.send(method, path, None, body).await?.json()
    }

    /// Gets what is no JSON, such as an image's file, over the local socket. Not signed.
    #[expect(clippy::missing_errors_doc, reason = "said once, at `node`")]
    pub async fn bytes(&self, path: &str) -> Result<Bytes, ClientError> {
        Ok(self.send(Method::GET, path, None, None).await?.into_bytes())
    }

    /// Sends a request that is signed if there is a signer.
    async fn signed(&self, method: request::Method, path: &str) -> Result<Answer, ClientError> {
        let authorization = self.authorize(method, path).await?;
        let method = match method {
            request::Method::Get => Method::GET,
            request::Method::Delete => Method::DELETE,
        };
        self.send(method, path, authorization, None).await
    }

    /// The `Authorization` for a request, made now.
    async fn authorize(
        &self,
        method: request::Method,
        path: &str,
    ) -> Result<Option<HeaderValue>, ClientError> {
        let Some(signer) = &self.signer else { return Ok(None) };
        let audience = match self.node.get() {
            Some(node) => node.clone(),
            None => self.node().await?.node,
        };
        let mut nonce = [0; 16];
        getrandom::fill(&mut nonce).map_err(|source| ClientError::Sign { source: source.into() })?;
        let payload = Request::new(method, path, audience, Timestamp::now(), Nonce(nonce)).to_json();
        let envelope = signer.sign_request(&payload).map_err(|source| ClientError::Sign { source })?;
        let text = format!("{AUTHORIZATION_SCHEME} {}", Base64UrlUnpadded::encode_string(&envelope));
        let mut value =
            HeaderValue::from_str(&text).map_err(|source| ClientError::Sign { source: source.into() })?;
        value.set_sensitive(true);
        Ok(Some(value))
    }

    /// Sends one request on a connection of its own and takes the answer's head; a problem becomes an error.
    async fn send(
        &self,
        method: Method,
        path: &str,
        authorization: Option<HeaderValue>,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<Answer, ClientError> {
        let request = self.build(method, path, authorization, body)?;
        let exchange = async { connect::exchange(&self.address, request).await?.whole().await };
        match tokio::time::timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_elapsed) => Err(ClientError::TimedOut { node: self.address.clone(), after: self.timeout }),
        }
    }

    fn build(
        &self,
        method: Method,
        path: &str,
        authorization: Option<HeaderValue>,
        body: Option<(&'static str, Bytes)>,
    ) -> Result<HttpRequest<connect::Body>, ClientError> {
        let mut builder = HttpRequest::builder()
            .method(method)
            .uri(path)
            .header(hyper::header::HOST, self.address.host())
            .header(USER_AGENT, concat!("fades/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json, application/problem+json, text/event-stream");
        if let Some(authorization) = authorization {
            builder = builder.header(AUTHORIZATION, authorization);
        }
        let mut bytes = Bytes::new();
        if let Some((media_type, body)) = body {
            builder = builder.header(CONTENT_TYPE, media_type);
            bytes = body;
        }
        builder
            .body(connect::Body::new(bytes))
            .map_err(|source| self.malformed(format!("request to {path:?}"), source))
    }

    fn malformed(&self, what: String, source: impl Into<SignerError>) -> ClientError {
        ClientError::Malformed { node: self.address.clone(), what, source: Some(source.into()) }
    }
}

#[cfg(test)]
mod tests;
