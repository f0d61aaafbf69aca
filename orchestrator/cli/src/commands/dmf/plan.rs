//! `fades dmf plan`: what a task would read and take on a node, and whether it would be taken.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fades_api::codes;
use fades_api::http::{PlannedMemory, PlannedOperation, PlannedRead, TaskPlan};
use fades_api::task::Wrapper;
use fades_envelope::parse;

use crate::commands::task::{Completing, Input, read_input};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes, counted, micros};

/// How long a node may take: its sources count, one after the other if there are many.
const PATIENCE: Duration = Duration::from_secs(600);

/// Arguments of `fades dmf plan`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf plan task.toml --key issuer.key")]
pub(crate) struct Plan {
    /// The task as TOML or JSON, or an envelope that is signed already.
    #[arg(default_value = "task.toml")]
    file: PathBuf,
    /// The issuer's key; only its FILE.pub is read, for the issuer's name.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
    #[command(flatten)]
    completing: Completing,
}

impl Plan {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.operator()?.with_timeout(PATIENCE);
        let wrapper = self.wrapper(context)?;
        let plan: TaskPlan =
            context.run(async { Ok(client.call("POST", "/v1/admin/plans", Some(&wrapper)).await?) })?;
        context.output().show(&plan, text)?;
        let refused = plan.operations.iter().find_map(|operation| {
            let detail = operation.detail.as_deref().unwrap_or_default();
            Some(Failure::new(operation.code?, format!("operation {}: {detail}", operation.id)))
        });
        match (plan.verdict.code, refused) {
            (Some(code), _) => {
                let detail = plan.verdict.detail.unwrap_or_default();
                Err(Failure::new(code, format!("the node would refuse it: {detail}")))
            }
            (None, Some(failure)) => Err(failure),
            (None, None) => Ok(()),
        }
    }

    fn wrapper(&self, context: &Context) -> Result<Wrapper> {
        match read_input(&self.file)? {
            Input::Draft(draft) => {
                let proof = self.key.as_deref().map(files::proof_path);
                self.completing.complete_for(context, &draft, proof.as_deref(), |_| true)
            }
            // Its signature is looked at when it is submitted.
            Input::Envelope(envelope) => {
                let envelope = parse(&envelope)
                    .map_err(|error| Failure::new(codes::CBOR_MALFORMED, error.to_string()))?;
                Ok(Wrapper::from_json(envelope.unverified_payload())?)
            }
        }
    }
}

fn text(plan: &TaskPlan) -> String {
    let mut operations = Table::new(&[
        "operation",
        "source",
        "measurement",
        "field",
        ">series",
        ">points",
        ">bytes",
        ">chunks",
    ]);
    for operation in &plan.operations {
        operations.row(row(operation));
    }
    let mut facts = vec![
        (
            "verdict",
            if plan.verdict.accepted { "the node would take it" } else { "the node would REFUSE it" }
                .to_owned(),
        ),
        ("issuer", plan.issuer.to_string()),
        ("image", plan.image.to_string()),
        ("would read", amount(plan)),
        ("memory", memory(&plan.memory)),
        ("would take", expected(plan)),
    ];
    facts.extend(
        plan.periods
            .map(|count| ("periods", format!("{}; the first is told here", counted(count, "period")))),
    );
    format!("{}\n{}", operations.text(), Table::facts(facts).text())
}

fn row(operation: &PlannedOperation) -> [String; 8] {
    let number = |of: fn(&PlannedRead) -> String| operation.read.as_ref().map_or_else(|| "-".to_owned(), of);
    [
        operation.id.to_string(),
        operation.source.to_string(),
        operation.measurement.to_string(),
        operation.field.to_string(),
        number(|read| read.series.to_string()),
        number(|read| read.points.to_string()),
        number(|read| bytes(read.bytes)),
        number(|read| read.chunks.to_string()),
    ]
}

fn is_counted(plan: &TaskPlan) -> bool {
    plan.operations.iter().all(|operation| operation.read.is_some())
}

fn amount(plan: &TaskPlan) -> String {
    let PlannedRead { points, chunks, bytes: size, .. } = plan.read;
    let words = format!("{} in {}, {}", counted(points, "point"), counted(chunks, "chunk"), bytes(size));
    if is_counted(plan) { words } else { format!("{words}, and more: not all of it could be counted") }
}

fn memory(memory: &PlannedMemory) -> String {
    let mut words =
        format!("{} MiB asked for, this node has {} for a function", memory.asked_mib, memory.node_mib);
    if let Some(least) = memory.image_mib {
        words += &format!(", the image needs {least}");
    }
    if let Some(peak) = memory.heap_peak_bytes {
        words += &format!("; its heap was {} at most so far", bytes(peak));
    }
    words
}

fn expected(plan: &TaskPlan) -> String {
    let Some(expected) = plan.expected else {
        if !is_counted(plan) {
            return "not known".to_owned();
        }
        return "not known: this node has run nothing like it yet".to_owned();
    };
    let of = if expected.same_image { "of this image" } else { "of other images" };
    let tasks = counted(expected.tasks.into(), "earlier task");
    format!("{}, {} of it to boot; by {tasks} {of}", micros(expected.total_us), micros(expected.boot_us))
}
