//! One connection, one request, one answer.

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use tokio::net::{TcpStream, UnixStream};
use tokio::task::JoinHandle;

use super::{ClientError, NodeAddress, SignerError};
use crate::http::{PROBLEM_MEDIA_TYPE, Problem};

/// Body of a request.
pub(super) type Body = Full<Bytes>;

/// Largest answer that is read whole, bytes: above any result that a node lets out.
const ANSWER_BYTES: usize = 64 * 1024 * 1024;

/// An answer whose body is still to come, with the task that drives its connection.
pub(super) struct Open {
    pub(super) response: Response<Incoming>,
    node: NodeAddress,
    driver: Driver,
}

/// Ends the connection with its owner.
pub(super) struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// An answer that was read whole.
pub(super) struct Answer {
    node: NodeAddress,
    status: StatusCode,
    media_type: String,
    body: Bytes,
}

fn unreachable(node: &NodeAddress, what: &'static str) -> impl FnOnce(hyper::Error) -> ClientError + use<> {
    let node = node.clone();
    move |source| ClientError::Unreachable { node, what, source: source.into() }
}

/// Connects, sends, and takes the head of the answer.
pub(super) async fn exchange(node: &NodeAddress, request: Request<Body>) -> Result<Open, ClientError> {
    let connecting = |source: std::io::Error| ClientError::Unreachable {
        node: node.clone(),
        what: "no connection",
        source: source.into(),
    };
    let (mut sender, driver) = match node {
        NodeAddress::Tcp { host, port } => {
            let stream = TcpStream::connect((host.as_str(), *port)).await.map_err(connecting)?;
            // a request is one write; waiting to fill a segment would only delay it
            stream.set_nodelay(true).map_err(connecting)?;
            drive(node, TokioIo::new(stream)).await?
        }
        NodeAddress::Unix(path) => {
            let stream = UnixStream::connect(path).await.map_err(connecting)?;
            drive(node, TokioIo::new(stream)).await?
        }
    };
    let response = sender.send_request(request).await.map_err(unreachable(node, "no answer"))?;
    Ok(Open { response, node: node.clone(), driver })
}

async fn drive<I>(node: &NodeAddress, io: I) -> Result<(http1::SendRequest<Body>, Driver), ClientError>
where
    I: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(io).await.map_err(unreachable(node, "no connection"))?;
    let driver = tokio::spawn(async move {
        // what goes wrong here also fails the request, where it is told
        let _told = connection.await;
    });
    Ok((sender, Driver(driver)))
}

fn media_type(response: &Response<Incoming>) -> String {
    let header = response.headers().get(hyper::header::CONTENT_TYPE);
    let text = header.and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

impl Open {
    /// Reads the body; a problem becomes an error.
    pub(super) async fn whole(self) -> Result<Answer, ClientError> {
        let Self { response, node, driver } = self;
        let (status, media_type) = (response.status(), media_type(&response));
        let collected = Limited::new(response.into_body(), ANSWER_BYTES).collect().await;
        drop(driver);
        let body = match collected {
            Ok(collected) => collected.to_bytes(),
            Err(source) => return Err(ClientError::Unreachable { node, what: "answer broke off", source }),
        };
        Answer { node, status, media_type, body }.success()
    }

    /// The body as it comes, if this is a stream of events; else what the node says instead.
    pub(super) async fn stream(self) -> Result<(Incoming, Driver), ClientError> {
        if self.response.status() == StatusCode::OK && media_type(&self.response) == "text/event-stream" {
            return Ok((self.response.into_body(), self.driver));
        }
        let node = self.node.clone();
        let answer = self.whole().await?;
        let what = format!("status {} with {:?} for a stream of events", answer.status, answer.media_type);
        Err(ClientError::Malformed { node, what, source: None })
    }
}

impl Answer {
    fn success(self) -> Result<Self, ClientError> {
        if self.status.is_success() {
            return Ok(self);
        }
        if self.media_type == PROBLEM_MEDIA_TYPE {
            let problem: Problem = self.read("problem")?;
            return Err(ClientError::Problem { problem: Box::new(problem) });
        }
        let what = format!("status {} with {:?}", self.status, self.media_type);
        Err(ClientError::Malformed { node: self.node, what, source: None })
    }

    /// The body as it came.
    pub(super) fn into_bytes(self) -> Bytes {
        self.body
    }

    /// The body as a type; nothing reads as `null`.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, ClientError> {
        self.read("answer")
    }

    fn read<T: DeserializeOwned>(&self, what: &str) -> Result<T, ClientError> {
        let bytes = if self.body.is_empty() { b"null" } else { &self.body[..] };
        serde_json::from_slice(bytes).map_err(|source| ClientError::Malformed {
            node: self.node.clone(),
            what: format!("{what} of {} bytes", self.body.len()),
            source: Some(SignerError::from(source)),
        })
    }
}
