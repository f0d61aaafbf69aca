//! `cargo xtask bench`: criterion's benches, the whole line, and what both are held to.

pub mod figures;
mod line;
mod link;
pub mod machines;
mod memory;
mod report;
mod task;

use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use fades_bench::{Budgets, Measured};

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

    fn wants(&self, name: &str) -> bool {
        self.filter.as_ref().is_none_or(|filter| name.contains(filter.as_str()))
    }
}

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
    let of = |group: &str| wanted.iter().any(|name| name.split('/').next() == Some(group));
    let mut measured = Vec::new();
    if wanted.iter().any(|name| !is_of_the_line(name)) {
        measured.extend(stage("criterion", || criterion(options, &budgets))?);
        // What was measured is kept even if the rest cannot be.
        options.record(&file, &measured)?;
    }
    if of("link") {
        stage("setup", setup::run)?;
        let arguments = ["build", "--profile", "bench", "--package", "fades-bench", "--example", "link"];
        stage("programs", || check(&mut cargo(&arguments)))?;
        measured.extend(stage("a transfer alone", link::measure)?);
        measured.retain(|figure| options.wants(&figure.name));
    }
    if of("line") || of("memory") {
        stage("setup", setup::run)?;
        let images = building("images", "2 minutes", images::build)?;
        stage("programs", || {
            check(&mut cargo(&[
                "build",
                "--release",
                "--package",
                "fades-daemon",
                "--package",
                "fades-cli",
            ]))?;
            check(&mut cargo(&[
                "build",
                "--profile",
                "bench",
                "--package",
                "fades-bench",
                "--example",
                "plain",
            ]))
        })?;
        measured.extend(stage("the whole line", || line::measure(&images, of("line"), of("memory")))?);
        measured.retain(|figure| options.wants(&figure.name));
    }
    report::print(&measured, &budgets);
    options.record(&file, &measured)?;
    if options.check {
        held(&measured, &budgets, &wanted)?;
    }
    Ok(())
}

fn is_of_the_line(name: &str) -> bool {
    ["line/", "memory/", "link/"].iter().any(|group| name.starts_with(group))
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
        Some(Measured { name: name.clone(), value })
    };
    Ok(budgets.figures.iter().filter_map(median).collect())
}

fn held(measured: &[Measured], budgets: &Budgets, wanted: &[&str]) -> Result<()> {
    let mut broken = Vec::new();
    for name in wanted {
        match measured.iter().find(|figure| figure.name == *name) {
            None => broken.push(format!("{name} was not measured")),
            Some(figure) if !budgets.figures[*name].holds(figure.value) => {
                broken.push(format!("{name} is {}", fades_bench::budgets::rounded(figure.value)));
            }
            Some(_) => {}
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_strict() {
        let all = Options { filter: Some("wire".into()), check: true, record: true };
        assert_eq!(Options::parse(&["--check", "wire", "--record"]).unwrap(), all);
        assert!(Options::parse(&["--chekc"]).is_err() && Options::parse(&["a", "b"]).is_err());
        assert!(all.wants("wire/encode") && !all.wants("line/boot"));
    }

    #[test]
    fn medians() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }
}
