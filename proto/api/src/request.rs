//! The payload of a signed request, schema `fades.request.v1`: reading and cancelling over the network.
//!
//! It goes, in an envelope of purpose `fades/request/v1`, into `Authorization: Fades <base64url envelope>`. That a nonce serves once
//! is the node's to remember; everything else is checked by [`Request::check`].

use jiff::{SignedDuration, Timestamp};
use serde::{Serialize, Serializer};

use crate::codes::{self, Code};
use crate::fields::{Item, Object};
use crate::json;
use crate::task::{Name, TaskError, hex, quoted};

/// The `schema` of the payload.
pub const SCHEMA: &str = "fades.request.v1";
/// Content type in the envelope (COSE label 3).
pub const CONTENT_TYPE: &str = "application/vnd.fades.request.v1+json";
/// Longest life of a signed request; nodes remember nonces that long.
pub const LIFE_MAX: SignedDuration = SignedDuration::from_secs(120);
/// Difference between two clocks that is allowed.
pub const SKEW: SignedDuration = SignedDuration::from_secs(30);
/// Longest path with its query, bytes.
const PATH_BYTES: usize = 1024;

/// What is signed for one HTTP request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Request {
    schema: &'static str,
    /// `GET` or `DELETE`.
    pub method: Method,
    /// Path and query exactly as sent: `/v1/tasks?state=queued`.
    pub path: String,
    /// The node's id.
    pub audience: Name,
    /// When it was signed.
    pub issued_at: Timestamp,
    /// From when on it is worthless, at most [`LIFE_MAX`] later.
    pub expires_at: Timestamp,
    /// 16 fresh random bytes.
    pub nonce: Nonce,
}

/// Methods that are signed. `POST /v1/tasks` carries an envelope of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Method {
    /// Reads.
    Get,
    /// Cancels.
    Delete,
}

impl Method {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Get => "GET",
            Self::Delete => "DELETE",
        }
    }
}

/// 16 bytes that make a request unique, shown as 32 lower-case digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 16]);

impl std::fmt::Display for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl std::fmt::Debug for Nonce {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Nonce({self})")
    }
}

impl Serialize for Nonce {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Why a request that reads well is not obeyed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestRefusal {
    /// Signed for another method or path.
    #[error("signed for {signed:?}, but {came:?} came")]
    Mismatch {
        /// Method and path that were signed.
        signed: String,
        /// Method and path that came.
        came: String,
    },
    /// Signed for another node.
    #[error("signed for node {signed:?}, this is {node:?}")]
    Audience {
        /// The node that it was signed for.
        signed: Name,
        /// This node.
        node: String,
    },
    /// Its time is over.
    #[error("expired at {expires_at}, it is {now}")]
    Expired {
        /// When it expired.
        expires_at: Timestamp,
        /// The node's clock.
        now: Timestamp,
    },
    /// Its time has not come.
    #[error("issued at {issued_at}, it is {now}")]
    Future {
        /// When it claims to have been signed.
        issued_at: Timestamp,
        /// The node's clock.
        now: Timestamp,
    },
    /// It would live too long, or not at all.
    #[error("lives from {issued_at} to {expires_at}; 120 seconds are allowed")]
    Life {
        /// When it was signed.
        issued_at: Timestamp,
        /// When it expires.
        expires_at: Timestamp,
    },
}

impl RequestRefusal {
    /// Reason of the E12xx range.
    pub const fn code(&self) -> Code {
        match self {
            Self::Mismatch { .. } => codes::REQUEST_MISMATCH,
            Self::Audience { .. } => codes::AUDIENCE_WRONG,
            Self::Expired { .. } => codes::EXPIRED,
            Self::Future { .. } => codes::ISSUED_IN_FUTURE,
            Self::Life { .. } => codes::LIFE_TOO_LONG,
        }
    }
}

impl Request {
    /// A request that lives for a minute from now. The caller brings clock and randomness.
    pub fn new(
        method: Method,
        path: impl Into<String>,
        audience: Name,
        now: Timestamp,
        nonce: Nonce,
    ) -> Self {
        let expires_at = now.saturating_add(SignedDuration::from_secs(60)).unwrap_or(Timestamp::MAX);
        Self { schema: SCHEMA, method, path: path.into(), audience, issued_at: now, expires_at, nonce }
    }

