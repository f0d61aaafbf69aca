//! Holds the table of floors: every arrow runs down, and guest and host meet only in the contracts. Holds as well that the
//! documents name files that exist, and that every build is locked, that
//! unsafe code is counted, and that every threat has its tests.
//!
//! In the library, so that `cargo xtask prepush` need not build the tests of the whole line for it.

mod code;
mod documents;
mod locked;
mod table;
mod threats;
mod unsafe_code;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;

pub use self::documents::documents_name_files_that_exist;
pub use self::locked::every_build_is_locked;
pub use self::threats::every_threat_has_its_tests;
pub use self::unsafe_code::unsafe_code_is_counted;
use crate::stage::{cargo, root};

/// Top folders and their floors. `xtask` stands above everything: it drives what the others build.
const FLOORS: &[(&str, u8)] = &[
    ("xtask", 7),
    ("bench", 6),
    ("dmf-kit", 5),
    ("drb", 4),
    ("orchestrator", 4),
    ("images", 3),
    ("xen", 2),
    ("proto", 1),
];

/// Crates that run inside a guest.
const GUEST: &[&str] = &[
    "images/guest",
    "images/loader",
    "images/loader-core",
    "images/probes/",
    "drb",
    "dmf-kit/dmf",
    "dmf-kit/functions/",
    "dmf-kit/reduce",
    "dmf-kit/template",
    "dmf-kit/testkit/faulty",
    "bench/link",
    "xen/pv",
];
/// What both worlds share.
const SHARED: &[&str] = &["proto/wire", "proto/ring", "proto/influxql", "xen/store"];
/// Host programs that run guest code as plain host code, for functions' tests and for figures.
const BOTH: &[&str] = &["dmf-kit/testkit", "bench", "bench/reduction"];

/// What no guest is built with: a function's program on the host.
const HOST_ONLY: &str = "cfg(not(target_os = \"hermit\"))";

/// Every check, in the order of its run.
///
/// # Errors
/// The first thing that is not as it should be.
pub fn check() -> Result<()> {
    every_arrow_runs_down()?;
    guest_and_host_meet_in_the_contracts_only()?;
    core_knows_no_runtime_no_files_no_clock()?;
    no_backend_knows_another_and_only_wiring_names_them()?;
    documents_name_files_that_exist()?;
    every_build_is_locked()?;
    unsafe_code_is_counted()?;
    every_threat_has_its_tests()
}

/// Crates depend on crates of lower floors, or of their own folder.
///
/// # Errors
/// An arrow runs up, or a folder has no floor.
pub fn every_arrow_runs_down() -> Result<()> {
    for member in members()? {
        for dependency in &member.ours {
            let (from, to) = (top(&member.folder), top(dependency));
            ensure!(
                from == to || floor(from)? > floor(to)?,
                "{} must not depend on {dependency}: the arrow runs up",
                member.folder
            );
        }
    }
    Ok(())
}

/// Guest crates depend on guest crates, and host crates on host crates.
///
/// # Errors
/// One does not.
pub fn guest_and_host_meet_in_the_contracts_only() -> Result<()> {
    for member in members()? {
        if is(&member.folder, BOTH) {
            continue;
        }
        for dependency in member.ours.iter().filter(|folder| !is(folder, SHARED)) {
            ensure!(
                is(&member.folder, GUEST) == is(dependency, GUEST),
                "{} depends on {dependency}: one is guest, the other host",
                member.folder
            );
        }
    }
    Ok(())
}

/// Core is pure.
///
/// # Errors
/// It depends on what acts, or uses it.
pub fn core_knows_no_runtime_no_files_no_clock() -> Result<()> {
    let members = members()?;
    let core =
        members.iter().find(|member| member.folder == "orchestrator/core").context("there is no core")?;
    for forbidden in
        ["tokio", "hyper", "axum", "redb", "mio", "rustix", "smoltcp", "fades-net", "fades-backends"]
    {
        ensure!(!core.all.iter().any(|name| name == forbidden), "core depends on {forbidden}");
    }
    let files = sources("orchestrator/core/src")?;
    ensure!(files.len() > 5, "core has {} files only", files.len());
    for file in files {
        let text = read(&file)?;
        for forbidden in [
            "std::fs",
            "std::net::Tcp",
            "std::thread",
            "Instant::now",
            "SystemTime",
            "std::process",
            "jiff::Timestamp::now",
        ] {
            ensure!(!text.contains(forbidden), "{} uses {forbidden}", file.display());
        }
    }
    Ok(())
}

