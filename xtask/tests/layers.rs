//! Holds the table of floors: every arrow runs down, and guest and host meet only in the contracts.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// Top folders and their floors. `xtask` stands above everything: it drives what the others build.
const FLOORS: &[(&str, u8)] = &[
    ("xtask", 5),
    ("dmf-kit", 4),
    ("bench", 4),
    ("drb", 3),
    ("orchestrator", 3),
    ("images", 2),
    ("xen", 1),
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
    "dmf-kit/testkit/faulty",
];
/// What both worlds share.
const SHARED: &[&str] = &["proto/wire", "xen/store"];
/// Host programs that run guest code as plain host code, for tests and figures.
const BOTH: &[&str] = &["dmf-kit/testkit", "bench"];

struct Member {
    folder: String,
    /// Folders of our own crates that it depends on, outside its tests.
    ours: Vec<String>,
    /// Names of all crates that it depends on, outside its tests.
    all: Vec<String>,
}

#[test]
fn every_arrow_runs_down() {
    for member in members() {
        for dependency in &member.ours {
            let (from, to) = (top(&member.folder), top(dependency));
            assert!(
                from == to || floor(from) > floor(to),
                "{} must not depend on {dependency}: the arrow runs up",
                member.folder
            );
        }
    }
}

#[test]
fn guest_and_host_meet_in_the_contracts_only() {
    for member in members() {
        if is(&member.folder, BOTH) {
            continue;
        }
        for dependency in member.ours.iter().filter(|folder| !is(folder, SHARED)) {
            let (from, to) = (is(&member.folder, GUEST), is(dependency, GUEST));
            assert_eq!(from, to, "{} depends on {dependency}: one is guest, the other host", member.folder);
        }
    }
}

#[test]
fn core_knows_no_runtime_no_files_no_clock() {
    let member = members().into_iter().find(|member| member.folder == "orchestrator/core").unwrap();
    for forbidden in
        ["tokio", "hyper", "axum", "redb", "mio", "rustix", "smoltcp", "fades-net", "fades-backends"]
    {
        assert!(!member.all.iter().any(|name| name == forbidden), "core depends on {forbidden}");
    }
    let mut files = Vec::new();
    sources(&root().join("orchestrator/core/src"), &mut files);
    assert!(files.len() > 5);
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        for forbidden in [
            "std::fs",
            "std::net::Tcp",
            "std::thread",
            "Instant::now",
            "SystemTime",
            "std::process",
            "jiff::Timestamp::now",
        ] {
            assert!(!text.contains(forbidden), "{} uses {forbidden}", file.display());
        }
    }
}

#[test]
fn no_backend_knows_another_and_only_wiring_names_them() {
    let mut files = Vec::new();
    sources(&root().join("orchestrator/daemon/src"), &mut files);
    for file in files {
        if file.file_name().is_some_and(|name| name == "wiring.rs") {
            continue;
        }
        let text = fs::read_to_string(&file).unwrap();
        assert!(!text.contains("fades_backends"), "{} names a concrete backend", file.display());
    }
}

fn members() -> Vec<Member> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--format-version=1", "--no-deps", "--offline"])
        .current_dir(root())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: Value = serde_json::from_slice(&output.stdout).unwrap();
    let folder = |path: &str| {
        let path = Path::new(path).strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        path.trim_end_matches("/Cargo.toml").to_owned()
    };
    let packages = metadata["packages"].as_array().unwrap();
    assert!(packages.len() > 10);
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    packages
        .iter()
        .map(|package| {
            let all: Vec<&Value> =
                package["dependencies"].as_array().unwrap().iter().filter(|d| d["kind"] != "dev").collect();
            Member {
                folder: folder(&text(&package["manifest_path"])),
                ours: all
                    .iter()
                    .filter_map(|d| d["path"].as_str())
                    .map(|path| folder(&format!("{path}/Cargo.toml")))
                    .collect(),
                all: all.iter().map(|d| text(&d["name"])).collect(),
            }
        })
        .collect()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

fn top(folder: &str) -> &str {
    folder.split('/').next().unwrap()
}

fn floor(top: &str) -> u8 {
    let floors: BTreeMap<&str, u8> = FLOORS.iter().copied().collect();
    *floors
        .get(top)
        .unwrap_or_else(|| panic!("{top} has no floor: add it to the table and to ARCHITECTURE.md"))
}

/// Whether `folder` is one of `listed`; an entry that ends in a slash stands for everything below it.
fn is(folder: &str, listed: &[&str]) -> bool {
    listed.iter().any(|entry| folder == *entry || (entry.ends_with('/') && folder.starts_with(entry)))
}

fn sources(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}
