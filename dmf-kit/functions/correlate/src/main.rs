//! `correlate`: how two or more operations go together in time, and where each is heading, per group.
//!
//! Operations are joined into rows: for each point of the first one, a point of every other with the same `group_by` tags. Parameters, one or
//! none: `{"max_age": "10s"}` takes the last point at or before it that is no older, `{"tolerance": "10s"}` the nearest that is no further; `{}` takes
//! points of exactly one time. Result: `fades.correlate.v1`: of each group Pearson's r, covariance and least squares line of each two
//! operations, and the trend of each, all over the rows; and of each operation how many points were in no row.

#![forbid(unsafe_code)]

use dmf_kit::prelude::*;
use dmf_kit::{Fit, Line};

/// Most pairs of operations and trends in all groups: about 120 bytes each, and a few times that in the result.
const MOST: usize = 50_000;

/// What the wrapper says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    /// A duration such as `10s`.
    #[serde(default)]
    max_age: Option<String>,
    /// A duration such as `10s`.
    #[serde(default)]
    tolerance: Option<String>,
}

struct Correlate {
    align: Align,
    operations: Vec<String>,
    groups: Vec<State>,
}

/// What is known of a group.
struct State {
    tags: Vec<(String, String)>,
    rows: u64,
    /// Of each operation with each behind it.
    pairs: Vec<Correlation>,
    trends: Vec<Trend>,
}

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    groups: Vec<GroupReport>,
    unused: Vec<Unused>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct GroupReport {
    tags: std::collections::BTreeMap<String, String>,
    rows: u64,
    pairs: Vec<PairReport>,
    trends: Vec<TrendReport>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct PairReport {
    /// The operation that is x.
    x: String,
    /// The operation that is y.
    y: String,
    #[serde(flatten)]
    fit: Fit,
}

#[derive(Debug, Serialize, JsonSchema)]
struct TrendReport {
    operation: String,
    #[serde(flatten)]
    line: Line,
}

impl JoinFunction for Correlate {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        let align = match (parameters.max_age, parameters.tolerance) {
            (Some(_), Some(_)) => return Err(Error::new("max_age and tolerance; give one of them")),
            (Some(age), None) => Align::Carry { max_age_ns: duration_ns(&age)? },
            (None, Some(tolerance)) => Align::Nearest { tolerance_ns: duration_ns(&tolerance)? },
            (None, None) => Align::Carry { max_age_ns: 0 },
        };
        Ok(Self { align, operations: Vec::new(), groups: Vec::new() })
    }

    fn align(&self) -> Align {
        self.align
    }

    fn operations(&mut self, ids: &[&str]) -> Result<(), Error> {
        self.operations = ids.iter().map(|id| (*id).to_owned()).collect();
        Ok(())
    }

    fn row(&mut self, row: Row<'_>) -> Result<(), Error> {
        if row.group == self.groups.len() {
            let count = self.operations.len();
            let (pairs, trends) = (count * (count - 1) / 2, count);
            if (row.group + 1) * (pairs + trends) > MOST {
                return Err(Error::new(format!(
                    "{} groups of {pairs} pairs and {trends} trends are over {MOST}; ask for fewer",
                    row.group + 1
                )));
            }
            let (pairs, trends) = (vec![Correlation::default(); pairs], vec![Trend::default(); trends]);
            self.groups.push(State { tags: row.tags.to_vec(), rows: 0, pairs, trends });
        }
        let state = &mut self.groups[row.group];
        state.rows += 1;
        let mut pairs = state.pairs.iter_mut();
        for (at, &x) in row.values.iter().enumerate() {
            for (&y, pair) in row.values[at + 1..].iter().zip(&mut pairs) {
                pair.pair(x, y);
            }
        }
        for (trend, &value) in state.trends.iter_mut().zip(row.values) {
            trend.points(std::iter::once((row.time_ns, value)));
        }
        Ok(())
    }

    fn finish(self, unused: Vec<Unused>) -> Result<Report, Error> {
        let ids = &self.operations;
        let names = || (0..ids.len()).flat_map(|x| (x + 1..ids.len()).map(move |y| (x, y)));
        let group = |state: State| GroupReport {
            tags: state.tags.into_iter().collect(),
            rows: state.rows,
            pairs: names()
                .zip(&state.pairs)
                .map(|((x, y), pair)| PairReport { x: ids[x].clone(), y: ids[y].clone(), fit: pair.fit() })
                .collect(),
            trends: ids
                .iter()
                .zip(state.trends)
                .map(|(id, trend)| TrendReport { operation: id.clone(), line: trend.finish() })
                .collect(),
        };
        let groups = self.groups.into_iter().map(group).collect();
        Ok(Report { schema: "fades.correlate.v1", groups, unused })
    }
}

