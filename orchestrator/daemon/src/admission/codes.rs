//! Which code each refusal of the envelope crate gets.

use fades_api::codes::{self, Code};
use fades_envelope::{EnvelopeError, KeyRefusal, ProofRefusal};

/// CBOR's `null`: what a detached payload looks like.
const NULL: u8 = 0xf6;

/// The code of an envelope's refusal.
#[must_use]
pub fn envelope_code(error: &EnvelopeError) -> Code {
    match error {
        EnvelopeError::TooLarge { .. } => codes::ENVELOPE_TOO_LARGE,
        EnvelopeError::Shape { found: NULL, expected, .. } if expected.contains("payload") => {
            codes::PAYLOAD_DETACHED
        }
        EnvelopeError::Shape { expected, .. } | EnvelopeError::Count { expected, .. } => part_code(expected),
        EnvelopeError::Truncated { .. } => codes::CBOR_MALFORMED,
        EnvelopeError::Indefinite { .. } | EnvelopeError::NotMinimal { .. } => codes::NOT_DETERMINISTIC,
        EnvelopeError::Trailing { .. } => codes::TRAILING_BYTES,
        EnvelopeError::Unprotected { .. } => codes::UNPROTECTED_NOT_EMPTY,
        EnvelopeError::Label { .. } => codes::PROTECTED_HEADERS_WRONG,
        EnvelopeError::Algorithm { .. } => codes::ALGORITHM_REFUSED,
        EnvelopeError::ContentType { .. } => codes::CONTENT_TYPE_REFUSED,
        EnvelopeError::Purpose { .. } => codes::PURPOSE_WRONG,
        EnvelopeError::WrongKey { .. } | EnvelopeError::Signature { .. } => codes::SIGNATURE_INVALID,
    }
}

/// The code of a part that is of another type or length than the one possible there.
fn part_code(expected: &str) -> Code {
    if expected.contains("tag 18") || expected.contains("array of 4") {
        codes::NOT_SIGN1
    } else if expected.contains("key id") {
        codes::KEY_ID_MALFORMED
    } else if expected.contains("signature") {
        codes::SIGNATURE_LENGTH
    } else if expected.contains("protected header") && !expected.contains("unprotected")
        || expected.contains("label")
    {
        codes::PROTECTED_HEADERS_WRONG
    } else {
        codes::CBOR_MALFORMED
    }
}

/// The code of a refused proof of possession.
#[must_use]
pub fn proof_code(error: &ProofRefusal) -> Code {
    match error {
        ProofRefusal::Key(KeyRefusal::Hex(_)) => codes::KEY_LENGTH,
        ProofRefusal::Key(KeyRefusal::NotAPoint) => codes::KEY_NOT_A_POINT,
        ProofRefusal::Key(KeyRefusal::NotCanonical) => codes::KEY_NOT_CANONICAL,
        ProofRefusal::Key(KeyRefusal::SmallOrder) => codes::KEY_SMALL_ORDER,
        ProofRefusal::Key(KeyRefusal::MixedOrder) => codes::KEY_MIXED_ORDER,
        ProofRefusal::Name(_) => codes::NAME_REFUSED,
        _ => codes::POSSESSION_NOT_PROVEN,
    }
}
