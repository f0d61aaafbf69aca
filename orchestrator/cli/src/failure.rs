//! Why a command did not do what was asked: words for people, a code for both, a number for scripts.

use fades_api::client::ClientError;
use fades_api::codes::{self, Code};
use fades_api::task::{TaskError, TaskId};
use fades_envelope::{KeyFileError, KeyRefusal, ProofRefusal, ReceiptError};
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
    /// The task that the node has accepted before this, for scripts.
    pub(crate) task: Option<TaskId>,
}

/// A command's answer.
pub(crate) type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    /// With a code of the catalogue, its hint and its exit code.
    pub(crate) fn new(code: Code, message: impl Into<String>) -> Self {
        let (message, hint) = (message.into(), code.hint().to_owned());
        Self { exit: Exit::of(code), code: Some(code), message, hint, task: None }
    }

    /// Without a code: the arguments do not fit together.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self { exit: Exit::Usage, code: None, message: message.into(), hint: String::new(), task: None }
    }

    /// Without a code: the system said no.
    pub(crate) fn system(what: impl std::fmt::Display, error: &dyn std::error::Error) -> Self {
        let message = format!("{what}: {}", chain(error));
        Self { exit: Exit::Failed, code: None, message, hint: String::new(), task: None }
    }

    /// The same with another thing to do.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The same, after the node has accepted a task: whoever reads this needs its id.
    #[must_use]
    pub(crate) fn after_accepting(mut self, task: TaskId) -> Self {
        if !self.message.contains(&task.to_string()) {
            self.message = format!("task {task} is accepted, but then: {}", self.message);
        }
        if matches!(self.code, Some(codes::NODE_UNREACHABLE | codes::CLIENT_TIMED_OUT | codes::SHUTTING_DOWN))
        {
            self.hint = format!(
                "The node keeps the task: `fades task watch {task}` follows it, `fades task cancel {task}` ends it."
            );
        }
        self.task = Some(task);
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
            #[serde(skip_serializing_if = "Option::is_none")]
            task: Option<TaskId>,
        }
        let Self { exit, code, message, hint, task } = self;
        Document { code: *code, message, hint, exit: *exit as u8, task: *task }
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
            // the node speaks of the header that programs send
            ClientError::Problem { problem } if problem.code == codes::AUTHORIZATION_MISSING => Self::new(
                problem.code,
                problem.detail.clone(),
            )
            .hint("Give the issuer's key: --key FILE. On the node itself its folder is enough: --node DIR/."),
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
        // What `fades key new` calls the public half.
        if let KeyFileError::Exposed { path, .. } | KeyFileError::Format { path, .. } = &error
            && crate::files::read_proof(path).is_ok()
        {
            let message = format!("{} is the public half of a key, which signs nothing", path.display());
            let hint = format!("Give the key itself: {}.", path.with_extension("").display());
            return Self::new(codes::KEY_FILE_UNREADABLE, message).hint(hint);
        }
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
    fn an_accepted_task_is_named_once() {
        let task: TaskId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let lost = Failure::new(codes::NODE_UNREACHABLE, "node x cannot be reached").after_accepting(task);
        assert_eq!(lost.message, format!("task {task} is accepted, but then: node x cannot be reached"));
        assert!(lost.hint.contains(&format!("fades task watch {task}")), "{}", lost.hint);
        assert_eq!(lost.exit, Exit::Unreachable);
        assert_eq!(serde_json::to_value(lost.document()).unwrap()["task"], task.to_string());
        let failed = Failure::new(codes::GUEST_PANICKED, format!("task {task} failed"));
        assert_eq!(failed.clone().after_accepting(task).message, failed.message);
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
