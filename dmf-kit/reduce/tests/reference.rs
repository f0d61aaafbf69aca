//! Every reducer against what numpy and scipy say of the same points (`reference/make.py`).
//!
//! Tolerances: where a sum is rounded differently, `n · 2⁻⁵³` relative for n of some thousand, taken as [`SUMS`]; where a deviation is taken about
//! a mean, more by the condition of the data, taken as [`SPREADS`]; counts, times and values that are only chosen are equal.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use dmf_reduce::{
    Align, Anomalies, Batch, Correlation, Distinct, Error, Events, Function, Group, Histogram, How,
    JoinFunction, Joined, Moments, NoParameters, Pipe, Quantiles, Rate, Reducer, Row, Series, Summary, TopK,
    Trend, Unused, Window, WindowFunction, Windowed, Windows, pipe, rfc3339,
};
use fades_wire::batch::BatchBuilder;
use serde_json::Value;

/// Sums of some thousand numbers of one magnitude: 2,000 · 2⁻⁵³ is 2e-13, and a difference of such sums loses some digits more.
const SUMS: f64 = 1e-11;
/// Deviations, slopes and correlations, in which differences from a rounded mean are squared: of 1e9 with a spread of 0.3, the worst of
/// these series, numpy's mean is off by 1e-7 where the offset is not taken off first, and that by its square relative to the spread's.
const SPREADS: f64 = 1e-9;
/// What is chosen from the values, or made of two of them: a rounding, and one of reading it back.
const ROUNDING: f64 = 1e-15;

fn read(name: &str) -> Value {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference").join(name);
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| value.as_str().unwrap_or_else(|| panic!("{value}")).parse().unwrap())
}

fn numbers(value: &Value) -> Vec<f64> {
    value.as_array().unwrap().iter().map(number).collect()
}

struct Reference {
    series: BTreeMap<String, Vec<(i64, f64)>>,
    expected: Value,
}

impl Reference {
    fn new() -> Self {
        let mut series = BTreeMap::new();
        for (name, columns) in read("series.json").as_object().unwrap() {
            let times = columns["times"].as_array().unwrap().iter().map(|time| time.as_i64().unwrap());
            series.insert(name.clone(), times.zip(numbers(&columns["values"])).collect());
        }
        Self { series, expected: read("expected.json") }
    }

    /// What is expected of every series for which something is.
    fn of(&self, what: &str) -> Vec<(&[(i64, f64)], &Value)> {
        let found: Vec<_> = self
            .series
            .iter()
            .map(|(name, points)| (points.as_slice(), &self.expected[what][name]))
            .filter(|(_, expected)| !expected.is_null())
            .collect();
        assert!(!found.is_empty(), "{what}");
        found
    }
}

/// The same points, in one piece and in many, and, if it can be, as parts that are joined: the results, to which the same must apply.
fn reduced<R: Reducer>(new: impl Fn() -> R, points: &[(i64, f64)]) -> Vec<R::Output> {
    let mut results = Vec::new();
    for chunk in [points.len(), 1, 7, 256] {
        let mut state = new();
        points.chunks(chunk).for_each(|chunk| state.points(chunk.iter().copied()));
        results.push(state.finish());
    }
    let mut whole = new();
    if whole.join(&new()) {
        for part in points.chunks(points.len() / 3 + 1) {
            let mut state = new();
            state.points(part.iter().copied());
            assert!(whole.join(&state), "it could be joined before");
        }
        results.push(whole.finish());
    }
    results
}

fn close(ours: impl Into<Option<f64>>, theirs: &Value, tolerance: f64) {
    let (ours, theirs) = (ours.into().expect("there is a number"), number(theirs));
    let off = (ours - theirs).abs();
    assert!(off <= tolerance * theirs.abs().max(1e-6), "{ours} is off {theirs} by {off:e}");
}

