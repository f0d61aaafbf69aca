//! What a client calls a watch.

use alloc::string::String;
use core::fmt;

/// Longest token in bytes: an event holds it beside the longest path and two NULs.
pub const TOKEN_MAX: usize = crate::PAYLOAD_MAX - crate::ABSOLUTE_MAX - 2;

/// A client's own name for a watch, which each of its events carries. Printable ASCII without spaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Token(String);

impl Token {
    /// Checks a token.
    ///
    /// # Errors
    /// It is empty, over [`TOKEN_MAX`] bytes, or has other characters.
    pub fn new(token: &str) -> Result<Self, TokenError> {
        let fits =
            (1..=TOKEN_MAX).contains(&token.len()) && token.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(token.into())) } else { Err(TokenError) }
    }

    /// Reads a token from a payload.
    ///
    /// # Errors
    /// As in [`Self::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TokenError> {
        core::str::from_utf8(bytes).map_or(Err(TokenError), Self::new)
    }

    /// As the wire has it, without the NUL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenError;

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a token is 1 to {TOKEN_MAX} printable ASCII characters without spaces")
    }
}

impl core::error::Error for TokenError {}
