//! Answers: JSON, and problems as RFC 9457.

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use fades_api::codes;
use fades_api::http::{AUTHORIZATION_SCHEME, PROBLEM_MEDIA_TYPE, Problem};
use serde::Serialize;

use crate::store::StoreError;

/// An answer that is a problem.
#[derive(Debug)]
pub struct Refused(pub Box<Problem>);

impl From<Problem> for Refused {
    fn from(problem: Problem) -> Self {
        Self(Box::new(problem))
    }
}

impl From<Box<Problem>> for Refused {
    fn from(problem: Box<Problem>) -> Self {
        Self(problem)
    }
}

impl From<StoreError> for Refused {
    fn from(error: StoreError) -> Self {
        store_problem(&error).into()
    }
}

/// What a client is told of a store that fails; the log tells the rest.
#[must_use]
pub fn store_problem(error: &StoreError) -> Problem {
    tracing::error!(%error, cause = ?error, "the store failed");
    let code = match error {
        StoreError::Record { .. } | StoreError::Meta { .. } => codes::STORE_RECORD_MALFORMED,
        StoreError::TooNew { .. } => codes::STORE_NEWER,
        _ => codes::STORE_WRITE_FAILED,
    };
    Problem::new(code, error.to_string())
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let problem = *self.0;
        let status = StatusCode::from_u16(problem.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = Response::new(Body::from(problem.to_json()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(PROBLEM_MEDIA_TYPE));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = problem.retry_after_s {
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds));
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(AUTHORIZATION_SCHEME));
        }
        if status == StatusCode::REQUEST_TIMEOUT || status == StatusCode::PAYLOAD_TOO_LARGE {
            // What follows on this connection is the rest of a body that nobody wants.
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        // For those who count refusals on the way out.
        response.extensions_mut().insert(problem.code);
        response
    }
}

/// A JSON answer with a status.
pub fn json(status: StatusCode, value: &impl Serialize) -> Response {
    match serde_json::to_vec(value) {
        Ok(bytes) => {
            let headers = [
                (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
                (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
            ];
            (status, headers, bytes).into_response()
        }
        Err(error) => Refused::from(Problem::new(codes::INTERNAL, error.to_string())).into_response(),
    }
}
