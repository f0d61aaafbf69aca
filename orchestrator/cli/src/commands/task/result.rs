//! `fades task result`: the aggregate, and whether its receipt holds. Checking needs no node.

use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use fades_api::http::{ResultDocument, TimingsUs};
use fades_api::task::TaskId;
use fades_envelope::PublicKey;

use super::periods::of_result;
use super::receipt::{UNSIGNED, claimed_key, verify, wrapper_digest};
use super::{RequestKey, rows};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Output, Table, bytes, counted, micros};

/// Largest saved document, bytes: above any result that a node lets out, twice over.
const DOCUMENT_BYTES: usize = 256 << 20;

/// Arguments of `fades task result`.
#[derive(Debug, Args)]
pub(crate) struct ResultOf {
    /// The task's id, or a file with what `-o json` printed before.
    task: String,
    #[command(flatten)]
    key: RequestKey,
    /// Check the receipt: the node's signature, the result's digest, every figure that the receipt states, and the
    /// wrapper's digest if one is given. --node-key and --wrapper mean it, too.
    #[arg(long)]
    verify: bool,
    /// The node's public key: 64 digits, or a file with them, such as node.pub in the node's folder. Without it the
    /// node's own word is taken, and that is said.
    #[arg(long, value_name = "KEY")]
    node_key: Option<String>,
    /// The result of this period of a persistent task, counted from 0; without it that of the latest one that gave any.
    #[arg(long, value_name = "N")]
    period: Option<u64>,
    /// The envelope that was submitted, to check that the receipt is about it.
    #[arg(long, value_name = "FILE")]
    wrapper: Option<PathBuf>,
}

impl ResultOf {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let output = context.output();
        let document = self.document(context)?;
        if self.verify || self.node_key.is_some() || self.wrapper.is_some() {
            let node = self.node_key(context, &document)?;
            let wrapper = self.wrapper.as_deref().map(wrapper_digest).transpose()?;
            let receipt = verify(&document, &node, wrapper)?;
            output.note(&format!(
                "the receipt holds: node {} says that {} made this of {} for {}",
                receipt.node.id,
                receipt.images.function.name,
                counted(receipt.operations.len() as u64, "operation"),
                receipt.wrapper.issuer
            ));
            if output.is_json() {
                output.note(&format!("all that is shown is signed but {UNSIGNED}"));
            }
        }
        show(output, &document)
    }

    fn document(&self, context: &Context) -> Result<ResultDocument> {
        if let Ok(id) = self.task.parse::<TaskId>() {
            let client = context.signing_client(self.key.key.as_deref())?;
            return context.run(async {
                Ok(match self.period {
                    Some(period) => client.period_result(id, period).await?,
                    None => client.result(id).await?,
                })
            });
        }
        if self.period.is_some() {
            return Err(Failure::usage(format!("{:?} is no task's id, and --period needs one", self.task)));
        }
        let path = Path::new(&self.task);
        if !path.exists() {
            return Err(Failure::usage(format!("{:?} is neither a task's id nor a file", self.task)));
        }
        serde_json::from_slice(&files::read(path, DOCUMENT_BYTES)?)
            .map_err(|error| Failure::usage(format!("{} is no result document: {error}", path.display())))
    }

    fn node_key(&self, context: &Context, document: &ResultDocument) -> Result<PublicKey> {
        if let Some(given) = &self.node_key {
            let path = Path::new(given);
            let text = if path.is_file() { files::read_text(path, 4096)? } else { given.clone() };
            let digits = text.trim();
            if claimed_key(document).is_some_and(|id| id.to_string() == digits) {
                return Err(Failure::usage(format!("{digits} is the node's key id, not its public key"))
                    .hint("`fades status` on the node shows the public key, and node.pub in its folder holds it."));
            }
            return digits.parse::<PublicKey>().map_err(|error| {
                let failure = Failure::from(error);
                let message = format!("--node-key {given:?}: {}", failure.message);
                Failure { message, ..failure }
                    .hint("Give the 64 digits of the node's public key, or a file with them: node.pub in its folder.")
            });
        }
        let client = context.client()?;
        let info = context.run(async { Ok(client.node().await?) })?;
        let words = "the node's key was taken from the node itself; to be sure of it, give --node-key";
        context.output().note(words);
        Ok(info.public_key.parse()?)
    }
}

/// Shows a document, and says which operations had nothing to read: most often a name is misspelt.
pub(super) fn show(output: Output, document: &ResultDocument) -> Result<()> {
    output.show(document, describe)?;
    for operation in document.operations.iter().filter(|operation| operation.points == 0) {
        output.note(&format!(
            "warning: operation {} read 0 points; is its measurement, its field or its range of times misspelt?",
            operation.id
        ));
    }
    Ok(())
}

/// The aggregate as a table where it has rows, then what it took.
fn describe(document: &ResultDocument) -> String {
    let points: u64 = document.operations.iter().map(|operation| operation.points).sum();
    let written = Base64UrlUnpadded::decode_vec(&document.result_bytes).unwrap_or_default();
    let mut text = rows::aggregate(&written).unwrap_or_else(|| format!("{:#}\n", document.result));
    text += "\n";
    let mut facts = vec![("task", document.task.to_string())];
    facts.extend(document.period.as_ref().map(|period| ("period", of_result(period))));
    facts.extend([
        ("read at the edge", format!("{}, {}", counted(points, "point"), bytes(document.bytes_read))),
        ("sent out", bytes(document.bytes_sent)),
    ]);
    facts.extend(document.heap_peak_bytes.map(|peak| ("heap at most", bytes(peak))));
    facts.push(("times", times(&document.timings_us)));
    text += &Table::facts(facts).text();
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
