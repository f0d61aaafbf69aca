//! `quantiles`: quantiles per group, out of a DDSketch (Masson, Rim, Lee, "DDSketch", VLDB 2019).
//!
//! Parameters, all optional: `{"quantiles": [0.5, 0.9, 0.99], "relative_accuracy": 0.01}`. Result: `fades.quantiles.v1`. Each
//! value is within `relative_accuracy` times itself of a value of that rank; magnitudes below [`SMALLEST`] count as zero.
//! The sketch's size follows the spread of the values, not their number.

use dmf_kit::prelude::*;
use sketches_ddsketch::{Config, DDSketch};

/// Magnitudes below this are taken for zero.
const SMALLEST: f64 = 1e-9;
/// Most bins of a sketch. Enough that magnitudes from `SMALLEST` to 1e15 keep the bound at the finest accuracy allowed:
/// ln(1e24) / (2 * 0.001) = 27,632. Beyond it low bins are joined.
const BINS: u32 = 32_768;
/// Accuracies that make sense: a finer sketch is as large as the data, a coarser one says nothing.
const ACCURACY: std::ops::RangeInclusive<f64> = 0.001..=0.25;

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
struct Quantiles {
    parameters: Parameters,
    groups: Groups<Sketch>,
}

struct Sketch {
    values: DDSketch,
    nan: u64,
    infinite: u64,
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
    count: u64,
    nan: u64,
    infinite: u64,
    min: Option<f64>,
    max: Option<f64>,
    quantiles: Vec<Quantile>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Quantile {
    quantile: f64,
    value: Option<f64>,
}

impl Function for Quantiles {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        let accuracy = parameters.relative_accuracy;
        if !ACCURACY.contains(&accuracy) {
            return Err(Error::new(format!("relative_accuracy {accuracy} is not within {ACCURACY:?}")));
        }
        if parameters.quantiles.is_empty() || parameters.quantiles.len() > 100 {
            return Err(Error::new(format!(
                "{} quantiles asked for; ask for 1 to 100",
                parameters.quantiles.len()
            )));
        }
        if let Some(wrong) = parameters.quantiles.iter().find(|q| !(0.0..=1.0).contains(*q)) {
            return Err(Error::new(format!("quantile {wrong} is not within 0..=1")));
        }
        Ok(Self { parameters, groups: Groups::default() })
    }

    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        let accuracy = self.parameters.relative_accuracy;
        let empty =
            || Sketch { values: DDSketch::new(Config::new(accuracy, BINS, SMALLEST)), nan: 0, infinite: 0 };
        let sketch = self.groups.state(series, empty);
        for value in batch.values() {
            if value.is_finite() {
                sketch.values.add(value);
            } else {
                sketch.nan += u64::from(value.is_nan());
                sketch.infinite += u64::from(value.is_infinite());
            }
        }
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let asked = self.parameters.quantiles;
        let groups = self
            .groups
            .into_rows()
            .map(|(group, sketch)| row(group, &sketch, &asked))
            .collect::<Result<_, _>>()?;
        Ok(Report {
            schema: "fades.quantiles.v1",
            relative_accuracy: self.parameters.relative_accuracy,
            smallest_magnitude: SMALLEST,
            groups,
        })
    }
}

fn row(group: Group, sketch: &Sketch, asked: &[f64]) -> Result<Row, Error> {
    let quantiles = asked
        .iter()
        .map(|&quantile| match sketch.values.quantile(quantile) {
            Ok(value) => Ok(Quantile { quantile, value }),
            Err(error) => Err(Error::new(format!("quantile {quantile}: {error}"))),
        })
        .collect::<Result<_, _>>()?;
    Ok(Row {
        group,
        count: sketch.values.count() as u64,
        nan: sketch.nan,
        infinite: sketch.infinite,
        min: sketch.values.min(),
        max: sketch.values.max(),
        quantiles,
    })
}

dmf_kit::main!(Quantiles);

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, reduce};

    use super::Quantiles;

    #[test]
    fn every_quantile_is_within_its_bound() {
        let values: Vec<f64> = (1..=10_000).map(|i| f64::from(i * 7919 % 10_000 + 1).powi(2)).collect();
        let points: Vec<(i64, f64)> = values.iter().zip(0..).map(|(&value, time)| (time, value)).collect();
        let asked = "{\"quantiles\": [0, 0.25, 0.5, 0.9, 0.999, 1], \"relative_accuracy\": 0.005}";
        let report = reduce::<Quantiles>(asked, &[Feed::new("light", &points)]).unwrap();
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
        let report = reduce::<Quantiles>("{}", &[Feed::new("light", &points)]).unwrap();
        let group = &report["groups"][0];
        assert_eq!((&group["count"], &group["nan"], &group["infinite"]), (&1.into(), &1.into(), &1.into()));
        for bad in
            ["{\"quantiles\": []}", "{\"quantiles\": [1.5]}", "{\"relative_accuracy\": 0}", "{\"q\": 1}"]
        {
            assert!(reduce::<Quantiles>(bad, &[]).is_err(), "{bad}");
        }
    }
}
