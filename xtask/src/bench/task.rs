//! What every bench of the whole line does: points of its own in InfluxDB, and tasks over the first so many of them.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use crate::testbed::generator::START_NS;
use crate::testbed::influx::{DATABASE, Influx};
use crate::testbed::node::{Node, SOURCE};

/// Points whose columns take a MiB, at 16 bytes a point.
pub(super) const POINTS_PER_MIB: u64 = 65_536;
/// Stages of DESIGN section 8 that are shown.
pub(super) const STAGES: [&str; 8] =
    ["verify", "queue", "boot", "retrieve", "transfer", "compute", "return", "total"];
pub(super) const MEASUREMENT: &str = "bench";
/// Series of the measurement. Every number of points is a multiple of it.
pub(super) const ROOMS: u64 = 4;
pub(super) const STEP_NS: u64 = 1_000_000_000;

/// An InfluxDB of our own, and how many points it holds.
pub(super) struct Data {
    pub(super) influx: Influx,
    held: u64,
}

impl Data {
    /// One without points, its files below `folder`.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let influx = Influx::start(folder)?;
        influx.query(&format!("CREATE DATABASE {DATABASE}"))?;
        Ok(Self { influx, held: 0 })
    }

    /// Fills the measurement up to `points`.
    pub(super) fn load(&mut self, points: u64) -> Result<()> {
        let (mut at, end) = (self.held / ROOMS, points / ROOMS);
        while at < end {
            let mut block = String::new();
            for step in at..end.min(at + 5_000) {
                for room in 1..=ROOMS {
                    let thousandths = (step * 37 + room * 7_919) % 10_000;
                    let time = START_NS.unsigned_abs() + step * STEP_NS;
                    let whole = 15 + thousandths / 1000;
                    block += &format!(
                        "{MEASUREMENT},room=r{room} value={whole}.{:03} {time}\n",
                        thousandths % 1000
                    );
                }
            }
            self.influx.write(&block)?;
            at = end.min(at + 5_000);
        }
        self.held = self.held.max(points);
        Ok(())
    }
}

/// What a function of the image `stats` is asked for.
#[derive(Clone, Copy)]
pub(super) struct Task {
    /// The first so many of [`Data`].
    pub(super) points: u64,
    /// What the function's guest has.
    pub(super) memory_mib: u32,
}

impl Task {
    /// Submits it, waits, and gives its result document.
    pub(super) fn run(self, node: &Node) -> Result<Value> {
        let document = submit(node, &node.url(), &self.wrapper(node)?)?;
        self.check(&document)?;
        Ok(document)
    }

    /// A result over other points than these is none.
    pub(super) fn check(self, document: &Value) -> Result<()> {
        let groups = document["result"]["groups"].as_array().context("the result has no groups")?;
        let count: u64 = groups.iter().filter_map(|group| group["count"].as_u64()).sum();
        if count != self.points {
            bail!("{count} points were reduced instead of {}", self.points);
        }
        Ok(())
    }

    /// Its wrapper's file.
    pub(super) fn wrapper(self, node: &Node) -> Result<PathBuf> {
        let Self { points, memory_mib } = self;
        let file = node.folder().join(format!("bench-{points}.toml"));
        let image = node.image("stats")?;
        let time = |ns: i64| jiff::Timestamp::from_nanosecond(i128::from(ns));
        let text = format!(
            "schema = \"fades.task.v1\"\n[credentials]\npriority = 5\n[[drb.operations]]\nid = \"all\"\n\
             source = \"{SOURCE}\"\nmeasurement = \"{MEASUREMENT}\"\nfield = \"value\"\nfrom = \"{}\"\nto = \"{}\"\n\
             group_by = [\"room\"]\n[dmf]\nimage = \"{image}\"\n[dmf.resources]\nmemory_mib = {memory_mib}\n\
             timeout_ms = 600000\n",
            time(START_NS)?,
            time(end_ns(points))?,
        );
        fs::write(&file, text)?;
        Ok(file)
    }
}

/// Signs, submits to the node, whose address over TCP is `url`, and waits; an error is in the node's own words.
pub(super) fn submit(node: &Node, url: &str, wrapper: &Path) -> Result<Value> {
    let key = node.key();
    let words = [&*wrapper.to_string_lossy(), "--key", &key.to_string_lossy(), "--node", url];
    let output = node.try_fades(&[&["task", "submit"], &words[..], &["--wait", "-o", "json"]].concat())?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let told = said.lines().find_map(|line| serde_json::from_str::<Value>(line).ok());
        let message = told.as_ref().and_then(|told| told["message"].as_str());
        bail!("{}", message.unwrap_or(said.trim()));
    }
    serde_json::from_slice(&output.stdout).context("fades task submit printed no JSON")
}

/// The first instant after so many points.
pub(super) fn end_ns(points: u64) -> i64 {
    START_NS.saturating_add_unsigned(points / ROOMS * STEP_NS)
}

/// What a stage took in each of these results, where they tell it.
pub(super) fn milliseconds(documents: &[Value], stage: &str) -> Vec<f64> {
    let one = |document: &Value| Some(document["timings_us"][stage].as_f64()? / 1000.0);
    documents.iter().filter_map(one).collect()
}
