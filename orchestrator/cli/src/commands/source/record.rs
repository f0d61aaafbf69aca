//! `fades source record`: real points into a fixture, by tasks of the function `record`.
//!
//! Nothing on the node knows of it: whoever records is an issuer whose policy names that image, and what a task may send out bounds
//! each of its tasks. A range whose points are too many for one is halved.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use base64ct::{Base64UrlUnpadded, Encoding};
use clap::Args;
use fades_api::codes;
use fades_api::task::{Label, Name, Operation, TaskDraft, limits};
use fades_points::Fixture;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::commands::task::{Completing, carry_out};
use crate::context::Context;
use crate::failure::{Failure, Result, chain};
use crate::files;
use crate::output::{Table, bytes, count};

/// The image whose tasks give points.
const IMAGE: &str = "record";
/// Memory of its guest, MiB: the points of a result of 4 MiB three times over.
const MEMORY_MIB: u32 = 128;
/// Shortest range that is halved, nanoseconds: a millisecond.
const SHORTEST_NS: i128 = 1_000_000;

/// Time before the next try where the issuer's rate is used up, and how often in a row: a rate of one task in two minutes.
const WAIT: Duration = Duration::from_secs(1);
const MOST_WAITS: u32 = 120;

/// Arguments of `fades source record`.
#[derive(Debug, Args)]
pub(crate) struct Record {
    /// The source.
    name: Name,
    /// Take what this task reads of the source: its operations' measurements, fields and tags.
    #[arg(long, value_name = "FILE", default_value = "task.toml")]
    task: PathBuf,
    /// First instant, instead of the operations' own.
    #[arg(long, value_name = "TIME")]
    from: Option<Timestamp>,
    /// Last instant, exclusive, instead of the operations' own.
    #[arg(long, value_name = "TIME")]
    to: Option<Timestamp>,
    /// Where the points go, as .fpt.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// The key of an issuer who may ask for image `record`.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    #[command(flatten)]
    completing: Completing,
}

/// What was recorded.
#[derive(Debug, Serialize)]
struct Recorded {
    file: PathBuf,
    series: u64,
    points: u64,
    size: u64,
    tasks: u64,
}

/// What the function gives.
#[derive(Debug, Deserialize)]
struct Report {
    groups: Vec<Group>,
}

#[derive(Debug, Deserialize)]
struct Group {
    measurement: String,
    field: String,
    tags: BTreeMap<String, String>,
    times: String,
    values: String,
}

impl Record {
    pub(super) fn run(self, context: &Context) -> Result<()> {
        // Now, and not when everything is recorded.
        if self.out.exists() {
            return Err(Failure::usage(format!("{} is there already", self.out.display())));
        }
        let draft = TaskDraft::from_toml(&files::read_text(&self.task, limits::DOCUMENT_BYTES)?)?;
        let wrapper = draft.on_trial()?;
        let operations = wrapper.drb.operations.iter().filter(|operation| operation.source == self.name);
        let mut left: Vec<Operation> = operations.map(|operation| self.recording(operation)).collect();
        if left.is_empty() {
            let message = format!("no operation of {} reads source {}", self.task.display(), self.name);
            return Err(Failure::usage(message));
        }
        let (mut fixture, mut tasks, mut waits) = (Fixture::default(), 0, 0);
        while let Some(operation) = left.pop() {
            match carry_out(context, &asked(&operation)?, &self.key, &self.completing) {
                Ok(document) => {
                    (tasks, waits) = (tasks + 1, 0);
                    take(document.result, &mut fixture)?;
                }
                Err(failure) => match (failure.code, halves(&operation)) {
                    (Some(codes::RESULT_TOO_LARGE | codes::FUNCTION_FAILED), Some(halves)) => {
                        (tasks, waits) = (tasks + 1, 0);
                        left.extend(halves);
                    }
                    // One task a range may be faster than the policy allows.
                    (Some(codes::RATE_ABOVE_POLICY), _) if waits < MOST_WAITS => {
                        waits += 1;
                        std::thread::sleep(WAIT);
                        left.push(operation);
                    }
                    _ => return Err(failure),
                },
            }
        }
        let recorded = fixture.to_fpt().map_err(|fault| Failure::system(self.out.display(), &fault))?;
        files::create(&self.out, &recorded, 0o600)?;
        let recorded = Recorded {
            series: fixture.series().count() as u64,
            points: fixture.len() as u64,
            size: recorded.len() as u64,
            tasks,
            file: self.out,
        };
        context.output().show(&recorded, |recorded| {
            Table::facts([
                ("file", recorded.file.display().to_string()),
                ("series", count(recorded.series)),
                ("points", count(recorded.points)),
                ("size", bytes(recorded.size)),
                ("tasks", count(recorded.tasks)),
            ])
            .text()
        })
    }

    /// The operation with the tags that it filters by among those that its points keep, so that it selects the same of them.
    fn recording(&self, operation: &Operation) -> Operation {
        let mut group_by: Vec<Label> = operation.group_by.clone();
        group_by.extend(operation.tags.keys().filter(|tag| !operation.group_by.contains(tag)).cloned());
        let (from, to) = (self.from.unwrap_or(operation.from), self.to.unwrap_or(operation.to));
        Operation { group_by, from, to, ..operation.clone() }
    }
}