fn check_summary(summary: &Summary, expected: &Value) {
    assert_eq!(
        (summary.count, summary.nan, summary.infinite),
        (
            expected["count"].as_u64().unwrap(),
            expected["nan"].as_u64().unwrap(),
            expected["infinite"].as_u64().unwrap()
        )
    );
    close(summary.sum, &expected["sum"], SUMS);
    close(summary.mean, &expected["mean"], SUMS);
    close(summary.stddev, &expected["stddev"], SPREADS);
    close(summary.min, &expected["min"], ROUNDING);
    close(summary.max, &expected["max"], ROUNDING);
    close(summary.first.as_ref().unwrap().value, &expected["first"], ROUNDING);
    close(summary.last.as_ref().unwrap().value, &expected["last"], ROUNDING);
}

#[test]
fn moments() {
    for (points, expected) in Reference::new().of("moments") {
        reduced(Moments::default, points).iter().for_each(|summary| check_summary(summary, expected));
    }
}

#[test]
fn histograms() {
    let reference = Reference::new();
    let edges = numbers(&reference.expected["histogram"]["edges"]);
    for (points, expected) in reference.of("histogram") {
        for bins in reduced(|| Histogram::new(&edges).unwrap(), points) {
            assert_eq!(Value::from(bins.counts), expected["counts"]);
            assert_eq!(
                (bins.below, bins.above),
                (expected["below"].as_u64().unwrap(), expected["above"].as_u64().unwrap())
            );
        }
    }
}

#[test]
fn quantiles() {
    let reference = Reference::new();
    let asked = numbers(&reference.expected["quantiles"]["asked"]);
    for accuracy in [0.001, 0.01, 0.1] {
        for (points, expected) in reference.of("quantiles") {
            for list in reduced(|| Quantiles::new(&asked, accuracy).unwrap(), points) {
                for (quantile, expected) in list.quantiles.iter().zip(numbers(expected)) {
                    // The sketch's own bound, and a rounding of it.
                    let off = (quantile.value.unwrap() - expected).abs();
                    assert!(off <= accuracy * expected.abs() * (1.0 + 1e-9), "{quantile:?}: {expected}");
                }
            }
        }
    }
}

#[test]
fn trends() {
    for (points, expected) in Reference::new().of("trend") {
        for line in reduced(Trend::default, points) {
            close(line.slope_per_second, &expected["slope"], SPREADS);
            close(line.value_at_first, &expected["intercept"], SPREADS);
            close(line.pearson, &expected["r"], SPREADS);
            close(line.slope_error, &expected["stderr"], SPREADS);
        }
    }
}

#[test]
fn the_largest() {
    for (points, expected) in Reference::new().of("top") {
        for top in reduced(|| TopK::new(7).unwrap(), points) {
            let times: Vec<String> =
                expected["times"].as_array().unwrap().iter().map(|t| rfc3339(t.as_i64().unwrap())).collect();
            let (values, theirs): (Vec<f64>, Vec<String>) =
                top.largest.into_iter().map(|reading| (reading.value, reading.time)).unzip();
            assert_eq!((values, theirs), (numbers(&expected["values"]), times));
        }
    }
}

#[test]
fn increases() {
    for (points, expected) in Reference::new().of("increase") {
        for gauge in reduced(Rate::gauge, points) {
            close(gauge.increase, &expected["gauge"], SUMS);
            close(gauge.seconds, &expected["seconds"], ROUNDING);
        }
        for counter in reduced(Rate::counter, points) {
            assert_eq!(counter.resets, expected["resets"].as_u64().unwrap());
            close(counter.increase, &expected["counter"], SUMS);
            close(counter.per_second, &expected["per_second"], SUMS);
        }
    }
}

