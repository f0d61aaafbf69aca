//! The envelope itself: COSE_Sign1 (RFC 9052 §4.2) in the one byte form that is accepted.
//!
//! ```text
//! d2                      tag 18
//! 84                      array of 4
//!    58 .. a3             protected header, a byte string holding a map of 3:
//!       01 27                1 (algorithm): -8 (EdDSA)
//!       03 78 .. <text>      3 (content type): one of four
//!       04 58 20 <32>        4 (key id): SHA-256 of the public key
//!    a0                   unprotected header: empty
//!    .. <payload>         byte string
//!    58 40 <64>           signature
//! ```
//!
//! Every byte of this is either fixed or a length in its shortest form, so what [`parse`] accepts is what [`sign`]
//! writes, byte for byte.

use crate::{
    Digest, EnvelopeError, KeyId, PublicKey, Purpose, SigningKey,
    cbor::{Major, Reader, write_bytes, write_head, write_text},
};

/// Largest envelope that is read, in bytes (DESIGN: a wrapper is small; its data stays at the edge).
pub const MAX_ENVELOPE: usize = 64 * 1024;

/// Value of HTTP's `Content-Type` for an envelope.
pub const MEDIA_TYPE: &str = "application/cose; cose-type=\"cose-sign1\"";

const LABEL_ALGORITHM: i128 = 1;
const LABEL_CONTENT_TYPE: i128 = 3;
const LABEL_KEY_ID: i128 = 4;
const EDDSA: i128 = -8;

/// Signs `payload` for `purpose`.
///
/// The result is always of the profile; one above [`MAX_ENVELOPE`] bytes is written all the same, and refused by
/// [`parse`], so whoever signs foreign content looks at the length.
pub fn sign(key: &SigningKey, purpose: Purpose, payload: &[u8]) -> Vec<u8> {
    let protected = protected_header(purpose, key.public().id());
    let signature = key.sign(&to_be_signed(&protected, purpose, payload));
    let mut out = Vec::with_capacity(payload.len() + protected.len() + 80);
    write_head(&mut out, Major::Tag, 18);
    write_head(&mut out, Major::Array, 4);
    write_bytes(&mut out, &protected);
    write_head(&mut out, Major::Map, 0);
    write_bytes(&mut out, payload);
    write_bytes(&mut out, &signature);
    out
}

fn protected_header(purpose: Purpose, key_id: KeyId) -> Vec<u8> {
    let mut out = Vec::with_capacity(80);
    write_head(&mut out, Major::Map, 3);
    write_head(&mut out, Major::Unsigned, 1);
    write_head(&mut out, Major::Negative, 7);
    write_head(&mut out, Major::Unsigned, 3);
    write_text(&mut out, purpose.content_type());
    write_head(&mut out, Major::Unsigned, 4);
    write_bytes(&mut out, &key_id.0);
    out
}

/// `Sig_structure` (RFC 9052 §4.4) around the protected header as it was received.
fn to_be_signed(protected: &[u8], purpose: Purpose, payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(payload.len() + protected.len() + 48);
    write_head(&mut out, Major::Array, 4);
    write_text(&mut out, "Signature1");
    write_bytes(&mut out, protected);
    write_bytes(&mut out, purpose.aad().as_bytes());
    write_bytes(&mut out, payload);
    out
}

/// Reads an envelope of the strict profile, without any cryptography. Distrusts every byte; does not allocate, and
/// looks at each byte at most once.
pub fn parse(bytes: &[u8]) -> Result<Unverified<'_>, EnvelopeError> {
    if bytes.len() > MAX_ENVELOPE {
        return Err(EnvelopeError::TooLarge { size: bytes.len(), limit: MAX_ENVELOPE });
    }
    let mut reader = Reader::new(bytes);
    reader.exactly(Major::Tag, 18, "tag 18 (COSE_Sign1)")?;
    reader.exactly(Major::Array, 4, "an array of 4")?;
    let protected = reader.bytes("the protected header as a byte string")?;
    let (purpose, key_id) = parse_protected(protected)?;
    match reader.head(Major::Map, "the unprotected header as a map")? {
        0 => {}
        entries => return Err(EnvelopeError::Unprotected { entries }),
    }
    let payload = reader.bytes("the payload as a byte string")?;
    let signature = reader.array::<64>("a signature of 64 bytes")?;
    reader.end()?;
    Ok(Unverified { protected, purpose, key_id, payload, signature })
}