    /// Reads a payload strictly.
    ///
    /// # Errors
    /// The first thing that does not keep to the schema, with its path.
    pub fn from_json(bytes: &[u8]) -> Result<Self, TaskError> {
        let root = json::read_document(bytes)?;
        let keys = ["schema", "method", "path", "audience", "issued_at", "expires_at", "nonce"];
        let object = Object::root(&root, &keys)?;
        object.schema(SCHEMA)?;
        Ok(Self {
            schema: SCHEMA,
            method: method(&object.need("method")?)?,
            path: path(&object.need("path")?)?,
            audience: object.need("audience")?.parsed()?,
            issued_at: object.need("issued_at")?.time()?,
            expires_at: object.need("expires_at")?.time()?,
            nonce: nonce(&object.need("nonce")?)?,
        })
    }

    /// JSON bytes for the envelope's payload.
    pub fn to_json(&self) -> Vec<u8> {
        json::to_bytes(self)
    }

    /// Whether this is for the request that came, at this node, now. `path` is path and query as they stand in the request line.
    /// The nonce is left to the caller, who remembers it until [`forget_at`](Self::forget_at).
    ///
    /// # Errors
    /// The first reason against it.
    pub fn check(&self, method: &str, path: &str, node: &str, now: Timestamp) -> Result<(), RequestRefusal> {
        let Self { issued_at, expires_at, .. } = *self;
        if self.audience.as_str() != node {
            return Err(RequestRefusal::Audience { signed: self.audience.clone(), node: node.to_owned() });
        }
        if self.method.as_str() != method || self.path != path {
            return Err(RequestRefusal::Mismatch {
                signed: format!("{} {}", self.method.as_str(), self.path),
                came: format!("{method} {path}"),
            });
        }
        let life = issued_at.duration_until(expires_at);
        if life <= SignedDuration::ZERO || life > LIFE_MAX {
            return Err(RequestRefusal::Life { issued_at, expires_at });
        }
        if now.duration_until(issued_at) > SKEW {
            return Err(RequestRefusal::Future { issued_at, now });
        }
        if now >= expires_at {
            return Err(RequestRefusal::Expired { expires_at, now });
        }
        Ok(())
    }

    /// From when on the node need not remember the nonce: expiry plus the allowed difference of clocks.
    pub fn forget_at(&self) -> Timestamp {
        self.expires_at.saturating_add(SKEW).unwrap_or(Timestamp::MAX)
    }
}

fn method(item: &Item<'_>) -> Result<Method, TaskError> {
    match item.text()? {
        "GET" => Ok(Method::Get),
        "DELETE" => Ok(Method::Delete),
        other => {
            let message = format!("{} is neither \"GET\" nor \"DELETE\"", quoted(other));
            Err(item.refuse(codes::REQUEST_MALFORMED_PAYLOAD, message))
        }
    }
}

fn path(item: &Item<'_>) -> Result<String, TaskError> {
    let text = item.text()?;
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    if !text.starts_with('/') || !visible || text.len() > PATH_BYTES {
        let message = format!("{} is not a path of at most {PATH_BYTES} visible characters", quoted(text));
        return Err(item.refuse(codes::REQUEST_MALFORMED_PAYLOAD, message));
    }
    Ok(text.to_owned())
}

fn nonce(item: &Item<'_>) -> Result<Nonce, TaskError> {
    let text = item.text()?;
    match hex(text) {
        Some(bytes) => Ok(Nonce(bytes)),
        None => {
            let message = format!("{} is not 32 lower-case hexadecimal digits", quoted(text));
            Err(item.refuse(codes::NONCE_MALFORMED, message))
        }
    }
}

#[cfg(test)]
mod tests;
