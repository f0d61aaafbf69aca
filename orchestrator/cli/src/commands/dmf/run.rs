//! `fades dmf run`: the real unikernel, on a node that lives for this one task.

use clap::Args;
use fades_api::codes;
use fades_envelope::SigningKey;
use jiff::Timestamp;
use serde::Serialize;

use super::asked::Sample;
use super::build::packed;
use super::ending::Ending;
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
    #[command(flatten)]
    sample: Sample,
    /// What runs the guests.
    #[arg(long, default_value = "auto")]
    backend: Backend,
}

/// Both runs.
#[derive(Debug, Serialize)]
struct Ran {
    /// Of the last period, if there are several.
    result: serde_json::Value,
    /// Of each period of a task that recurs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    periods: Vec<serde_json::Value>,
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
        let (question, data) =
            (self.sample.asked.question(&project, Timestamp::now())?, self.sample.data(&project));
        question.tell(output);
        let here = host::run(context.output(), &project, &question.task, &data, question.periods)?;
        let builder = project.builder(!output.is_json());
        // Nobody else sees this node, so the key lives as long as it.
        let key = SigningKey::generate()?;
        let image = packed(&project, &builder, &key)?;
        let mut trial = Trial::start(&project, self.backend, &key, &Ending::watch()?)?;
        trial.function(project.author.name(), &image)?;
        let there = trial.submit(&question, &data)?;
        let differs = here.differs(&there.answers);
        let ran = told(&here, there, question.recurs().is_some(), image.bytes.len() as u64);
        output.show(&ran, text)?;
        let Some(differs) = differs else { return Ok(()) };
        let message = format!(
            "the unikernel's result is not that of this machine, {differs}; both were given the same points"
        );
        Err(Failure::new(codes::RESULTS_DIFFER, message))
    }
}

fn told(here: &HostRun, there: Outcome, recurs: bool, image_bytes: u64) -> Ran {
    let same_as_on_this_machine = here.differs(&there.answers).is_none();
    let points = there.points();
    let results: Vec<_> = there.answers.into_iter().map(|answer| answer.result).collect();
    Ran {
        result: results.last().cloned().unwrap_or_default(),
        periods: if recurs { results } else { Vec::new() },
        same_as_on_this_machine,
        backend: there.backend,
        image_bytes,
        memory_mib: there.memory_mib,
        heap_peak_bytes: there.heap_peak_bytes,
        points,
        timings_us: there.timings_us,
        compute_here_us: here.periods.last().unwrap_or(here).compute_us,
    }
}

fn text(ran: &Ran) -> String {
    let time = |stage: &str| micros(ran.timings_us[stage].as_u64().unwrap_or(0));
    let mut facts = vec![("ran on", ran.backend.clone())];
    if let Some(last) = ran.periods.len().checked_sub(1) {
        facts.push((
            "periods",
            format!("{}, each with the state of the one before; above is period {last}", last + 1),
        ));
    }
    facts.extend([
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
    format!("{:#}\n\n{}", ran.result, Table::facts(facts).text())
}
