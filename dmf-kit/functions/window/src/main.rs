//! `window`: what `stats` gives, per time window and group.
//!
//! Parameters: `{"every": "1h"}`, a whole number and one of `ns us ms s m h d w`. Windows begin at multiples of it since
//! 1970, UTC, as InfluxDB's `GROUP BY time()` has them. Result: `fades.window.v1`; windows without points are left out.

use std::collections::BTreeMap;

use dmf_kit::prelude::*;

/// Most windows of one task, all groups together: about 160 bytes each, so that a 64 MiB guest holds them and the result.
const MAX_WINDOWS: usize = 50_000;

/// What the wrapper says.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Parameters {
    every: String,
}

/// The state: moments per group and window, by the window's start.
struct Window {
    every: i64,
    every_text: String,
    windows: usize,
    groups: Groups<BTreeMap<i64, Moments>>,
}

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    every: String,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    group: Group,
    windows: Vec<Cell>,
}

#[derive(Debug, Serialize)]
struct Cell {
    start: String,
    #[serde(flatten)]
    summary: Summary,
}

impl Function for Window {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        let every = duration_ns(&parameters.every)?;
        Ok(Self { every, every_text: parameters.every, windows: 0, groups: Groups::default() })
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        let cells = self.groups.state(series, BTreeMap::new);
        // Readings of one series mostly come in order: take runs of one window at a time.
        let (mut at, len) = (0, batch.len());
        while let Some((time, _)) = batch.get(at) {
            let start = time.saturating_sub(time.rem_euclid(self.every));
            let inside = |t: i64| t >= start && t - start < self.every;
            let run = batch.times().skip(at).take_while(|&t| inside(t)).count().max(1);
            let cell = cells.entry(start).or_insert_with(|| {
                self.windows += 1;
                Moments::default()
            });
            cell.points(batch.points().skip(at).take(run));
            at += run.min(len - at);
        }
        if self.windows > MAX_WINDOWS {
            let words = format!(
                "windows of {} are over {MAX_WINDOWS}; take longer windows or a shorter range",
                self.every_text
            );
            return Err(Error::new(words));
        }
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let row = |(group, cells): (Group, BTreeMap<i64, Moments>)| Row {
            group,
            windows: cells
                .iter()
                .map(|(&start, m)| Cell { start: rfc3339(start), summary: m.summary() })
                .collect(),
        };
        let groups = self.groups.into_rows().map(row).collect();
        Ok(Report { schema: "fades.window.v1", every: self.every_text, groups })
    }
}

dmf_kit::main!(Window);
