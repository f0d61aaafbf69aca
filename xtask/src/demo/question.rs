//! The three questions of the demo: the wrapper that asks the edge, and the query that asks InfluxDB the same.

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::testbed::generator::{CLASSES, START_NS};
use crate::testbed::influx::Influx;
use crate::testbed::node::SOURCE;

/// One number, as the edge gave it and as InfluxDB gives it.
#[derive(Debug, Clone)]
pub struct Row {
    /// What it is about: `r1 2026-01-01T00:00:00Z mean`.
    pub label: String,
    /// The aggregate's value.
    pub edge: f64,
    /// InfluxDB's.
    pub influx: f64,
    /// Of a quantile, InfluxDB's values one rank below and above, as ranks may be counted otherwise by one; else none.
    pub beside: Vec<f64>,
    /// Largest relative difference that is allowed.
    pub bound: f64,
}

impl Row {
    /// How far the edge's value is from InfluxDB's, or from the nearest of those beside it; relative to that one, and
    /// absolute where it is 0.
    pub fn difference(&self) -> f64 {
        let difference = |influx: f64| {
            let scale = if influx == 0.0 { 1.0 } else { influx.abs() };
            (self.edge - influx).abs() / scale
        };
        self.beside.iter().copied().map(difference).fold(difference(self.influx), f64::min)
    }

    /// Whether they are close enough.
    pub fn holds(&self) -> bool {
        // Written so that NaN does not hold.
        self.difference() <= self.bound
    }
}

/// Largest relative difference of sums: both sides add doubles, in an order of their own.
pub const EXACT: f64 = 1e-9;
/// Accuracy that the demo asks of its sketch.
const ACCURACY: f64 = 0.005;
/// What the sketch's logarithms may be off by, beside its accuracy.
const ROUNDING: f64 = 1.000_001;
/// Quantiles that the demo asks for, in percent.
const PERCENTS: [u32; 3] = [50, 90, 99];
/// Numbers of a `stats` row and InfluxDB's functions for them.
const STATS: [(&str, &str); 5] =
    [("count", "COUNT"), ("mean", "MEAN"), ("min", "MIN"), ("max", "MAX"), ("stddev", "STDDEV")];

/// A question.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Question {
    /// Hourly mean of the temperature, per room.
    HourlyMean,
    /// Count, mean, extremes and deviation of all five classes.
    AllClasses,
    /// Quantiles of the sound level, per room.
    Quantiles,
}

impl Question {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::HourlyMean, Self::AllClasses, Self::Quantiles];

    /// In words.
    pub const fn words(self) -> &'static str {
        match self {
            Self::HourlyMean => "hourly mean of the temperature, per room",
            Self::AllClasses => "count, mean, min, max and stddev of all five classes",
            Self::Quantiles => "quantiles of the sound level, per room, by a sketch",
        }
    }

    /// Name of the image that answers it.
    pub const fn image(self) -> &'static str {
        match self {
            Self::HourlyMean => "window",
            Self::AllClasses => "stats",
            Self::Quantiles => "quantiles",
        }
    }

    /// The wrapper as a person writes it; what is not there, `fades` fills in. `end_ns` is the first instant after the
    /// readings.
    pub fn wrapper(self, image: &str, end_ns: i64) -> String {
        let (measurements, group_by, parameters) = match self {
            Self::HourlyMean => (vec!["temperature"], r#"["room"]"#, "every = \"1h\"\n".to_owned()),
            Self::AllClasses => (CLASSES.iter().map(|class| class.0).collect(), "[]", String::new()),
            Self::Quantiles => {
                let quantiles: Vec<String> =
                    PERCENTS.iter().map(|p| format!("{}", f64::from(*p) / 100.0)).collect();
                let asked =
                    format!("quantiles = [{}]\nrelative_accuracy = {ACCURACY}\n", quantiles.join(", "));
                (vec!["sound"], r#"["room"]"#, asked)
            }
        };
        let mut text = "schema = \"fades.task.v1\"\n\n[credentials]\npriority = 5\n".to_owned();
        for measurement in measurements {
            text += &format!(
                "\n[[drb.operations]]\nid = \"{measurement}\"\nsource = \"{SOURCE}\"\nmeasurement = \"{measurement}\"\n\
                 field = \"value\"\nfrom = \"{}\"\nto = \"{}\"\ngroup_by = {group_by}\n",
                rfc3339(START_NS),
                rfc3339(end_ns),
            );
        }
        text += &format!(
            "\n[dmf]\nimage = \"{image}\"\n\n[dmf.parameters]\n{parameters}\n[dmf.resources]\nmemory_mib = 64\ntimeout_ms = 120000\n"
        );
        text
    }

    /// Every number of the result beside InfluxDB's own.
    ///
    /// # Errors
    /// InfluxDB could not be asked, or result and answer have different groups.
    pub fn compare(self, result: &Value, influx: &Influx, end_ns: i64) -> Result<Vec<Row>> {
        let range = format!("WHERE time >= {START_NS} AND time < {end_ns}");
        match self {
            Self::HourlyMean => hourly(result, influx, &range),
            Self::AllClasses => classes(result, influx, &range),
            Self::Quantiles => quantiles(result, influx, &range),
        }
    }
}

fn hourly(result: &Value, influx: &Influx, range: &str) -> Result<Vec<Row>> {
    let query = format!("SELECT MEAN(value) FROM temperature {range} GROUP BY time(1h), room fill(none)");
    let mut rows = Vec::new();
    for series in list(&influx.query(&query)?)? {
        let room = series["tags"]["room"].as_str().context("a series without room")?;
        let windows = list(&group(result, room)?["windows"])?;
        let values = list(&series["values"])?;
        if windows.len() != values.len() {
            bail!("{room}: {} windows, InfluxDB has {}", windows.len(), values.len());
        }
        for (window, value) in windows.iter().zip(values) {
            let start = rfc3339(value[0].as_i64().context("a window without time")?);
            if window["start"] != start.as_str() {
                bail!("{room}: a window starts at {}, InfluxDB's at {start}", window["start"]);
            }
            rows.push(row(format!("{room} {start} mean"), &window["mean"], &value[1], EXACT)?);
        }
    }
    Ok(rows)
}

fn classes(result: &Value, influx: &Influx, range: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for (class, ..) in CLASSES {
        let functions: Vec<String> = STATS.iter().map(|(_, function)| format!("{function}(value)")).collect();
        let answer = influx.query(&format!("SELECT {} FROM {class} {range}", functions.join(", ")))?;
        let groups = list(&result["groups"])?;
        let group = groups.iter().find(|group| group["measurement"] == class);
        let group = group.with_context(|| format!("the result has no group {class}"))?;
        for ((name, _), column) in STATS.iter().zip(1..) {
            rows.push(row(format!("{class} {name}"), &group[*name], &answer[0]["values"][0][column], EXACT)?);
        }
    }
    Ok(rows)
}

fn quantiles(result: &Value, influx: &Influx, range: &str) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let counts = influx.query(&format!("SELECT COUNT(value) FROM sound {range} GROUP BY room"))?;
    for series in list(&counts)? {
        let room = series["tags"]["room"].as_str().context("a series without room")?;
        let count = series["values"][0][1].as_u64().context("a series without count")?;
        let found = list(&group(result, room)?["quantiles"])?;
        for percent in PERCENTS {
            let wanted = f64::from(percent) / 100.0;
            let quantile = found.iter().find(|quantile| quantile["quantile"] == wanted);
            let quantile = quantile.with_context(|| format!("{room}: no quantile {wanted}"))?;
            let ranks = ranks(count, percent);
            let asked =
                ranks.map(|rank| format!("PERCENTILE(value, {})", percentile(rank, count))).join(", ");
            let answer = influx.query(&format!("SELECT {asked} FROM sound {range} AND room = '{room}'"))?;
            let values = list(&answer[0]["values"][0])?;
            let mut row =
                row(format!("{room} p{percent}"), &quantile["value"], &values[2], ACCURACY * ROUNDING)?;
            for value in [&values[1], &values[3]] {
                row.beside
                    .push(value.as_f64().with_context(|| format!("{}: {value} is no number", row.label))?);
            }
            rows.push(row);
        }
    }
    Ok(rows)
}

