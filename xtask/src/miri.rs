//! `cargo xtask miri`: the tests of crates with unsafe code in Rust's interpreter, which finds what they do that the language does not allow.
//!
//! Not those whose unsafe code is instructions and system calls (`images/loader`, `orchestrator/backends`), which it does not know; and not
//! the tests by loom, whose threads it cannot start. It is a part of the nightly toolchain, which nothing else here has: one of a fixed day is
//! installed below `target/tools`, where no other build finds it.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::stage::{check, root, target};

/// The nightly of a day; another is as good, but finds other things.
const TOOLCHAIN: &str = "nightly-2026-05-20";

/// Libraries whose tests reach their unsafe code, and those that theirs is built on.
const PACKAGES: [&str; 4] = ["fades-guest", "fades-loader-core", "fades-ring", "fades-xen-pv"];

const FLAGS: &str =
    "-Zmiri-disable-isolation -Zmiri-permissive-provenance -Zmiri-disable-weak-memory-emulation";

/// It is some hundred times slower than the processor.
const CASES: &str = "4";

/// Installs what is missing and runs the tests.
///
/// # Errors
/// The toolchain cannot be had, or something was found: it is on the terminal.
pub fn run() -> Result<()> {
    if !home().join("toolchains").is_dir() {
        eprintln!("== miri: installs the toolchain of {TOOLCHAIN} below target/tools, 700 MB");
    }
    check(rustup().args([
        "toolchain",
        "install",
        TOOLCHAIN,
        "--profile",
        "minimal",
        "--component",
        "miri,rust-src",
        "--no-self-update",
    ]))
    .context("Miri's toolchain")?;
    let mut tests = rustup();
    tests.args(["run", TOOLCHAIN, "cargo", "miri", "test", "--locked", "--lib", "--no-fail-fast"]);
    tests.args(PACKAGES.iter().flat_map(|package| ["--package", package]));
    // Cases that failed are kept in files; Xen's pages have addresses that were numbers before, and words of two sizes, on which the
    // emulation of weak memory ends itself.
    tests.env("MIRIFLAGS", FLAGS);
    tests.env("PROPTEST_CASES", CASES).env("CARGO_TARGET_DIR", target().join("miri"));
    check(&mut tests)
}

fn home() -> PathBuf {
    target().join("tools/miri")
}

fn rustup() -> Command {
    let mut command = Command::new("rustup");
    command.current_dir(root()).env("RUSTUP_HOME", home());
    // What cargo tells its children of the toolchain that runs this one.
    for name in ["CARGO", "RUSTC", "RUSTDOC", "RUSTUP_TOOLCHAIN", "RUST_RECURSION_COUNT"] {
        command.env_remove(name);
    }
    command
}
