//! What a function's program does on the host, by its arguments.

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

use dmf_reduce::habit::Habit;
use dmf_reduce::{Description, Function};
use fades_api::codes;
use fades_api::task::Periods;
use fades_points::Fixture;

use crate::{Task, run_periods};

/// What can be done.
const USAGE: &str = "Usage:
  describe          prints the JSON Schemas of parameters and result, as they stand in the image's manifest
  run TASK DATA [N] runs the task (TOML) on the points of a file (.lp, .csv, .fpt) behind the broker's own logic; prints the
                    result and what was read, as JSON, on its last line. Of a task that recurs the first N periods, 8 if not
                    said, each with what the one before it has kept";

/// Does what `arguments` say, and gives the exit code: 0 done, 1 failed, 2 misuse.
pub fn program<F: Function, H: Habit<F>>(image: &str, arguments: impl Iterator<Item = OsString>) -> u8 {
    let arguments: Vec<OsString> = arguments.collect();
    let words: Vec<&str> = arguments.iter().filter_map(|word| word.to_str()).collect();
    tell_of_panics();
    let done = match words.as_slice() {
        ["describe"] => serde_json::to_string(&Description::of::<F>()).map_err(|error| error.to_string()),
        ["run", task, data] => run_files::<F, H>(Path::new(task), Path::new(data), Periods::TRIED),
        ["run", task, data, most] => match most.parse() {
            Ok(most) => run_files::<F, H>(Path::new(task), Path::new(data), most),
            Err(error) => Err(format!("{most:?} is no number of periods: {error}")),
        },
        _ => {
            eprintln!("{image}, on the host. {USAGE}");
            return 2;
        }
    };
    match done {
        Ok(text) => {
            // Whoever reads may have seen enough.
            let _ = writeln!(std::io::stdout(), "{text}");
            0
        }
        Err(words) => {
            eprintln!("{words}");
            1
        }
    }
}

/// Has a panic say at which of the data it was, after its own words.
fn tell_of_panics() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        before(info);
        if let Some(at) = dmf_reduce::last_chunk() {
            eprintln!(
                "its data: operation {}, chunk {} of {} points, {} to {}, of {}",
                at.operation, at.chunk, at.points, at.first, at.last, at.series
            );
        }
    }));
}

fn run_files<F: Function, H: Habit<F>>(task: &Path, data: &Path, most: u64) -> Result<String, String> {
    let text = std::fs::read_to_string(task).map_err(|error| format!("{}: {error}", task.display()))?;
    let task = Task::from_toml(&text).map_err(|error| format!("{}: {error}", task.display()))?;
    let fixture = Fixture::read(data).map_err(|error| chain(&error))?;
    warnings(&task, &fixture).for_each(|words| eprintln!("warning: {}: {words}", data.display()));
    let done = run_periods::<F, H>(&task, &fixture, most).map_err(|error| chain(&error))?;
    // What the function printed may have left its line open.
    serde_json::to_string(&done).map(|text| format!("\n{text}")).map_err(|error| error.to_string())
}

/// What is right, and rarely what was meant: values that are no numbers, and operations that find nothing. A function may have a
/// result on no data, so it is run all the same.
fn warnings(task: &Task, fixture: &Fixture) -> impl Iterator<Item = String> {
    let nothing = task.selections().filter(|(_, selection)| fixture.select(selection).is_empty());
    let told = nothing.map(|(id, selection)| {
        let (code, asked, holds) = (codes::NO_POINTS, selection.words(), fixture.contents());
        format!("{code}: operation {id} reads no points: {asked}; the file holds {holds}")
    });
    fixture.left_out().into_iter().chain(told)
}

/// An error and its causes.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(error.source(), |error| error.source());
    causes.fold(error.to_string(), |text, cause| format!("{text}: {cause}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "
        [[drb.operations]]
        id = 'air'
        source = 'any'
        measurement = 'pm25'
        field = 'value'
        from = '1970-01-01T00:00:00Z'
        to = '1970-01-01T00:00:01Z'
        [dmf]
        image = 'peaks'
    ";

    fn told(points: &str) -> Vec<String> {
        let fixture = Fixture::from_line_protocol(points).unwrap();
        warnings(&Task::from_toml(TASK).unwrap(), &fixture).collect()
    }

    #[test]
    fn values_left_out_and_empty_operations_are_told() {
        assert_eq!(told("pm25 value=1 5"), Vec::<String>::new());
        assert_eq!(told("pm25 value=1,ok=true 5"), ["1 value that is no number was left out"]);
        let told = told("pm10 value=1 2000000000");
        assert_eq!(
            told,
            [
                "E8010: operation air reads no points: measurement \"pm25\", field \"value\", 1970-01-01T00:00:00Z to \
              1970-01-01T00:00:01Z; the file holds \"pm10\" (\"value\"), 1970-01-01T00:00:02Z to 1970-01-01T00:00:02Z"
            ]
        );
    }
}
