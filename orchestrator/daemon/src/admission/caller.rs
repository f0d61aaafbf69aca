//! Who asks to read or to cancel: the operator on the local socket, or an issuer with a signed request.

use axum::http::{HeaderMap, Method, Uri, header};
use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_api::http::{AUTHORIZATION_SCHEME, Problem};
use fades_api::request::Request;
use fades_envelope::{MAX_ENVELOPE, Purpose};

use super::nonces::Use;
use super::submit::judged_time;
use super::{Evidence, envelope_code};
use crate::clock::timestamp;
use crate::node::Node;
use crate::serve::Peer;
use crate::store::record::TaskRecord;

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Caller {
    /// The operator: may read and end everything.
    Operator,
    /// An issuer: may read and end its own, and read what its policy names.
    Issuer(String),
}

impl Caller {
    /// Whether it may know of this task at all.
    #[must_use]
    pub fn may_read(&self, node: &Node, task: &TaskRecord) -> bool {
        self.may_read_issuer(node, &task.issuer)
    }

    /// Whether it may know of tasks of this issuer.
    #[must_use]
    pub fn may_read_issuer(&self, node: &Node, issuer: &str) -> bool {
        match self {
            Self::Operator => true,
            Self::Issuer(name) if name == issuer => true,
            Self::Issuer(name) => {
                node.trust.get().issuers.get(name).is_some_and(|own| own.reads.contains(issuer))
            }
        }
    }

    /// Whether it may end this task.
    #[must_use]
    pub fn may_cancel(&self, task: &TaskRecord) -> bool {
        match self {
            Self::Operator => true,
            Self::Issuer(name) => *name == task.issuer,
        }
    }
}

/// Finds out who asks. Over the local socket without a signature that is the operator.
///
/// # Errors
/// The problem to answer with; counted and kept already.
pub fn authorize(
    node: &Node,
    peer: Peer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
) -> Result<Caller, Box<Problem>> {
    let mut evidence = Evidence::default();
    let judged = judge(node, peer, method, uri, headers, &mut evidence);
    if let Err(problem) = &judged {
        node.refusals.note(&node.store, &node.clock, peer, &evidence, problem.code, &problem.detail);
    }
    judged
}

fn judge(
    node: &Node,
    peer: Peer,
    method: &Method,
    uri: &Uri,
    headers: &HeaderMap,
    evidence: &mut Evidence,
) -> Result<Caller, Box<Problem>> {
    let mut given = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = given.next() else {
        if node.is_operator(peer) {
            return Ok(Caller::Operator);
        }
        let detail = format!("{method} {} needs a signed request", uri.path());
        return Err(Problem::new(codes::AUTHORIZATION_MISSING, detail).into());
    };
    if given.next().is_some() {
        return Err(
            Problem::new(codes::AUTHORIZATION_MALFORMED, "there are several Authorization headers").into()
        );
    }
    let now_mono = node.clock.mono_us();
    node.limits.address(peer, now_mono)?;
    let bytes = decode(value.as_bytes())?;
    let envelope =
        fades_envelope::parse(&bytes).map_err(|e| Problem::new(envelope_code(&e), e.to_string()))?;
    let id = envelope.key_id();
    evidence.key = Some(id);
    let trust = node.trust.get();
    let key = trust.keys.get(&id);
    node.limits.key(peer, id, key.is_some(), now_mono)?;
    let now_us = judged_time(node)?;
    let Some(key) = key else {
        return Err(Problem::new(codes::KEY_UNKNOWN, format!("no issuer has key {id}")).into());
    };
    if let Some(code) = key.refusal(now_us) {
        return Err(Problem::new(code, format!("key {id} of issuer {}", key.issuer)).into());
    }
    let verified = envelope
        .verify(&key.public, Purpose::Request)
        .map_err(|e| Problem::new(envelope_code(&e), e.to_string()))?;
    let request = Request::from_json(verified.payload()).map_err(Problem::from)?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    request
        .check(method.as_str(), path, &node.config.node, timestamp(now_us))
        .map_err(|refusal| Problem::new(refusal.code(), refusal.to_string()))?;
    if *method != Method::GET && request.issued_at.as_microsecond() < node.started_us {
        // Nonces from before the start are forgotten; nothing may be changed by what could be a repetition.
        let detail = format!("issued at {}, before this daemon was started", request.issued_at);
        return Err(Problem::new(codes::NONCE_REUSED, detail).into());
    }
    match node.nonces.take(id, request.nonce.0, request.forget_at().as_microsecond(), now_us) {
        Use::First => Ok(Caller::Issuer(key.issuer.clone())),
        Use::Again => {
            Err(Problem::new(codes::NONCE_REUSED, format!("nonce {} was used before", request.nonce)).into())
        }
        Use::Full => Err(Problem::new(codes::KEY_RATE_LIMITED, "too many requests are remembered")
            .retry_after(30)
            .into()),
    }
}

/// The envelope of an `Authorization` header.
fn decode(value: &[u8]) -> Result<Vec<u8>, Box<Problem>> {
    let malformed = |detail: &str| Problem::new(codes::AUTHORIZATION_MALFORMED, detail);
    let text = std::str::from_utf8(value).map_err(|error| malformed(&error.to_string()))?;
    let Some((scheme, envelope)) = text.split_once(' ') else {
        return Err(malformed("the header is not a scheme and an envelope").into());
    };
    if !scheme.eq_ignore_ascii_case(AUTHORIZATION_SCHEME) {
        return Err(malformed("the scheme is not Fades").into());
    }
    if envelope.len() > MAX_ENVELOPE {
        return Err(Problem::new(codes::ENVELOPE_TOO_LARGE, format!("{} characters", envelope.len())).into());
    }
    Base64UrlUnpadded::decode_vec(envelope)
        .map_err(|error| malformed(&format!("the envelope is not base64url: {error}")).into())
}
