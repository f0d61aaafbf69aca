//! `cargo xtask bench`: criterion's benches, the whole line, and what both are held to.

mod architecture;
mod compare;
pub mod figures;
mod line;
mod link;
pub mod machines;
mod memory;
mod plain;
mod report;
mod task;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fades_bench::{Budgets, Measured, Verdict};
use fades_image_build::Architecture;

use crate::stage::{building, cargo, check, root, stage, target};
use crate::{images, setup};

/// How the benches are asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options {
    /// Only figures whose name contains this.
    filter: Option<String>,
    /// Fail if a promise is not kept.
    check: bool,
    /// Write the medians into `budgets.toml`.
    record: bool,
}

impl Options {
    /// Reads them.
    ///
    /// # Errors
    /// One of them is unknown.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self::default();
        for word in words {
            match *word {
                "--check" => options.check = true,
                "--record" => options.record = true,
                other if other.starts_with('-') => {
                    bail!("bench has no option {other}; it has [FILTER], --check and --record")
                }
                filter if options.filter.is_none() => options.filter = Some(filter.to_owned()),
                more => bail!("bench takes one filter, and {more} is a second one"),
            }
        }
        Ok(options)
    }

    /// Writes what was measured into the file of budgets, if that was asked for.
    fn record(&self, file: &Path, measured: &[Measured]) -> Result<()> {
        if self.record {
            let text = fs::read_to_string(file).with_context(|| format!("read {}", file.display()))?;
            let today = jiff::Zoned::now().date().to_string();
            fs::write(file, fades_bench::budgets::record(&text, &today, measured))
                .with_context(|| format!("write {}", file.display()))?;
        }
        Ok(())
    }

    /// What labs measure is not asked for here: `figures --record` writes it down.
    fn wants(&self, name: &str) -> bool {
        group(name) != "lab"
            && self.filter.as_ref().is_none_or(|filter| {
                name.contains(filter.as_str()) || (compare::is_all(filter) && compare::measures(name))
            })
    }
}

/// What measures those of these figures that are its own.
type Part = fn(&Options, &Budgets, &[&str]) -> Result<Vec<Measured>>;

/// Builds what the benches drive, in release, and runs them; every median goes beside its promise.
///
/// # Errors
/// The first stage that fails; with `--check`, a promise that is not kept.
pub fn run(options: &Options) -> Result<()> {
    let file = root().join("bench/budgets.toml");
    let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
    let budgets = Budgets::parse(&text).with_context(|| format!("read {}", file.display()))?;
    let wanted: Vec<&str> =
        budgets.figures.keys().map(String::as_str).filter(|name| options.wants(name)).collect();
    let mut measured = Vec::new();
    let parts: [Part; 3] = [one_process, transfers, nodes];
    for part in parts {
        measured.extend(part(options, &budgets, &wanted)?);
        measured.retain(|figure| options.wants(&figure.name));
        // What was measured is kept even if the rest cannot be.
        options.record(&file, &measured)?;
    }
    report::print(&measured, &budgets);
    if options.check {
        held(&measured, &budgets, &wanted)?;
    }
    Ok(())
}

/// What criterion measures.
fn one_process(options: &Options, budgets: &Budgets, wanted: &[&str]) -> Result<Vec<Measured>> {
    if wanted.iter().all(|name| needs_guests(name)) {
        return Ok(Vec::new());
    }
    stage("criterion", || criterion(options, budgets))
}

/// What two guests measure.
fn transfers(_: &Options, _: &Budgets, wanted: &[&str]) -> Result<Vec<Measured>> {
    if !wanted.iter().any(|name| group(name) == "link") {
        return Ok(Vec::new());
    }
    stage("setup", setup::run)?;
    let arguments = ["build", "--profile", "bench", "--package", "fades-bench", "--example", "link"];
    stage("programs", || check(&mut cargo(&arguments)))?;
    stage("a transfer alone", link::measure)
}

