//! `fades task ls`, `get` and `cancel`.

use clap::Args;
use fades_api::client::TaskFilter;
use fades_api::http::{TaskList, TaskView};
use fades_api::task::Name;

use super::{Filter, OneTask, RequestKey, periods};
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Table, bytes, counted, short_digest};

/// Arguments of `fades task ls`.
#[derive(Debug, Args)]
pub(crate) struct Ls {
    #[command(flatten)]
    filter: Filter,
    #[command(flatten)]
    key: RequestKey,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

impl Ls {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.signing_client(self.key.key.as_deref())?;
        let mut filter =
            TaskFilter { state: self.filter.state, issuer: self.filter.issuer.clone(), cursor: None };
        let list = context.run(async {
            let mut all = TaskList::default();
            loop {
                let page = client.tasks(&filter).await?;
                all.tasks.extend(page.tasks);
                filter.cursor = page.next;
                if filter.cursor.is_none() || all.tasks.len() >= self.limit {
                    break;
                }
            }
            let more = all.tasks.len() > self.limit || filter.cursor.is_some();
            all.tasks.truncate(self.limit);
            Ok((all, more))
        });
        let (list, more) = list?;
        context.output().show(&list, |list| table(&list.tasks))?;
        if more && !context.output().is_json() {
            context.output().note(&format!("there are more than {}: see --limit", self.limit));
        }
        Ok(())
    }
}

fn table(tasks: &[TaskView]) -> String {
    let mut head = vec!["task", "state", "code", "issuer", "image", ">prio", "accepted"];
    // A column of their own only where there are any.
    let persistent = tasks.iter().any(|task| task.periods.is_some());
    head.extend(persistent.then_some("periods"));
    let mut table = Table::new(&head);
    for task in tasks {
        let mut row = vec![
            task.task.to_string(),
            task.state.to_string(),
            task.code.map(|code| code.to_string()).unwrap_or_default(),
            task.issuer.to_string(),
            task.image.name.to_string(),
            task.priority.to_string(),
            format!("{:.0}", task.accepted_at),
        ];
        row.extend(persistent.then(|| task.periods.as_ref().map(periods::counts).unwrap_or_default()));
        table.row(row);
    }
    table.text_or("no tasks")
}

/// `fades task get`.
pub(super) fn get(context: &Context, command: &OneTask) -> Result<()> {
    let client = context.signing_client(command.key.key.as_deref())?;
    let task = context.run(async { Ok(client.task(command.id).await?) })?;
    context.output().show(&task, describe)
}

/// `fades task cancel`.
pub(super) fn cancel(context: &Context, command: &OneTask) -> Result<()> {
    let client = context.signing_client(command.key.key.as_deref())?;
    let task = context.run(async { Ok(client.cancel(command.id).await?) })?;
    context.output().show(&task, describe)?;
    if !task.state.is_ended() {
        context
            .output()
            .note(&format!("asked for; `fades task watch {}` tells when it has ended", task.task));
    }
    Ok(())
}

fn describe(task: &TaskView) -> String {
    let mut facts = vec![
        ("task", task.task.to_string()),
        ("state", task.state.to_string()),
        ("issuer", task.issuer.to_string()),
        ("image", format!("{} ({})", task.image.name, short_digest(&task.image.digest_hex()))),
        ("sources", distinct(&task.sources).join(", ")),
        ("priority", task.priority.to_string()),
        ("attempts", task.attempts.to_string()),
        ("accepted", task.accepted_at.to_string()),
        ("changed", task.updated_at.to_string()),
        ("expires", task.expires_at.to_string()),
    ];
    facts.extend(task.periods.as_ref().map(periods::facts).unwrap_or_default());
    facts.extend(
        task.progress.map(|p| ("read so far", format!("{}, {}", counted(p.points, "point"), bytes(p.bytes)))),
    );
    facts.extend(task.code.map(|code| ("code", format!("{code} ({})", code.title()))));
    facts.extend(task.detail.clone().filter(|detail| !detail.is_empty()).map(|detail| ("detail", detail)));
    Table::facts(facts).text()
}

/// Each source once, in the order of the operations.
fn distinct(sources: &[Name]) -> Vec<&str> {
    let mut seen = Vec::new();
    for name in sources.iter().map(Name::as_str) {
        if !seen.contains(&name) {
            seen.push(name);
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_of_many_operations_is_listed_once() {
        let names: Vec<Name> = ["b", "a", "b", "b", "a"].map(|name| name.parse().unwrap()).into();
        assert_eq!(distinct(&names), ["b", "a"]);
    }
}
