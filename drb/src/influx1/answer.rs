//! One answer from its first byte to its last: head, framing, documents.
//!
//! ```text
//! Head --200--> Documents --last chunk--> Whole
//!   \--else--> Refusal (its first bytes are kept as the reason)
//! ```
//! Whatever ends the answer before `Whole` is a failure, so that a part never passes for the whole.

use super::MAX_WORDS;
use super::document::{Asked, DocumentError, Parser, Stop};
use super::http::{Body, Framing, Head, HttpError};
use crate::columns::Columns;
use fades_wire::data::Tag;

/// Why an answer cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// Not HTTP as we know it.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// The contents.
    #[error(transparent)]
    Document(#[from] DocumentError),
    /// A status other than 200, with the source's words.
    #[error("the source answered with status {status}: {words}")]
    Status {
        /// The code.
        status: u16,
        /// Its reason.
        words: String,
    },
    /// 200, but not MessagePack.
    #[error("the answer is not MessagePack: is this an InfluxDB 1.x?")]
    Format,
    /// The connection ended before the answer did.
    #[error("the source closed the connection in the middle of its answer, after {points} points")]
    ClosedEarly {
        /// Points so far.
        points: u64,
    },
    /// The connection ended before the answer began.
    #[error("the source closed the connection without an answer")]
    NoAnswer,
}

/// What the reader takes next.
#[derive(Debug)]
enum Stage {
    Head,
    Documents(Body),
    Refusal { status: u16, body: Body, words: Vec<u8> },
    Whole,
}

/// Reads one answer.
#[derive(Debug)]
pub struct Answer {
    stage: Stage,
    parser: Parser,
    begun: bool,
}

impl Answer {
    /// The answer to this question, from its first byte.
    #[must_use]
    pub fn new(asked: Asked) -> Self {
        Self { stage: Stage::Head, parser: Parser::new(asked), begun: false }
    }

    /// Whether the answer has come to its end, whole.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        matches!(self.stage, Stage::Whole)
    }

    /// Tags of the series that [`Stop::Series`] told of.
    #[must_use]
    pub fn tags(&self) -> &[Tag] {
        self.parser.tags()
    }

    /// Rows without a value, which were left out.
    #[must_use]
    pub const fn nulls(&self) -> u64 {
        self.parser.nulls()
    }

    /// Takes bytes from the source and puts points into `columns`. Gives how many bytes were used and why it stopped;
    /// what was not used is to be given again, with more behind it if it stopped for [`Stop::NeedInput`].
    ///
    /// # Errors
    /// What no further bytes can repair.
    pub fn feed(&mut self, input: &[u8], columns: &mut Columns) -> Result<(usize, Stop), AnswerError> {
        let mut at = 0;
        self.begun |= !input.is_empty();
        loop {
            match &mut self.stage {
                Stage::Whole => return Ok((input.len(), Stop::NeedInput)),
                Stage::Head => {
                    let Some((length, head)) = Head::parse(&input[at..])? else {
                        return Ok((at, Stop::NeedInput));
                    };
                    at += length;
                    self.stage = judge(head)?;
                }
                Stage::Documents(body) => {
                    let (skip, count) = body.advance(&input[at..])?;
                    at += skip;
                    if body.is_done() {
                        self.parser.finish()?;
                        self.stage = Stage::Whole;
                        continue;
                    }
                    if count == 0 {
                        return Ok((at, Stop::NeedInput));
                    }
                    let (used, stop) = self.parser.feed(&input[at..at + count], columns)?;
                    body.taken(used);
                    at += used;
                    if stop != Stop::NeedInput {
                        return Ok((at, stop));
                    }
                }
                Stage::Refusal { status, body, words } => {
                    let (skip, count) = body.advance(&input[at..])?;
                    at += skip;
                    let kept = count.min(MAX_WORDS - words.len());
                    words.extend_from_slice(&input[at..at + kept]);
                    body.taken(count);
                    at += count;
                    if body.is_done() || words.len() == MAX_WORDS {
                        return Err(status_error(*status, words));
                    }
                    if count == 0 {
                        return Ok((at, Stop::NeedInput));
                    }
                }
            }
        }
    }

    /// The connection has ended. Fine only if the answer was whole.
    ///
    /// # Errors
    /// The answer was not whole; the reason is the source's own where it had begun to give one.
    pub fn closed(&self) -> Result<(), AnswerError> {
        match &self.stage {
            Stage::Whole => Ok(()),
            Stage::Refusal { status, words, .. } => Err(status_error(*status, words)),
            Stage::Head if !self.begun => Err(AnswerError::NoAnswer),
            _ => Err(AnswerError::ClosedEarly { points: self.parser.points() }),
        }
    }
}

/// What follows this head.
fn judge(head: Head) -> Result<Stage, AnswerError> {
    match head {
        Head { status: 200, framing: Framing::UntilClose, .. } => {
            Err(HttpError::Framing("none".to_owned()).into())
        }
        Head { status: 200, msgpack: true, framing, .. } => Ok(Stage::Documents(Body::new(framing))),
        Head { status: 200, .. } => Err(AnswerError::Format),
        Head { status, error: Some(words), .. } => Err(AnswerError::Status { status, words }),
        Head { status: status @ 300..=399, .. } => {
            Err(AnswerError::Status { status, words: "redirections are not followed".to_owned() })
        }
        Head { status, framing, .. } => {
            Ok(Stage::Refusal { status, body: Body::new(framing), words: Vec::new() })
        }
    }
}

/// A refusal's body for people: its printable part, which in MessagePack or JSON includes the words.
fn status_error(status: u16, body: &[u8]) -> AnswerError {
    let text = String::from_utf8_lossy(body);
    let words: String = text.chars().filter(|letter| !letter.is_control() && *letter != '\u{fffd}').collect();
    let words = if words.trim().is_empty() { "no reason given".to_owned() } else { words.trim().to_owned() };
    AnswerError::Status { status, words }
}
