//! Why a command did not do what was asked: words for people, a code for both, a number for scripts.

use fades_api::client::ClientError;
use fades_api::codes::{self, Code};
use fades_api::task::TaskError;
use fades_envelope::{KeyFileError, KeyRefusal, ProofRefusal, ReceiptError};
use fades_pack::ImageError;
use serde::Serialize;

use crate::exit::Exit;

/// Why a command failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure {
    /// How the program ends.
    pub(crate) exit: Exit,
    /// The reason's code, where it has one.
    pub(crate) code: Option<Code>,
    /// What happened, with the values.
    pub(crate) message: String,
    /// What to do; may be empty.
    pub(crate) hint: String,
}

/// A command's answer.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// With a code of the catalogue, its hint and its exit code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        Self { exit: Exit::of(code), code: Some(code), message: message.into(), hint: code.hint().to_owned() }
    }

    /// Without a code: the arguments do not fit together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, code: None, message: message.into(), hint: String::new() }
    }

    /// Without a code: the system said no.
    pub(crate) fn system(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let message = format!("{what}: {}", chain(error));
        Self { exit: Exit::Failed, code: None, message, hint: String::new() }
    }

    /// The same with another thing to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// As one JSON document.
    pub(crate) fn document(&self) -> impl Serialize + '_ {
        #[derive(Serialize)]
        struct Document<'a> {
            code: Option<Code>,
            message: &'a str,
            #[serde(skip_serializing_if = "str::is_empty")]
            hint: &'a str,
            exit: u8,
        }
        Document { code: self.code, message: &self.message, hint: &self.hint, exit: self.exit as u8 }
    }
}

/// An error with its causes, joined by colons.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let words = cause.to_string();
        // transparent layers repeat the words of what they wrap
        if !text.ends_with(&words) {
            text = format!("{text}: {words}");
        }
        source = cause.source();
    }
    text
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        match &error {
            // the node's own words and hint, which know more than the catalogue
            ClientError::Problem { problem } => {
                let hint = match problem.retry_after_s {
                    Some(seconds) => format!("{} (in {seconds} s)", problem.hint),
                    None => problem.hint.clone(),
                };
                Self::new(problem.code, problem.detail.clone()).hint(hint)
            }
            _ => Self::new(error.code(), chain(&error)),
        }
    }
}

impl From<TaskError> for Failure {
    fn from(error: TaskError) -> Self {
        Self::new(error.code, error.to_string()).hint(error.hint)
    }
}

impl From<KeyFileError> for Failure {
    fn from(error: KeyFileError) -> Self {
        let code = match &error {
            KeyFileError::Exposed { .. } => codes::KEY_FILE_OPEN_TO_OTHERS,
            _ => codes::KEY_FILE_UNREADABLE,
        };
        Self::new(code, chain(&error))
    }
}

impl From<ProofRefusal> for Failure {
    fn from(error: ProofRefusal) -> Self {
        let code = match &error {
            ProofRefusal::Key(refusal) => key_code(*refusal),
            _ => codes::POSSESSION_NOT_PROVEN,
        };
        Self::new(code, chain(&error))
    }
}

impl From<KeyRefusal> for Failure {
    fn from(error: KeyRefusal) -> Self {
        let failure = Self::new(key_code(error), chain(&error));
        match error {
            // mistyped, not refused
            KeyRefusal::Hex(_) => Self { exit: Exit::Usage, ..failure },
            _ => failure,
        }
    }
}

fn key_code(refusal: KeyRefusal) -> Code {
    match refusal {
        KeyRefusal::Hex(_) => codes::KEY_LENGTH,
        KeyRefusal::NotAPoint => codes::KEY_NOT_A_POINT,
        KeyRefusal::NotCanonical => codes::KEY_NOT_CANONICAL,
        KeyRefusal::SmallOrder => codes::KEY_SMALL_ORDER,
        KeyRefusal::MixedOrder => codes::KEY_MIXED_ORDER,
    }
}

impl From<ReceiptError> for Failure {
    fn from(error: ReceiptError) -> Self {
        let code = match &error {
            ReceiptError::Result { .. } => codes::RECEIPT_MISMATCH,
            _ => codes::RECEIPT_INVALID,
        };
        Self::new(code, chain(&error))
    }
}

impl From<ImageError> for Failure {
    fn from(error: ImageError) -> Self {
        Self::new(codes::IMAGE_NOT_ONE, chain(&error))
    }
}

#[cfg(test)]
mod tests {
    use fades_api::http::Problem;

    use super::*;

    #[test]
    fn a_problem_keeps_the_nodes_words() {
        let mut problem = Problem::new(codes::KEY_RATE_LIMITED, "too many under key 12").retry_after(7);
        problem.hint = "Wait.".to_owned();
        let failure = Failure::from(ClientError::Problem { problem: Box::new(problem) });
        assert_eq!(failure.message, "too many under key 12");
        assert_eq!(failure.hint, "Wait. (in 7 s)");
        assert_eq!((failure.exit, failure.code), (Exit::Refused, Some(codes::KEY_RATE_LIMITED)));
    }

    #[test]
    fn causes_are_told_once() {
        let error = KeyFileError::Io {
            action: "open",
            path: "x.key".into(),
            source: std::io::Error::other("no such thing"),
        };
        let failure = Failure::from(error);
        assert_eq!(failure.message, "cannot open key file x.key: no such thing");
        assert_eq!(failure.exit, Exit::Usage);
        let json = serde_json::to_value(failure.document()).unwrap();
        assert_eq!((&json["code"], &json["exit"]), (&"E1126".into(), &2.into()));
    }
}