/// What whole nodes measure.
fn nodes(_: &Options, _: &Budgets, wanted: &[&str]) -> Result<Vec<Measured>> {
    let (compared, own): (Vec<&str>, Vec<&str>) = wanted.iter().partition(|name| compare::measures(name));
    let (line, memory) = (of(&own, "line"), of(&own, "memory"));
    let both = of(&own, "architecture");
    let mut measured = Vec::new();
    if !(line || memory || both || !compared.is_empty()) {
        return Ok(measured);
    }
    stage("setup", setup::run)?;
    let images = building("images", "2 minutes", || images::build(Architecture::X86_64))?;
    stage("programs", || {
        check(&mut cargo(&["build", "--release", "--package", "fades-daemon", "--package", "fades-cli"]))?;
        if line || memory || !compared.is_empty() {
            let plain = ["build", "--profile", "bench", "--package", "fades-bench", "--example", "plain"];
            check(&mut cargo(&plain))?;
        }
        Ok(())
    })?;
    if line || memory {
        measured.extend(stage("the whole line", || line::measure(&images, line, memory))?);
    }
    if both {
        building("images for aarch64", "3 minutes", || images::build(Architecture::Aarch64))?;
        measured.extend(stage("both architectures", architecture::measure)?);
    }
    if !compared.is_empty() {
        measured.extend(stage("compared", || compare::measure(&images, &compared))?);
    }
    Ok(measured)
}

fn of(names: &[&str], wanted: &str) -> bool {
    names.iter().any(|name| group(name) == wanted)
}

fn group(name: &str) -> &str {
    name.split('/').next().unwrap_or_default()
}

fn needs_guests(name: &str) -> bool {
    ["line", "memory", "link", "architecture"].contains(&group(name)) || compare::measures(name)
}

fn criterion(options: &Options, budgets: &Budgets) -> Result<Vec<Measured>> {
    let folder = target().join("criterion");
    // What an earlier run left must not pass for a figure of this one.
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("clear {}", folder.display()))?;
    }
    let mut arguments = vec!["bench", "--package", "fades-bench", "--bench", "figures", "--"];
    arguments.extend(options.filter.as_deref());
    check(cargo(&arguments).env("CRITERION_HOME", &folder))?;
    let median = |(name, figure): (&String, &fades_bench::Figure)| {
        let value = fades_bench::criterion::median(&folder, name, &figure.unit)?;
        Some(Measured::new(name, value))
    };
    Ok(budgets.figures.iter().filter_map(median).collect())
}

fn held(measured: &[Measured], budgets: &Budgets, wanted: &[&str]) -> Result<()> {
    let mut broken = Vec::new();
    for name in wanted {
        match measured.iter().find(|figure| figure.name == *name) {
            None => broken.push(format!("{name} was not measured")),
            Some(figure) => {
                let value = fades_bench::budgets::rounded(figure.value);
                match budgets.figures[*name].judge(figure.value) {
                    Verdict::Kept | Verdict::NotReached(_) => {}
                    Verdict::Broken => broken.push(format!("{name} is {value}")),
                    Verdict::OutOfDate => {
                        broken.push(format!("{name} is {value}, so take `not_reached` away"))
                    }
                }
            }
        }
    }
    if !broken.is_empty() {
        bail!("not as bench/budgets.toml promises: {}", broken.join("; "));
    }
    Ok(())
}

/// The median; the mean of the two in the middle of an even number.
fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    match values.len() {
        0 => None,
        even if even % 2 == 0 => Some(f64::midpoint(values[middle - 1], values[middle])),
        _ => Some(values[middle]),
    }
}

/// Milliseconds that something takes.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<f64> {
    let start = Instant::now();
    work()?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

/// Stops a process, or has it go on.
fn signal(signal: &str, pid: u32) -> Result<()> {
    let status = Command::new("kill").args([signal, &pid.to_string()]).status()?;
    if !status.success() {
        bail!("kill {signal} {pid} ended with {status}");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strict() {
        let all = Options { filter: Some("wire".into()), check: true, record: true };
        assert_eq!(Options::parse(&["--check", "wire", "--record"]).unwrap(), all);
        assert!(Options::parse(&["--chekc"]).is_err() && Options::parse(&["a", "b"]).is_err());
        assert!(all.wants("wire/encode") && !all.wants("line/boot"));
        assert!(!Options::default().wants("lab/any") && Options::default().wants("line/boot"));
        let compare = Options { filter: Some("compare".into()), ..Options::default() };
        assert!(
            compare.wants("ready/cold") && compare.wants("line/wasm_1_mib") && !compare.wants("line/boot")
        );
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
