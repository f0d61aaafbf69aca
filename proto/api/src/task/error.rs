//! Why a document is not a task wrapper.

use crate::codes::Code;

/// The first thing in a document that does not keep to the schema.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}{message}", Place(path))]
pub struct TaskError {
    /// Reason of the E13xx range.
    pub code: Code,
    /// Where: `drb.operations[0].measurement`; empty for the document as a whole.
    pub path: String,
    /// What is wrong, with the value.
    pub message: String,
    /// What to do.
    pub hint: String,
}

impl TaskError {
    /// An error with the catalogue's own hint.
    #[must_use]
    pub fn new(code: Code, path: impl Into<String>, message: impl Into<String>) -> Self {
        Self { code, path: path.into(), message: message.into(), hint: code.hint().to_owned() }
    }

    /// The same with a hint for this very case.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }
}

/// A path and its colon, or nothing.
struct Place<'a>(&'a str);

impl std::fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if self.0.is_empty() { Ok(()) } else { write!(f, "{}: ", self.0) }
    }
}
