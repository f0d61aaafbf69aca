//! `fades dmf run`: the real unikernel, on a node that lives for this one task.

use std::path::PathBuf;

use clap::Args;
use fades_api::codes;
use fades_envelope::SigningKey;
use serde::Serialize;

use super::build::packed;
use super::host::{self, HostRun};
use super::project::Where;
use super::trial::{Outcome, Trial};
use crate::commands::init::Backend;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Table, bytes, counted, micros};

/// Arguments of `fades dmf run`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf run --data data/points.lp --backend qemu-tcg")]
pub(crate) struct Run {
    #[command(flatten)]
    place: Where,
    /// The task; from the crate's folder.
    #[arg(long, value_name = "FILE", default_value = "task.toml")]
    task: PathBuf,
    /// The readings: line protocol (.lp), .csv, or recorded (.fpt).
    #[arg(long, value_name = "FILE", default_value = "data/points.lp")]
    data: PathBuf,
    /// What runs the guests.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

/// Both runs.
#[derive(Debug, Serialize)]
struct Ran {
    result: serde_json::Value,
    same_as_on_this_machine: bool,
    backend: String,
    image_bytes: u64,
    memory_mib: u64,
    heap_peak_bytes: Option<u64>,
    points: u64,
    timings_us: serde_json::Value,
    compute_here_us: u64,
}

impl Run {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let project = self.place.project()?;
        let output = context.output();
        let (task, data) = (project.file(&self.task), project.file(&self.data));
        let here = host::run(&project, &task, &data)?;
        let builder = project.builder(!output.is_json());
        // Nobody else sees this node, so the key lives as long as it.
        let key = SigningKey::generate()?;
        let image = packed(&project, &builder, &key)?;
        let mut trial = Trial::start(&project, self.backend, &key)?;
        trial.function(project.author.name(), &image)?;
        let there = trial.submit(&task, &data)?;
        let ran = compare(here, there, image.bytes.len() as u64);
        output.show(&ran, text)?;
        if ran.same_as_on_this_machine {
            return Ok(());
        }
        Err(Failure::new(
            codes::RESULTS_DIFFER,
            "the unikernel's result is not that of this machine; both were given the same points",
        ))
    }
}

fn compare(here: HostRun, there: Outcome, image_bytes: u64) -> Ran {
    Ran {
        same_as_on_this_machine: here.result == there.result && here.read.points == there.points,
        result: there.result,
        backend: there.backend,
        image_bytes,
        memory_mib: there.memory_mib,
        heap_peak_bytes: there.heap_peak_bytes,
        points: there.points,
        timings_us: there.timings_us,
        compute_here_us: here.compute_us,
    }
}

fn text(ran: &Ran) -> String {
    let time = |stage: &str| micros(ran.timings_us[stage].as_u64().unwrap_or(0));
    let facts = Table::facts([
        ("ran on", ran.backend.clone()),
        ("as on this machine", if ran.same_as_on_this_machine { "yes, equal" } else { "NO" }.to_owned()),
        ("read", counted(ran.points, "point")),
        ("image", bytes(ran.image_bytes)),
        (
            "memory",
            format!(
                "{} MiB given, heap {} at most",
                ran.memory_mib,
                ran.heap_peak_bytes.map_or("-".to_owned(), bytes)
            ),
        ),
        ("boot", time("boot")),
        ("retrieve", time("retrieve")),
        ("transfer", time("transfer")),
        ("compute", format!("{}, here {}", time("compute"), micros(ran.compute_here_us))),
        ("in all", time("total")),
    ]);
    format!("{:#}\n\n{}", ran.result, facts.text())
}
