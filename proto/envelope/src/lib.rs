//! The one signed envelope of Fades, for task wrappers, image manifests, receipts and requests alike.
//!
//! Strict COSE_Sign1: a signed object has exactly one byte form. [`sign`] writes it, [`parse`] reads it without any
//! cryptography, [`Unverified::verify`] checks who signed and what for. [`PublicKey`] exists only once admitted.
//!
//! ```
//! use fades_envelope::{Purpose, SigningKey, parse, sign};
//! let key = SigningKey::from_seed(&[7; 32]);
//! let bytes = sign(&key, Purpose::Task, b"{}");
//! let verified = parse(&bytes)?.verify(&key.public(), Purpose::Task)?;
//! assert_eq!(verified.payload(), b"{}");
//! # Ok::<(), fades_envelope::EnvelopeError>(())
//! ```
//!
//! A new purpose: add it to [`Purpose`], with its own aad and content type; the tests walk [`Purpose::ALL`].

#![forbid(unsafe_code)]

mod cbor;
mod digest;
mod envelope;
mod error;
mod key;
mod proof;
mod purpose;
pub mod receipt;
mod secret;
#[cfg(test)]
mod vectors;

pub use digest::{Digest, HexError, KeyId};
pub use envelope::{MAX_ENVELOPE, MEDIA_TYPE, Unverified, Verified, parse, sign};
pub use error::EnvelopeError;
pub use key::{KeyRefusal, PublicKey};
pub use proof::{Enrolment, ProofRefusal, check_proof, prove};
pub use purpose::Purpose;
pub use receipt::{Receipt, ReceiptError, open_receipt, verify_receipt};
pub use secret::{KeyFileError, SigningKey};
