//! Refusals and failures as RFC 9457 problems.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::codes::Code;
use crate::task::TaskError;

/// Media type of a [`Problem`].
pub const PROBLEM_MEDIA_TYPE: &str = "application/problem+json";

/// A problem (RFC 9457, section 3) with the project's code.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Problem {
    /// `urn:fades:code:E1203`: an identifier, not an address.
    #[serde(rename = "type")]
    pub kind: String,
    /// The code's title.
    pub title: String,
    /// HTTP status.
    pub status: u16,
    /// What happened this time, with the values.
    pub detail: String,
    /// The code; `fades explain` tells more.
    pub code: Code,
    /// What to do.
    pub hint: String,
    /// Where in the document, if the reason lies in one place.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// How long to wait, seconds, if waiting helps.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after_s: Option<u64>,
}

impl Problem {
    /// A problem with the catalogue's words and status.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            kind: format!("urn:fades:code:{code}"),
            title: code.title().to_owned(),
            status: code.status(),
            detail: detail.into(),
            code,
            hint: code.hint().to_owned(),
            path: None,
            retry_after_s: None,
        }
    }

    /// The same with how long to wait.
    #[must_use]
    pub fn retry_after(mut self, seconds: u64) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// JSON bytes.
    pub fn to_json(&self) -> Vec<u8> {
        crate::json::to_bytes(self)
    }
}

impl From<TaskError> for Problem {
    fn from(error: TaskError) -> Self {
        let mut problem = Self::new(error.code, error.to_string());
        problem.hint = error.hint;
        problem.path = (!error.path.is_empty()).then_some(error.path);
        problem
    }
}
