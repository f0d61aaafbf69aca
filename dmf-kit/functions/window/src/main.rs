//! `window`: what `stats` gives, per time window and group.
//!
//! Parameters: `{"every": "1h"}`, a whole number and one of `ns us ms s m h d w`; with `"step": "10m"` as well windows overlap, one beginning
//! every 10 minutes. Windows begin at multiples of the step (without one, of `every`) since 1970, UTC, as InfluxDB's `GROUP BY time()` has them.
//! Result: `fades.window.v1`; windows without points are left out.

#![forbid(unsafe_code)]

use dmf_kit::prelude::*;

/// What the wrapper says.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Parameters {
    every: String,
    #[serde(default)]
    step: Option<String>,
}

struct PerWindow {
    parameters: Parameters,
    windows: Windows,
}

/// The result.
#[derive(Debug, Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    every: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    step: Option<String>,
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

impl WindowFunction for PerWindow {
    type Parameters = Parameters;
    type Reducer = Moments;
    type Row = Cell;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        let every = duration_ns(&parameters.every)?;
        let step = parameters.step.as_deref().map_or(Ok(every), duration_ns)?;
        Ok(Self { parameters, windows: Windows::sliding(every, step)? })
    }

    fn windows(&self) -> Windows {
        self.windows
    }

    fn reducer(&self) -> Moments {
        Moments::default()
    }

    fn close(&mut self, _: &Series, window: Window, summary: Summary) -> Result<Option<Cell>, Error> {
        Ok(Some(Cell { start: rfc3339(window.start_ns), summary }))
    }

    fn finish(self, rows: Vec<(Group, Vec<Cell>)>) -> Result<Report, Error> {
        let groups = rows.into_iter().map(|(group, windows)| Row { group, windows }).collect();
        let Parameters { every, step } = self.parameters;
        Ok(Report { schema: "fades.window.v1", every, step, groups })
    }
}

dmf_kit::main!(Windowed<PerWindow>);

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, reduce};
    use dmf_kit::{WindowFunction, Windowed};

    use super::PerWindow;

    const HOUR: i64 = 3_600_000_000_000;

    fn cells(parameters: &str, points: &[(i64, f64)]) -> Vec<(String, f64)> {
        let report = reduce::<Windowed<PerWindow>>(parameters, &[Feed::new("temp", points)]).unwrap();
        let windows = report["groups"][0]["windows"].as_array().unwrap();
        let cell =
            |w: &serde_json::Value| (w["start"].as_str().unwrap().to_owned(), w["sum"].as_f64().unwrap());
        windows.iter().map(cell).collect()
    }

    #[test]
    fn windows_begin_at_multiples_and_take_what_is_in_them() {
        // Before 1970 too.
        let points = [(-1, 1.0), (0, 2.0), (5, 16.0), (HOUR - 1, 4.0), (HOUR, 8.0)];
        let expected =
            [("1969-12-31T23:00:00Z", 1.0), ("1970-01-01T00:00:00Z", 22.0), ("1970-01-01T01:00:00Z", 8.0)];
        let expected = expected.map(|(start, sum)| (start.to_owned(), sum));
        assert_eq!(cells("{\"every\": \"1h\"}", &points), expected);
    }

    #[test]
    fn windows_overlap_where_they_are_asked_to() {
        let points = [(0, 1.0), (HOUR / 2, 2.0), (HOUR, 4.0)];
        let expected = [
            ("1969-12-31T23:30:00Z", 1.0),
            ("1970-01-01T00:00:00Z", 3.0),
            ("1970-01-01T00:30:00Z", 6.0),
            ("1970-01-01T01:00:00Z", 4.0),
        ];
        let expected = expected.map(|(start, sum)| (start.to_owned(), sum));
        assert_eq!(cells("{\"every\": \"1h\", \"step\": \"30m\"}", &points), expected);
    }

    #[test]
    fn windows_without_end_and_bad_parameters_are_refused() {
        let most = i64::try_from(PerWindow::MOST_ROWS).unwrap();
        let points: Vec<(i64, f64)> = (0..=most).map(|t| (t, 0.0)).collect();
        let words = reduce::<Windowed<PerWindow>>("{\"every\": \"1ns\"}", &[Feed::new("temp", &points)])
            .unwrap_err()
            .message;
        assert!(words.contains("take longer windows"), "{words}");
        for bad in [
            "{}",
            "{\"every\": \"0s\"}",
            "{\"every\": \"1h\", \"x\": 1}",
            "{\"every\": \"1h\", \"step\": \"2h\"}",
        ] {
            assert!(reduce::<Windowed<PerWindow>>(bad, &[]).is_err(), "{bad}");
        }
    }

    #[test]
    fn the_ends_of_time_do_not_overflow() {
        assert_eq!(cells("{\"every\": \"1d\"}", &[(i64::MIN, 1.0), (i64::MAX, 1.0)]).len(), 2);
    }
}
