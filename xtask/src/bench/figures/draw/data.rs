//! What was recorded: a document per machine and part.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::{MACHINES, PARTS};

/// Documents by machine and part.
#[derive(Default)]
pub(super) struct Data(BTreeMap<(&'static str, &'static str), Value>);

impl Data {
    /// All that a folder has.
    pub(super) fn read(folder: &Path) -> Result<Self> {
        let mut data = Self::default();
        for machine in MACHINES {
            for part in PARTS {
                let file = folder.join(machine).join(part).with_extension("json");
                let Ok(bytes) = fs::read(&file) else { continue };
                let document =
                    serde_json::from_slice(&bytes).with_context(|| format!("read {}", file.display()))?;
                data.0.insert((machine, part), document);
            }
        }
        Ok(data)
    }

    #[cfg(test)]
    pub(super) fn with(mut self, machine: &'static str, part: &'static str, document: Value) -> Self {
        self.0.insert((machine, part), document);
        self
    }

    pub(super) fn get(&self, machine: &'static str, part: &'static str) -> Option<&Value> {
        self.0.get(&(machine, part))
    }

    /// Where a part was measured, in the order of the machines.
    pub(super) fn machines(&self, part: &'static str) -> Vec<(&'static str, &Value)> {
        MACHINES.into_iter().filter_map(|machine| Some((machine, self.get(machine, part)?))).collect()
    }
}

/// The elements of a list, none where it is not there.
pub(super) fn list<'a>(document: &'a Value, key: &str) -> &'a [Value] {
    document[key].as_array().map_or(&[], Vec::as_slice)
}

/// A number, if it is there.
pub(super) fn number(row: &Value, key: &str) -> Option<f64> {
    row[key].as_f64()
}

/// A text, empty if it is not there.
pub(super) fn word<'a>(row: &'a Value, key: &str) -> &'a str {
    row[key].as_str().unwrap_or_default()
}

/// On what, when, and what it is worth.
pub(super) fn origin(machine: &str, document: &Value) -> String {
    let place = match machine {
        "here" => "this project's two-core build machine, without hardware virtualisation",
        "kvm" => "Linux' KVM in an emulated machine (cargo xtask lab kvm)",
        "xen" => "the dom0 of a Xen host in an emulated machine (cargo xtask lab xen)",
        other => other,
    };
    format!("Measured on {place}, {}; {}", word(document, "date"), word(document, "words"))
}
