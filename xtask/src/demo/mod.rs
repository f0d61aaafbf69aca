//! `cargo xtask demo`: the whole line once, on a testbed of its own, beside what InfluxDB says itself.

pub mod kept;
pub mod question;
mod report;

use std::fs;
use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fades_image_build::Architecture;
use serde_json::Value;

pub use self::question::{Question, Row};
use crate::stage::{building, cargo, check, stage, target};
use crate::testbed::influx::Influx;
use crate::testbed::node::{Node, Programs};
use crate::{images, setup};

/// How the demo is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    points: u64,
    json: bool,
    keep: bool,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// One of them is unknown, or its number is none.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { points: 250_000, json: false, keep: false };
        let mut words = words.iter();
        while let Some(word) = words.next() {
            match *word {
                "--json" => options.json = true,
                "--keep" => options.keep = true,
                "--points" => {
                    let number = words.next().context("--points needs a number")?;
                    options.points =
                        number.parse().with_context(|| format!("--points {number} is no number"))?;
                    if !(25..=100_000_000).contains(&options.points) {
                        bail!("--points {number} is not between 25 and 100000000");
                    }
                }
                other => bail!("the demo has no option {other}; it has --points N, --json and --keep"),
            }
        }
        Ok(options)
    }
}

/// What one task gave.
pub struct Answer {
    /// What was asked.
    pub question: Question,
    /// The result document.
    pub document: Value,
    /// What `task result --verify` says of the receipt.
    pub receipt: Value,
    /// Every number beside InfluxDB's.
    pub rows: Vec<Row>,
}

/// Runs the demo.
///
/// # Errors
/// A step failed, or a number differs from InfluxDB's by more than it may.
pub fn run(options: &Options) -> Result<()> {
    let folder = target().join("demo");
    kept::refuse_if_running(&folder)?;
    stage("setup", setup::run)?;
    let images = building("images", "2 minutes", || images::build(Architecture::X86_64))?;
    let release = ["build", "--release", "--package", "fades-daemon", "--package", "fades-cli"];
    building("programs", "2 minutes", || check(&mut cargo(&release)))?;
    // Once more, as builds take minutes.
    kept::refuse_if_running(&folder)?;
    let begun = Instant::now();
    let influx = Influx::start(&folder.join("influx"))?;
    let end_ns = stage("load", || influx.load(options.points))?;
    let node =
        stage("node", || Node::start(Programs::of("release"), &folder.join("node"), &images, &influx))?;
    let mut answers = Vec::new();
    for question in Question::ALL {
        answers.push(stage(question.words(), || ask(&node, &influx, question, end_ns))?);
    }
    let seconds = begun.elapsed().as_secs_f64();
    let left = options.keep.then(|| kept::Left::of(&node, &influx));
    if options.json {
        report::print(&format!("{:#}", report::json(&answers, options.points, seconds, left.as_ref())));
    } else {
        report::print(&report::text(&answers, options.points, seconds));
    }
    if let Some(left) = left {
        if !options.json {
            report::print(&left.text());
        }
        node.keep();
        influx.keep();
    } else {
        drop(node);
        drop(influx);
        fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    }
    let rows: Vec<&Row> = answers.iter().flat_map(|answer| &answer.rows).collect();
    let wrong: Vec<&str> = rows.iter().filter(|row| !row.holds()).map(|row| &*row.label).collect();
    if !wrong.is_empty() {
        bail!(
            "{} of {} numbers differ from InfluxDB's by more than they may: {}",
            wrong.len(),
            rows.len(),
            wrong.join(", ")
        );
    }
    Ok(())
}

/// Asks one question of the node: signs, submits, waits, verifies the receipt, compares.
///
/// # Errors
/// The task did not succeed, its receipt does not verify, or InfluxDB could not be asked.
pub fn ask(node: &Node, influx: &Influx, question: Question, end_ns: i64) -> Result<Answer> {
    let file = node.folder().join(format!("{}.toml", question.image()));
    fs::write(&file, question.wrapper(&node.image(question.image())?, end_ns))?;
    let document = submit(node, &file)?;
    let id = document["task"].as_str().context("the result has no task")?;
    let public = node_key(node)?;
    let receipt = node.json(&["task", "result", id, "--verify", "--node-key", &public])?;
    let rows = question.compare(&document["result"], influx, end_ns)?;
    Ok(Answer { question, document, receipt, rows })
}

/// Signs, submits over HTTP and waits; gives the result document.
///
/// # Errors
/// The task did not succeed.
pub fn submit(node: &Node, file: &Path) -> Result<Value> {
    let (file, key) = (file.to_string_lossy(), node.key());
    let key = key.to_string_lossy();
    node.watch(&["task", "submit", &file, "--key", &key, "--node", &node.url(), "--wait"])
}

fn node_key(node: &Node) -> Result<String> {
    let info: Value = serde_json::from_str(&node.get("/v1/node")?)?;
    Ok(info["public_key"].as_str().context("the node tells no key")?.to_owned())
}