dmf_kit::main!(Joined<Correlate>);

#[cfg(test)]
mod tests {
    use dmf_kit::Joined;
    use dmf_kit::testkit::{Feed, reduce};
    use serde_json::Value;

    use super::Correlate;

    const SECOND: i64 = 1_000_000_000;

    fn asked(parameters: &str, feeds: &[Feed]) -> Value {
        reduce::<Joined<Correlate>>(parameters, feeds).unwrap()
    }

    fn points(count: i32, value: impl Fn(f64) -> f64) -> Vec<(i64, f64)> {
        (0..count).map(|at| (i64::from(at) * SECOND, value(f64::from(at)))).collect()
    }

    #[test]
    fn what_follows_another_is_found_per_group_and_pair() {
        let feeds = [
            Feed::new("temp", &points(100, |at| at.sin())).tag("room", "r1"),
            Feed::new("temp", &points(50, |at| at)).tag("room", "r2"),
            Feed::new("light", &points(100, |at| 5.0 - 2.0 * at.sin())).tag("room", "r1"),
            Feed::new("light", &points(60, |at| 3.0 * at)).tag("room", "r2"),
            Feed::new("light", &points(9, |at| at)).tag("room", "r3"),
            Feed::new("door", &points(100, |_| 1.0)).tag("room", "r1"),
        ];
        let report = asked("{}", &feeds);
        assert_eq!(report["schema"], "fades.correlate.v1");
        let groups = report["groups"].as_array().unwrap();
        assert_eq!(
            (groups.len(), &groups[0]["tags"]["room"], &groups[0]["rows"]),
            (1, &"r1".into(), &100.into())
        );
        let pairs = groups[0]["pairs"].as_array().unwrap();
        let names: Vec<_> =
            pairs.iter().map(|pair| (pair["x"].as_str().unwrap(), pair["y"].as_str().unwrap())).collect();
        assert_eq!(names, [("temp", "light"), ("temp", "door"), ("light", "door")]);
        assert!((pairs[0]["pearson"].as_f64().unwrap() + 1.0).abs() < 1e-12, "{}", pairs[0]);
        assert!((pairs[0]["slope"].as_f64().unwrap() + 2.0).abs() < 1e-12);
        assert!(pairs[1]["pearson"].is_null(), "what does not vary goes with nothing");
        let unused: Vec<_> =
            report["unused"].as_array().unwrap().iter().map(|it| it["unmatched"].as_u64().unwrap()).collect();
        assert_eq!(unused, [50, 69, 0]);

        let two = asked("{}", &feeds[..5]);
        assert_eq!(two["groups"][1]["rows"], 50);
        assert!((two["groups"][1]["trends"][1]["slope_per_second"].as_f64().unwrap() - 3.0).abs() < 1e-12);
    }

    #[test]
    fn points_are_joined_as_they_are_asked_to_be() {
        let late: Vec<(i64, f64)> =
            points(20, |at| at).iter().map(|point| (point.0 + SECOND / 4, point.1)).collect();
        let feeds = [Feed::new("a", &points(20, |at| at)), Feed::new("b", &late)];
        for (parameters, rows) in [
            ("{}", None),
            ("{\"max_age\": \"750ms\"}", Some(19)),
            ("{\"tolerance\": \"250ms\"}", Some(20)),
            ("{\"max_age\": \"1ms\"}", None),
        ] {
            let report = asked(parameters, &feeds);
            assert_eq!(report["groups"][0]["rows"].as_u64(), rows, "{parameters}");
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        let (a, b) =
            (Feed::new("a", &points(2, |at| at)), Feed::new("b", &points(2, |at| at)).tag("room", "r1"));
        let words = |parameters: &str, feeds: &[Feed]| {
            reduce::<Joined<Correlate>>(parameters, feeds).unwrap_err().message
        };
        assert!(
            words("{\"max_age\": \"1s\", \"tolerance\": \"1s\"}", &[a.clone(), b.clone()])
                .contains("give one of them")
        );
        assert!(words("{\"max_age\": \"0s\"}", &[a.clone(), b.clone()]).contains("no duration"));
        assert!(words("{}", std::slice::from_ref(&a)).contains("a join needs two or more"));
        assert!(words("{}", &[a, b]).contains("need the same group_by"));
    }
}
