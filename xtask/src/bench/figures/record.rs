//! `bench/labs.toml`: the medians of the last run in each lab, and on this machine itself, as the runs left them.

use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::super::task::STAGES;
use super::EMULATED;
use crate::stage::{root, target};

const HEAD: &str = "\
# Boot of a function (asked for -> ready) and stages of its task, as a unikernel and as a Linux guest: medians in ms, made by
# `cargo xtask figures` on this machine and in the labs, written by `cargo xtask figures --record`. Only rows of one table may
# be compared. Stages overlap. Daemon and its commands are those of the tests (not optimised but for network and wire format).
";

/// Writes what was measured since `target` was made; a machine that was not measured keeps no table.
///
/// # Errors
/// There is nothing, or it is no document of `figures`.
pub(super) fn record() -> Result<()> {
    let mut text = format!("{HEAD}\nwords = {EMULATED:?}\n");
    let mut found = 0;
    for (name, folder) in folders() {
        for (file, table) in [("figures.json", table as fn(&str, &Value) -> _), ("machines.json", machines)] {
            let file = folder.join(file);
            let Ok(bytes) = fs::read(&file) else { continue };
            let document: Value =
                serde_json::from_slice(&bytes).with_context(|| format!("read {}", file.display()))?;
            text += &table(name, &document).with_context(|| format!("{} has no figures", file.display()))?;
            found += 1;
        }
    }
    if found == 0 {
        bail!("nothing was measured: `cargo xtask figures`, `cargo xtask lab kvm --linux -- xtask figures`");
    }
    let file = root().join("bench/labs.toml");
    fs::write(&file, text).with_context(|| format!("write {}", file.display()))
}

/// Tables, and where what they are made of lies.
fn folders() -> [(&'static str, PathBuf); 3] {
    let lab = |name: &str| target().join("lab").join(name).join("out");
    [("here", target().join("bench")), ("kvm", lab("kvm")), ("xen", lab("xen"))]
}

/// Of `xtask machines`.
fn machines(name: &str, document: &Value) -> Option<String> {
    let mut text =
        format!("\n# From QEMU's start to the first line of `main`, and to QEMU's end.\n[{name}.machines]\n");
    // A String takes every write.
    let _ = write!(text, "boots = {}\nmedians = [\n", document["boots"].as_u64()?);
    for row in document["rows"].as_array()? {
        let (accelerator, machine) = (row["accelerator"].as_str()?, row["machine"].as_str()?);
        let (main, end) = (row["main"].as_f64()?, row["end"].as_f64()?);
        let _ = writeln!(
            text,
            "    {{ accelerator = {accelerator:?}, machine = {machine:?}, main = {main:.1}, end = {end:.1} }},"
        );
    }
    Some(text + "]\n")
}

fn table(name: &str, document: &Value) -> Option<String> {
    let mut text = format!("\n[{name}]\n");
    for key in ["boots", "tasks", "mib"] {
        // A String takes every write.
        let _ = writeln!(text, "{key} = {}", document[key].as_u64()?);
    }
    text += "guests = [\n";
    for row in document["rows"].as_array()? {
        let (backend, guest) = (row["backend"].as_str()?, row["guest"].as_str()?);
        let _ = write!(
            text,
            "    {{ backend = {backend:?}, guest = {guest:?}, memory_mib = {}",
            row["memory_mib"].as_u64()?
        );
        match row["not_measured"].as_str() {
            // Tasks have names of their own, which say nothing here.
            Some(why) => {
                let why = why.split_once(" failed: ").map_or(why, |(_, why)| why);
                let _ = write!(text, ", not_measured = {}", Value::from(why));
            }
            None => {
                for stage in STAGES {
                    let _ = write!(text, ", {stage} = {:.1}", row[stage].as_f64()?);
                }
            }
        }
        text += " },\n";
    }
    Some(text + "]\n")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_table_has_the_medians_or_why_there_are_none() {
        let mut row = json!({"backend": "xen", "guest": "unikernel", "memory_mib": 64});
        for stage in STAGES {
            row[stage] = json!(1.0);
        }
        let why = "task 01 failed: it was \"late\"";
        let other = json!({"backend": "xen", "guest": "linux", "memory_mib": 96, "not_measured": why});
        let document = json!({"boots": 5, "tasks": 3, "mib": 16, "rows": [row, other]});
        let text = table("xen", &document).unwrap();
        let read: toml::Table = toml::from_str(&text).unwrap();
        let guests = read["xen"]["guests"].as_array().unwrap();
        assert_eq!((guests[0]["boot"].as_float(), read["xen"]["mib"].as_integer()), (Some(1.0), Some(16)));
        assert_eq!(guests[1]["not_measured"].as_str(), Some("it was \"late\""));
        assert_eq!(table("xen", &json!({"boots": 5})), None);
    }

    #[test]
    fn machines_have_a_table_of_their_own() {
        let row = json!({"accelerator": "kvm", "machine": "pc", "main": 2204.0, "end": 2244.0});
        let text = machines("kvm", &json!({"boots": 3, "rows": [row]})).unwrap();
        let read: toml::Table = toml::from_str(&text).unwrap();
        let medians = read["kvm"]["machines"]["medians"].as_array().unwrap();
        assert_eq!(medians[0]["main"].as_float(), Some(2204.0));
    }
}
