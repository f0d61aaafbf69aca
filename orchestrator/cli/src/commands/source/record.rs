//! `fades source record`: real points into a fixture, by tasks of the function `record`.
//!
//! Nothing on the node knows of it: whoever records is an issuer whose policy names that image, and what a task may send out bounds
//! each of its tasks. A range whose points are too many for one is halved.

mod kept;

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use fades_api::codes::{self, Code};
use fades_api::task::{Label, Name, Operation, TaskDraft, limits};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;

use self::kept::{Kept, joined};
use crate::commands::task::{Completing, carry_out};
use crate::context::Context;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Table, bytes, count};

/// The image whose tasks give points.
const IMAGE: &str = "record";
/// What ends a task that has too much to do at once.
const TOO_MUCH: [Code; 4] =
    [codes::RESULT_TOO_LARGE, codes::FUNCTION_FAILED, codes::GUEST_OUT_OF_MEMORY, codes::GUEST_TIMED_OUT];
/// Shortest range that is halved, nanoseconds: a millisecond.
const SHORTEST_NS: i128 = 1_000_000;

/// Time before the next try where the issuer's rate is used up, and how often in a row: a rate of one task in two minutes.
const WAIT: Duration = Duration::from_secs(1);
const MOST_WAITS: u32 = 120;

/// Arguments of `fades source record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The source.
    name: Name,
    /// Take what this task reads of the source: its operations' measurements, fields and tags.
    #[arg(long, value_name = "FILE", default_value = "task.toml")]
    task: PathBuf,
    /// First instant, instead of the operations' own.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Last instant, exclusive, instead of the operations' own.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Where the points go, as .fpt.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key of an issuer who may ask for image `record`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    completing: Completing,
}

/// What was recorded.
#[derive(Debug, Serialize)]
struct Recorded {
    file: PathBuf,
    series: u64,
    points: u64,
    size: u64,
    tasks: u64,
}

impl Record {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        // Now, and not when everything is recorded.
        if self.out.exists() {
            return Err(Failure::usage(format!("{} is there already", self.out.display())));
        }
        let draft = TaskDraft::from_toml(&files::read_text(&self.task, limits::DOCUMENT_BYTES)?)?;
        let wrapper = draft.on_trial()?;
        let operations = wrapper.drb.operations.iter().filter(|operation| operation.source == self.name);
        let all: Vec<Operation> = operations.map(|operation| self.recording(operation)).collect();
        if all.is_empty() {
            let message = format!("no operation of {} reads source {}", self.task.display(), self.name);
            return Err(Failure::usage(message));
        }
        let mut kept: Vec<Kept> = all.iter().cloned().map(Kept::of).collect();
        // What is still to be asked for, and which operation it is a part of.
        let mut left: Vec<(usize, Operation)> = all.into_iter().enumerate().collect();
        let (mut tasks, mut waits) = (0, 0);
        while let Some((at, operation)) = left.pop() {
            match carry_out(context, &asked(&operation)?, &self.key, &self.completing) {
                Ok(document) => {
                    (tasks, waits) = (tasks + 1, 0);
                    kept[at].take(document.result)?;
                }
                Err(failure) => match (failure.code, halves(&operation)) {
                    (Some(code), Some(halves)) if TOO_MUCH.contains(&code) => {
                        (tasks, waits) = (tasks + 1, 0);
                        left.extend(halves.map(|half| (at, half)));
                    }
                    // One task a range may be faster than the policy allows.
                    (Some(codes::RATE_ABOVE_POLICY), _) if waits < MOST_WAITS => {
                        waits += 1;
                        std::thread::sleep(WAIT);
                        left.push((at, operation));
                    }
                    _ => return Err(failure),
                },
            }
        }
        let in_vain: Vec<String> = kept.iter().filter_map(Kept::in_vain).collect();
        let fixture = joined(kept)?;
        for words in in_vain {
            context.output().note(&format!("warning: no points of {words}"));
        }
        let recorded = fixture.to_fpt().map_err(|fault| Failure::system(self.out.display(), &fault))?;
        files::create(&self.out, &recorded, 0o600)?;
        let recorded = Recorded {
            series: fixture.series().count() as u64,
            points: fixture.len() as u64,
            size: recorded.len() as u64,
            tasks,
            file: self.out,
        };
        context.output().show(&recorded, |recorded| {
            Table::facts([
                ("file", recorded.file.display().to_string()),
                ("series", count(recorded.series)),
                ("points", count(recorded.points)),
                ("size", bytes(recorded.size)),
                ("tasks", count(recorded.tasks)),
            ])
            .text()
        })
    }

    /// The operation with the tags that it filters by among those that its points keep, so that it selects the same of them.
    fn recording(&self, operation: &Operation) -> Operation {
        let mut group_by: Vec<Label> = operation.group_by.clone();
        group_by.extend(operation.tags.keys().filter(|tag| !operation.group_by.contains(tag)).cloned());
        let (from, to) = (self.from.unwrap_or(operation.from), self.to.unwrap_or(operation.to));
        Operation { group_by, from, to, ..operation.clone() }
    }
}

