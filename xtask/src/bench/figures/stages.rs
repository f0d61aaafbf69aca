//! Stages of a task for growing payloads: on every backend, by shared memory and by TCP, and the plain process beside them.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::super::task::{STAGES, milliseconds};
use super::super::{median, plain, timed};
use super::ask::{Ask, counted};
use super::bed::{Bed, Kind, Ready};
use super::{Options, Part, backends, leave, mib_of, tenths};
use crate::stage::stage;

/// Payloads of the paper's figure, MiB; the first two with `--quick`.
const PAYLOADS: [f64; 4] = [1.5, 15.0, 50.0, 150.0];
const QUICK: usize = 2;
/// Points of the task before those that count.
const FEW: u64 = 4096;

/// Everything, payload by payload.
///
/// # Errors
/// The first backend does not do its first task.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    let payloads = options.payloads(&PAYLOADS, QUICK);
    stage("points", || payloads.iter().try_for_each(|points| bed.data.load(*points)))?;
    let mut document = json!({"unit": "ms, medians", "tasks": options.tasks, "rows": [], "plain": []});
    for points in &payloads {
        let row = stage(&format!("{} MiB, plain process", mib_of(*points)), || {
            let took = (0..options.tasks).map(|_| timed(|| plain::run(bed.data.influx.port(), *points)));
            Ok(median(took.collect::<Result<_>>()?).map(tenths))
        });
        push(&mut document, "plain", *points, row.map(|total| json!({"total": total})));
    }
    for backend in backends(options) {
        for (kind, path) in [(Kind::Unikernel, "shared memory"), (Kind::ByNetwork, "TCP")] {
            let ready = stage(&format!("node on {backend}, {path}"), || {
                let ready = bed.node(&backend, kind)?;
                // The first makes what later ones find: caches of files, of the source, of the broker.
                one(&ready, kind, FEW)?;
                Ok(ready)
            });
            for points in &payloads {
                let row = match &ready {
                    Ok(ready) => stage(&format!("{} MiB on {backend}, {path}", mib_of(*points)), || {
                        let ended = (0..options.tasks).map(|_| one(ready, kind, *points));
                        ready.telling(ended.collect::<Result<Vec<_>>>())
                    }),
                    Err(error) => Err(anyhow::anyhow!("{}", error.root_cause())),
                };
                let row = row.map(|ended| stages(&ended));
                push(
                    &mut document,
                    "rows",
                    *points,
                    row.map(|mut row| {
                        row["memory_mib"] = json!(kind.memory_mib());
                        row
                    }),
                );
                if let Some(row) = document["rows"].as_array_mut().and_then(|rows| rows.last_mut()) {
                    row["backend"] = json!(backend);
                    row["path"] = json!(path);
                }
                leave(Part::Stages, document.clone())?;
            }
        }
    }
    match document["rows"][0]["not_measured"].as_str() {
        Some(why) => bail!("{why}"),
        None => Ok(()),
    }
}

fn one(ready: &Ready, kind: Kind, points: u64) -> Result<Value> {
    let document = Ask::stats(points, kind.memory_mib()).run(&ready.node, &ready.node.url())?;
    let found = counted(&document);
    if found != points {
        bail!("{found} points were reduced instead of {points}");
    }
    Ok(document)
}

fn stages(ended: &[Value]) -> Value {
    let medians = STAGES.map(|name| (name.to_owned(), json!(median(milliseconds(ended, name)).map(tenths))));
    Value::Object(medians.into_iter().collect())
}

/// A row with its payload, or with the reason why there is none.
fn push(document: &mut Value, key: &str, points: u64, row: Result<Value>) {
    let mut row = row.unwrap_or_else(|error| json!({"not_measured": error.root_cause().to_string()}));
    row["mib"] = json!(mib_of(points));
    eprintln!("   {row}");
    if let Some(rows) = document[key].as_array_mut() {
        rows.push(row);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_its_payload_whether_it_was_measured_or_not() {
        let mut document = json!({"rows": []});
        push(
            &mut document,
            "rows",
            98_304,
            Ok(stages(&[json!({"timings_us": {"boot": 1040.0, "total": 2000.0}})])),
        );
        push(&mut document, "rows", 65_536, Err(anyhow::anyhow!("too slow").context("stage x")));
        let rows = document["rows"].as_array().unwrap();
        assert_eq!(
            (&rows[0]["mib"], &rows[0]["boot"], &rows[0]["queue"]),
            (&json!(1.5), &json!(1.0), &Value::Null)
        );
        assert_eq!((&rows[1]["mib"], &rows[1]["not_measured"]), (&json!(1.0), &json!("too slow")));
    }
}
