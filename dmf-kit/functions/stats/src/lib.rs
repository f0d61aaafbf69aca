//! `stats`: count, sum, mean, extremes, sample deviation, first and last value, per group.
//!
//! Parameters: none. Result: `fades.stats.v1`, a row of [`Summary`] per group.

#![forbid(unsafe_code)]

use dmf_kit::prelude::*;

/// The state: moments per group.
#[derive(Default)]
pub struct Stats(Groups<Moments>);

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
pub struct Report {
    schema: &'static str,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
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
            self.0.into_rows().map(|(group, moments)| Row { group, summary: moments.finish() }).collect();
        Ok(Report { schema: "fades.stats.v1", groups })
    }
}

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, reduce};

    use super::Stats;

    #[test]
    fn groups_are_told_apart_and_reduced() {
        let points: Vec<(i64, f64)> =
            (0..100).map(|i| (i64::from(i) * 1_000_000_000, f64::from(i))).collect();
        let feeds = [
            Feed::new("temp", &points).tag("room", "r1"),
            Feed::new("temp", &[(3, 1.0), (5, f64::NAN)]).tag("room", "r2"),
            Feed::new("light", &[(7, 4.0)]),
        ];
        let report = reduce::<Stats>("{}", &feeds).unwrap();
        assert_eq!(report["schema"], "fades.stats.v1");
        let groups = report["groups"].as_array().unwrap();
        assert_eq!(groups.len(), 3);
        assert_eq!((&groups[0]["tags"]["room"], &groups[0]["count"]), (&"r1".into(), &100.into()));
        assert_eq!(groups[0]["mean"], 49.5);
        // Sample variance of 0..n is n(n+1)/12.
        let stddev = groups[0]["stddev"].as_f64().unwrap();
        assert!((stddev - (100.0f64 * 101.0 / 12.0).sqrt()).abs() < 1e-9);
        assert_eq!(groups[0]["last"]["time"], "1970-01-01T00:01:39Z");
        assert_eq!((&groups[1]["count"], &groups[1]["nan"]), (&1.into(), &1.into()));
        assert_eq!(groups[2]["operation"], "light");
        assert!(groups[2]["stddev"].is_null());
    }

    #[test]
    fn parameters_are_refused() {
        assert!(reduce::<Stats>("{\"every\": 1}", &[]).is_err());
    }
}
