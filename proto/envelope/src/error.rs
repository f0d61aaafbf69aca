//! Why an envelope is refused. Each variant is one stable reason; the daemon gives each its code.

use crate::{KeyId, Purpose};

/// Why bytes are not an envelope of the strict profile, or do not verify. `at` counts bytes of the part being read:
/// the envelope, or its protected header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvelopeError {
    /// Larger than any envelope may be; nothing was read.
    #[error("the envelope has {size} bytes, at most {limit} are read")]
    TooLarge {
        /// Size given, in bytes.
        size: usize,
        /// [`crate::MAX_ENVELOPE`].
        limit: usize,
    },
    /// The input ends before what it announces.
    #[error("{wanted} bytes are announced at byte {at}, {left} are left")]
    Truncated {
        /// Where the missing bytes would begin.
        at: usize,
        /// How many were announced or needed.
        wanted: u64,
        /// How many there are.
        left: usize,
    },
    /// Another CBOR type than the one possible there; untagged messages end here.
    #[error("expected {expected} at byte {at}, found a head of {found:#04x}")]
    Shape {
        /// Where.
        at: usize,
        /// What belongs there.
        expected: &'static str,
        /// The initial byte found.
        found: u8,
    },
    /// The right type with another number: tag, entries of an array or of a map, bytes of a key id or of a signature.
    #[error("expected {expected} at byte {at}, found {found}")]
    Count {
        /// Where.
        at: usize,
        /// What belongs there.
        expected: &'static str,
        /// The number found.
        found: u64,
    },
    /// A length that is not given in advance.
    #[error("indefinite length at byte {at}")]
    Indefinite {
        /// Where.
        at: usize,
    },
    /// A number or length in a longer form than needed.
    #[error("{argument} at byte {at} is not in its shortest form")]
    NotMinimal {
        /// Where.
        at: usize,
        /// The number.
        argument: u64,
    },
    /// Bytes after the end: a second envelope, or anything else.
    #[error("{count} bytes follow the end at byte {at}")]
    Trailing {
        /// Where the end was.
        at: usize,
        /// How many follow.
        count: usize,
    },
    /// The header that nobody signs is not empty.
    #[error("the unprotected header has {entries} entries, it must be empty")]
    Unprotected {
        /// Entries announced.
        entries: u64,
    },
    /// The protected header is not {1, 3, 4} in this order: a label is missing, unknown, doubled or out of place.
    #[error("protected header: expected label {expected}, found {found}")]
    Label {
        /// The label that belongs there.
        expected: i128,
        /// The label found.
        found: i128,
    },
    /// Signed by another algorithm than EdDSA (-8).
    #[error("algorithm {found} is not EdDSA (-8)")]
    Algorithm {
        /// COSE number of the algorithm.
        found: i128,
    },
    /// A content type that is none of ours.
    #[error("content type {found:?} is not one of this system")]
    ContentType {
        /// The type found, shortened.
        found: String,
    },
    /// Signed for something else.
    #[error("signed as {}, wanted {}", found.content_type(), wanted.content_type())]
    Purpose {
        /// What is wanted here.
        wanted: Purpose,
        /// What the content type says.
        found: Purpose,
    },
    /// Names another key than the one given.
    #[error("signed by key {found}, checked with key {given}")]
    WrongKey {
        /// Key id in the envelope.
        found: KeyId,
        /// Id of the key given.
        given: KeyId,
    },
    /// The signature is not by this key over these bytes for this purpose.
    #[error("the signature does not verify with key {key}")]
    Signature {
        /// Id of the key that was tried.
        key: KeyId,
    },
}
