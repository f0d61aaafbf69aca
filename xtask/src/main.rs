//! `cargo xtask`: sets up, builds, demonstrates, tests and measures.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use anyhow::Result;
use fades_image_build::Architecture;
use xtask::stage::{building, stage};
use xtask::{bench, demo, docs, fuzz, images, lab, miri, package, prepush, setup, supply, test, torture};

const HELP: &str = "\
cargo xtask COMMAND

  setup                  install what is missing (Debian), or say what to install
  demo [--points N] [--json] [--keep]
                         the whole line once, on a testbed of its own; `demo --help` says more
  test [OPTIONS]         every test: host, guests in QEMU, the whole line against a real InfluxDB, lab kvm and
                         lab xen; options go to cargo test and leave out the labs, as FADES_NO_LAB=1 does
  fuzz [TARGET...] [--seconds N] [--runs N] [--seed S]
                         LLVM's fuzzer on everything that reads foreign bytes, 60 seconds each; then a table
  torture [--minutes N] [--seed S]
                         the long form of the tests that look for what is lost, leaked or harmed, and a table of what
                         was tried, one row for an hour; some hours on two cores, and more rounds until N minutes have passed
  miri                   tests of crates with unsafe code in Rust's interpreter; installs a nightly below target/tools
  lab kvm|xen [--limit SECONDS] [--linux] [--shell | -- COMMAND]
                         the whole line's tests, a console or a command in an emulated machine: Linux with KVM,
                         or the dom0 of a Xen host; it is ended after 720 seconds if nothing else is said,
                         a console never is
  prepush                fmt, clippy with warnings denied, layers, supply, docs
  supply                 licences, sources and duplicates of every package in our lock files, and RustSec's advisories
  docs                   build the book of docs/ into target/book, with its reference, and check its links
  package                a Debian package: programs, images, kit, completions, man pages; into target/package
  images [--target x86_64|aarch64]
                         build, pack and sign the images into target/images, or target/images-aarch64
  bench [FILTER] [--check] [--record]
                         every figure beside its promise in bench/budgets.toml; `bench compare`: those of
                         ready, idle, burst, and tasks beside Linux, a process and Wasm
  machines [BOOTS]       how long a guest takes to main on pc, q35 and microvm; in a lab:
                         lab kvm -- xtask machines
  figures [PART…] [--quick] [--boots N] [--tasks N] [--mib M,…] [--backend NAME] | --record | --draw
                         measures boot, memory, volume, stages, locality, waterfall, or those named; in a lab:
                         lab kvm --limit 1800 --linux -- xtask figures boot stages; then puts what was
                         measured here and in the labs into bench/figures, and draws all of it again
";

const DEMO_HELP: &str = "\
cargo xtask demo [--points N] [--json] [--keep]

Builds images and programs, starts an InfluxDB with sample readings and a node, asks three questions,
and prints each answer beside InfluxDB's own. Fails if one differs by more than it may.

  --points N   how many readings, 25 to 100000000; 250000 if not said
  --json       one JSON document on standard output
  --keep       leave node and InfluxDB up, and say how to talk to them and how to end them
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
        ["help" | "-h" | "--help", ..] => return Ok(help(HELP)),
        ["demo", options @ ..] if options.iter().any(|word| is_help(word)) => return Ok(help(DEMO_HELP)),
        // Options of `test` go to cargo, which has a help of its own.
        ["lab", option] if is_help(option) => return Ok(help(HELP)),
        [
            "setup" | "images" | "docs" | "package" | "prepush" | "supply" | "bench" | "figures" | "machines"
            | "fuzz" | "torture" | "miri",
            options @ ..,
        ] if options.iter().any(|word| is_help(word)) => {
            return Ok(help(HELP));
        }
        ["setup"] => setup::run()?,
        ["images"] => build_images(Architecture::X86_64)?,
        ["images", "--target", target] => match target.parse() {
            Ok(architecture) => build_images(architecture)?,
            Err(error) => return Ok(misused(&format!("{error}"), HELP)),
        },
        ["docs"] => docs::run()?,
        ["package"] => {
            stage("setup", setup::run)?;
            package::run()?;
        }
        ["demo", options @ ..] => match demo::Options::parse(options) {
            Ok(options) => demo::run(&options)?,
            Err(error) => return Ok(misused(&error.to_string(), DEMO_HELP)),
        },
        ["test", options @ ..] => test::run(options)?,
        ["lab", options @ ..] => match lab::Options::parse(options) {
            Ok(options) => lab::run(&options)?,
            Err(error) => return Ok(misused(&format!("{error:#}"), HELP)),
        },
        ["machines"] => bench::machines::run(bench::machines::RUNS)?,
        ["machines", runs] => match runs.parse() {
            Ok(runs @ 1..) => bench::machines::run(runs)?,
            _ => return Ok(misused(&format!("{runs} is no number of boots"), HELP)),
        },
        ["figures", "--record"] => bench::figures::record()?,
        ["figures", "--draw"] => bench::figures::draw::draw()?,
        ["figures", options @ ..] => match bench::figures::Options::parse(options) {
            Ok(options) => bench::figures::run(&options)?,
            Err(error) => return Ok(misused(&format!("{error:#}"), HELP)),
        },
        ["fuzz", options @ ..] => match fuzz::Options::parse(options) {
            Ok(options) => fuzz::run(&options)?,
            Err(error) => return Ok(misused(&format!("{error:#}"), HELP)),
        },
        ["torture", options @ ..] => match torture::Options::parse(options) {
            Ok(options) => torture::run(&options)?,
            Err(error) => return Ok(misused(&format!("{error:#}"), HELP)),
        },
        ["miri"] => miri::run()?,
        ["prepush"] => prepush::run()?,
        ["supply"] => supply::run()?,
        ["bench", options @ ..] => match bench::Options::parse(options) {
            Ok(options) => bench::run(&options)?,
            Err(error) => return Ok(misused(&error.to_string(), HELP)),
        },
        [] => return Ok(misused("a command is missing", HELP)),
        _ => return Ok(misused(&format!("there is no `cargo xtask {}`", words.join(" ")), HELP)),
    }
    Ok(ExitCode::SUCCESS)
}

fn build_images(architecture: Architecture) -> Result<()> {
    stage("setup", setup::run)?;
    building("images", "2 minutes", || images::build(architecture)).map(drop)
}

fn is_help(word: &str) -> bool {
    matches!(word, "-h" | "--help")
}

/// Words that are not understood end with 2, as with `fades`.
fn misused(what: &str, help: &str) -> ExitCode {
    eprint!("xtask: {what}\n\n{help}");
    ExitCode::from(2)
}

/// Asked for, so it goes to standard output.
#[expect(clippy::print_stdout, reason = "this is what the command is asked for")]
fn help(text: &str) -> ExitCode {
    print!("{text}");
    ExitCode::SUCCESS
}
