//! `bench/figures/MACHINE/PART.json`: the last run of each part, on this machine and in each lab, as the runs left them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::EMULATED;
use super::draw::{MACHINES, PARTS, folder};
use crate::stage::target;

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
    Ok(())
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
    fn what_is_recorded_has_a_day_and_words_and_no_names_of_tasks() {
        let why = "task 01 failed: it was \"late\"";
        let document = completed(json!({"rows": [{"not_measured": why}]}), "2026-11-22");
        assert_eq!(document["rows"][0]["not_measured"], "it was \"late\"");
        assert_eq!((&document["date"], &document["words"]), (&json!("2026-11-22"), &json!(EMULATED)));
        assert_eq!(completed(json!({"date": "2026-01-01"}), "2026-11-22")["date"], "2026-01-01");
    }
}
