//! `baseline`: how a period's values lie to all those of the periods before it, per group.
//!
//! For persistent tasks. Its state is the moments of every value that it has seen, joined over all periods (see [`Moments`]): 120 bytes
//! and the names of a group, so that some 1,500 groups fit into the 256 KiB that a function may keep; with more the period fails.
//! Parameters: none. Result: `fades.baseline.v1`: per group the period's own numbers, those of the baseline before it, and
//!
//! > `z = (mean of the period - mean of the baseline) / standard deviation of the baseline`
//!
//! which is `null` as long as the baseline has no spread, or the period no values. A group that is silent in a period stays in the
//! baseline, and in the result.

#![forbid(unsafe_code)]

use std::collections::BTreeMap;

use dmf_kit::prelude::*;

/// The long baseline of one group.
#[derive(Clone, Default, Serialize, Deserialize)]
struct Long {
    /// Periods in which it had values.
    periods: u64,
    moments: Moments,
}

/// The function, in one period.
#[derive(Default)]
struct Baseline {
    before: BTreeMap<Group, Long>,
    now: Groups<Moments>,
}

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    group: Group,
    /// Of this period.
    #[serde(flatten)]
    summary: Summary,
    /// Of all periods before it.
    baseline: Past,
    /// The period's mean, in standard deviations of the baseline from the baseline's mean.
    z: Option<f64>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Past {
    /// Periods in which there were values.
    periods: u64,
    /// Their finite values.
    count: u64,
    /// Arithmetic mean.
    mean: Option<f64>,
    /// Sample standard deviation, divisor `count - 1`.
    stddev: Option<f64>,
}

impl Baseline {
    /// This period's moments by group; two series may be one group, as two operations may read the same.
    fn by_group(&self) -> BTreeMap<Group, Moments> {
        let mut all: BTreeMap<Group, Moments> = BTreeMap::new();
        for (group, moments) in self.now.clone().into_rows() {
            // Moments can always be joined.
            let _joined = all.entry(group).or_default().join(&moments);
        }
        all
    }
}

impl Function for Baseline {
    type Parameters = NoParameters;
    type Output = Report;

    fn start(parameters: NoParameters) -> Result<Self, Error> {
        Self::resume(parameters, None)
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.now.state(series, Moments::default).batch(&batch);
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let mut now = self.by_group();
        let mut before = self.before;
        let mut groups: Vec<Group> = before.keys().chain(now.keys()).cloned().collect();
        groups.sort();
        groups.dedup();
        let row = |group: Group| {
            let summary = now.remove(&group).unwrap_or_default().summary();
            let Long { periods, moments } = before.remove(&group).unwrap_or_default();
            let Summary { count, mean, stddev, .. } = moments.summary();
            let z = match (summary.mean, mean, stddev) {
                (Some(now), Some(mean), Some(stddev)) if stddev > 0.0 => Some((now - mean) / stddev),
                _ => None,
            };
            Row { group, summary, baseline: Past { periods, count, mean, stddev }, z }
        };
        Ok(Report { schema: "fades.baseline.v1", groups: groups.into_iter().map(row).collect() })
    }
}

impl Recurring for Baseline {
    type State = BTreeMap<Group, Long>;
    const STATE_VERSION: u32 = 1;

    fn resume(NoParameters {}: NoParameters, state: Option<Self::State>) -> Result<Self, Error> {
        Ok(Self { before: state.unwrap_or_default(), now: Groups::default() })
    }

    fn keep(&self) -> Self::State {
        let mut after = self.before.clone();
        for (group, moments) in self.by_group() {
            let long = after.entry(group).or_default();
            long.periods += u64::from(moments.count() > 0);
            let _joined = long.moments.join(&moments);
        }
        after
    }
}

dmf_kit::main!(recurring Baseline);

#[cfg(test)]
mod tests {
    use dmf_kit::recurring::Kept;
    use dmf_kit::testkit::{Feed, period};
    use serde_json::Value;

    use super::Baseline;

    fn run(feeds: &[Feed], kept: Option<&Kept>) -> (Value, Kept) {
        period::<Baseline>("{}", feeds, kept).unwrap()
    }

    #[test]
    fn every_period_is_measured_by_all_before_it() {
        let feed = |values: &[f64]| {
            let points: Vec<(i64, f64)> = values.iter().zip(0..).map(|(&value, at)| (at, value)).collect();
            [Feed::new("temp", &points).tag("room", "r1")]
        };
        let periods: [&[f64]; 3] = [&[10.0, 12.0], &[14.0], &[20.0, 22.0, 24.0]];
        let (first, kept) = run(&feed(periods[0]), None);
        assert_eq!(first["schema"], "fades.baseline.v1");
        let row = &first["groups"][0];
        assert_eq!((&row["count"], &row["mean"]), (&2.into(), &11.0.into()));
        assert_eq!((&row["baseline"]["count"], &row["z"]), (&0.into(), &Value::Null));
        let (second, kept) = run(&feed(periods[1]), Some(&kept));
        // 10 and 12: mean 11, sample deviation sqrt(2).
        let z = second["groups"][0]["z"].as_f64().unwrap();
        assert!((z - 3.0 / 2f64.sqrt()).abs() < 1e-12, "{z}");
        let (third, kept) = run(&feed(periods[2]), Some(&kept));
        let row = &third["groups"][0];
        // 10, 12, 14: mean 12, deviation 2; the period's mean is 22.
        assert_eq!((&row["baseline"]["periods"], &row["baseline"]["count"]), (&2.into(), &3.into()));
        assert_eq!((&row["baseline"]["mean"], &row["baseline"]["stddev"]), (&12.0.into(), &2.0.into()));
        assert_eq!(row["z"], 5.0);
        // A period without values changes nothing and forgets nobody.
        let (silent, after) = run(&[Feed::new("temp", &[])], Some(&kept));
        let row =
            silent["groups"].as_array().unwrap().iter().find(|row| row["tags"]["room"] == "r1").unwrap();
        assert_eq!(
            (&row["count"], &row["z"], &row["baseline"]["count"]),
            (&0.into(), &Value::Null, &6.into())
        );
        let (_, again) = run(&[Feed::new("temp", &[])], Some(&after));
        assert_eq!(again, after);
    }

    #[test]
    fn a_state_of_another_version_is_refused() {
        let (_, kept) = run(&[Feed::new("temp", &[(0, 1.0)])], None);
        let other = Kept { version: 2, ..kept };
        let failure = period::<Baseline>("{}", &[], Some(&other)).unwrap_err();
        assert!(failure.message.contains("version 2, this function's is 1"), "{failure}");
    }
}
