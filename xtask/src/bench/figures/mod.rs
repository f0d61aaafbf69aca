//! `xtask figures`: the paper's figures and ours, measured on one machine, each part into a file of its own, and drawn.
//!
//! ```text
//! figures PART…       node, guests, source  ->  target/bench/figures/PART.json   (in a lab: /out/PART.json)
//! figures --record    what was measured here and in the labs  ->  bench/figures/MACHINE/PART.json, then --draw
//! figures --draw      bench/figures/*/*.json  ->  bench/figures/*.svg, bench/figures/index.html
//! ```
//! A new part is a module with `run`, a line in `Part`, and a figure in `draw/paper.rs` or `draw/ours.rs`.

mod ask;
mod bed;
mod boot;
pub mod draw;
pub(super) mod linux;
mod locality;
mod memory;
mod record;
mod relay;
mod report;
mod source;
mod stages;
mod volume;
mod waterfall;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use fades_image_build::Architecture;
use serde_json::Value;

use self::bed::Bed;
use super::task::POINTS_PER_MIB;
use crate::images;
use crate::setup;
use crate::stage::{building, cargo, check, stage, target};
use crate::testbed::node::EXPECT_BACKEND;

/// Said of every figure that an emulated processor made.
pub(crate) const EMULATED: &str = "emulated processor: ratios only";

/// What is measured by itself, into a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// How long a guest takes until it is ready, and stages, as a unikernel and as a Linux guest.
    Boot,
    /// Usable against allocated memory.
    Memory,
    /// How much a function of some memory reduces.
    Volume,
    /// Stages of a task for growing payloads.
    Stages,
    /// The task at the edge, and its points pulled through a thin link.
    Locality,
    /// What lies between "asked for" and ready, with QEMU's translator.
    Waterfall,
}

impl Part {
    const ALL: [Self; 6] =
        [Self::Boot, Self::Memory, Self::Volume, Self::Stages, Self::Locality, Self::Waterfall];

    const fn name(self) -> &'static str {
        match self {
            Self::Boot => "boot",
            Self::Memory => "memory",
            Self::Volume => "volume",
            Self::Stages => "stages",
            Self::Locality => "locality",
            Self::Waterfall => "waterfall",
        }
    }

    fn run(self, options: &Options, bed: &mut Bed) -> Result<()> {
        match self {
            Self::Boot => boot::run(options, bed),
            Self::Memory => memory::run(options, bed),
            Self::Volume => volume::run(options, bed),
            Self::Stages => stages::run(options, bed),
            Self::Locality => locality::run(options, bed),
            Self::Waterfall => waterfall::run(options, bed),
        }
    }
}

/// What is measured, and how much.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    parts: Vec<Part>,
    /// Tasks of which only the boot counts.
    boots: usize,
    /// Tasks of which every stage counts.
    tasks: usize,
    /// Points of each payload, if not the part's own.
    payloads: Vec<u64>,
    /// A look, not a measurement: the part's smallest payloads.
    quick: bool,
    /// The one backend of those that are here, if not all of them.
    backend: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            parts: Part::ALL.to_vec(),
            boots: 5,
            tasks: 3,
            payloads: Vec::new(),
            quick: false,
            backend: None,
        }
    }
}

impl Options {
    /// Reads `[PART…] [--quick] [--boots N] [--tasks N] [--mib M,…] [--backend NAME]`.
    ///
    /// # Errors
    /// Another word, no number above 0, or a payload that is no whole number of points per series.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        let mut parts = Vec::new();
        let mut words = words.iter();
        while let Some(word) = words.next() {
            if let Some(part) = Part::ALL.into_iter().find(|part| part.name() == *word) {
                parts.push(part);
                continue;
            }
            let mut value = || words.next().with_context(|| format!("{word} takes a value"));
            match *word {
                "--quick" => options.quick = true,
                "--boots" => options.boots = count(word, value()?)?,
                "--tasks" => options.tasks = count(word, value()?)?,
                "--backend" => options.backend = Some((*value()?).to_owned()),
                "--mib" => options.payloads = value()?.split(',').map(points).collect::<Result<_>>()?,
                other => bail!(
                    "figures has no {other}; it has the parts {} and --quick, --boots, --tasks, --mib, --backend",
                    Part::ALL.map(Part::name).join(", ")
                ),
            }
        }
        if !parts.is_empty() {
            options.parts = parts;
        }
        Ok(options)
    }

    /// Points of each payload: those that were asked for, else these, MiB; of them only the first `few` with `--quick`.
    fn payloads(&self, usual: &[f64], few: usize) -> Vec<u64> {
        if !self.payloads.is_empty() {
            return self.payloads.clone();
        }
        let taken = if self.quick { few } else { usual.len() };
        usual.iter().take(taken).map(|mib| points_of(*mib)).collect()
    }
}

fn count(word: &str, value: &str) -> Result<usize> {
    let number = value.parse::<u16>().ok().filter(|number| *number > 0);
    number.map(usize::from).with_context(|| format!("{word} takes a number above 0, and {value} is none"))
}

