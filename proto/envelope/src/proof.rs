//! Proof of possession: whoever enrols a key signs a statement that names it.
//!
//! An envelope of purpose request whose payload is `{"schema":"fades.key.v1","public_key":"<hex>","name":"…"}`. It is
//! what a service hands to a node's operator instead of a bare key.

use crate::{EnvelopeError, KeyRefusal, PublicKey, Purpose, SigningKey, parse, sign};
use serde::{Deserialize, Serialize};

const SCHEMA: &str = "fades.key.v1";

/// Longest name that a proof may carry, in bytes (that of a DNS name).
const MAX_NAME: usize = 253;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Statement {
    schema: String,
    public_key: String,
    name: String,
}

/// A key whose holder proved to have its secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enrolment {
    /// The admitted key.
    pub key: PublicKey,
    /// The name that the holder gave itself. Whether to believe it is the operator's business.
    pub name: String,
}

/// Why a proof of possession is refused.
#[derive(Debug, thiserror::Error)]
pub enum ProofRefusal {
    /// Not an envelope, of another purpose, or its signature is not by the key that it names.
    #[error("the proof of possession is not a valid envelope")]
    Envelope(#[from] EnvelopeError),
    /// The payload is not a key statement.
    #[error("the proof of possession does not hold a key statement")]
    Json(#[from] serde_json::Error),
    /// A statement of something else, for instance a request.
    #[error("the proof of possession has schema {0:?}, expected \"fades.key.v1\"")]
    Schema(String),
    /// A name that is empty, too long, or has other characters than letters, digits, `.`, `-` and `_`.
    #[error("the proof of possession has an unusable name {0:?}")]
    Name(String),
    /// The key itself is not admissible.
    #[error("the proof of possession names a key that is not admissible")]
    Key(#[from] KeyRefusal),
}

/// The proof that the holder of `key` asks to be known by `name` (letters, digits, `.`, `-`, `_`; at most 253 bytes).
pub fn prove(key: &SigningKey, name: &str) -> Result<Vec<u8>, ProofRefusal> {
    check_name(name)?;
    let statement =
        Statement { schema: SCHEMA.into(), public_key: key.public().to_string(), name: name.into() };
    Ok(sign(key, Purpose::Request, &serde_json::to_vec(&statement)?))
}

/// Admits the key of a proof: its form, then that its holder signed this very statement.
///
/// The key comes out of the payload before the signature is checked, as it is the key to check with; nothing else of
/// the payload is used before.
pub fn check_proof(envelope: &[u8]) -> Result<Enrolment, ProofRefusal> {
    let unverified = parse(envelope)?;
    let statement: Statement = serde_json::from_slice(unverified.unverified_payload())?;
    if statement.schema != SCHEMA {
        return Err(ProofRefusal::Schema(statement.schema));
    }
    let key: PublicKey = statement.public_key.parse()?;
    unverified.verify(&key, Purpose::Request)?;
    check_name(&statement.name)?;
    Ok(Enrolment { key, name: statement.name })
}

fn check_name(name: &str) -> Result<(), ProofRefusal> {
    let usable = |byte: u8| byte.is_ascii_alphanumeric() || b".-_".contains(&byte);
    // The first character must not be a dash or a dot: names become file names and arguments.
    let first = name.as_bytes().first().is_some_and(u8::is_ascii_alphanumeric);
    if first && name.len() <= MAX_NAME && name.bytes().all(usable) {
        Ok(())
    } else {
        Err(ProofRefusal::Name(name.chars().take(64).collect()))
    }
}