fn asked(operation: &Operation) -> Result<TaskDraft> {
    let draft = json!({
        "drb": { "operations": [operation] },
        "dmf": { "image": IMAGE, "parameters": {}, "resources": { "memory_mib": MEMORY_MIB, "timeout_ms": 120_000 } },
    });
    Ok(TaskDraft::from_json(draft.to_string().as_bytes())?)
}

/// The operation's range in two, unless it is too short for that.
fn halves(operation: &Operation) -> Option<[Operation; 2]> {
    let (from, to) = (operation.from.as_nanosecond(), operation.to.as_nanosecond());
    let middle = Timestamp::from_nanosecond(from + (to - from) / 2).ok()?;
    (to - from > SHORTEST_NS).then(|| {
        [Operation { to: middle, ..operation.clone() }, Operation { from: middle, ..operation.clone() }]
    })
}

fn take(result: Value, fixture: &mut Fixture) -> Result<()> {
    let report: Report = serde_json::from_value(result)
        .map_err(|error| Failure::system(format!("what image {IMAGE} gave"), &error))?;
    for group in report.groups {
        let (times, values) = (words(&group.times)?, words(&group.values)?);
        if times.len() != values.len() {
            let message = format!("image {IMAGE} gave {} times and {} values", times.len(), values.len());
            return Err(Failure::new(codes::ANSWER_MALFORMED, message));
        }
        // A tag that points lack is empty in an answer; line protocol and InfluxDB know no empty tags.
        let tags = group.tags.into_iter().filter(|(_, value)| !value.is_empty()).collect();
        for (time, value) in times.into_iter().zip(values) {
            let (time, value) = (i64::from_le_bytes(time), f64::from_le_bytes(value));
            fixture.push(&group.measurement, &group.field, &tags, time, value);
        }
    }
    Ok(())
}

fn words(text: &str) -> Result<Vec<[u8; 8]>> {
    let refused =
        |why: String| Failure::new(codes::ANSWER_MALFORMED, format!("what image {IMAGE} gave: {why}"));
    let bytes = Base64UrlUnpadded::decode_vec(text).map_err(|error| refused(chain(&error)))?;
    match bytes.as_chunks::<8>() {
        (words, []) => Ok(words.to_vec()),
        (_, rest) => Err(refused(format!("{} bytes too many", rest.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn operation() -> Operation {
        let draft = TaskDraft::from_toml(
            "[[drb.operations]]\nid = \"a\"\nsource = \"s\"\nmeasurement = \"m\"\nfield = \"v\"\ngroup_by = [\"room\"]\n\
             from = \"2026-01-01T00:00:00Z\"\nto = \"2026-01-01T00:00:01Z\"\ntags = { room = [\"r1\"], floor = [\"2\"] }\n\
             [dmf]\nimage = \"stats\"\n",
        );
        draft.unwrap().on_trial().unwrap().drb.operations[0].clone()
    }

    #[test]
    fn tags_that_are_filtered_by_are_kept() {
        let record = |from: Option<&str>| Record {
            name: "s".parse().unwrap(),
            task: PathBuf::new(),
            from: from.map(|time| time.parse().unwrap()),
            to: None,
            out: PathBuf::new(),
            key: PathBuf::new(),
            completing: Completing::default(),
        };
        let asked = record(None).recording(&operation());
        assert_eq!(asked.group_by.iter().map(Label::as_str).collect::<Vec<_>>(), ["room", "floor"]);
        assert_eq!(asked.from, operation().from);
        let later = record(Some("2026-01-01T00:00:00.5Z")).recording(&operation());
        assert_eq!(later.from.to_string(), "2026-01-01T00:00:00.5Z");
        assert!(super::asked(&later).is_ok());
    }

    #[test]
    fn halves_join_without_gap_and_end() {
        let [first, second] = halves(&operation()).unwrap();
        assert_eq!((first.from, first.to, second.to), (operation().from, second.from, operation().to));
        let mut short = operation();
        short.to = short.from.checked_add(jiff::SignedDuration::from_millis(1)).unwrap();
        assert!(halves(&short).is_none());
    }

    #[test]
    fn points_come_back_to_the_bit_and_nonsense_is_told() {
        let coded = |words: &[[u8; 8]]| Base64UrlUnpadded::encode_string(words.as_flattened());
        let group = |times: String, values: String| json!({ "groups": [{ "measurement": "m", "field": "v", "tags": { "room": "r1", "floor": "" }, "times": times, "values": values }] });
        let mut fixture = Fixture::default();
        let good = group(coded(&[5i64.to_le_bytes()]), coded(&[0.1f64.to_le_bytes()]));
        take(good, &mut fixture).unwrap();
        let series = fixture.series().next().unwrap();
        assert_eq!(series.points[&5].to_bits(), 0.1f64.to_bits());
        assert_eq!(series.tags.len(), 1);
        for bad in [
            group(coded(&[[0; 8]]), String::new()),
            group("AAAA".into(), "AAAA".into()),
            group("%".into(), String::new()),
            json!(7),
        ] {
            assert!(take(bad.clone(), &mut fixture).is_err(), "{bad}");
        }
    }
}
