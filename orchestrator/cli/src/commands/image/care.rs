//! `fades image rm` and `fades image gc`.

use std::time::Duration;

use clap::Args;
use fades_api::client::ClientError;
use fades_api::codes;
use fades_api::http::{GarbageReport, GarbageRequest, ImageView};
use fades_api::task::ImageReference;
use serde::Serialize;

use super::on_node::{OnNode, Which, short};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Table, bytes, counted, short_digest};

/// How often tasks are cancelled that come while others end.
const ROUNDS: usize = 5;

/// Arguments of `fades image rm`.
#[derive(Debug, Args)]
pub(crate) struct Rm {
    /// NAME@sha256:DIGEST, or NAME:VERSION or NAME where that means one image.
    image: Which,
    /// Cancel the tasks that need it and wait for their end, then remove it. The broker's own stays.
    #[arg(long)]
    cancel: bool,
    /// Longest wait for cancelled tasks to end, seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, requires = "cancel")]
    wait_s: u64,
}

/// Arguments of `fades image gc`.
#[derive(Debug, Args)]
pub(crate) struct Gc {
    /// Tell what would go, and leave it.
    #[arg(long)]
    dry_run: bool,
    /// Keep only the N newest versions of each name that policies allow by name. Builds that a policy names by their digest
    /// stay, and those at a floor.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    keep: Option<u32>,
}

/// What was removed.
#[derive(Debug, Serialize)]
struct Removed {
    removed: ImageReference,
}

impl Rm {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        context.run(async {
            let node = OnNode::new(context)?;
            let mut image = node.only(&self.image).await?;
            for _ in 0..ROUNDS {
                match remove(&node, &image).await {
                    Err(ClientError::Problem { problem })
                        if problem.code == codes::IMAGE_IN_USE && self.cancel && !image.broker =>
                    {
                        let wait = Duration::from_secs(self.wait_s);
                        let ended = tokio::time::timeout(wait, end_tasks(&node, &image)).await;
                        ended.map_err(|_elapsed| {
                            let what = counted(image.tasks.len() as u64, "task");
                            Failure::new(
                                codes::CLIENT_TIMED_OUT,
                                format!("{what} did not end within {} s", self.wait_s),
                            )
                        })??;
                        image = node.only(&self.image).await?;
                    }
                    other => {
                        other?;
                        return context
                            .output()
                            .show(&Removed { removed: image.reference.clone() }, |removed| {
                                format!("image {} is removed\n", removed.removed)
                            });
                    }
                }
            }
            let why = format!("tasks that need {} keep coming", short(&image));
            Err(Failure::new(codes::IMAGE_IN_USE, why).hint("Take it out of the issuers' policies first."))
        })
    }
}

async fn remove(node: &OnNode, image: &ImageView) -> std::result::Result<(), ClientError> {
    let path = format!("/v1/admin/images/{}", image.reference.digest_hex());
    node.client().call::<Option<()>>("DELETE", &path, None::<&()>).await.map(|_none| ())
}

/// Cancels what needs an image, and waits until all of it has ended.
async fn end_tasks(node: &OnNode, image: &ImageView) -> Result<()> {
    for id in &image.tasks {
        match node.client().cancel(*id).await {
            Err(ClientError::Problem { problem }) if problem.code == codes::TASK_ALREADY_ENDED => {}
            other => drop(other?),
        }
    }
    for id in &image.tasks {
        node.client().wait(*id, |_| {}).await?;
    }
    Ok(())
}

impl Gc {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let request = GarbageRequest { dry_run: self.dry_run, keep: self.keep };
        let client = context.operator()?;
        let report: GarbageReport =
            context.run(async { Ok(client.call("POST", "/v1/admin/images/gc", Some(&request)).await?) })?;
        context.output().show(&report, text)
    }
}

fn text(report: &GarbageReport) -> String {
    let mut table = Table::new(&["image", "version", ">size", "why"]);
    for image in &report.removed {
        let digest = image.reference.digest_hex();
        table.row([
            format!("{}@sha256:{}", image.reference.name, short_digest(&digest)),
            image.version.clone(),
            bytes(image.size),
            image.why.clone(),
        ]);
    }
    let verb = if report.dry_run { "would go" } else { "removed" };
    let (images, kept) = (counted(report.removed.len() as u64, "image"), report.kept);
    let sum = format!("{images} {verb}, {}; {kept} kept\n", bytes(report.bytes));
    if report.removed.is_empty() { sum } else { table.text() + &sum }
}
