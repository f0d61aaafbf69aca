//! `cargo xtask fuzz`: LLVM's fuzzer on everything that reads foreign bytes, with the ordinary toolchain.
//!
//! Coverage is a pass of LLVM's that stable compilers run too; only the address sanitizer would want a nightly one, and almost nothing
//! that is fuzzed here has unsafe code. A run with the same seed and count does the same.

use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::time::Instant;

use anyhow::{Context, Result, bail};

use crate::stage::{cargo, check, root, target};

/// What instruments the targets, as cargo-fuzz has it; one unit of code generation, for the linker loses counters of more.
const FLAGS: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1";

/// Targets at once.
const AT_ONCE: usize = 2;

/// What a run is to do.
#[derive(Debug, PartialEq, Eq)]
pub struct Options {
    /// How long each target runs.
    pub seconds: u64,
    /// How often each is run, if that is less.
    pub runs: Option<u64>,
    /// Where its randomness begins.
    pub seed: u32,
    /// All, if none is named.
    pub targets: Vec<String>,
}

impl Options {
    /// What `cargo xtask test` does.
    #[must_use]
    pub const fn quick() -> Self {
        Self { seconds: 3, runs: None, seed: 1, targets: Vec::new() }
    }

    /// What `cargo xtask torture` does: some hundred million executions.
    #[must_use]
    pub const fn long(seed: u64) -> Self {
        #[expect(clippy::cast_possible_truncation, reason = "one seed is as good as another")]
        Self { seconds: 60, runs: None, seed: seed as u32, targets: Vec::new() }
    }

    /// Reads the words behind `fuzz`.
    ///
    /// # Errors
    /// One that is not known, or has no number.
    pub fn parse(words: &[&str]) -> Result<Self> {
        let mut options = Self { seconds: 60, runs: None, seed: 1, targets: Vec::new() };
        let mut words = words.iter();
        while let Some(&word) = words.next() {
            let mut number = || -> Result<u64> {
                let value = words.next().with_context(|| format!("{word} needs a number"))?;
                value.parse().with_context(|| format!("{word} needs a number, not {value}"))
            };
            match word {
                "--seconds" => options.seconds = number()?,
                "--runs" => options.runs = Some(number()?),
                "--seed" => options.seed = u32::try_from(number()?)?,
                other if other.starts_with('-') => bail!("there is no option {other}"),
                name => options.targets.push(name.to_owned()),
            }
        }
        Ok(options)
    }
}

/// What came of one target.
struct Outcome {
    target: String,
    seconds: f64,
    /// What it said, if it came to its end.
    said: Result<String, String>,
}

/// Builds the targets and runs them, a table line each.
///
/// # Errors
/// They cannot be built; one of them failed.
pub fn run(options: &Options) -> Result<()> {
    let targets = chosen(options)?;
    build()?;
    let (waiting, ended) = (Mutex::new(targets.iter()), Mutex::new(Vec::new()));
    eprintln!("{:<20} {:>12} {:>9} {:>8}  a parse at most", "target", "executions", "new units", "time");
    std::thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(target) = waiting.lock().ok().and_then(|mut targets| targets.next()) else {
                        return;
                    };
                    let outcome = execute(target, options);
                    tell(&outcome);
                    ended.lock().map(|mut ended| ended.push(outcome)).unwrap_or_default();
                }
            });
        }
    });
    let ended = ended.into_inner().unwrap_or_default();
    let failed: Vec<&str> =
        ended.iter().filter(|outcome| outcome.said.is_err()).map(|outcome| outcome.target.as_str()).collect();
    if !failed.is_empty() || ended.len() < targets.len() {
        bail!("{} of {} targets failed: {}", failed.len(), targets.len(), failed.join(", "));
    }
    Ok(())
}

fn sources() -> PathBuf {
    root().join("fuzz")
}

/// The targets that are asked for, each of which there is.
fn chosen(options: &Options) -> Result<Vec<String>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(sources().join("targets")).context("read fuzz/targets")? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "rs") {
            all.extend(path.file_stem().map(|stem| stem.to_string_lossy().into_owned()));
        }
    }
    all.sort();
    if let Some(unknown) = options.targets.iter().find(|name| !all.contains(name)) {
        bail!("there is no target {unknown}; there are {}", all.join(", "));
    }
    Ok(if options.targets.is_empty() { all } else { options.targets.clone() })
}

