//! Whether a result document is what its node signed: every figure that it shows and the receipt states.

use std::path::Path;

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_api::http::{OperationResult, PeriodResult, PeriodWindow, ResultDocument, TaskState, TimingsUs};
use fades_envelope::receipt::{OperationRead, PeriodRef, Timings};
use fades_envelope::{Digest, KeyId, PublicKey, Receipt, parse, verify_receipt};
use jiff::Timestamp;
use serde_json::Value;

use crate::failure::{Failure, Result};
use crate::files;

/// What a document holds and no receipt of this version states.
pub(super) const UNSIGNED: &str = "operations[].series, operations[].chunks and heap_peak_bytes";

/// SHA-256 of the payload in an envelope.
pub(super) fn wrapper_digest(path: &Path) -> Result<Digest> {
    let envelope = files::read_envelope(path)?;
    let parsed = parse(&envelope)
        .map_err(|error| Failure::new(codes::CBOR_MALFORMED, format!("{}: {error}", path.display())))?;
    // only its digest is used, and compared with what the node signed
    Ok(Digest::of(parsed.unverified_payload()))
}

/// The key id that a document's receipt claims, for telling people that they have mixed it up with the key.
pub(super) fn claimed_key(document: &ResultDocument) -> Option<KeyId> {
    let envelope = Base64UrlUnpadded::decode_vec(&document.receipt).ok()?;
    parse(&envelope).ok().map(|envelope| envelope.key_id())
}

/// Checks that a document is what the node of this key says it gave: after this all of it but [`UNSIGNED`] is signed.
pub(super) fn verify(
    document: &ResultDocument,
    node: &PublicKey,
    wrapper: Option<Digest>,
) -> Result<Receipt> {
    let decode = |what: &str, text: &str| {
        Base64UrlUnpadded::decode_vec(text).map_err(|error| {
            Failure::new(codes::RECEIPT_INVALID, format!("{what} is not base64url: {error}"))
        })
    };
    let receipt = decode("the receipt", &document.receipt)?;
    let result = decode("the result", &document.result_bytes)?;
    let receipt = verify_receipt(&receipt, node, &result)?;
    if let Some(given) = wrapper
        && given != receipt.wrapper.sha256
    {
        return Err(differs("wrapper", given, receipt.wrapper.sha256));
    }
    if serde_json::from_slice::<Value>(&result).ok().as_ref() != Some(&document.result) {
        let message = "`result` is not what the signed `result_bytes` say";
        return Err(Failure::new(codes::RECEIPT_MISMATCH, message));
    }
    figures(document, &receipt)?;
    Ok(receipt)
}

/// Compares every figure that both hold. The fields are taken apart, so that a new one cannot be forgotten.
fn figures(document: &ResultDocument, receipt: &Receipt) -> Result<()> {
    let ResultDocument {
        task,
        period,
        state,
        timings_us,
        operations,
        bytes_read,
        bytes_sent,
        result: _,
        result_bytes: _,
        receipt: _,
        heap_peak_bytes: _,
    } = document;
    same("task", &task.to_string(), &receipt.task)?;
    same("period", &period.is_some(), &receipt.period.is_some())?;
    if let (Some(shown), Some(signed)) = (period, &receipt.period) {
        of_period(shown, signed)?;
    }
    // a receipt is made for a success alone
    same("state", state, &TaskState::Succeeded)?;
    same("bytes_sent", bytes_sent, &receipt.result.bytes)?;
    same("operations", &operations.len(), &receipt.operations.len())?;
    for (at, (shown, signed)) in operations.iter().zip(&receipt.operations).enumerate() {
        operation(&format!("operations[{at}]"), shown, signed)?;
    }
    let read = receipt.operations.iter().fold(0u64, |sum, operation| sum.saturating_add(operation.bytes));
    same("bytes_read", bytes_read, &read)?;
    timings(timings_us, &receipt.timings_us)
}

fn of_period(shown: &PeriodResult, signed: &PeriodRef) -> Result<()> {
    let PeriodResult { number, due, windows, state_before, state_after } = shown;
    let digest =
        |digest: Option<Digest>| digest.map_or_else(|| "none".to_owned(), |digest| digest.to_string());
    let text = |text: &Option<String>| text.clone().unwrap_or_else(|| "none".to_owned());
    same("period.number", number, &signed.number)?;
    same("period.due", due, &signed.due)?;
    same("period.state_before", &text(state_before), &digest(signed.state_before))?;
    same("period.state_after", &text(state_after), &digest(signed.state_after))?;
    same("period.windows", &windows.len(), &signed.windows.len())?;
    for (at, (shown, signed)) in windows.iter().zip(&signed.windows).enumerate() {
        let PeriodWindow { id, from, to } = shown;
        same(&format!("period.windows[{at}].id"), &id.as_str(), &signed.id.as_str())?;
        same(&format!("period.windows[{at}].from"), from, &signed.from)?;
        same(&format!("period.windows[{at}].to"), to, &signed.to)?;
    }
    Ok(())
}

fn operation(at: &str, shown: &OperationResult, signed: &OperationRead) -> Result<()> {
    let OperationResult { id, points, bytes, first, last, digest, series: _, chunks: _ } = shown;
    let time = |time: &Option<Timestamp>| time.map_or_else(|| "none".to_owned(), |time| time.to_string());
    same(&format!("{at}.id"), &id.as_str(), &signed.id.as_str())?;
    same(&format!("{at}.points"), points, &signed.points)?;
    same(&format!("{at}.bytes"), bytes, &signed.bytes)?;
    same(&format!("{at}.first"), &time(first), &time(&signed.first))?;
    same(&format!("{at}.last"), &time(last), &time(&signed.last))?;
    same(&format!("{at}.digest"), digest, &signed.digest.to_string())
}

fn timings(shown: &TimingsUs, signed: &Timings) -> Result<()> {
    let TimingsUs { verify, queue, boot, retrieve, transfer, compute, returned, total } = shown;
    let stages = [
        ("verify", verify, signed.verify),
        ("queue", queue, signed.queue),
        ("boot", boot, signed.boot),
        ("retrieve", retrieve, signed.retrieve),
        ("transfer", transfer, signed.transfer),
        ("compute", compute, signed.compute),
        ("return", returned, signed.return_),
        ("total", total, signed.total),
    ];
    for (stage, shown, signed) in stages {
        // documents show a stage that nobody knows as 0
        same(&format!("timings_us.{stage}"), shown, &signed.unwrap_or(0))?;
    }
    Ok(())
}

fn same<T: PartialEq + std::fmt::Display>(figure: &str, shown: &T, signed: &T) -> Result<()> {
    if shown == signed { Ok(()) } else { Err(differs(figure, shown, signed)) }
}

fn differs(figure: &str, shown: impl std::fmt::Display, signed: impl std::fmt::Display) -> Failure {
    let message = format!("{figure} is {shown}, the receipt says {signed}");
    Failure::new(codes::RECEIPT_MISMATCH, message)
}
