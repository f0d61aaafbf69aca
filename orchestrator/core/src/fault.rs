//! Why tasks fail: a code of the catalogue and words, from whatever went wrong below.

use std::error::Error as _;

use fades_api::codes::{self, Code};
use fades_wire::exit::ExitCode;
use fades_wire::failure::{self, Failure};

use crate::backend::{BackendError, ExitCause, GuestExit};

/// Longest [`Fault::message`], bytes. Guests write part of it, so it must not carry much out.
pub const MAX_MESSAGE: usize = 1024;

/// A reason with its code.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The kind of reason.
    pub code: Code,
    /// In words, for people; at most [`MAX_MESSAGE`] bytes.
    pub message: String,
}

impl Fault {
    /// A reason in these words, cut at the cap.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        failure::clip(&mut message, MAX_MESSAGE);
        Self { code, message }
    }

    /// What a guest reported about itself or its stream.
    #[must_use]
    pub fn reported(who: &str, failure: &Failure) -> Self {
        Self::new(code_of(failure.code), format!("{who}: {}", failure.message))
    }

    /// A guest that a backend could not start, with all causes.
    #[must_use]
    pub fn not_started(error: &BackendError) -> Self {
        let mut message = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            message = format!("{message}: {error}");
            cause = error.source();
        }
        Self::new(error.code(), message)
    }

    /// A guest that ended although nobody had asked it to.
    #[must_use]
    pub fn ended(who: &str, exit: &GuestExit) -> Self {
        let code = match &exit.cause {
            ExitCause::Code(code) if *code == ExitCode::Panic as i32 => codes::GUEST_PANICKED,
            ExitCause::Code(code) if *code == ExitCode::OutOfMemory as i32 => codes::GUEST_OUT_OF_MEMORY,
            ExitCause::Code(_) => codes::GUEST_EXITED,
            ExitCause::Panicked { .. } => codes::GUEST_PANICKED,
            ExitCause::OutOfMemory { .. } => codes::GUEST_OUT_OF_MEMORY,
            ExitCause::LoaderError { .. } => codes::GUEST_LOADER_FAILED,
            ExitCause::Died { .. } => codes::DOMAIN_DIED,
            ExitCause::Signal(_) => codes::GUEST_KILLED_BY_SIGNAL,
            // Only its time limit ends a guest that the engine did not stop.
            ExitCause::Killed => codes::GUEST_TIMED_OUT,
        };
        Self::new(code, format!("{who} {}", exit.words()))
    }
}

/// The catalogue's code for a guest's failure number.
fn code_of(code: failure::Code) -> Code {
    use failure::Code as F;
    match code {
        F::SourceUnreachable => codes::SOURCE_UNREACHABLE,
        F::SourceStatus => codes::SOURCE_STATUS,
        F::SourceMalformed => codes::SOURCE_MALFORMED,
        F::SourceType => codes::SOURCE_TYPE,
        F::SourceSilent => codes::SOURCE_SILENT,
        F::SourceClosedEarly => codes::SOURCE_CLOSED_EARLY,
        F::SourceTooLarge => codes::SOURCE_ENDLESS,
        F::SourceDenied => codes::SOURCE_CREDENTIALS,
        F::SourceQuery => codes::SOURCE_QUERY_REFUSED,
        F::Protocol | F::Unsupported => codes::GUEST_PROTOCOL,
        F::Crc => codes::STREAM_CRC,
        F::Sequence => codes::STREAM_SEQUENCE,
        F::Digest => codes::STREAM_DIGEST,
        F::TicketUnknown => codes::TICKET_UNKNOWN,
        F::ClosedEarly => codes::GUEST_CONTROL_LOST,
        F::CreditExceeded => codes::FLOW_CONTROL_BROKEN,
        F::PeerSilent => codes::GUEST_SILENT,
        F::Memory => codes::GUEST_OUT_OF_MEMORY,
        F::Parameters => codes::FUNCTION_PARAMETERS,
        F::Function => codes::FUNCTION_FAILED,
        F::ResultTooLarge => codes::RESULT_TOO_LARGE,
        F::Cancelled => codes::GUEST_CANCELLED,
        F::Deadline => codes::GUEST_TIMED_OUT,
        F::Panic => codes::GUEST_PANICKED,
        F::State => codes::STATE_REFUSED,
        _ => codes::GUEST_FAILURE_UNKNOWN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_known_failure_has_a_code_of_its_own_kind() {
        for code in failure::Code::ALL {
            assert_ne!(code_of(*code), codes::GUEST_FAILURE_UNKNOWN, "{code}");
            let is_source = (100..200).contains(&u16::from(*code));
            assert_eq!((4000..5000).contains(&code_of(*code).number()), is_source, "{code}");
        }
        assert_eq!(code_of(failure::Code::Unknown(999)), codes::GUEST_FAILURE_UNKNOWN);
    }

    #[test]
    fn a_guest_that_is_not_started_has_the_code_of_its_cause() {
        use std::io;

        use crate::backend::{BackendKind, Lack};

        let unusable =
            |lack| BackendError::Unusable { kind: BackendKind::Xen, lack, reason: "it is not".into() };
        let (name, reason) = ("dmf-7".to_owned(), "too much".to_owned());
        let cases = [
            (unusable(Lack::Other), codes::BACKEND_NONE, "xen cannot be used: it is not"),
            (unusable(Lack::Dom0), codes::XEN_NOT_DOM0, "xen cannot be used: it is not"),
            (unusable(Lack::Toolstack), codes::XEN_TOOLSTACK_MISSING, "xen cannot be used: it is not"),
            (unusable(Lack::Version), codes::XEN_TOO_OLD, "xen cannot be used: it is not"),
            (unusable(Lack::Mended), codes::MONITOR_HAS_HOLE, "xen cannot be used: it is not"),
            (
                BackendError::Memory { name: name.clone(), reason: reason.clone() },
                codes::DOMAIN_MEMORY,
                "guest dmf-7: too much",
            ),
            (BackendError::Spec { name, reason }, codes::GUEST_START_FAILED, "guest dmf-7: too much"),
            (
                BackendError::Io {
                    action: "ask".to_owned(),
                    source: io::Error::other(BackendError::Io {
                        action: "hear".to_owned(),
                        source: io::Error::other("deaf"),
                    }),
                },
                codes::GUEST_START_FAILED,
                "could not ask: could not hear: deaf",
            ),
        ];
        for (error, code, message) in cases {
            assert_eq!(Fault::not_started(&error), Fault { code, message: message.to_owned() });
        }
    }

    #[test]
    fn words_of_guests_are_cut() {
        let long = Fault::new(codes::GUEST_PANICKED, "ä".repeat(5000));
        assert!(long.message.len() <= MAX_MESSAGE);
    }
}