/// The rank of a percentile among `count` values, counted from 1 to the nearest as InfluxDB does, and the ranks beside it.
fn ranks(count: u64, percent: u32) -> [u64; 3] {
    let nearest = (count * u64::from(percent) + 50) / 100;
    [nearest.saturating_sub(1), nearest, nearest + 1].map(|rank| rank.clamp(1, count))
}

/// The percentile at which InfluxDB finds the value of this rank: its middle, far from where it would round otherwise.
#[expect(clippy::cast_precision_loss, reason = "a rank needs no more than 53 bits")]
fn percentile(rank: u64, count: u64) -> f64 {
    rank as f64 * 100.0 / count as f64
}

fn group<'a>(result: &'a Value, room: &str) -> Result<&'a Value> {
    let groups = result["groups"].as_array().context("the result has no groups")?;
    groups
        .iter()
        .find(|group| group["tags"]["room"] == room)
        .with_context(|| format!("the result has no group {room}"))
}

fn row(label: String, edge: &Value, influx: &Value, bound: f64) -> Result<Row> {
    let number = |value: &Value| value.as_f64().with_context(|| format!("{label}: {value} is no number"));
    Ok(Row { edge: number(edge)?, influx: number(influx)?, beside: Vec::new(), bound, label })
}

fn list(value: &Value) -> Result<Vec<Value>> {
    value.as_array().cloned().with_context(|| format!("{value} is no list"))
}

/// An instant as both sides write it.
fn rfc3339(ns: i64) -> String {
    jiff::Timestamp::from_nanosecond(i128::from(ns)).map(|time| time.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_holds_near_the_value_of_its_rank_or_of_one_beside_it() {
        let row = |edge| Row {
            label: String::new(),
            edge,
            influx: 40.0,
            beside: vec![30.0, 50.0],
            bound: ACCURACY,
        };
        for right in [40.0, 40.19, 39.81, 30.14, 29.86, 50.24, 49.76] {
            assert!(row(right).holds(), "{right}");
        }
        for wrong in [40.21, 39.79, 35.0, 45.0, 29.8, 50.3, 0.0, f64::NAN, f64::INFINITY] {
            assert!(!row(wrong).holds(), "{wrong}");
        }
    }

    #[test]
    fn ranks_stay_within_the_values() {
        assert_eq!(ranks(1, 50), [1, 1, 1]);
        assert_eq!(ranks(1, 99), [1, 1, 1]);
        assert_eq!(ranks(4, 50), [1, 2, 3]);
        assert_eq!(ranks(4, 99), [3, 4, 4]);
        assert_eq!(ranks(10_000, 90), [8_999, 9_000, 9_001]);
    }
}
