//! `cargo xtask`: sets up, builds, demonstrates, tests and measures.

use std::process::ExitCode;

use anyhow::Result;
use xtask::{bench, demo, images, prepush, setup, stage::stage, test};

const HELP: &str = "\
cargo xtask COMMAND

  setup                  install what is missing (Debian), or say what to install
  demo [--points N] [--json] [--keep]
                         the whole line once, on a testbed of its own
  test                   every test: host, guests in QEMU, the whole line against a real InfluxDB
  prepush                fmt, clippy with warnings denied, the layers test, docs
  images                 build and pack the images into target/images, and what tests boot
  bench [FILTER] [--check] [--record]
                         every figure beside its promise in bench/budgets.toml
";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match run(&words) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(words: &[&str]) -> Result<ExitCode> {
    match words {
        ["setup"] => setup::run()?,
        ["images"] => {
            stage("setup", setup::run)?;
            stage("images", || images::build(&images::tested()))?;
            stage("probes", images::build_probes)?;
        }
        ["demo", options @ ..] => demo::run(&demo::Options::parse(options)?)?,
        ["test", options @ ..] => test::run(options)?,
        ["prepush"] => prepush::run()?,
        ["bench", options @ ..] => bench::run(&bench::Options::parse(options)?)?,
        _ => {
            eprint!("{HELP}");
            return Ok(ExitCode::from(2));
        }
    }
    Ok(ExitCode::SUCCESS)
}
