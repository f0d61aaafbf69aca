//! `fades task result`: the aggregate, and whether its receipt holds. Checking needs no node.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use fades_api::codes;
use fades_api::http::{ResultDocument, TimingsUs};
use fades_api::task::TaskId;
use fades_envelope::{Digest, PublicKey, Receipt, parse, verify_receipt};
use serde_json::Value;

use super::{RequestKey, rows};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes, count, micros};

/// Largest saved document, bytes: above any result that a node lets out, twice over.
const DOCUMENT_BYTES: usize = 256 << 20;

/// Arguments of `fades task result`.
#[derive(Debug, Args)]
pub(crate) struct ResultOf {
    /// The task's id, or a file with what `-o json` printed before.
    task: String,
    #[command(flatten)]
    key: RequestKey,
    /// Check the receipt: the node's signature, the result's digest, and the wrapper's if one is given.
    #[arg(long)]
    verify: bool,
    /// The node's key: 64 digits, or a file with them. Without it the node's own word is taken, and that is said.
    #[arg(long, value_name = "KEY", requires = "verify")]
    node_key: Option<String>,
    /// The envelope that was submitted, to check that the receipt is about it.
    #[arg(long, value_name = "FILE", requires = "verify")]
    wrapper: Option<PathBuf>,
}

impl ResultOf {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let output = context.output();
        let document = self.document(context)?;
        if self.verify {
            let node = self.node_key(context)?;
            let wrapper = self.wrapper.as_deref().map(wrapper_digest).transpose()?;
            let receipt = verify(&document, &node, wrapper)?;
            output.note(&format!(
                "the receipt holds: node {} says that {} made this of {} operations for {}",
                receipt.node.id,
                receipt.images.function.name,
                receipt.operations.len(),
                receipt.wrapper.issuer
            ));
        }
        output.show(&document, describe)
    }

    fn document(&self, context: &Context) -> Result<ResultDocument> {
        if let Ok(id) = self.task.parse::<TaskId>() {
            let client = context.signing_client(self.key.key.as_deref())?;
            return context.run(async { Ok(client.result(id).await?) });
        }
        let path = Path::new(&self.task);
        if !path.exists() {
            return Err(Failure::usage(format!("{:?} is neither a task's id nor a file", self.task)));
        }
        serde_json::from_slice(&files::read(path, DOCUMENT_BYTES)?)
            .map_err(|error| Failure::usage(format!("{} is no result document: {error}", path.display())))
    }

    fn node_key(&self, context: &Context) -> Result<PublicKey> {
        if let Some(given) = &self.node_key {
            let path = Path::new(given);
            let text = if path.is_file() { files::read_text(path, 4096)? } else { given.clone() };
            return Ok(text.trim().parse()?);
        }
        let client = context.client();
        let info = context.run(async { Ok(client.node().await?) })?;
        let words = "the node's key was taken from the node itself; to be sure of it, give --node-key";
        context.output().note(words);
        Ok(info.public_key.parse()?)
    }
}

/// SHA-256 of the payload in an envelope.
fn wrapper_digest(path: &Path) -> Result<Digest> {
    let envelope = files::read_envelope(path)?;
    let parsed = parse(&envelope)
        .map_err(|error| Failure::new(codes::CBOR_MALFORMED, format!("{}: {error}", path.display())))?;
    // only its digest is used, and compared with what the node signed
    Ok(Digest::of(parsed.unverified_payload()))
}

/// Checks that a document is what the node of this key says it gave, and that what is shown is what was signed.
fn verify(document: &ResultDocument, node: &PublicKey, wrapper: Option<Digest>) -> Result<Receipt> {
    let decode = |what: &str, text: &str| {
        Base64UrlUnpadded::decode_vec(text).map_err(|error| {
            Failure::new(codes::RECEIPT_INVALID, format!("{what} is not base64url: {error}"))
        })
    };
    let receipt = decode("the receipt", &document.receipt)?;
    let result = decode("the result", &document.result_bytes)?;
    let receipt = verify_receipt(&receipt, node, &result)?;
    let mismatch = |message: String| Err(Failure::new(codes::RECEIPT_MISMATCH, message));
    if receipt.task != document.task.to_string() {
        return mismatch(format!("the receipt is about task {}, not {}", receipt.task, document.task));
    }
    if serde_json::from_slice::<Value>(&result).ok().as_ref() != Some(&document.result) {
        return mismatch("the result that is shown is not the one that was signed".to_owned());
    }
    match wrapper {
        Some(given) if given != receipt.wrapper.sha256 => {
            mismatch(format!("the receipt is about wrapper {}, not {given}", receipt.wrapper.sha256))
        }
        _ => Ok(receipt),
    }
}

/// The aggregate as a table where it has rows, then what it took.
pub(super) fn describe(document: &ResultDocument) -> String {
    let points: u64 = document.operations.iter().map(|operation| operation.points).sum();
    let written = Base64UrlUnpadded::decode_vec(&document.result_bytes).unwrap_or_default();
    let mut text = rows::aggregate(&written).unwrap_or_else(|| format!("{:#}\n", document.result));
    text += "\n";
    text += &Table::facts([
        ("task", document.task.to_string()),
        ("read at the edge", format!("{} points, {}", count(points), bytes(document.bytes_read))),
        ("sent out", bytes(document.bytes_sent)),
        ("times", times(&document.timings_us)),
    ])
    .text();
    text
}

/// Stages overlap, so they need not add up.
fn times(timings: &TimingsUs) -> String {
    let TimingsUs { verify, queue, boot, retrieve, transfer, compute, returned, total } = *timings;
    let stages = [
        ("verify", verify),
        ("queue", queue),
        ("boot", boot),
        ("retrieve", retrieve),
        ("transfer", transfer),
        ("compute", compute),
        ("return", returned),
    ];
    let words = stages.map(|(name, us)| format!("{name} {}", micros(us)));
    format!("{} in all; overlapping: {}", micros(total), words.join(", "))
}