#[test]
fn rates_and_samples() {
    let reference = Reference::new();
    for (points, expected) in reference.of("rates") {
        reduced(|| pipe().rate().reduce(Moments::default()), points)
            .iter()
            .for_each(|summary| check_summary(summary, expected));
    }
    let every = reference.expected["resampled"]["every"].as_i64().unwrap();
    let ways = [
        (How::Mean, "mean"),
        (How::First, "first"),
        (How::Last, "last"),
        (How::Min, "min"),
        (How::Max, "max"),
        (How::Sum, "sum"),
        (How::Count, "count"),
    ];
    for (points, expected) in reference.of("resampled") {
        let starts: Vec<i64> =
            expected["starts"].as_array().unwrap().iter().map(|start| start.as_i64().unwrap()).collect();
        for (how, name) in ways {
            for made in reduced(
                || {
                    pipe()
                        .resample(every, how)
                        .unwrap()
                        .filter(|_, value| value.is_finite())
                        .reduce(All::default())
                },
                points,
            ) {
                assert_eq!(made.iter().map(|(time, _)| *time).collect::<Vec<_>>(), starts);
                made.iter()
                    .zip(expected[name].as_array().unwrap())
                    .for_each(|((_, ours), theirs)| close(*ours, theirs, SUMS));
            }
        }
    }
}

/// Every point, to look at what comes out of a pipe.
#[derive(Default)]
struct All(Vec<(i64, f64)>);

impl Reducer for All {
    type Output = Vec<(i64, f64)>;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        self.0.extend(points);
    }

    fn finish(self) -> Self::Output {
        self.0
    }
}

#[test]
fn events() {
    let reference = Reference::new();
    let expected = &reference.expected["events"];
    let thresholds = numbers(&expected["thresholds"]);
    let above = || Events::above(thresholds[0], thresholds[1]).unwrap();
    let below = || Events::below(17.0, 18.5).unwrap();
    let cases = [
        (reduced(above, &reference.series["wave"]), "wave", 1.0),
        (reduced(above, &reference.series["noisy"]), "noisy", 1.0),
        (reduced(below, &reference.series["wave"]), "below", -1.0),
    ];
    for (lists, name, sign) in cases {
        for list in lists {
            let expected = expected[name].as_array().unwrap();
            assert_eq!((list.events.len(), list.more), (expected.len(), 0));
            assert!(expected.len() > 5);
            for (event, expected) in list.events.iter().zip(expected) {
                assert_eq!(event.start, rfc3339(expected["start"].as_i64().unwrap()));
                assert_eq!(event.end, expected["end"].as_i64().map(rfc3339));
                assert_eq!(event.points, expected["points"].as_u64().unwrap());
                assert_eq!(event.extreme.value, sign * number(&expected["extreme"]));
                assert_eq!(event.extreme.time, rfc3339(expected["at"].as_i64().unwrap()));
            }
        }
    }
}

#[test]
fn anomalies() {
    let reference = Reference::new();
    let settings = numbers(&reference.expected["anomalies"]["settings"]);
    let window = reference.expected["anomalies"]["settings"][0].as_u64().unwrap();
    for (points, expected) in reference.of("anomalies") {
        let new = || Anomalies::new(usize::try_from(window).unwrap(), settings[1], settings[2]).unwrap();
        for outliers in reduced(new, points) {
            let count = expected["times"].as_array().unwrap().len();
            assert_eq!(
                (outliers.judged, outliers.anomalies),
                (expected["judged"].as_u64().unwrap(), count as u64)
            );
            for (at, found) in outliers.strongest.iter().enumerate() {
                assert_eq!(found.time, rfc3339(expected["times"][at].as_i64().unwrap()));
                assert_eq!(found.value, number(&expected["values"][at]));
                close(found.median, &expected["median"][at], ROUNDING);
                // scipy's factor is rounded at another place.
                close(found.z, &expected["z"][at], 1e-14);
            }
        }
    }
}

#[test]
fn different_values() {
    let reference = Reference::new();
    let expected = &reference.expected["distinct"];
    for (name, number) in expected["series"].as_object().unwrap() {
        let number = number.as_u64().unwrap();
        for found in reduced(|| Distinct::new(16).unwrap(), &reference.series[name]) {
            assert_eq!((found.distinct, found.relative_error), (number as f64, 0.0), "{name}");
        }
    }
    for (count, number) in [100, 512, 513, 1000, 10_000, 100_000].into_iter().zip(numbers(&expected["made"]))
    {
        let points: Vec<(i64, f64)> = (0..count).map(|at| (at, at as f64 * 0.37)).collect();
        for precision in [4, 8, 12, 16] {
            for found in reduced(|| Distinct::new(precision).unwrap(), &points) {
                // Four standard errors; exact where it says so.
                let off = (found.distinct / number - 1.0).abs();
                assert!(off <= 4.0 * found.relative_error, "{count}, 2^{precision}: {found:?}");
            }
        }
    }
}

