//! Receipts: the node's signed statement that binds wrapper, images, data read and result.
//!
//! The payload has the form of an in-toto Statement v1: the subject is the result, by its digest, and the predicate
//! ([`Receipt`]) says where it comes from. It is JSON with the keys in the order of these types, no white space and no
//! floating point, so that a receipt has exactly one byte form; what does not read and write to the same bytes is
//! refused. A new key means a new predicate type: the receipt of a period of a persistent task was of the
//! second one, and those that say what left for what was read are of the third, which all are that nodes write today.

use crate::{Digest, EnvelopeError, KeyId, PublicKey, Purpose, SigningKey, parse, sign};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// `_type` of every receipt.
pub const STATEMENT_TYPE: &str = "https://in-toto.io/Statement/v1";
/// `predicateType` of receipts.
pub const PREDICATE_TYPE: &str = "urn:fades:receipt:v1";
/// `predicateType` of receipts that are about a period.
pub const PERIOD_PREDICATE_TYPE: &str = "urn:fades:receipt:v2";
/// `predicateType` of receipts that say what left for what was read, whether they are about a period or not.
pub const LEAK_PREDICATE_TYPE: &str = "urn:fades:receipt:v3";
/// Name of the one subject.
const SUBJECT: &str = "result";

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Statement<'a> {
    #[serde(rename = "_type")]
    statement_type: &'a str,
    subject: [Subject<'a>; 1],
    #[serde(rename = "predicateType")]
    predicate_type: &'a str,
    predicate: Receipt,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct Subject<'a> {
    name: &'a str,
    digest: SubjectDigest,
}

#[derive(Serialize, Deserialize, PartialEq)]
#[serde(deny_unknown_fields)]
struct SubjectDigest {
    sha256: Digest,
}

/// What a node states about one result.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// Task id (a ULID).
    pub task: String,
    /// The period, of a persistent task.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<PeriodRef>,
    /// The wrapper that asked for it.
    pub wrapper: WrapperRef,
    /// The images that did it.
    pub images: Images,
    /// The node it ran on.
    pub node: NodeRef,
    /// What was read, in the wrapper's order.
    pub operations: Vec<OperationRead>,
    /// The result.
    pub result: ResultRef,
    /// What left for what was read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leak: Option<Leak>,
    /// How long each stage took. Stages overlap, so they need not add up.
    pub timings_us: Timings,
    /// Which defences of the node were on and which off.
    pub defences: Defences,
    /// When the task began to run, by the node's clock.
    pub started: Timestamp,
    /// When the result was there, by the node's clock.
    pub ended: Timestamp,
}

/// The wrapper of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WrapperRef {
    /// SHA-256 of the wrapper's payload, as signed.
    pub sha256: Digest,
    /// Name of the issuer.
    pub issuer: String,
    /// The issuer's key that signed it.
    pub key: KeyId,
}

/// A period of a persistent task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PeriodRef {
    /// Its number, counted from 0.
    pub number: u64,
    /// When it was due.
    pub due: Timestamp,
    /// What each operation asked for, in the wrapper's order.
    pub windows: Vec<WindowRef>,
    /// SHA-256 of the state that the function was given; absent when it was given none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_before: Option<Digest>,
    /// SHA-256 of the state that it left; absent when it keeps none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state_after: Option<Digest>,
}

/// What an operation asked for in a period.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowRef {
    /// Operation id in the wrapper.
    pub id: String,
    /// First instant, inclusive.
    pub from: Timestamp,
    /// Last instant, exclusive.
    pub to: Timestamp,
}

/// The images of a task.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Images {
    /// The function.
    pub function: ImageRef,
    /// The broker.
    pub broker: ImageRef,
}

/// One image: `name@sha256:<digest>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ImageRef {
    /// Name in its manifest.
    pub name: String,
    /// SHA-256 of its manifest, which binds its parts.
    pub sha256: Digest,
}

/// The node, and how it ran the guests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NodeRef {
    /// Node id.
    pub id: String,
    /// The node's epoch when the wrapper was accepted.
    pub epoch: String,
    /// Backend: `qemu-tcg`, `qemu-kvm`, `xen`.
    pub backend: String,
}

/// What one operation read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OperationRead {
    /// Operation id in the wrapper.
    pub id: String,
    /// Name of the source.
    pub source: String,
    /// Points that reached the function.
    pub points: u64,
    /// Bytes of columns that reached the function.
    pub bytes: u64,
    /// Earliest time read; absent when there were no points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first: Option<Timestamp>,
    /// Latest time read; absent when there were no points.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<Timestamp>,
    /// Digest of the stream, on which broker and function agree.
    pub digest: Digest,
    /// How `digest` was made: `sha256-rapidhash3`, SHA-256 over a 64-bit hash of each frame's body; it binds nobody who may choose
    /// the data.
    pub digest_algorithm: String,
}

/// The result, by its digest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResultRef {
    /// SHA-256 of the result's bytes; the same as the subject's.
    pub sha256: Digest,
    /// Length in bytes.
    pub bytes: u64,
}

/// How much left for how much was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Leak {
    /// Bytes of columns that reached the function, of all operations.
    pub bytes_read: u64,
    /// Bytes of the result.
    pub bytes_sent: u64,
    /// Most bytes that might leave for 1,000 that were read, by the issuer's policy; absent without bound.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub budget_per_mille: Option<u32>,
}

