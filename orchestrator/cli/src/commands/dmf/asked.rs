//! Which task is run here, and which of its periods.
//!
//! A task that recurs runs its first periods in order, with its state carried on, here and in the unikernel. The node of a run keeps
//! to the clock, so only periods that are due by now can run there: with readings of the past all are. If none is due, period 0 runs
//! once, as a task without periods, in both places; what a function keeps is not tried then, and that is said.

use std::path::PathBuf;

use clap::Args;
use fades_api::codes;
use fades_api::task::{Periods, TaskDraft, Wrapper, limits};
use jiff::Timestamp;

use super::project::Project;
use crate::failure::{Failure, Result};
use crate::files;
use crate::output::{Output, counted};

/// Which task, and how much of it.
#[derive(Debug, Args)]
pub(super) struct Asked {
    /// The task; from the crate's folder.
    #[arg(long, value_name = "FILE", default_value = "task.toml")]
    task: PathBuf,
    /// Of a task that recurs, run the first so many periods. A node keeps the results of 100.
    #[arg(long, value_name = "N", default_value_t = Periods::TRIED, value_parser = clap::value_parser!(u64).range(1..=100))]
    pub(super) periods: u64,
}

/// The same with readings.
#[derive(Debug, Args)]
pub(super) struct Sample {
    #[command(flatten)]
    pub(super) asked: Asked,
    /// The readings: line protocol (.lp), .csv, or recorded (.fpt).
    #[arg(long, value_name = "FILE", default_value = "data/points.lp")]
    data: PathBuf,
}

/// A task as both places run it.
#[derive(Debug)]
pub(super) struct Question {
    /// The task's file.
    pub(super) task: PathBuf,
    /// What the node is asked.
    pub(super) draft: TaskDraft,
    /// The same, with placeholders for what only a node knows.
    pub(super) wrapper: Wrapper,
    /// How many periods the function's program runs.
    pub(super) periods: u64,
    /// What is to be said of periods that do not run.
    note: Option<String>,
}

impl Asked {
    /// The task's file.
    pub(super) fn file(&self, project: &Project) -> PathBuf {
        project.file(&self.task)
    }

    /// Reads the task, as it can run at this time.
    pub(super) fn question(&self, project: &Project, now: Timestamp) -> Result<Question> {
        let task = self.file(project);
        // A task of another day says who asked which node for which build.
        let draft = TaskDraft::from_toml(&files::read_text(&task, limits::DOCUMENT_BYTES)?)?.question();
        let (draft, periods, note) = cut(draft, self.periods, now)?;
        Ok(Question { wrapper: draft.on_trial()?, task, draft, periods, note })
    }
}

impl Question {
    /// Says what of the task does not run.
    pub(super) fn tell(&self, output: Output) {
        if let Some(note) = &self.note {
            output.note(note);
        }
    }

    /// How many periods the node runs; `None` for a task that runs once.
    pub(super) fn recurs(&self) -> Option<u64> {
        Periods::of(&self.wrapper).map(|periods| periods.count())
    }
}

impl Sample {
    /// The readings' file.
    pub(super) fn data(&self, project: &Project) -> PathBuf {
        project.file(&self.data)
    }
}

/// What of a task can run at this time: at most so many periods, or period 0 alone; and words for what does not.
fn cut(draft: TaskDraft, most: u64, now: Timestamp) -> Result<(TaskDraft, u64, Option<String>)> {
    let Some(periods) = Periods::of(&draft.on_trial()?) else { return Ok((draft, most, None)) };
    let (all, due) = (periods.count(), periods.due_by(now));
    if all == 0 {
        let message =
            format!("no period is due until the task's end: the first one is, at {}", periods.due(0));
        return Err(Failure::new(codes::PERIODS_WRONG, message));
    }
    let count = all.min(due).min(most);
    if count == 0 {
        let note = format!(
            "no period of the task is due before {}, so period 0 runs once, and no state is kept; name windows of the past to try it",
            periods.due(0)
        );
        return Ok((draft.once()?, 1, Some(note)));
    }
    let why = if count < most { "the others are not due yet" } else { "--periods says how many" };
    let note = (count < all).then(|| format!("{} of {all} run: {why}", counted(count, "period")));
    Ok((draft.first_periods(count)?, count, note))
}

#[cfg(test)]
mod tests {
    use fades_api::task::Lifetime;

    use super::*;

    const TASK: &str = "
        [[drb.operations]]
        id = 'air'
        source = 'sensors'
        measurement = 'pm25'
        field = 'value'
        from = '2026-01-01T00:00:00Z'
        to = '2026-01-01T01:00:00Z'
        [dmf]
        image = 'baseline'
        lifetime = { persistent = { every_ms = 3600000, until = '2026-01-02T00:00:00Z' } }
    ";

    fn cut_at(now: &str, most: u64) -> (Option<u64>, u64, String) {
        let draft = TaskDraft::from_toml(TASK).unwrap();
        let (draft, periods, note) = cut(draft, most, now.parse().unwrap()).unwrap();
        let on_node = Periods::of(&draft.on_trial().unwrap()).map(|periods| periods.count());
        (on_node, periods, note.unwrap_or_default())
    }

    #[test]
    fn periods_of_the_past_run_in_both_places() {
        let (on_node, here, note) = cut_at("2026-06-01T00:00:00Z", 8);
        assert_eq!((on_node, here), (Some(8), 8));
        assert!(note.contains("8 periods of 24 run") && note.contains("--periods"), "{note}");
        assert_eq!(cut_at("2026-06-01T00:00:00Z", 100), (Some(24), 24, String::new()));
        let (on_node, here, note) = cut_at("2026-01-01T03:30:00Z", 8);
        assert_eq!((on_node, here), (Some(3), 3));
        assert!(note.contains("not due yet"), "{note}");
    }

    #[test]
    fn where_none_is_due_the_first_runs_once() {
        let (on_node, here, note) = cut_at("2026-01-01T00:59:00Z", 8);
        assert_eq!((on_node, here), (None, 1));
        assert!(note.contains("2026-01-01T01:00:00Z") && note.contains("no state is kept"), "{note}");
    }

    #[test]
    fn a_task_without_periods_is_left_as_it_is() {
        let once = TASK.replace("lifetime = ", "parameters = ");
        let draft = TaskDraft::from_toml(&once).unwrap();
        let (cut_draft, _, note) = cut(draft.clone(), 8, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!((&cut_draft, note), (&draft, None));
        assert_eq!(cut_draft.on_trial().unwrap().dmf.lifetime, Lifetime::Ephemeral);
        let never = TaskDraft::from_toml(&TASK.replace("2026-01-02T", "2026-01-01T")).unwrap();
        assert_eq!(cut(never, 8, Timestamp::UNIX_EPOCH).unwrap_err().code, Some(codes::PERIODS_WRONG));
    }
}
