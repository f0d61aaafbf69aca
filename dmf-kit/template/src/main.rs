//! `pollution-peaks`: how often, how long and how far readings rise above a threshold, per group.
//!
//! The same crate is the unikernel that runs at the edge and a program for this machine: `cargo test`, `fades dmf run`.
#![forbid(unsafe_code)]

use dmf_kit::prelude::*;

// What a task may say under `dmf.parameters`. The image carries this as a JSON Schema, and a node refuses a task that does not
// fit before anything is started.
/// Parameters of `pollution-peaks`.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
struct Parameters {
    /// A peak is a run of readings above this value.
    threshold: f64,
}

impl Default for Parameters {
    fn default() -> Self {
        Self { threshold: 35.0 }
    }
}

/// The state of a task. It may grow with the number of groups; readings are gone when `batch` returns.
struct Peaks {
    threshold: f64,
    groups: Groups<State>,
}

/// What is known of one group.
#[derive(Default)]
struct State {
    readings: u64,
    peaks: u64,
    above_ns: i64,
    highest: Option<f64>,
    /// When the peak under way began, and its latest reading.
    peak: Option<(i64, i64)>,
}

/// The peaks of every group.
#[derive(Serialize, JsonSchema)]
struct Report {
    schema: &'static str,
    threshold: f64,
    groups: Vec<Row>,
}

#[derive(Serialize, JsonSchema)]
struct Row {
    #[serde(flatten)]
    group: Group,
    /// Readings that are numbers.
    readings: u64,
    /// Runs of readings above the threshold.
    peaks: u64,
    /// From the first to the last reading of each peak, seconds in all.
    above_s: f64,
    /// The highest reading.
    highest: Option<f64>,
}

impl State {
    fn reading(&mut self, time: i64, value: f64, threshold: f64) {
        self.readings += 1;
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        match &mut self.peak {
            Some((_, latest)) if value > threshold => *latest = time,
            None if value > threshold => self.peak = Some((time, time)),
            _ => self.end_of_peak(),
        }
    }

    fn end_of_peak(&mut self) {
        if let Some((first, latest)) = self.peak.take() {
            self.peaks += 1;
            self.above_ns += latest - first;
        }
    }
}

impl Function for Peaks {
    type Parameters = Parameters;
    type Output = Report;

    fn start(parameters: Parameters) -> Result<Self, Error> {
        Ok(Self { threshold: parameters.threshold, groups: Groups::default() })
    }

    /// Within a series readings come in the order of time.
    fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
        let state = self.groups.state(series, State::default);
        for (time, value) in batch.points().filter(|(_, value)| value.is_finite()) {
            state.reading(time, value, self.threshold);
        }
        Ok(())
    }

    fn finish(self) -> Result<Report, Error> {
        let row = |(group, mut state): (Group, State)| {
            state.end_of_peak();
            let above_s = state.above_ns as f64 / 1e9;
            Row { group, readings: state.readings, peaks: state.peaks, above_s, highest: state.highest }
        };
        let groups = self.groups.into_rows().map(row).collect();
        Ok(Report { schema: "pollution-peaks.v1", threshold: self.threshold, groups })
    }
}

dmf_kit::main!(Peaks);

#[cfg(test)]
mod tests {
    use dmf_kit::testkit::{Feed, Fixture, Task, reduce, run};

    use super::Peaks;

    /// A few readings, given to the function in batches of every size.
    #[test]
    fn a_peak_is_a_run_above_the_threshold() {
        const SECOND: i64 = 1_000_000_000;
        let values = [1.0, 9.0, 8.0, 2.0, 7.0, f64::NAN, 7.5];
        let readings: Vec<(i64, f64)> =
            values.iter().zip(0..).map(|(&value, at)| (at * SECOND, value)).collect();
        let report = reduce::<Peaks>("{\"threshold\": 5}", &[Feed::new("air", &readings)]).unwrap();
        let group = &report["groups"][0];
        assert_eq!((&group["readings"], &group["peaks"]), (&6.into(), &2.into()));
        assert_eq!((&group["above_s"], &group["highest"]), (&3.0.into(), &9.0.into()));
    }

    /// The task of `task.toml` on the readings of `data`, as the broker of a node would read them.
    #[test]
    fn the_task_finds_the_peaks_of_the_data() {
        let task = Task::from_toml(include_str!("../task.toml")).unwrap();
        let data = Fixture::read(concat!(env!("CARGO_MANIFEST_DIR"), "/data/points.lp").as_ref()).unwrap();
        let done = run::<Peaks>(&task, &data).unwrap();
        assert_eq!(done.read.points, 432);
        let groups = done.result["groups"].as_array().unwrap();
        let peaks: Vec<u64> = groups.iter().map(|group| group["peaks"].as_u64().unwrap()).collect();
        assert_eq!(peaks, [0, 1, 2]);
    }
}
