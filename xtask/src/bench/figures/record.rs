//! `bench/figures/MACHINE/PART.json`: the last run of each part, on this machine and in each lab, as the runs left them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use fades_bench::Measured;
use serde_json::Value;

use super::EMULATED;
use super::draw::{MACHINES, PARTS, folder};
use crate::stage::{root, target};

/// Puts what was measured since `target` was made in the place of what was recorded; the rest stays.
///
/// # Errors
/// There is nothing, or it is no JSON.
pub(super) fn record() -> Result<()> {
    let mut found = 0;
    for machine in MACHINES {
        for part in PARTS {
            let file = measured(machine).join(part).with_extension("json");
            let Ok(bytes) = fs::read(&file) else { continue };
            let document =
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", file.display()))?;
            let day = day_of(&file)?;
            write(&folder().join(machine), part, completed(document, &day))?;
            found += 1;
        }
    }
    if found == 0 {
        bail!("nothing was measured: `cargo xtask figures`, `cargo xtask lab kvm -- xtask figures stages`");
    }
    eprintln!("== {found} parts recorded in {}", folder().display());
    promise()
}

/// What is promised of a lab: a task of 128 MiB against the plain process beside it.
const PROMISED: &str = "lab/kvm_over_plain_128_mib";

/// Puts what is promised of a lab beside its budget, if it was measured there.
fn promise() -> Result<()> {
    let file = folder().join("kvm/stages.json");
    let Ok(bytes) = fs::read(&file) else { return Ok(()) };
    let stages = serde_json::from_slice(&bytes).with_context(|| format!("read {}", file.display()))?;
    let Some(ratio) = over_plain(&stages, 128.0) else {
        eprintln!("== {PROMISED} stays as it was: {} has no task of 128 MiB", file.display());
        return Ok(());
    };
    let measured = [Measured::new(PROMISED, ratio)];
    let file = root().join("bench/budgets.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let today = jiff::Zoned::now().date().to_string();
    fs::write(&file, fades_bench::budgets::record(&text, &today, &measured))
        .with_context(|| format!("write {}", file.display()))
}

/// How many times as long a task by shared memory takes as the plain process, with so many MiB.
fn over_plain(stages: &Value, mib: f64) -> Option<f64> {
    let total = |rows: &str, path: Option<&str>| {
        let mut rows = stages[rows].as_array()?.iter();
        let found = rows.find(|row| {
            // The plain process has neither.
            let way = (row["backend"].as_str(), row["path"].as_str());
            row["mib"] == mib && way == path.map_or((None, None), |path| (Some("qemu-kvm"), Some(path)))
        });
        found?["total"].as_f64()
    };
    Some(total("rows", Some("shared memory"))? / total("plain", None)?)
}

/// Where a machine's runs leave what they measure.
fn measured(machine: &str) -> PathBuf {
    match machine {
        "here" => target().join("bench/figures"),
        lab => target().join("lab").join(lab).join("out"),
    }
}

/// With a day and what its numbers are worth, and without names of tasks, which say nothing here.
fn completed(mut document: Value, day: &str) -> Value {
    if document["date"].is_null() {
        document["date"] = Value::from(day);
    }
    document["words"] = Value::from(EMULATED);
    without_names(&mut document);
    document
}

fn without_names(value: &mut Value) {
    match value {
        Value::Object(map) => {
            if let Some(Value::String(why)) = map.get_mut("not_measured")
                && let Some((_, rest)) = why.split_once(" failed: ")
            {
                *why = rest.to_owned();
            }
            map.values_mut().for_each(without_names);
        }
        Value::Array(values) => values.iter_mut().for_each(without_names),
        _ => {}
    }
}

fn day_of(file: &Path) -> Result<String> {
    let changed = fs::metadata(file)
        .and_then(|data| data.modified())
        .with_context(|| format!("look at {}", file.display()))?;
    let at = jiff::Timestamp::try_from(changed)?.to_zoned(jiff::tz::TimeZone::UTC);
    Ok(at.date().to_string())
}

fn write(folder: &Path, part: &str, document: Value) -> Result<()> {
    fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
    let file = folder.join(part).with_extension("json");
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_lab_is_held_to_its_own_plain_process() {
        let of = |path: &str, mib: f64, total: f64| json!({"backend": "qemu-kvm", "path": path, "mib": mib, "total": total});
        let emulated = json!({"backend": "qemu-tcg", "path": "shared memory", "mib": 128.0, "total": 70.0});
        let rows = json!([
            emulated,
            of("TCP", 128.0, 9.0),
            of("shared memory", 16.0, 8.0),
            of("shared memory", 128.0, 3.0)
        ]);
        let stages =
            json!({"rows": rows, "plain": [{"mib": 16.0, "total": 1.0}, {"mib": 128.0, "total": 2.0}]});
        assert_eq!(over_plain(&stages, 128.0), Some(1.5));
        assert_eq!(over_plain(&stages, 1.0), None);
    }

    #[test]
    fn what_is_recorded_has_a_day_and_words_and_no_names_of_tasks() {
        let why = "task 01 failed: it was \"late\"";
        let document = completed(json!({"rows": [{"not_measured": why}]}), "2026-11-22");
        assert_eq!(document["rows"][0]["not_measured"], "it was \"late\"");
        assert_eq!((&document["date"], &document["words"]), (&json!("2026-11-22"), &json!(EMULATED)));
        assert_eq!(completed(json!({"date": "2026-01-01"}), "2026-11-22")["date"], "2026-01-01");
    }
}