fn points(value: &str) -> Result<u64> {
    let mib = value.parse::<f64>().ok().filter(|mib| (0.001..=1e6).contains(mib));
    mib.map(points_of).with_context(|| format!("--mib takes MiB, as in 1.5,16, and {value} is none"))
}

/// Points whose columns take so much, in whole fours: one for each series.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "far below 2^53"
)]
fn points_of(mib: f64) -> u64 {
    (((mib * POINTS_PER_MIB as f64) as u64) / 4 * 4).max(4)
}

/// What the columns of so many points take.
#[expect(clippy::cast_precision_loss, reason = "far below 2^53")]
fn mib_of(points: u64) -> f64 {
    points as f64 / POINTS_PER_MIB as f64
}

/// Puts what was measured last, here and in the labs, beside what was recorded, and draws.
///
/// # Errors
/// Nothing was measured, or a file could not be read or written.
pub fn record() -> Result<()> {
    record::record()?;
    draw::draw()
}

/// Measures, each part into its file: in a lab into what it brings out, else below `target/bench/figures`.
///
/// # Errors
/// The testbed does not start, or a part's first row could not be measured. Other parts are measured all the same.
pub fn run(options: &Options) -> Result<()> {
    if !in_a_lab() {
        build(options)?;
    }
    let mut bed = Bed::start()?;
    let mut failed = Vec::new();
    for part in &options.parts {
        if let Err(error) = stage(part.name(), || part.run(options, &mut bed)) {
            eprintln!("== {error:#}");
            failed.push(part.name());
        }
    }
    bed.end()?;
    if !failed.is_empty() {
        bail!("not measured: {}; the reasons are above", failed.join(", "));
    }
    Ok(())
}

/// What is in a lab already.
fn build(options: &Options) -> Result<()> {
    stage("setup", setup::run)?;
    building("images", "2 minutes", || images::build(Architecture::X86_64))?;
    building("image of tests", "a minute", images::faulty)?;
    programs()?;
    if options.parts.contains(&Part::Boot) {
        building("Linux guest", "a minute", crate::lab::linux::build)?;
    }
    Ok(())
}

/// Builds what is measured as it is shipped, and the plain process beside it; where they are.
///
/// # Errors
/// A build failed.
pub(crate) fn programs() -> Result<Vec<PathBuf>> {
    let shipped = ["build", "--release", "--package", "fades-daemon", "--package", "fades-cli"];
    let plain = ["build", "--profile", "bench", "--package", "fades-bench", "--example", "plain"];
    building("programs as shipped", "4 minutes", || {
        check(&mut cargo(&shipped))?;
        check(&mut cargo(&plain))
    })?;
    Ok(["fadesd", "fades", "examples/plain"].map(|name| target().join("release").join(name)).to_vec())
}

/// What a lab is for, if this is one, and QEMU's translator, which is everywhere; or the one that was asked for.
fn backends(options: &Options) -> Vec<String> {
    if let Some(backend) = &options.backend {
        return vec![backend.clone()];
    }
    let lab = in_a_lab().then(|| std::env::var(EXPECT_BACKEND).ok()).flatten();
    let translator = "qemu-tcg".to_owned();
    lab.filter(|backend| *backend != translator).into_iter().chain([translator]).collect()
}

pub(super) fn in_a_lab() -> bool {
    std::env::var_os("FADES_LAB").is_some()
}

/// Where figures are left.
pub(super) fn out() -> Result<PathBuf> {
    if in_a_lab() {
        return Ok(PathBuf::from("/out"));
    }
    let folder = target().join("bench/figures");
    fs::create_dir_all(&folder).with_context(|| format!("make {}", folder.display()))?;
    Ok(folder)
}

/// Leaves a part's document, with the day and what its numbers are worth.
fn leave(part: Part, mut document: Value) -> Result<()> {
    document["date"] = Value::from(jiff::Zoned::now().date().to_string());
    document["words"] = Value::from(EMULATED);
    let file = out()?.join(part.name()).with_extension("json");
    fs::write(&file, format!("{document:#}\n")).with_context(|| format!("write {}", file.display()))
}

/// With so many digits as a figure needs.
fn tenths(value: f64) -> f64 {
    (value * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strict() {
        assert_eq!(Options::parse(&[]).unwrap(), Options::default());
        let options = Options::parse(&["stages", "--tasks", "1", "--mib", "1.5,2", "--boots", "3"]).unwrap();
        let payloads = vec![98_304, 131_072];
        assert_eq!(
            options,
            Options { parts: vec![Part::Stages], boots: 3, tasks: 1, payloads, quick: false, backend: None }
        );
        for wrong in [
            &["--tasks"][..],
            &["--tasks", "0"],
            &["--tasks", "x"],
            &["--task", "1"],
            &["--mib", "0"],
            &["stage"],
        ] {
            assert!(Options::parse(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn payloads_are_those_asked_for_or_the_usual_and_few_if_quick() {
        let options = Options::parse(&["--quick"]).unwrap();
        assert_eq!(options.payloads(&[0.25, 1.0, 4.0], 2), [16_384, 65_536]);
        assert_eq!(Options::parse(&["--mib", "9"]).unwrap().payloads(&[1.0], 1), [9 * 65_536]);
    }
}