fn build() -> Result<()> {
    let triple = triple();
    // With a processor named, the flags are not those of build scripts.
    let mut command = cargo(&["build", "--release", "--bins", "--target", &triple]);
    check(command.current_dir(sources()).env("CARGO_TARGET_DIR", folder()).env("RUSTFLAGS", FLAGS))
}

fn triple() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

fn folder() -> PathBuf {
    target().join("fuzz")
}

fn program(target: &str) -> PathBuf {
    folder().join(triple()).join("release").join(target)
}

/// What a target is run with, but for the folders of its inputs.
fn words(options: &Options) -> Vec<String> {
    let mut words = vec![
        format!("-seed={}", options.seed),
        format!("-max_total_time={}", options.seconds),
        // 64 KiB, to which the bounds of a parse hold.
        "-max_len=65536".to_owned(),
        "-timeout=10".to_owned(),
        "-print_final_stats=1".to_owned(),
    ];
    words.extend(options.runs.map(|runs| format!("-runs={runs}")));
    words
}

fn execute(target: &str, options: &Options) -> Outcome {
    let started = Instant::now();
    let said = attempt(target, options).unwrap_or_else(|error| Err(format!("{error:#}")));
    Outcome { target: target.to_owned(), seconds: started.elapsed().as_secs_f64(), said }
}

fn attempt(target: &str, options: &Options) -> Result<Result<String, String>> {
    // What is found is kept apart from what is committed, and not gone on from: the next run is to be the same.
    let (found, kept) = (folder().join("found").join(target), sources().join("corpora").join(target));
    match fs::remove_dir_all(&found) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error.into()),
        _ => fs::create_dir_all(&found)?,
    }
    let failing = folder().join("failing").join(target);
    fs::create_dir_all(&failing)?;
    let mut command = Command::new(program(target));
    command.args(words(options)).arg(format!("-artifact_prefix={}/", failing.display())).arg(&found);
    command.args(kept.is_dir().then_some(kept)).stdin(Stdio::null());
    let output = command.output().with_context(|| format!("start {}", program(target).display()))?;
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    if output.status.success() {
        return Ok(Ok(said));
    }
    let from = said.find("panicked at").or_else(|| said.find("ERROR")).unwrap_or_default();
    let reason: String = said[from..].chars().take(2_000).collect();
    let again = format!("{} FILE, with a file of {}", program(target).display(), failing.display());
    Ok(Err(format!("{reason}\nto have it again: {again}")))
}

fn tell(outcome: &Outcome) {
    let Outcome { target, seconds, said } = outcome;
    match said {
        Ok(said) => {
            let stat = |name: &str| {
                let line = said.lines().find_map(|line| line.strip_prefix("stat::")?.strip_prefix(name));
                line.map_or("-", |value| value.trim_start_matches(':').trim()).to_owned()
            };
            let most = said.lines().find_map(|line| line.strip_prefix("fades: a parse took at most "));
            let (executed, new) = (stat("number_of_executed_units"), stat("new_units_added"));
            eprintln!("{target:<20} {executed:>12} {new:>9} {seconds:>6.1} s  {}", most.unwrap_or("-"));
        }
        Err(why) => eprintln!("{target:<20} FAILED after {seconds:.1} s: {why}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_or_refused() {
        let options = Options::parse(&["--seconds", "3", "elf", "--runs", "9", "--seed", "4"]).unwrap();
        let wanted = Options { seconds: 3, runs: Some(9), seed: 4, targets: vec!["elf".to_owned()] };
        assert_eq!(options, wanted);
        assert!(words(&options).contains(&"-runs=9".to_owned()));
        for bad in [&["--seconds"][..], &["--runs", "x"], &["--speed", "3"], &["--seed", "5000000000"]] {
            assert!(Options::parse(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn every_target_is_known_to_cargo_and_no_other_is_run() {
        let all = chosen(&Options::quick()).unwrap();
        let manifest = fs::read_to_string(sources().join("Cargo.toml")).unwrap();
        for target in &all {
            assert!(manifest.contains(&format!("path = \"targets/{target}.rs\"")), "{target} has no [[bin]]");
        }
        assert_eq!(manifest.matches("[[bin]]").count(), all.len());
        let none = Options { targets: vec!["nothing".to_owned()], ..Options::quick() };
        assert!(chosen(&none).unwrap_err().to_string().contains("there is no target nothing; there are "));
    }
}