fn series(operation: &str, index: usize) -> Series {
    let (measurement, field) = ("m".to_owned(), "v".to_owned());
    Series { index, operation: operation.to_owned(), measurement, field, tags: vec![] }
}

fn give<F: Function>(function: &mut F, series: &Series, points: &[(i64, f64)]) {
    let mut builder = BatchBuilder::new(0);
    for (time, value) in points {
        builder.push(*time, *value);
    }
    let mut body = Vec::new();
    builder.write(&mut body);
    function.batch(series, Batch::parse(&body).unwrap()).unwrap();
}

/// The windows of the reference, by panes or by a state each.
struct Sliding<const PANES: bool>;

impl<const PANES: bool> WindowFunction for Sliding<PANES> {
    type Parameters = NoParameters;
    type Reducer = Maybe<PANES>;
    type Row = (i64, Summary);
    type Output = Vec<(i64, Summary)>;

    fn start(_: NoParameters) -> Result<Self, Error> {
        Ok(Self)
    }

    fn windows(&self) -> Windows {
        let windows = &read("expected.json")["windows"];
        Windows::sliding(windows["size"].as_i64().unwrap(), windows["step"].as_i64().unwrap()).unwrap()
    }

    fn reducer(&self) -> Self::Reducer {
        Maybe::default()
    }

    fn close(&mut self, _: &Series, window: Window, summary: Summary) -> Result<Option<Self::Row>, Error> {
        Ok(Some((window.start_ns, summary)))
    }

    fn finish(self, rows: Vec<(Group, Vec<Self::Row>)>) -> Result<Self::Output, Error> {
        Ok(rows.into_iter().flat_map(|(_, rows)| rows).collect())
    }
}

/// Moments that join, or do not.
#[derive(Default)]
struct Maybe<const JOINS: bool>(Moments);

impl<const JOINS: bool> Reducer for Maybe<JOINS> {
    type Output = Summary;

    fn points(&mut self, points: impl Iterator<Item = (i64, f64)> + Clone) {
        self.0.points(points);
    }

    fn finish(self) -> Summary {
        self.0.finish()
    }

    fn join(&mut self, later: &Self) -> bool {
        JOINS && self.0.join(&later.0)
    }
}

#[test]
fn sliding_windows() {
    fn rows<const PANES: bool>(points: &[(i64, f64)], chunk: usize) -> Vec<(i64, Summary)> {
        let mut function = Windowed::<Sliding<PANES>>::start(NoParameters {}).unwrap();
        points.chunks(chunk).for_each(|chunk| give(&mut function, &series("op", 0), chunk));
        function.finish().unwrap()
    }
    for (points, expected) in Reference::new().of("windows") {
        let expected = expected.as_array().unwrap();
        for rows in [
            rows::<true>(points, 1000),
            rows::<true>(points, 3),
            rows::<false>(points, 1000),
            rows::<false>(points, 3),
        ] {
            assert_eq!(rows.len(), expected.len());
            for ((start, summary), expected) in rows.iter().zip(expected) {
                assert_eq!(
                    (*start, summary.count),
                    (expected["start"].as_i64().unwrap(), expected["count"].as_u64().unwrap())
                );
                close(summary.mean, &expected["mean"], SUMS);
                assert_eq!(summary.max, expected["max"].as_f64());
            }
        }
    }
}

/// The correlation of two operations.
struct Pairs(Align, Correlation);

impl JoinFunction for Pairs {
    type Parameters = i64;
    type Output = (dmf_reduce::Fit, Vec<Unused>);

    fn start(place: i64) -> Result<Self, Error> {
        let expected = &read("expected.json")["joined"][usize::try_from(place).unwrap()];
        let within = expected["within"].as_i64().unwrap();
        let align = match expected["how"].as_str() {
            Some("carry") => Align::Carry { max_age_ns: within },
            _ => Align::Nearest { tolerance_ns: within },
        };
        Ok(Self(align, Correlation::default()))
    }

