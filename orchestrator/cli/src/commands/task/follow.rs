//! Following tasks: events as they come, and what the end of one means.

use std::time::Duration;

use clap::Args;
use fades_api::client::Client;
use fades_api::codes;
use fades_api::http::{EventView, TaskState, TaskView};
use fades_api::task::TaskId;
use jiff::SignedDuration;

use super::{RequestKey, span};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result};
use crate::output::{Output, bytes, count, plain};

/// Arguments of `fades task watch`.
#[derive(Debug, Args)]
pub(crate) struct Watch {
    /// Its id; without it, events of all tasks from now on, until interrupted.
    id: Option<TaskId>,
    #[command(flatten)]
    key: RequestKey,
    /// Only events behind this one.
    #[arg(long, value_name = "EVENT")]
    after: Option<u64>,
    /// Stop after this long.
    #[arg(long, value_name = "SPAN", value_parser = span)]
    timeout: Option<SignedDuration>,
}

impl Watch {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.signing_client(self.key.key.as_deref())?;
        let output = context.output();
        context.run(async {
            within(self.timeout, "events", async {
                let mut events = match self.id {
                    Some(id) => client.task_events(id, self.after),
                    None => client.events(self.after),
                };
                while let Some(event) = events.next().await? {
                    output.line(&event, line)?;
                }
                match self.id {
                    Some(id) => verdict(&client.task(id).await?),
                    None => Ok(()),
                }
            })
            .await
        })
    }
}

/// One event on one line.
fn line(event: &EventView) -> String {
    let mut text = format!("{:.3}  {}  {:<9}", event.at, event.task, event.state);
    if let Some(progress) = event.progress {
        text += &format!("  {} points, {}", count(progress.points), bytes(progress.bytes));
    }
    if let Some(code) = event.code {
        text += &format!("  {code}");
    }
    if let Some(detail) = &event.detail {
        text += &format!("  {}", plain(detail));
    }
    text.trim_end().to_owned()
}

/// Waits for the end of a task, showing how far it is.
pub(super) async fn to_the_end(
    output: Output,
    client: &Client,
    task: TaskId,
    timeout: Option<SignedDuration>,
) -> Result<TaskView> {
    let tell = |event: &EventView| {
        let progress = match event.progress {
            Some(progress) => format!("  {} points, {}", count(progress.points), bytes(progress.bytes)),
            None => String::new(),
        };
        output.progress(Some(&format!("{}{progress}", event.state)));
    };
    let ended = within(timeout, &format!("task {task}"), async { Ok(client.wait(task, tell).await?) }).await;
    output.progress(None);
    ended
}

/// Gives a future this long.
async fn within<T>(
    timeout: Option<SignedDuration>,
    what: &str,
    future: impl Future<Output = Result<T>>,
) -> Result<T> {
    let Some(timeout) = timeout else { return future.await };
    let limit = Duration::try_from(timeout).unwrap_or(Duration::ZERO);
    match tokio::time::timeout(limit, future).await {
        Ok(result) => result,
        Err(_elapsed) => {
            let message = format!("{what}: not at its end after {timeout:#}");
            let hint = "The task goes on: `fades task watch ID` follows it, `fades task cancel ID` ends it.";
            Err(Failure::new(codes::CLIENT_TIMED_OUT, message).hint(hint))
        }
    }
}

/// An end that is no success, as a failure with its reason.
pub(super) fn verdict(task: &TaskView) -> Result<()> {
    if task.state == TaskState::Succeeded {
        return Ok(());
    }
    let detail =
        task.detail.as_deref().or_else(|| task.code.map(|code| code.title())).unwrap_or("no reason given");
    let message = format!("task {} {}: {detail}", task.task, end(task.state));
    let hint = task.code.map(|code| code.hint().to_owned()).unwrap_or_default();
    Err(Failure { exit: Exit::of_task(task), code: task.code, message, hint })
}

fn end(state: TaskState) -> String {
    match state {
        TaskState::Cancelled | TaskState::Refused => format!("was {state}"),
        state => state.to_string(),
    }
}
