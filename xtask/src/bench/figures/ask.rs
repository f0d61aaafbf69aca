//! A task with everything of its own: image, parameters, source, memory.

use std::fs;

use anyhow::Result;
use serde_json::Value;

use super::super::task::{MEASUREMENT, end_ns, submit};
use crate::testbed::generator::START_NS;
use crate::testbed::node::{Node, SOURCE};

/// For what takes long under emulation: four GiB of points.
pub(super) const TIMEOUT_MS: u32 = 6 * 3600 * 1000;

/// What is asked for.
#[derive(Clone, Debug)]
pub(super) struct Ask<'a> {
    pub(super) image: &'a str,
    /// As TOML.
    pub(super) parameters: String,
    pub(super) source: &'a str,
    /// The first so many.
    pub(super) points: u64,
    pub(super) memory_mib: u32,
    pub(super) timeout_ms: u32,
}

impl<'a> Ask<'a> {
    /// The image `stats` over the first points of the bed's own source.
    pub(super) fn stats(points: u64, memory_mib: u32) -> Self {
        let parameters = String::new();
        Self { image: "stats", parameters, source: SOURCE, points, memory_mib, timeout_ms: 600_000 }
    }

    /// Submits it to the node by an address of its own, waits, and gives its result document.
    pub(super) fn run(&self, node: &Node, url: &str) -> Result<Value> {
        let Self { parameters, source, points, memory_mib, timeout_ms, .. } = self;
        let file = node.folder().join("ask.toml");
        let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns));
        let text = format!(
            "schema = \"fades.task.v1\"\n[credentials]\npriority = 5\n[[drb.operations]]\nid = \"all\"\n\
             source = \"{source}\"\nmeasurement = \"{MEASUREMENT}\"\nfield = \"value\"\nfrom = \"{}\"\nto = \"{}\"\n\
             group_by = [\"room\"]\n[dmf]\nimage = \"{}\"\n[dmf.parameters]\n{parameters}\n[dmf.resources]\n\
             memory_mib = {memory_mib}\ntimeout_ms = {timeout_ms}\n",
            time(START_NS)?,
            time(end_ns(*points))?,
            node.image(self.image)?,
        );
        fs::write(&file, text)?;
        submit(node, url, &file)
    }
}

/// Points that were reduced, by the result's own word.
pub(super) fn counted(document: &Value) -> u64 {
    let groups = document["result"]["groups"].as_array();
    groups.into_iter().flatten().filter_map(|group| group["count"].as_u64()).sum()
}
