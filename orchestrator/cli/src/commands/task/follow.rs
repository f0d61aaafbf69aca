//! Following tasks: events as they come, and what the end of one means.

use std::cell::Cell;
use std::time::Duration;

use clap::Args;
use fades_api::client::Client;
use fades_api::codes;
use fades_api::http::{EventView, TaskState, TaskView};
use fades_api::task::TaskId;
use jiff::SignedDuration;
use tokio::time::Instant;

use super::{RequestKey, periods, span};
use crate::context::Context;
use crate::exit::Exit;
use crate::failure::{Failure, Result, chain};
use crate::output::{Output, bytes, counted, plain};

/// How long a node may be away before waiting for it ends, beyond the 16 s that the stream of events tries by itself.
const PATIENCE: Duration = Duration::from_secs(45);
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

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
    if let Some(news) = &event.period {
        text += &format!("  {}", periods::news(news));
    }
    if let Some(progress) = event.progress {
        text += &format!("  {}, {}", counted(progress.points, "point"), bytes(progress.bytes));
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
            Some(progress) => format!("  {}, {}", counted(progress.points, "point"), bytes(progress.bytes)),
            None => String::new(),
        };
        let period =
            event.period.as_ref().map(|news| format!("  {}", periods::news(news))).unwrap_or_default();
        output.progress(Some(&format!("{}{period}{progress}", event.state)));
    };
    let ended = within(timeout, &format!("task {task}"), outliving(output, client, task, tell)).await;
    output.progress(None);
    ended
}

/// Follows a task also over a restart of its node: the task goes on there, and so does the waiting here.
async fn outliving(
    output: Output,
    client: &Client,
    task: TaskId,
    tell: impl Fn(&EventView),
) -> Result<TaskView> {
    let lost_since = Cell::new(None::<Instant>);
    loop {
        let error = match client
            .wait(task, |event| {
                lost_since.set(None);
                tell(event);
            })
            .await
        {
            Ok(view) => return Ok(view),
            Err(error) => error,
        };
        let passing = [codes::NODE_UNREACHABLE, codes::SHUTTING_DOWN, codes::TOO_MANY_CONNECTIONS]
            .contains(&error.code());
        let since = lost_since.get();
        if !passing || since.is_some_and(|since| since.elapsed() > PATIENCE) {
            return Err(error.into());
        }
        if since.is_none() {
            output.progress(None);
            output.note(&format!("{}; trying again", chain(&error)));
            lost_since.set(Some(Instant::now()));
        }
        tokio::time::sleep(PAUSE).await;
    }
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
    let told = task.detail.as_deref().filter(|detail| !detail.is_empty());
    let detail = told.or_else(|| task.code.map(|code| code.title())).unwrap_or("no reason given");
    let message = format!("task {} {}: {detail}", task.task, end(task.state));
    let hint = task.code.map(|code| code.hint().to_owned()).unwrap_or_default();
    Err(Failure { exit: Exit::of_task(task), code: task.code, message, hint, task: Some(task.task) })
}

fn end(state: TaskState) -> String {
    match state {
        TaskState::Cancelled | TaskState::Refused => format!("was {state}"),
        state => state.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use fades_api::client::NodeAddress;

    use super::*;
    use crate::context::Format;

    #[tokio::test(start_paused = true)]
    async fn a_node_that_stays_away_is_given_up_after_a_while() {
        let folder = tempfile::tempdir().unwrap();
        let client = Client::new(NodeAddress::Unix(folder.path().join("none.sock")));
        let task = TaskId(ulid::Ulid::nil());
        let (output, begun) = (Output::new(Format::Json), Instant::now());
        let failure = outliving(output, &client, task, |_| ()).await.unwrap_err();
        assert_eq!((failure.code, failure.exit), (Some(codes::NODE_UNREACHABLE), Exit::Unreachable));
        let waited = begun.elapsed();
        assert!(waited > PATIENCE && waited < 3 * PATIENCE, "{waited:?}");
    }

    #[test]
    fn an_end_without_words_is_told_by_its_code() {
        let mut view: TaskView = serde_json::from_value(serde_json::json!({
            "task": "01ARZ3NDEKTSV4RRFFQ69G5FAV", "issuer": "i", "state": "cancelled", "code": "E5011", "detail": "",
            "priority": 5, "image": format!("stats@sha256:{}", "0".repeat(64)), "sources": [], "attempts": 1,
            "accepted_at": "2026-01-01T00:00:00Z", "updated_at": "2026-01-01T00:00:00Z",
            "expires_at": "2026-01-01T00:00:00Z",
        }))
        .unwrap();
        let message = verdict(&view).unwrap_err().message;
        assert_eq!(message, "task 01ARZ3NDEKTSV4RRFFQ69G5FAV was cancelled: task was cancelled");
        view.detail = Some("by request".to_owned());
        assert!(verdict(&view).unwrap_err().message.ends_with("was cancelled: by request"));
    }
}
