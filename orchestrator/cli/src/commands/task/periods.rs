//! `fades task periods`, and how periods are told elsewhere.

use clap::Args;
use fades_api::http::{PeriodList, PeriodNews, PeriodResult, PeriodView, PeriodsView};
use fades_api::task::TaskId;

use super::RequestKey;
use crate::context::Context;
use crate::failure::Result;
use crate::output::{Table, bytes, counted, micros, plain};

/// Arguments of `fades task periods`.
#[derive(Debug, Args)]
pub(crate) struct Periods {
    /// The task's id.
    id: TaskId,
    #[command(flatten)]
    key: RequestKey,
    /// At most this many.
    #[arg(long, value_name = "N", default_value_t = 50)]
    limit: usize,
}

impl Periods {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        let client = context.signing_client(self.key.key.as_deref())?;
        let (list, more) = context.run(async {
            let (mut all, mut cursor) = (PeriodList::default(), None);
            loop {
                let page = client.periods(self.id, cursor.as_deref()).await?;
                all.periods.extend(page.periods);
                cursor = page.next;
                if cursor.is_none() || all.periods.len() >= self.limit {
                    break;
                }
            }
            let more = all.periods.len() > self.limit || cursor.is_some();
            all.periods.truncate(self.limit);
            Ok((all, more))
        })?;
        context.output().show(&list, |list| table(&list.periods))?;
        if more && !context.output().is_json() {
            context.output().note(&format!("there are more than {}: see --limit", self.limit));
        }
        Ok(())
    }
}

fn table(periods: &[PeriodView]) -> String {
    let mut table = Table::new(&[">period", "state", "due", ">took", "code", "detail"]);
    for period in periods {
        let took_us = period.started_at.map(|started| period.ended_at.duration_since(started).as_micros());
        table.row([
            numbers(period.number, period.through),
            period.state.as_str().to_owned(),
            format!("{:.0}", period.due),
            took_us.and_then(|us| u64::try_from(us).ok()).map(micros).unwrap_or_default(),
            period.code.map(|code| code.to_string()).unwrap_or_default(),
            period.detail.as_deref().map(plain).unwrap_or_default(),
        ]);
    }
    table.text_or("no period is over yet, or the task is not persistent")
}

fn numbers(first: u64, through: Option<u64>) -> String {
    through.map_or_else(|| first.to_string(), |last| format!("{first}-{last}"))
}

/// What an event tells of a period, in words.
pub(super) fn news(news: &PeriodNews) -> String {
    let what = if news.through.is_some() { "periods" } else { "period" };
    format!("{what} {} {}", numbers(news.number, news.through), news.state.as_str())
}

/// How many of its periods became what.
pub(super) fn counts(periods: &PeriodsView) -> String {
    let PeriodsView { done, failed, missed, .. } = periods;
    format!("{done} done, {failed} failed, {missed} missed")
}

/// How far a persistent task is, line by line.
pub(super) fn facts(periods: &PeriodsView) -> Vec<(&'static str, String)> {
    let PeriodsView { running, next_due, state, .. } = periods;
    let mut facts = vec![("periods", counts(periods))];
    facts.extend(running.map(|number| ("runs", format!("period {number}"))));
    facts.extend(next_due.map(|due| ("next due", due.to_string())));
    facts.extend(state.as_ref().map(|state| {
        (
            "state",
            format!("{} of version {}, left by period {}", bytes(state.bytes), state.version, state.period),
        )
    }));
    facts
}

/// Which period a result is of.
pub(super) fn of_result(period: &PeriodResult) -> String {
    let windows: Vec<String> =
        period.windows.iter().map(|window| format!("{} to {}", window.from, window.to)).collect();
    let mut distinct = windows.clone();
    distinct.dedup();
    let read = match distinct.as_slice() {
        [one] => one.clone(),
        _ => counted(windows.len() as u64, "window"),
    };
    format!("{}, due {}: {read}", period.number, period.due)
}
