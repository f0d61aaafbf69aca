//! The program itself: what it says when it cannot run.

#![expect(clippy::unwrap_used, reason = "a test may")]

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

use fades_daemon::node_dir::NodeDir;

/// Runs it on a folder until it gives up; its exit code and what it said.
fn fadesd(dir: &Path) -> (Option<i32>, String) {
    let ended = Command::new(env!("CARGO_BIN_EXE_fadesd")).arg(dir).stdin(Stdio::null()).output().unwrap();
    (ended.status.code(), String::from_utf8(ended.stderr).unwrap())
}

#[test]
fn what_keeps_it_from_running_is_said_with_code_and_hint() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let (exit, said) = fadesd(dir.path());
    assert_eq!(exit, Some(1));
    assert!(said.starts_with("fadesd: E6014: "), "{said}");
    std::fs::write(dir.path().join("fades.toml"), "node = \"edge-1\"\n").unwrap();
    assert!(fadesd(dir.path()).1.starts_with("fadesd: E6013: "), "without a key");
    std::fs::write(dir.path().join("fades.toml"), "node = 3\n").unwrap();
    assert!(fadesd(dir.path()).1.starts_with("fadesd: E6007: "), "with wrong settings");
    let held = NodeDir::open(dir.path()).unwrap();
    let (exit, said) = fadesd(dir.path());
    assert_eq!(exit, Some(1));
    let me = std::process::id();
    let line = format!("another fadesd (process {me}) runs in {}", dir.path().display());
    assert!(said.starts_with("fadesd: E6009: ") && said.contains(&line), "{said}");
    assert!(said.ends_with("\n  Use that one, or end it first.\n"), "{said}");
    drop(held);
}
