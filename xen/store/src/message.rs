//! A header of four little-endian numbers, and a payload.
//!
//! ```text
//! 0..4    kind         u32
//! 4..8    request      u32, chosen by the client, the same in the reply
//! 8..12   transaction  u32, 0 outside of one
//! 12..16  length       u32, of the payload
//! ```

use crate::Kind;
use alloc::vec::Vec;
use core::fmt;

/// Bytes of a header.
pub const HEADER_LEN: usize = 16;
/// Longest payload (`XENSTORE_PAYLOAD_MAX`).
pub const PAYLOAD_MAX: usize = 4096;

/// What stands in front of a payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// What the message is.
    pub kind: Kind,
    /// Number that joins request and reply; 0 in events.
    pub request: u32,
    /// Transaction it belongs to; 0 for none.
    pub transaction: u32,
    /// Bytes of payload that follow. The sender's claim, unchecked here.
    pub length: u32,
}

impl Header {
    /// As it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let words = [u32::from(self.kind), self.request, self.transaction, self.length].map(u32::to_le_bytes);
        core::array::from_fn(|i| words[i / 4][i % 4])
    }

    /// Any 16 bytes are a header.
    #[must_use]
    pub fn decode(bytes: &[u8; HEADER_LEN]) -> Self {
        let word = |at: usize| u32::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
        Self { kind: Kind::from(word(0)), request: word(4), transaction: word(8), length: word(12) }
    }

    /// The length claimed, if a payload may have it.
    ///
    /// # Errors
    /// It is over [`PAYLOAD_MAX`].
    pub fn payload_len(&self) -> Result<usize, TooLong> {
        match usize::try_from(self.length) {
            Ok(length) if length <= PAYLOAD_MAX => Ok(length),
            Ok(_) | Err(_) => Err(TooLong { kind: self.kind, length: u64::from(self.length) }),
        }
    }
}

/// A header and the payload that it claims.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    header: Header,
    payload: Vec<u8>,
}

impl Message {
    /// A message to be sent.
    ///
    /// # Errors
    /// The payload is over [`PAYLOAD_MAX`] bytes.
    pub fn new(kind: Kind, request: u32, transaction: u32, payload: Vec<u8>) -> Result<Self, TooLong> {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let header = Header { kind, request, transaction, length };
        header.payload_len()?;
        Ok(Self { header, payload })
    }

    /// Joins what the decoder checked.
    pub(crate) const fn from_parts(header: Header, payload: Vec<u8>) -> Self {
        Self { header, payload }
    }

    /// What stands in front.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// What the message is.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        self.header.kind
    }

    /// The payload, of at most [`PAYLOAD_MAX`] bytes.
    #[must_use]
    pub fn payload(&self) -> &[u8] {
        &self.payload
    }

    /// As it goes over the wire.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER_LEN + self.payload.len());
        bytes.extend_from_slice(&self.header.encode());
        bytes.extend_from_slice(&self.payload);
        bytes
    }
}

/// A payload is over [`PAYLOAD_MAX`]. On a connection nothing can be read after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooLong {
    /// What the message is, or says it is.
    pub kind: Kind,
    /// Its length, or the length it claims, in bytes.
    pub length: u64,
}

impl fmt::Display for TooLong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kind, length } = self;
        write!(f, "payload of {length} bytes in a message of kind {kind:?} is over {PAYLOAD_MAX}")
    }
}

impl core::error::Error for TooLong {}
