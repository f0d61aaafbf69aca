//! `fades dmf dev`: the function on this machine, again at every change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use clap::Args;

use super::asked::Sample;
use super::host::{self, HostRun};
use super::project::{Project, Where};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{count, counted, micros};

/// Time between two looks at the files. A look at a crate's few files costs less than a millisecond.
const LOOK: Duration = Duration::from_millis(200);

/// Arguments of `fades dmf dev`.
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  fades dmf dev --data data/points.lp")]
pub(crate) struct Dev {
    #[command(flatten)]
    place: Where,
    #[command(flatten)]
    sample: Sample,
    /// Stop after so many runs.
    #[arg(long, value_name = "N", hide = true)]
    runs: Option<u64>,
}

/// When the files changed last, by their name.
type Seen = BTreeMap<PathBuf, Option<SystemTime>>;

impl Dev {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let project = self.place.project()?;
        let (task, data) = (self.sample.asked.file(&project), self.sample.data(&project));
        let output = context.output();
        let mut left = self.runs.unwrap_or(u64::MAX);
        let mut seen = Seen::new();
        loop {
            let now = look(&project, &[&task, &data]);
            if now == seen {
                std::thread::sleep(LOOK);
                continue;
            }
            seen = now;
            let begun = Instant::now();
            left -= 1;
            match host::run(output, &project, &task, &data, self.sample.asked.periods) {
                Ok(done) => {
                    output.line(&done, text)?;
                    let took = u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
                    let waits = if left == 0 { "" } else { "; waiting for changes" };
                    output.note(&format!("built and run in {}{waits}", micros(took)));
                    if left == 0 {
                        return Ok(());
                    }
                }
                Err(failure) if left == 0 => return Err(failure),
                // The next change may mend it.
                Err(failure) => output.failure(&failure),
            }
        }
    }
}

fn text(done: &HostRun) -> String {
    let HostRun { result, read, compute_us, periods } = done;
    let of = match periods.len() {
        0 => String::new(),
        count => format!("the last of {}; ", counted(count as u64, "period")),
    };
    format!(
        "{result:#}\n{of}{} of {} series, {} in the function",
        counted(read.points, "point"),
        count(read.series),
        micros(*compute_us)
    )
}

fn look(project: &Project, more: &[&Path]) -> Seen {
    let mut seen = Seen::new();
    for name in ["src", "Cargo.toml", "build.rs"] {
        note(&project.author.folder().join(name), &mut seen);
    }
    more.iter().for_each(|path| note(path, &mut seen));
    seen
}

fn note(path: &Path, seen: &mut Seen) {
    if let Ok(entries) = std::fs::read_dir(path) {
        entries.flatten().for_each(|entry| note(&entry.path(), seen));
    } else {
        seen.insert(path.to_owned(), std::fs::metadata(path).and_then(|file| file.modified()).ok());
    }
}