/// The task of one range. It names no resources, so it has those of any draft, which a policy's defaults allow.
fn asked(operation: &Operation) -> Result<TaskDraft> {
    let draft = json!({ "drb": { "operations": [operation] }, "dmf": { "image": IMAGE, "parameters": {} } });
    Ok(TaskDraft::from_json(draft.to_string().as_bytes())?)
}

/// The operation's range in two, unless it is too short for that.
fn halves(operation: &Operation) -> Option<[Operation; 2]> {
    let (from, to) = (operation.from.as_nanosecond(), operation.to.as_nanosecond());
    let middle = Timestamp::from_nanosecond(from + (to - from) / 2).ok()?;
    (to - from > SHORTEST_NS).then(|| {
        [Operation { to: middle, ..operation.clone() }, Operation { from: middle, ..operation.clone() }]
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        let draft = TaskDraft::from_toml(
            "[[drb.operations]]\nid = \"a\"\nsource = \"s\"\nmeasurement = \"m\"\nfield = \"v\"\ngroup_by = [\"room\"]\n\
             from = \"2026-01-01T00:00:00Z\"\nto = \"2026-01-01T00:00:01Z\"\ntags = { room = [\"r1\"], floor = [\"2\"] }\n\
             [dmf]\nimage = \"stats\"\n",
        );
        draft.unwrap().on_trial().unwrap().drb.operations[0].clone()
    }

    #[test]
    fn tags_that_are_filtered_by_are_kept() {
        let record = |from: Option<&str>| Record {
            name: "s".parse().unwrap(),
            task: PathBuf::new(),
            from: from.map(|time| time.parse().unwrap()),
            to: None,
            out: PathBuf::new(),
            key: PathBuf::new(),
            completing: Completing::default(),
        };
        let asked = record(None).recording(&operation());
        assert_eq!(asked.group_by.iter().map(Label::as_str).collect::<Vec<_>>(), ["room", "floor"]);
        assert_eq!(asked.from, operation().from);
        let later = record(Some("2026-01-01T00:00:00.5Z")).recording(&operation());
        assert_eq!(later.from.to_string(), "2026-01-01T00:00:00.5Z");
        let resources = super::asked(&later).unwrap().on_trial().unwrap().dmf.resources;
        assert_eq!(
            (resources.memory_mib, resources.timeout_ms),
            (TaskDraft::MEMORY_MIB, TaskDraft::TIMEOUT_MS)
        );
    }

    #[test]
    fn halves_join_without_gap_and_end() {
        let [first, second] = halves(&operation()).unwrap();
        assert_eq!((first.from, first.to, second.to), (operation().from, second.from, operation().to));
        let mut short = operation();
        short.to = short.from.checked_add(jiff::SignedDuration::from_millis(1)).unwrap();
        assert!(halves(&short).is_none());
    }
}
