//! `window`: what `stats` gives, per time window and group.
//!
//! Parameters: `{"every": "1h"}`, a whole number and one of `ns us ms s m h d w`. Windows begin at multiples of it since
//! 1970, UTC, as InfluxDB's `GROUP BY time()` has them. Result: `fades.window.v1`; windows without points are left out.

use std::collections::BTreeMap;

use dmf_kit::prelude::*;

/// Most windows of one task, all groups together: about 160 bytes each, so that a 64 MiB guest holds them and the result.
const MAX_WINDOWS: usize = 50_000;

/// What the wrapper says.
#[derive(Deserialize, JsonSchema)]
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
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    every: String,
    groups: Vec<Row>,
}

#[derive(Debug, Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    group: Group,
    windows: Vec<Cell>,
}

#[derive(Debug, Serialize, JsonSchema)]
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

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, reduce};

    use super::{MAX_WINDOWS, Window};

    const HOUR: i64 = 3_600_000_000_000;

    #[test]
    fn windows_begin_at_multiples_and_take_what_is_in_them() {
        // Before 1970 too, out of order too.
        let points = [(-1, 1.0), (0, 2.0), (HOUR - 1, 4.0), (HOUR, 8.0), (5, 16.0)];
        let report = reduce::<Window>("{\"every\": \"1h\"}", &[Feed::new("temp", &points)]).unwrap();
        let windows = report["groups"][0]["windows"].as_array().unwrap();
        let cells: Vec<_> =
            windows.iter().map(|w| (w["start"].as_str().unwrap(), w["sum"].as_f64().unwrap())).collect();
        let expected =
            [("1969-12-31T23:00:00Z", 1.0), ("1970-01-01T00:00:00Z", 22.0), ("1970-01-01T01:00:00Z", 8.0)];
        assert_eq!(cells, expected);
    }

    #[test]
    fn windows_without_end_and_bad_parameters_are_refused() {
        let points: Vec<(i64, f64)> = (0..=i64::try_from(MAX_WINDOWS).unwrap()).map(|t| (t, 0.0)).collect();
        let words =
            reduce::<Window>("{\"every\": \"1ns\"}", &[Feed::new("temp", &points)]).unwrap_err().message;
        assert!(words.contains("take longer windows"), "{words}");
        for bad in ["{}", "{\"every\": \"0s\"}", "{\"every\": \"1h\", \"x\": 1}"] {
            assert!(reduce::<Window>(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        let report =
            reduce::<Window>("{\"every\": \"1d\"}", &[Feed::new("t", &[(i64::MIN, 1.0), (i64::MAX, 1.0)])])
                .unwrap();
        assert_eq!(report["groups"][0]["windows"].as_array().unwrap().len(), 2);
    }
}