fn parse_protected(protected: &[u8]) -> Result<(Purpose, KeyId), EnvelopeError> {
    let mut reader = Reader::new(protected);
    reader.exactly(Major::Map, 3, "a map of 3 as the protected header")?;
    label(&mut reader, LABEL_ALGORITHM)?;
    match reader.integer("the algorithm as an integer")? {
        EDDSA => {}
        found => return Err(EnvelopeError::Algorithm { found }),
    }
    label(&mut reader, LABEL_CONTENT_TYPE)?;
    let text = reader.text("the content type as text")?;
    let purpose = Purpose::from_content_type(text).ok_or_else(|| EnvelopeError::ContentType {
        found: String::from_utf8_lossy(&text[..text.len().min(64)]).into_owned(),
    })?;
    label(&mut reader, LABEL_KEY_ID)?;
    let key_id = KeyId(*reader.array::<32>("a key id of 32 bytes")?);
    reader.end()?;
    Ok((purpose, key_id))
}

fn label(reader: &mut Reader<'_>, expected: i128) -> Result<(), EnvelopeError> {
    match reader.integer("a header label")? {
        found if found == expected => Ok(()),
        found => Err(EnvelopeError::Label { expected, found }),
    }
}

/// An envelope of the right shape. Nothing in it is to be believed yet.
#[derive(Clone, Copy, Debug)]
pub struct Unverified<'a> {
    protected: &'a [u8],
    purpose: Purpose,
    key_id: KeyId,
    payload: &'a [u8],
    signature: &'a [u8; 64],
}

impl<'a> Unverified<'a> {
    /// The key that is said to have signed, for looking it up and for limits before verification.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// The purpose that the content type says.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The content type as text; one of the four of [`Purpose::content_type`].
    pub fn content_type(&self) -> &'static str {
        self.purpose.content_type()
    }

    /// The payload of somebody unknown: for showing an object to a person, never for acting on it.
    pub fn unverified_payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Checks that `key` signed exactly these bytes for `wanted`. The cheap refusals (key, purpose) come first; a bad
    /// signature costs what a good one does.
    pub fn verify(self, key: &PublicKey, wanted: Purpose) -> Result<Verified<'a>, EnvelopeError> {
        let given = key.id();
        if self.key_id != given {
            return Err(EnvelopeError::WrongKey { found: self.key_id, given });
        }
        if self.purpose != wanted {
            return Err(EnvelopeError::Purpose { wanted, found: self.purpose });
        }
        if !key.verifies(&to_be_signed(self.protected, wanted, self.payload), self.signature) {
            return Err(EnvelopeError::Signature { key: given });
        }
        Ok(Verified { payload: self.payload, key_id: given, purpose: wanted })
    }
}

/// An envelope whose signature was checked. Made by [`Unverified::verify`] alone.
#[derive(Clone, Copy, Debug)]
pub struct Verified<'a> {
    payload: &'a [u8],
    key_id: KeyId,
    purpose: Purpose,
}

impl<'a> Verified<'a> {
    /// The signed bytes, as received.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// SHA-256 of the signed bytes: what replay state, receipts and image names speak of.
    pub fn payload_digest(&self) -> Digest {
        Digest::of(self.payload)
    }

    /// The key that signed.
    pub fn key_id(&self) -> KeyId {
        self.key_id
    }

    /// What it was signed for.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }
}
