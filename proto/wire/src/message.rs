//! Strict postcard: one value has exactly one byte form.
//!
//! postcard's own `from_bytes` leaves trailing bytes unnoticed and accepts over-long integers. Here nothing
//! may be left over, and the value encoded again must equal the input.

use alloc::vec::Vec;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why bytes are not a message, or a value cannot become one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MessageError {
    /// postcard refused: truncated, an invalid value, or a count over its cap.
    #[error("body of {length} bytes does not decode")]
    Decode {
        /// Length of the body in bytes.
        length: usize,
        /// What postcard says.
        #[source]
        source: postcard::Error,
    },
    /// Bytes are left over behind the message.
    #[error("{0} bytes left over behind the message")]
    LeftOver(usize),
    /// The same value has another byte form: the input was not written by us.
    #[error("body is not in its shortest form")]
    NotCanonical,
    /// A value is over one of its caps.
    #[error("message does not encode")]
    Encode(#[source] postcard::Error),
    /// This kind of frame means nothing on this connection.
    #[error("unexpected frame kind {0:#06x}")]
    UnexpectedKind(u16),
    /// A chunk's body is not a batch.
    #[error("chunk is not a batch")]
    Batch(#[from] crate::batch::BatchError),
}

/// Encodes a value as a frame's body.
///
/// # Errors
/// [`MessageError::Encode`] if a text, list or byte string is over its cap.
pub fn to_body<T: Serialize + ?Sized>(value: &T) -> Result<Vec<u8>, MessageError> {
    postcard::to_allocvec(value).map_err(MessageError::Encode)
}

/// Decodes a frame's body.
///
/// # Errors
/// Anything but the one byte form of a `T` within its caps.
pub fn from_body<T: Serialize + DeserializeOwned>(body: &[u8]) -> Result<T, MessageError> {
    let (value, rest) = postcard::take_from_bytes::<T>(body)
        .map_err(|source| MessageError::Decode { length: body.len(), source })?;
    if !rest.is_empty() {
        return Err(MessageError::LeftOver(rest.len()));
    }
    if to_body(&value)? != body {
        return Err(MessageError::NotCanonical);
    }
    Ok(value)
}
