//! Reasons for which an operation or a function fails, with numbers that never change.

use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// Longest [`Failure::message`] in bytes: a few lines for people, never data.
pub const MAX_MESSAGE: usize = 1024;

/// What failed, by number, and in words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// The number.
    pub code: Code,
    /// The words: lower case, naming the value at fault; at most [`MAX_MESSAGE`] bytes.
    #[serde(with = "crate::cap::Text::<MAX_MESSAGE>")]
    pub message: String,
}

impl Failure {
    /// A failure in these words, cut at the cap.
    #[must_use]
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        let mut message = message.into();
        clip(&mut message, MAX_MESSAGE);
        Self { code, message }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

/// Cuts `text` to at most `max` bytes, at a character's boundary.
pub fn clip(text: &mut String, max: usize) {
    if text.len() > max {
        let end = (0..=max).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0);
        text.truncate(end);
    }
}

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// Number of a [`Failure`]. 1xx: the source; 2xx: the connection; 3xx: the function or the task.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        #[serde(from = "u16", into = "u16")]
        #[non_exhaustive]
        pub enum Code {
            $($(#[$doc])* $variant,)*
            /// A number that this version does not know.
            Unknown(u16),
        }

        impl Code {
            /// Every known code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Short name in words with dashes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Unknown(_) => "unknown",
                }
            }
        }

        impl From<Code> for u16 {
            fn from(code: Code) -> Self {
                match code {
                    $(Code::$variant => $number,)*
                    Code::Unknown(number) => number,
                }
            }
        }

        impl From<u16> for Code {
            fn from(number: u16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }
    };
}

codes! {
    /// No connection to the source came about.
    SourceUnreachable = 101 "source-unreachable",
    /// The source answered with an error of its own (status, or an error document).
    SourceStatus = 102 "source-status",
    /// The source's answer is not in the promised format.
    SourceMalformed = 103 "source-malformed",
    /// A value in the answer is of another type than a number.
    SourceType = 104 "source-type",
    /// The source said nothing for too long.
    SourceSilent = 105 "source-silent",
    /// The source closed the connection before its answer was whole.
    SourceClosedEarly = 106 "source-closed-early",
    /// The source's answer is larger than the operation may be.
    SourceTooLarge = 107 "source-too-large",
    /// The source refused the credentials.
    SourceDenied = 108 "source-denied",
    /// The operation's name, field or tag cannot be expressed for this source.
    SourceQuery = 109 "source-query",
    /// A peer broke the protocol.
    Protocol = 201 "protocol",
    /// A frame's CRC is wrong.
    Crc = 202 "crc",
    /// A frame's sequence number is not the next one.
    Sequence = 203 "sequence",
    /// Counts or digest at a stream's end are not what was received.
    Digest = 204 "digest",
    /// No stream is waiting under this ticket.
    TicketUnknown = 205 "ticket-unknown",
    /// The peer closed the connection before the stream's end.
    ClosedEarly = 206 "closed-early",
    /// More was sent than credit was granted for.
    CreditExceeded = 207 "credit-exceeded",
    /// The peer did not connect or said nothing for too long.
    PeerSilent = 208 "peer-silent",
    /// Memory ran out, or a budget of it.
    Memory = 301 "memory",
    /// The function refused its parameters.
    Parameters = 302 "parameters",
    /// The function returned an error.
    Function = 303 "function",
    /// The result is larger than the task allows.
    ResultTooLarge = 304 "result-too-large",
    /// The task was cancelled.
    Cancelled = 305 "cancelled",
    /// The task's time was up.
    Deadline = 306 "deadline",
    /// The guest panicked.
    Panic = 307 "panic",
    /// The guest cannot do what was asked: unknown source kind, too many operations.
    Unsupported = 308 "unsupported",
    /// The function cannot take up the state that it had kept, or has made one that cannot be kept.
    State = 309 "state",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(number) => write!(f, "unknown failure {number}"),
            known => f.write_str(known.name()),
        }
    }
}