    fn align(&self) -> Align {
        self.0
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        self.1.pair(row.values[0], row.values[1]);
        Ok(())
    }

    fn finish(self, unused: Vec<Unused>) -> Result<Self::Output, Error> {
        Ok((self.1.fit(), unused))
    }
}

#[test]
fn joins_and_their_correlation() {
    let reference = Reference::new();
    let (one, other) = (&reference.series["noisy"], &reference.series["beside"]);
    for (place, expected) in (0..).zip(reference.expected["joined"].as_array().unwrap()) {
        for chunk in [3, 2000] {
            let mut function = Joined::<Pairs>::start(place).unwrap();
            function.operations(&["one", "other"]).unwrap();
            // Whichever is behind in time goes on.
            let (mut ones, mut others) = (one.chunks(chunk).peekable(), other.chunks(chunk).peekable());
            while let (Some(next), Some(beside)) = (ones.peek(), others.peek()) {
                if next[0].0 <= beside[0].0 {
                    give(&mut function, &series("one", 0), ones.next().unwrap());
                } else {
                    give(&mut function, &series("other", 1), others.next().unwrap());
                }
            }
            ones.for_each(|chunk| give(&mut function, &series("one", 0), chunk));
            others.for_each(|chunk| give(&mut function, &series("other", 1), chunk));
            function.ended(0).unwrap();
            function.ended(1).unwrap();
            let (fit, unused) = function.finish().unwrap();
            assert_eq!(fit.count, expected["rows"].as_u64().unwrap());
            assert_eq!(unused[0].unmatched + fit.count, one.len() as u64);
            close(fit.pearson, &expected["pearson"], SPREADS);
            close(fit.covariance, &expected["covariance"], SPREADS);
            close(fit.slope, &expected["slope"], SPREADS);
            close(fit.intercept, &expected["intercept"], SPREADS);
            close(fit.slope_error, &expected["slope_error"], SPREADS);
        }
    }
}

/// That the committed numbers are those of the committed script, where numpy and scipy are there; other versions of them may
/// round otherwise.
#[test]
fn the_references_are_what_the_script_writes() {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("reference/make.py");
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("reference");
    std::fs::create_dir_all(&folder).unwrap();
    let has = |python: &&str| {
        let asked = Command::new(python)
            .args(["-c", "import numpy, scipy"])
            .stderr(std::process::Stdio::null())
            .status();
        asked.is_ok_and(|status| status.success())
    };
    let Some(python) = ["python3", "/usr/bin/python3"].into_iter().find(has) else {
        eprintln!("SKIPPED: no python3 with numpy and scipy (apt-get install python3-numpy python3-scipy)");
        return;
    };
    let status = Command::new(python).arg(&script).arg(&folder).status().unwrap();
    assert!(status.success(), "{} failed", script.display());
    for name in ["series.json", "expected.json"] {
        let written: Value =
            serde_json::from_str(&std::fs::read_to_string(folder.join(name)).unwrap()).unwrap();
        same(&written, &read(name), name);
    }
}

fn same(one: &Value, other: &Value, place: &str) {
    match (one, other) {
        (Value::Array(one), Value::Array(other)) => {
            assert_eq!(one.len(), other.len(), "{place}: run reference/make.py and commit what it writes");
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                same(one, other, &format!("{place}/{at}"));
            }
        }
        (Value::Object(one), Value::Object(other)) => {
            assert!(one.keys().eq(other.keys()), "{place}: run reference/make.py and commit what it writes");
            one.iter().for_each(|(key, value)| same(value, &other[key], &format!("{place}/{key}")));
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            let (a, b) = (number(one), number(other));
            assert!((a - b).abs() <= 1e-9 * b.abs().max(1e-6), "{place}: {a} was {b} when it was committed");
        }
        _ => assert_eq!(one, other, "{place}: run reference/make.py and commit what it writes"),
    }
}
