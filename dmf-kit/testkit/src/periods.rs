//! The periods of a persistent task, one after the other, each with what the one before it has kept.
//!
//! As on a node that catches up, but that a period which fails is the end: whoever tries a function wants to know.

use dmf_reduce::Function;
use dmf_reduce::habit::Habit;
use fades_points::{Fixture, Replay};
use fades_wire::control::MAX_STATE;

use crate::Task;
use crate::broker::{Run, RunError, carry_out};

/// Runs a task on a fixture; of a persistent one the first periods, at most `most`.
///
/// ```
/// # use dmf_reduce::*;
/// # struct Sum(f64);
/// # impl Function for Sum {
/// #     type Parameters = NoParameters;
/// #     type Output = f64;
/// #     fn start(_: NoParameters) -> Result<Self, Error> { Ok(Sum(0.0)) }
/// #     fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
/// #         self.0 += batch.values().sum::<f64>();
/// #         Ok(())
/// #     }
/// #     fn finish(self) -> Result<f64, Error> { Ok(self.0) }
/// # }
/// use dmf_reduce::habit::Forgets; // or Remembers, for one that is `Recurring`
/// use dmf_testkit::{Fixture, Task, run_periods};
///
/// let task = Task::from_toml("
///     [[drb.operations]]
///     id = 'warm'
///     source = 'any'
///     measurement = 'temp'
///     field = 'value'
///     from = '1970-01-01T00:00:00Z'
///     to = '1970-01-01T00:00:01Z'
///     [dmf]
///     image = 'sum'
///     lifetime = { persistent = { every_ms = 1000, until = '1970-01-01T00:00:02Z' } }
/// ").unwrap();
/// let readings = Fixture::from_line_protocol("temp value=1 0\ntemp value=2 1500000000").unwrap();
/// let done = run_periods::<Sum, Forgets>(&task, &readings, 8).unwrap();
/// assert_eq!((&done.periods[0].result, &done.result), (&1.0.into(), &2.0.into()));
/// ```
///
/// # Errors
/// As the task, or the first of its periods, would fail on a node.
pub fn run_periods<F: Function, H: Habit<F>>(
    task: &Task,
    fixture: &Fixture,
    most: u64,
) -> Result<Run, RunError> {
    let readings = Replay::new(fixture.clone());
    let mut kept = None;
    let Some(count) = task.periods(most) else {
        // Outside of a period there is nothing to keep for.
        let begin = |parameters: &str| H::begin(parameters, None);
        return carry_out(task, &readings, begin, |_: &F| Ok(())).map(|(run, ())| run);
    };
    let mut periods = Vec::new();
    for number in 0..count {
        let begin = |parameters: &str| H::begin(parameters, kept.as_ref());
        let keep = |function: &F| H::keep(function, MAX_STATE);
        let done = task.in_period(number).map_err(RunError::Task);
        let done = done.and_then(|task| carry_out(&task, &readings, begin, keep));
        let (run, next) = done.map_err(|error| RunError::Period { number, source: Box::new(error) })?;
        periods.push(run);
        // One without a state leaves what there was, as on a node.
        kept = next.or(kept);
    }
    Run::of_periods(periods).ok_or(RunError::NoPeriod)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use dmf_reduce::habit::{Forgets, Remembers};
    use dmf_reduce::{Batch, Error, NoParameters, Recurring, Series};
    use serde_json::json;

    use super::*;
    use crate::run;

    /// Points of this period, and of all before it; fails on a value of 13.
    struct Counts {
        before: u64,
        now: u64,
    }

    impl Function for Counts {
        type Parameters = NoParameters;
        type Output = (u64, u64);

        fn start(parameters: NoParameters) -> Result<Self, Error> {
            Self::resume(parameters, None)
        }

        fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
            if batch.values().any(|value| value == 13.0) {
                return Err(Error::new("13 is unlucky"));
            }
            self.now += batch.len() as u64;
            Ok(())
        }

        fn finish(self) -> Result<(u64, u64), Error> {
            Ok((self.now, self.before))
        }
    }

    impl Recurring for Counts {
        type State = u64;
        const STATE_VERSION: u32 = 1;

        fn resume(NoParameters {}: NoParameters, state: Option<u64>) -> Result<Self, Error> {
            Ok(Self { before: state.unwrap_or(0), now: 0 })
        }

        fn keep(&self) -> u64 {
            self.before + self.now
        }
    }

    fn task(until: &str) -> Task {
        let text = format!(
            "[[drb.operations]]
            id = 'warm'
            source = 'any'
            measurement = 'temperature'
            field = 'value'
            from = '1970-01-01T00:00:00Z'
            to = '1970-01-01T00:00:10Z'
            [dmf]
            image = 'counts'
            lifetime = {{ persistent = {{ every_ms = 10000, until = '1970-01-01T00:00:{until}Z' }} }}"
        );
        Task::from_toml(&text).unwrap()
    }

    /// One point a second, from the beginning on.
    fn seconds(points: i64) -> Fixture {
        let mut fixture = Fixture::default();
        for second in 0..points {
            fixture.push("temperature", "value", &BTreeMap::new(), second * 1_000_000_000, 0.5);
        }
        fixture
    }

    #[test]
    fn each_period_goes_on_from_the_one_before() {
        let done = run_periods::<Counts, Remembers>(&task("45"), &seconds(33), 8).unwrap();
        let results: Vec<_> = done.periods.iter().map(|period| period.result.clone()).collect();
        assert_eq!(results, [json!([10, 0]), json!([10, 10]), json!([10, 20]), json!([3, 30])]);
        assert_eq!((&done.result, done.read.points), (&results[3], 33));
        let few = run_periods::<Counts, Remembers>(&task("45"), &seconds(33), 2).unwrap();
        assert_eq!((few.periods.len(), few.result), (2, json!([10, 10])));
        // Who forgets is given nothing.
        let fresh = run_periods::<Counts, Forgets>(&task("45"), &seconds(33), 8).unwrap();
        assert_eq!(fresh.result, json!([3, 0]));
        // Without periods: the windows as they stand.
        let once = run::<Counts>(&task("45"), &seconds(33)).unwrap();
        assert!(once.result == json!([10, 0]) && once.periods.is_empty());
    }

    #[test]
    fn a_period_that_fails_is_named() {
        let mut unlucky = seconds(30);
        unlucky.push("temperature", "value", &BTreeMap::new(), 12_000_000_000, 13.0);
        let failed = run_periods::<Counts, Remembers>(&task("45"), &unlucky, 8).unwrap_err();
        let RunError::Period { number: 1, source } = &failed else { panic!("{failed}") };
        assert!(source.to_string().contains("13 is unlucky"), "{source}");
        assert_eq!(run_periods::<Counts, Remembers>(&task("09"), &unlucky, 8), Err(RunError::NoPeriod));
    }
}
