//! What the store sends unasked.

use crate::reply::{self, ReplyError};
use crate::{Kind, Message, Path, Token, TooLong};

/// Something happened at a watched node or under it. The first event of a watch comes at once, for the watched
/// node itself, whether it is there or not; events may be joined, never lost.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WatchEvent {
    /// The node; relative if the watch was.
    pub path: Path,
    /// The watch.
    pub token: Token,
}

impl WatchEvent {
    /// Reads a message of kind [`Kind::WatchEvent`].
    ///
    /// # Errors
    /// It is of another kind, or does not hold a path and a token. Newer stores may add fields; they are left.
    pub fn decode(message: &Message) -> Result<Self, ReplyError> {
        let mut fields = reply::strings(reply::payload(Kind::WatchEvent, message)?)?;
        let (Some(path), Some(token)) = (fields.next(), fields.next()) else {
            return Err(ReplyError::Form { what: "path and token" });
        };
        Ok(Self {
            path: Path::from_bytes(path).map_err(ReplyError::Path)?,
            token: Token::from_bytes(token).map_err(ReplyError::Token)?,
        })
    }

    /// As the store sends it.
    ///
    /// # Errors
    /// None in fact: the longest path and token fit.
    pub fn message(&self) -> Result<Message, TooLong> {
        let fields = [self.path.as_str().as_bytes(), self.token.as_str().as_bytes()];
        Message::new(Kind::WatchEvent, 0, 0, reply::joined(fields))
    }
}
