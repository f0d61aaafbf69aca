//! Frames: a fixed little-endian header, then a body.
//!
//! ```text
//! 0..4    magic     "FDS1"
//! 4       version   2
//! 5       flags     0
//! 6..8    kind      u16
//! 8..12   stream    u32
//! 12..16  length    u32, of the body
//! 16..24  sequence  u64, per direction and stream, from 0
//! 24..28  CRC-32C over bytes 0..24 and the 8 bytes of the body's hash, little-endian
//! ```
//! The body's hash is rapidhash v3 without a seed ([`BodyHash`]): one look at the body serves the frame's check and the stream's
//! digest, at the speed of a copy also where an emulator runs the guest. Version 1 had the CRC over the body itself.

mod decode;
mod encode;
mod kind;

pub use decode::{Checker, Decoder};
pub use encode::{Encoder, encode, encode_with};
pub use kind::Kind;

use crate::batch::MAX_BATCH_LEN;
use crate::failure::Code;
use alloc::collections::BTreeMap;
use crc::{CRC_32_ISCSI, Crc, Table};
use rapidhash::v3::rapidhash_v3;

/// Bytes of a header.
pub const HEADER_LEN: usize = 28;
/// Longest body on a control connection: parameters (64 KiB), or 64 operations with their names.
pub const MAX_CONTROL_BODY: usize = 1024 * 1024;
/// Longest body on a data connection: a full chunk.
pub const MAX_DATA_BODY: usize = MAX_BATCH_LEN;
/// First bytes of every frame.
pub const MAGIC: [u8; 4] = *b"FDS1";
/// Version of the header.
pub const VERSION: u8 = 2;

/// Streams per connection and direction: one per operation of a task.
pub const MAX_STREAMS: usize = crate::control::MAX_OPERATIONS;

/// A frame whose header, length, CRC and sequence number were checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame<'a> {
    /// What the body is.
    pub kind: Kind,
    /// Stream it belongs to: 0 on control connections, the operation's index on data connections.
    pub stream: u32,
    /// Its number on this stream.
    pub sequence: u64,
    /// The body.
    pub body: &'a [u8],
    /// The body's hash.
    pub hash: BodyHash,
}

/// Why bytes are not the next frame, or a body cannot become one. After the first one a connection is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// Not a frame at all.
    #[error("frame starts with {0:02x?} instead of \"FDS1\"")]
    Magic([u8; 4]),
    /// A version that is not spoken here.
    #[error("frame version {0} is unknown")]
    Version(u8),
    /// Flags that mean nothing.
    #[error("frame flags {0:#04x} are unknown")]
    Flags(u8),
    /// The body is longer than this connection allows.
    #[error("body of {length} bytes in frame of kind {kind:?} is over {max}")]
    Length {
        /// The frame's kind.
        kind: Kind,
        /// Length claimed.
        length: u64,
        /// Length allowed.
        max: usize,
    },
    /// Header and body are not what was sent.
    #[error("CRC of frame {sequence} on stream {stream} is {computed:#010x}, not {stated:#010x}")]
    Crc {
        /// The frame's stream, as far as it can be trusted.
        stream: u32,
        /// The frame's sequence number, likewise.
        sequence: u64,
        /// CRC of what came.
        computed: u32,
        /// CRC in the header.
        stated: u32,
    },
    /// A frame is missing, or came twice.
    #[error("frame {found} on stream {stream} comes where {expected} was due")]
    Sequence {
        /// The stream.
        stream: u32,
        /// The number that was due.
        expected: u64,
        /// The number that came.
        found: u64,
    },
    /// More streams than a connection may have.
    #[error("stream {0} is one too many")]
    Streams(u32),
}

impl FrameError {
    /// The code under which this is told to others.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Crc { .. } => Code::Crc,
            Self::Sequence { .. } => Code::Sequence,
            _ => Code::Protocol,
        }
    }
}

/// Hash of a body: 64 bits that any accident changes. It is no cryptographic hash: who chooses both bodies can find two with the
/// same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BodyHash(u64);

impl BodyHash {
    /// The hash of these bytes.
    #[must_use]
    pub fn of(body: &[u8]) -> Self {
        Self(rapidhash_v3(body))
    }

    /// Its bytes, as they go into checks and digests.
    #[must_use]
    pub const fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

/// One table: there are 32 bytes for it in each frame.
static CRC: Crc<u32, Table<1>> = Crc::<u32, Table<1>>::new(&CRC_32_ISCSI);

/// CRC-32C of a header without its CRC, and a body's hash.
fn checksum(header: &[u8], body: BodyHash) -> u32 {
    let mut digest = CRC.digest();
    digest.update(header);
    digest.update(&body.to_bytes());
    digest.finalize()
}

/// Next sequence number per stream.
#[derive(Clone, Debug, Default)]
struct Sequences(BTreeMap<u32, u64>);

impl Sequences {
    /// The next number of `stream`, to be raised when it was used.
    fn next(&mut self, stream: u32) -> Result<&mut u64, FrameError> {
        if !self.0.contains_key(&stream) && self.0.len() == MAX_STREAMS {
            return Err(FrameError::Streams(stream));
        }
        Ok(self.0.entry(stream).or_insert(0))
    }
}
