//! `fades task`: sign, submit, follow, read, cancel.

mod debug;
mod draft;
mod follow;
mod periods;
mod receipt;
mod result;
mod rows;
mod show;
mod submit;

pub(crate) use debug::{Report as DebugReport, text as debug_text};
pub(crate) use draft::{Completing, Input, read_input};
pub(crate) use submit::carry_out;

use std::path::PathBuf;

use clap::{Args, Subcommand};
use fades_api::http::TaskState;
use fades_api::task::{Name, TaskId};
use jiff::SignedDuration;

use crate::context::Context;
use crate::failure::Result;

/// Sign, submit and follow tasks.
#[derive(Debug, Subcommand)]
pub(crate) enum Task {
    /// Complete a task file from what the node says of itself, sign it, and print the envelope.
    #[command(after_help = "Example:\n  fades task sign hourly.toml --key service.key > hourly.cose")]
    Sign(draft::Sign),
    /// Sign a task file, or take an envelope that is signed already, and submit it.
    #[command(after_help = "Examples:\n  fades task submit hourly.toml --key service.key --wait -o json\n  \
        fades task submit hourly.cose --key service.key --wait --timeout 60s")]
    Submit(submit::Submit),
    /// List tasks, newest first.
    #[command(after_help = "Example:\n  fades task ls --state failed --key service.key")]
    Ls(show::Ls),
    /// Show a task.
    #[command(after_help = "Example:\n  fades task get 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key")]
    Get(OneTask),
    /// Print what a task gave, and check its receipt.
    #[command(after_help = "Examples:\n  \
        fades task result 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key --verify --node-key node.pub\n  \
        fades task result 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key --period 3\n  \
        fades task result saved.json --verify --node-key node.pub\n\n\
        `fades init` writes node.pub into the node's folder.")]
    Result(result::ResultOf),
    /// List the periods of a persistent task that are over, newest first.
    #[command(after_help = "Example:\n  fades task periods 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key")]
    Periods(periods::Periods),
    /// Show why a task's guest died (on the node): its panic with the way to it in the source, its last data, its console.
    #[command(
        after_help = "Example:\n  fades task debug 01ARZ3NDEKTSV4RRFFQ69G5FAV --elf pollution-peaks.debug"
    )]
    Debug(debug::Debug),
    /// Print events of a task until it ends, or of all tasks.
    #[command(after_help = "Example:\n  fades task watch 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key")]
    Watch(follow::Watch),
    /// Cancel a task.
    #[command(after_help = "Example:\n  fades task cancel 01ARZ3NDEKTSV4RRFFQ69G5FAV --key service.key")]
    Cancel(OneTask),
}

/// The key for signed requests.
#[derive(Debug, Clone, Args)]
pub(crate) struct RequestKey {
    /// The issuer's key. Needed over TCP; the operator needs none over the local socket.
    #[arg(long, value_name = "FILE")]
    key: Option<PathBuf>,
}

/// A task.
#[derive(Debug, Args)]
pub(crate) struct OneTask {
    /// Its id.
    id: TaskId,
    #[command(flatten)]
    key: RequestKey,
}

/// Which tasks.
#[derive(Debug, Args)]
pub(crate) struct Filter {
    /// Only in this state.
    #[arg(long)]
    state: Option<TaskState>,
    /// Only of this issuer.
    #[arg(long)]
    issuer: Option<Name>,
}

impl Task {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        match self {
            Self::Sign(command) => command.run(context),
            Self::Submit(command) => command.run(context),
            Self::Ls(command) => command.run(context),
            Self::Get(command) => show::get(context, &command),
            Self::Result(command) => command.run(context),
            Self::Periods(command) => command.run(context),
            Self::Debug(command) => command.run(context),
            Self::Watch(command) => command.run(context),
            Self::Cancel(command) => show::cancel(context, &command),
        }
    }
}

/// A span of time as people write it: `90s`, `5m`, `1h 30m`.
fn span(text: &str) -> std::result::Result<SignedDuration, String> {
    let span: SignedDuration =
        text.parse().map_err(|error: jiff::Error| format!("{error} (write 90s, 5m or 1h)"))?;
    if span > SignedDuration::ZERO { Ok(span) } else { Err("must be longer than nothing".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_as_people_write_them() {
        for (text, seconds) in [("90s", 90), ("5m", 300), ("1h 30m", 5400), ("2h", 7200)] {
            assert_eq!(span(text), Ok(SignedDuration::from_secs(seconds)), "{text}");
        }
        for text in ["", "5", "0s", "-5s", "soon"] {
            assert!(span(text).is_err(), "{text}");
        }
    }
}
