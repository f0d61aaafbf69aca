//! Failures in words, with their numbers.

use crate::influx1::answer::AnswerError;
use crate::influx1::document::DocumentError;
use fades_influxql::QueryError;
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::FrameError;

/// Why a source's answer cannot be used.
pub(super) fn answer(error: &AnswerError) -> Failure {
    let code = match error {
        AnswerError::Status { status: 401 | 403, .. } => Code::SourceDenied,
        AnswerError::Status { .. } | AnswerError::Document(DocumentError::Refused(_)) => Code::SourceStatus,
        AnswerError::Http(_) | AnswerError::Format | AnswerError::Document(DocumentError::Malformed(_)) => {
            Code::SourceMalformed
        }
        AnswerError::Document(DocumentError::Type { .. }) => Code::SourceType,
        AnswerError::ClosedEarly { .. } | AnswerError::Document(DocumentError::Cut { .. }) => {
            Code::SourceClosedEarly
        }
        AnswerError::NoAnswer => Code::SourceUnreachable,
    };
    let words = match std::error::Error::source(error) {
        Some(cause) if !matches!(error, AnswerError::Document(_)) => format!("{error}: {cause}"),
        _ => error.to_string(),
    };
    Failure::new(code, words)
}

/// Why an operation cannot be asked of its source.
pub(super) fn query(error: &QueryError) -> Failure {
    Failure::new(Code::SourceQuery, error.to_string())
}

/// Why a function's bytes are not frames.
pub(super) fn frame(error: &FrameError) -> Failure {
    Failure::new(error.code(), format!("the function's frame: {error}"))
}
