//! `stats`: count, sum, mean, extremes, sample deviation, first and last value, per group.
//!
//! Parameters: none. Result: `fades.stats.v1`, a row of [`Summary`] per group.

use dmf_kit::prelude::*;

/// The state: moments per group.
#[derive(Default)]
struct Stats(Groups<Moments>);

/// The result.
#[derive(Debug, Serialize)]
struct Report {
    schema: &'static str,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize)]
struct Row {
    #[serde(flatten)]
    group: Group,
    #[serde(flatten)]
    summary: Summary,
}

impl Function for Stats {
    type Parameters = NoParameters;
    type Output = Report;

    fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
        Ok(Self::default())
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.0.state(series, Moments::default).batch(&batch);
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let groups =
            self.0.into_rows().map(|(group, moments)| Row { group, summary: moments.summary() }).collect();
        Ok(Report { schema: "fades.stats.v1", groups })
    }
}

dmf_kit::main!(Stats);
