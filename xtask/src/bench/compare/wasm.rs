//! The Wasm module and the program that runs it in wasmtime (`bench/wasm`): both lie outside the workspace and are built for
//! this bench alone.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Instant;

use anyhow::{Context, Result, bail};
use fades_image_build::Builder;

use crate::stage::{cargo, check, root, target};

const TARGET: &str = "wasm32-unknown-unknown";

/// The module, compiled, with its host.
pub(super) struct Module {
    host: PathBuf,
    compiled: PathBuf,
}

/// What a start took, ms.
pub(super) struct Start {
    /// From starting the process to its end.
    pub(super) process_ms: f64,
    /// Of that: loading the module and making an instance.
    pub(super) instance_ms: f64,
}

/// Builds both, and has the host compile the module.
pub(super) fn build() -> Result<Module> {
    let folder = root().join("bench/wasm");
    // Apart from each other, as two toolchains build them.
    let (built, built_module) = (target().join("wasm"), target().join("wasm-module"));
    let manifest = |part: &str| folder.join(part).join("Cargo.toml");
    let mut host = cargo(&["build", "--release", "--manifest-path"]);
    check(host.arg(manifest("host")).arg("--target-dir").arg(&built))?;
    check(&mut module(&manifest("module"), &built_module)?)?;
    let module =
        Module { host: built.join("release/fades-bench-wasm-host"), compiled: built.join("module.compiled") };
    let wasm = built_module.join(TARGET).join("release/fades_bench_wasm_module.wasm");
    let mut compile = Command::new(&module.host);
    let begun = Instant::now();
    check(compile.arg("compile").args([&wasm, &module.compiled]))?;
    eprintln!("   compiling the module, which is done once: {:.0} ms", begun.elapsed().as_secs_f64() * 1e3);
    Ok(module)
}

/// With the toolchain that guests are built with, as it has the sources of the standard library.
fn module(manifest: &Path, built: &Path) -> Result<Command> {
    let builder = Builder::new(&root(), &target());
    let toolchain = builder.toolchain()?;
    let mut cargo = toolchain.cargo();
    cargo.args(["build", "--release", "--locked", "--target", TARGET, "-Zbuild-std=std,panic_abort"]);
    cargo.arg("--manifest-path").arg(manifest).arg("--target-dir").arg(built);
    // From the same package as the linker of guests.
    cargo.env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", toolchain.linker.with_file_name("wasm-ld"));
    Ok(cargo)
}

impl Module {
    /// What it takes to have an instance.
    pub(super) fn start(&self) -> Result<Start> {
        let begun = Instant::now();
        let output = self.say(&["start"], &[])?;
        let process_ms = begun.elapsed().as_secs_f64() * 1e3;
        let said = String::from_utf8_lossy(&output.stderr);
        let us: f64 = said.trim().parse().with_context(|| format!("the Wasm host said {said:?}"))?;
        Ok(Start { process_ms, instance_ms: us / 1e3 })
    }

    /// A whole task: what `plain` is told, and what it prints.
    pub(super) fn run(&self, question: &[&str]) -> Result<String> {
        Ok(String::from_utf8(self.say(&["run"], question)?.stdout)?)
    }

    fn say(&self, verb: &[&str], words: &[&str]) -> Result<Output> {
        let mut command = Command::new(&self.host);
        let output = command.args(verb).arg(&self.compiled).args(words).output();
        let output = output.with_context(|| format!("start {}", self.host.display()))?;
        if !output.status.success() {
            bail!("{} failed: {}", self.host.display(), String::from_utf8_lossy(&output.stderr));
        }
        Ok(output)
    }
}
