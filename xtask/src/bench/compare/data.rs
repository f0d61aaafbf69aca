//! What is left for drawing: a JSON document per figure below `target/bench/figures`.

use std::fs;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::stage::target;

/// Leaves a document, in the place of what an earlier run left.
pub(super) fn leave(name: &str, document: &Value) -> Result<()> {
    let folder = target().join("bench/figures");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    let file = folder.join(name);
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))
}

/// Changes one part of a document that an earlier run may have left.
pub(in crate::bench) fn leave_part(name: &str, part: &str, value: Value) -> Result<()> {
    let file = target().join("bench/figures").join(name);
    let left = fs::read(&file).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok());
    let mut document = left.filter(Value::is_object).unwrap_or_else(
        // What bench `link` measures, it draws itself.
        || serde_json::json!({"ready": [], "tasks": [], "link": []}),
    );
    document[part] = value;
    leave(name, &document)
}