/// In the daemon only `wiring.rs` names backends.
///
/// # Errors
/// Another file does.
pub fn no_backend_knows_another_and_only_wiring_names_them() -> Result<()> {
    let files = sources("orchestrator/daemon/src")?;
    let is_wiring = |file: &Path| file.file_name().is_some_and(|name| name == "wiring.rs");
    ensure!(files.iter().any(|file| is_wiring(file)), "the daemon has no wiring.rs");
    for file in files.iter().filter(|file| !is_wiring(file)) {
        ensure!(!read(file)?.contains("fades_backends"), "{} names a concrete backend", file.display());
    }
    Ok(())
}

struct Member {
    folder: String,
    /// Folders of our own crates that it depends on, outside its tests.
    ours: Vec<String>,
    /// Names of all crates that it depends on, outside its tests.
    all: Vec<String>,
}

fn members() -> Result<Vec<Member>> {
    let output = cargo(&["metadata", "--format-version=1", "--no-deps", "--offline"]).output()?;
    ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout)?;
    let packages = list(&metadata["packages"])?;
    ensure!(packages.len() > 10, "the workspace has {} crates only", packages.len());
    packages.iter().map(member).collect()
}

fn member(package: &Value) -> Result<Member> {
    let manifest = Path::new(text(&package["manifest_path"])?);
    let of_its_own: Vec<&Value> = list(&package["dependencies"])?
        .iter()
        .filter(|dependency| dependency["kind"] != "dev" && dependency["target"] != HOST_ONLY)
        .collect();
    let ours = of_its_own.iter().filter_map(|dependency| dependency["path"].as_str());
    Ok(Member {
        folder: folder(manifest.parent().context("a manifest lies in a folder")?)?,
        ours: ours.map(|path| folder(Path::new(path))).collect::<Result<_>>()?,
        all: of_its_own
            .iter()
            .map(|dependency| text(&dependency["name"]).map(str::to_owned))
            .collect::<Result<_>>()?,
    })
}

/// A folder of the workspace, from its root.
fn folder(path: &Path) -> Result<String> {
    let folder = path.strip_prefix(root()).with_context(|| format!("{} lies outside", path.display()))?;
    Ok(folder.to_string_lossy().into_owned())
}

fn list(value: &Value) -> Result<&Vec<Value>> {
    value.as_array().with_context(|| format!("cargo metadata: {value} is no list"))
}

fn text(value: &Value) -> Result<&str> {
    value.as_str().with_context(|| format!("cargo metadata: {value} is no text"))
}

fn top(folder: &str) -> &str {
    folder.split('/').next().unwrap_or_default()
}

fn floor(top: &str) -> Result<u8> {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    match floors.get(top) {
        Some(floor) => Ok(*floor),
        None => bail!("{top} has no floor: add it to the table and to ARCHITECTURE.md"),
    }
}

/// Whether `folder` is one of `listed`; an entry that ends in a slash stands for everything below it.
fn is(folder: &str, listed: &[&str]) -> bool {
    listed.iter().any(|entry| folder == *entry || (entry.ends_with('/') && folder.starts_with(entry)))
}

/// Rust files below a folder of the workspace.
fn sources(folder: &str) -> Result<Vec<PathBuf>> {
    let (mut found, mut folders) = (Vec::new(), vec![root().join(folder)]);
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))? {
            let path = entry?.path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    Ok(found)
}

fn read(file: &Path) -> Result<String> {
    fs::read_to_string(file).with_context(|| format!("read {}", file.display()))
}
