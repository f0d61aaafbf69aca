//! `fades dmf test`: the crate's own tests, and the same data on every backend that is named.

use std::path::PathBuf;
use std::process::Command;

use clap::{Args, ValueEnum};
use fades_api::codes;
use fades_envelope::SigningKey;
use jiff::Timestamp;
use serde::Serialize;

use super::asked::Asked;
use super::build::packed;
use super::ending::Ending;
use super::host;
use super::project::{Project, Where};
use super::trial::Trial;
use crate::commands::init::Backend;
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::output::{Table, counted};

/// Arguments of `fades dmf test`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf test --replay data/points.lp --backend host --backend tcg")]
pub(crate) struct Test {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    asked: Asked,
    /// Readings to run the task on: line protocol (.lp), .csv, or recorded (.fpt). May be given several times.
    #[arg(long, value_name = "FILE")]
    replay: Vec<PathBuf>,
    /// Where to run it. May be given several times; each must give what this machine gives.
    #[arg(long, default_value = "host")]
    backend: Vec<On>,
}

/// Where a replay runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum On {
    /// The function's program on this machine.
    Host,
    /// The unikernel in QEMU, emulated.
    Tcg,
    /// The unikernel in QEMU on hardware virtualisation.
    Kvm,
    /// The unikernel in a domain of this Xen host.
    Xen,
}

/// One replay in one place.
#[derive(Debug, Serialize)]
struct Replayed {
    data: PathBuf,
    on: String,
    points: u64,
    same: bool,
}

impl Test {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let project = self.place.project()?;
        let status = Command::new("cargo")
            .current_dir(project.author.folder())
            .args(["test", "--quiet", "--package", project.author.name()])
            // what is printed on stdout here are our own rows
            .stdout(std::io::stderr())
            .status()
            .map_err(|error| Failure::system("cargo could not be started", &error))?;
        if !status.success() {
            return Err(Failure::new(
                codes::FUNCTION_FAILED_HERE,
                "the crate's tests failed; what they said is above",
            ));
        }
        if self.replay.is_empty() {
            return context.output().show(&Vec::<Replayed>::new(), |rows| table(rows));
        }
        let rows = self.replayed(&project, context)?;
        context.output().show(&rows, |rows| table(rows))?;
        match rows.iter().find(|row| !row.same) {
            None => Ok(()),
            Some(row) => Err(Failure::new(
                codes::RESULTS_DIFFER,
                format!("on {} {} gives another result than on this machine", row.on, row.data.display()),
            )),
        }
    }
}

impl Test {
    /// Each file here, and then on each backend: one node for all files. The rows are in the order of the files.
    fn replayed(&self, project: &Project, context: &Context) -> Result<Vec<Replayed>> {
        let guests: Vec<On> = self.backend.iter().copied().filter(|on| *on != On::Host).collect();
        // Only a node keeps to the clock.
        let now = if guests.is_empty() { Timestamp::MAX } else { Timestamp::now() };
        let question = self.asked.question(project, now)?;
        question.tell(context.output());
        let mut files = Vec::new();
        for data in &self.replay {
            let here =
                host::run(context.output(), project, &question.task, &project.file(data), question.periods)?;
            let row =
                Replayed { data: data.clone(), on: "host".to_owned(), points: here.read.points, same: true };
            files.push((here, vec![row]));
        }
        if !guests.is_empty() {
            let key = SigningKey::generate()?;
            let image = packed(project, &project.builder(!context.output().is_json()), &key)?;
            let ending = Ending::watch()?;
            for on in guests {
                let mut trial = Trial::start(project, on.backend(), &key, &ending)?;
                trial.function(project.author.name(), &image)?;
                for (data, (here, rows)) in self.replay.iter().zip(&mut files) {
                    let there = trial.submit(&question, &project.file(data))?;
                    rows.push(Replayed {
                        data: data.clone(),
                        points: there.points(),
                        same: here.differs(&there.answers).is_none(),
                        on: there.backend,
                    });
                }
            }
        }
        Ok(files.into_iter().flat_map(|(_, rows)| rows).collect())
    }
}

impl On {
    fn backend(self) -> Backend {
        match self {
            Self::Host => Backend::Auto,
            Self::Tcg => Backend::QemuTcg,
            Self::Kvm => Backend::QemuKvm,
            Self::Xen => Backend::Xen,
        }
    }
}

fn table(rows: &[Replayed]) -> String {
    let mut table = Table::new(&["data", "on", ">read", "result"]);
    for row in rows {
        let same = if row.same { "the same" } else { "ANOTHER" };
        table.row([
            row.data.display().to_string(),
            row.on.clone(),
            counted(row.points, "point"),
            same.to_owned(),
        ]);
    }
    table.text_or("the crate's tests passed; nothing was replayed")
}
