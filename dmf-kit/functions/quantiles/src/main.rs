//! `quantiles`: quantiles per group, out of a DDSketch (Masson, Rim, Lee, "DDSketch", VLDB 2019).
//!
//! Parameters, all optional: `{"quantiles": [0.5, 0.9, 0.99], "relative_accuracy": 0.01}`. Result: `fades.quantiles.v1`. Each
//! value is within `relative_accuracy` times itself of a value of that rank; magnitudes below [`Quantiles::SMALLEST`] count as zero.
//! The sketch's size follows the spread of the values, not their number.

#![forbid(unsafe_code)]

use dmf_kit::QuantileList;
use dmf_kit::prelude::*;

/// What the wrapper says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    quantiles: Vec<f64>,
    relative_accuracy: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { quantiles: vec![0.5, 0.9, 0.99], relative_accuracy: 0.01 }
    }
}

/// The state: a sketch per group.
struct PerGroup {
    relative_accuracy: f64,
    empty: Quantiles,
    groups: Groups<Quantiles>,
}

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    relative_accuracy: f64,
    smallest_magnitude: f64,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    group: Group,
    #[serde(flatten)]
    quantiles: QuantileList,
}

impl Function for PerGroup {
    type Parameters = Parameters;
    type Output = Report;

    fn start(Parameters { quantiles, relative_accuracy }: Parameters) -> Result<Self, Error> {
        let empty = Quantiles::new(&quantiles, relative_accuracy)?;
        Ok(Self { relative_accuracy, empty, groups: Groups::default() })
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        self.groups.state(series, || self.empty.clone()).batch(&batch);
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let row = |(group, sketch): (Group, Quantiles)| Row { group, quantiles: sketch.finish() };
        Ok(Report {
            schema: "fades.quantiles.v1",
            relative_accuracy: self.relative_accuracy,
            smallest_magnitude: Quantiles::SMALLEST,
            groups: self.groups.into_rows().map(row).collect(),
        })
    }
}

dmf_kit::main!(PerGroup);

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, reduce};

    use super::PerGroup;

    #[test]
    fn every_quantile_is_within_its_bound() {
        let values: Vec<f64> = (1..=10_000).map(|i| f64::from(i * 7919 % 10_000 + 1).powi(2)).collect();
        let points: Vec<(i64, f64)> = values.iter().zip(0..).map(|(&value, time)| (time, value)).collect();
        let asked = "{\"quantiles\": [0, 0.25, 0.5, 0.9, 0.999, 1], \"relative_accuracy\": 0.005}";
        let report = reduce::<PerGroup>(asked, &[Feed::new("light", &points)]).unwrap();
        assert_eq!(report["relative_accuracy"], 0.005);
        let mut sorted = values;
        sorted.sort_by(f64::total_cmp);
        for quantile in report["groups"][0]["quantiles"].as_array().unwrap() {
            let asked = quantile["quantile"].as_f64().unwrap();
            // The value of the rank that the quantile means, counted from 0 to n - 1.
            let exact = sorted.iter().zip(0u32..).take_while(|(_, rank)| f64::from(*rank) <= asked * 9_999.0);
            let (value, exact) = (quantile["value"].as_f64().unwrap(), *exact.last().unwrap().0);
            assert!((value - exact).abs() <= 0.005 * exact * 1.000_001, "{quantile}: {exact}");
        }
    }

    #[test]
    fn what_is_not_finite_is_counted_and_bad_parameters_are_refused() {
        let points = [(0, f64::NAN), (1, 1.0), (2, f64::NEG_INFINITY)];
        let report = reduce::<PerGroup>("{}", &[Feed::new("light", &points)]).unwrap();
        let group = &report["groups"][0];
        assert_eq!((&group["count"], &group["nan"], &group["infinite"]), (&1.into(), &1.into(), &1.into()));
        for bad in
            ["{\"quantiles\": []}", "{\"quantiles\": [1.5]}", "{\"relative_accuracy\": 0}", "{\"q\": 1}"]
        {
            assert!(reduce::<PerGroup>(bad, &[]).is_err(), "{bad}");
        }
    }
}