/// Stages of DESIGN section 8, in microseconds of the node's monotonic clock. A stage that is not known when the
/// receipt is signed is absent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[expect(missing_docs, reason = "the stages are described where they are measured, DESIGN section 8")]
pub struct Timings {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verify: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub queue: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub boot: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retrieve: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub transfer: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub compute: Option<u64>,
    #[serde(rename = "return", skip_serializing_if = "Option::is_none")]
    pub return_: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
}

/// Defences by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Defences {
    /// Switched on.
    pub on: Vec<String>,
    /// Switched off or not to be had on this machine.
    pub off: Vec<String>,
}

/// Why a receipt is not believed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptError {
    /// Not an envelope, of another purpose, or not signed by this node.
    #[error("the receipt is not a valid envelope of this node")]
    Envelope(#[from] EnvelopeError),
    /// The payload is not a receipt of this version.
    #[error("the receipt's payload cannot be read")]
    Json(#[from] serde_json::Error),
    /// `_type` or `predicateType` or the subject's name is another.
    #[error("the receipt is {found:?}, expected {expected:?}")]
    Type {
        /// What it says.
        found: String,
        /// What it should say.
        expected: &'static str,
    },
    /// Written in another form than the one that we write.
    #[error("the receipt is not in its one written form")]
    NotCanonical,
    /// Subject and predicate name different results.
    #[error("the receipt's subject is {subject}, its predicate speaks of {predicate}")]
    Subject {
        /// Digest of the subject.
        subject: Digest,
        /// Digest in the predicate.
        predicate: Digest,
    },
    /// What it says left for what was read is not what it says of operations and result.
    #[error("the receipt's account of {} bytes sent for {} read is not that of its result and operations", .0.bytes_sent, .0.bytes_read)]
    Leak(Leak),
    /// The receipt is genuine, and of another result.
    #[error("the result has digest {found} and {bytes} bytes, the receipt is about {expected}")]
    Result {
        /// Digest in the receipt.
        expected: Digest,
        /// Digest of the result given.
        found: Digest,
        /// Length of the result given.
        bytes: u64,
    },
}

impl Receipt {
    /// Which of the predicate types this is of.
    const fn predicate_type(&self) -> &'static str {
        match (&self.leak, &self.period) {
            (Some(_), _) => LEAK_PREDICATE_TYPE,
            (None, Some(_)) => PERIOD_PREDICATE_TYPE,
            (None, None) => PREDICATE_TYPE,
        }
    }

    /// The payload: one line of JSON.
    fn to_payload(&self) -> Result<Vec<u8>, serde_json::Error> {
        serde_json::to_vec(&Statement {
            statement_type: STATEMENT_TYPE,
            subject: [Subject { name: SUBJECT, digest: SubjectDigest { sha256: self.result.sha256 } }],
            predicate_type: self.predicate_type(),
            predicate: self.clone(),
        })
    }

    /// Signs the receipt with the node's key.
    pub fn sign(&self, node: &SigningKey) -> Result<Vec<u8>, ReceiptError> {
        Ok(sign(node, Purpose::Receipt, &self.to_payload()?))
    }
}

/// Checks a receipt's signature and form and reads it, without the result at hand.
pub fn open_receipt(envelope: &[u8], node: &PublicKey) -> Result<Receipt, ReceiptError> {
    let payload = parse(envelope)?.verify(node, Purpose::Receipt)?.payload();
    let statement: Statement<'_> = serde_json::from_slice(payload)?;
    let expect = |found: &str, expected| {
        if found == expected { Ok(()) } else { Err(ReceiptError::Type { found: found.to_owned(), expected }) }
    };
    expect(statement.statement_type, STATEMENT_TYPE)?;
    expect(statement.predicate_type, statement.predicate.predicate_type())?;
    expect(statement.subject[0].name, SUBJECT)?;
    let (subject, receipt) = (statement.subject[0].digest.sha256, statement.predicate);
    if subject != receipt.result.sha256 {
        return Err(ReceiptError::Subject { subject, predicate: receipt.result.sha256 });
    }
    let bytes_read = receipt.operations.iter().fold(0u64, |sum, read| sum.saturating_add(read.bytes));
    if let Some(leak) =
        receipt.leak.filter(|leak| (leak.bytes_read, leak.bytes_sent) != (bytes_read, receipt.result.bytes))
    {
        return Err(ReceiptError::Leak(leak));
    }
    if receipt.to_payload()? != payload {
        return Err(ReceiptError::NotCanonical);
    }
    Ok(receipt)
}

/// Checks a receipt as [`open_receipt`] does, and that it is about exactly these bytes of a result.
pub fn verify_receipt(envelope: &[u8], node: &PublicKey, result: &[u8]) -> Result<Receipt, ReceiptError> {
    let receipt = open_receipt(envelope, node)?;
    let (found, bytes) = (Digest::of(result), result.len() as u64);
    if found != receipt.result.sha256 || bytes != receipt.result.bytes {
        return Err(ReceiptError::Result { expected: receipt.result.sha256, found, bytes });
    }
    Ok(receipt)
}
