//! What a node does when its disk is full, cannot be written, or it has no file descriptors left: it refuses with a code, loses nothing, and
//! goes on by itself when that is over.
//!
//! Needs root for a file system of its own; elsewhere that is said.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use fades_daemon::clock::Clock;
use fades_testkit::{BrokerAct, Script};
use serde_json::json;
use tempfile::TempDir;

use crate::support::{TestNode, eventually, id, key};

/// A small file system in memory, gone with the value.
struct Small {
    at: TempDir,
}

impl Small {
    fn mount(size: &str) -> Option<Self> {
        let at = tempfile::tempdir().unwrap();
        let options = format!("size={size},mode=0700");
        let mounted =
            Command::new("mount").args(["-t", "tmpfs", "-o", &options, "none"]).arg(at.path()).status();
        if mounted.is_ok_and(|status| status.success()) {
            return Some(Self { at });
        }
        assert!(std::env::var_os("CI").is_none(), "no file system can be mounted");
        eprintln!("skipped: no file system can be mounted here, which takes root");
        None
    }

    /// A node's folder on it.
    fn folder(&self) -> TempDir {
        let dir = tempfile::Builder::new()
            .permissions(std::fs::Permissions::from_mode(0o700))
            .tempdir_in(self.at.path());
        let dir = dir.unwrap();
        std::fs::write(dir.path().join("fades.toml"), "node = \"edge-1\"\n").unwrap();
        key(1).create(&dir.path().join("node.key")).unwrap();
        dir
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.at.path()).status();
        assert!(done.unwrap().success(), "remount {how}");
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.at.path()).status();
    }
}

/// Takes all room that is left.
fn fill(folder: &Path) -> PathBuf {
    let path = folder.join("filler");
    let mut file = std::fs::File::create(&path).unwrap();
    for block in [1 << 20, 1 << 12] {
        while file.write_all(&vec![1; block]).is_ok() {}
    }
    path
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_is_told_loses_nothing_and_is_over_when_there_is_room() {
    let Some(small) = Small::mount("160m") else { return };
    let slow = [BrokerAct::Serves(Duration::from_millis(1500))];
    let mut node =
        TestNode::start(small.folder(), Script::default().brokers(slow), Clock::default(), |_| {}).await;
    node.equip().await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");

    // One is under way when there is no room left at all.
    assert_eq!(node.submit(&node.signed(&id(2), |_| {})).await.status, 202);
    let filler = fill(small.at.path());
    let refused = node.submit(&node.signed(&id(3), |_| {})).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "E7000"), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.body).contains("MiB left"), "{refused:?}");
    let warnings = node.get("/v1/node").await.json()["warnings"].to_string();
    assert!(warnings.contains("no task is accepted"), "{warnings}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    // What was known is still told, and what could not be stored is not.
    let state = async |number| {
        node.local("GET", &format!("/v1/tasks/{}", id(number)), b"").await.json()["state"].clone()
    };
    assert_eq!(state(1).await, "succeeded");
    assert_ne!(state(2).await, "succeeded");

    std::fs::remove_file(filler).unwrap();
    assert_eq!(node.ended(&id(2)).await["state"], "succeeded");
    assert_eq!(node.submit(&node.signed(&id(3), |_| {})).await.status, 202);
    assert_eq!(node.ended(&id(3)).await["state"], "succeeded");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_task_fails_for_the_time_that_a_full_disk_took() {
    let Some(small) = Small::mount("160m") else { return };
    let slow = [BrokerAct::Serves(Duration::from_millis(1500))];
    let mut node =
        TestNode::start(small.folder(), Script::default().brokers(slow), Clock::default(), |_| {}).await;
    node.equip().await;
    let hurried = |w: &mut serde_json::Value| w["dmf"]["resources"]["timeout_ms"] = json!(3000);
    for number in [1, 2] {
        assert_eq!(node.submit(&node.signed(&id(number), hurried)).await.status, 202);
    }
    let streaming = async |number| {
        let path = format!("/v1/tasks/{}", id(number));
        node.local("GET", &path, b"").await.json()["state"] == "streaming"
    };
    eventually("under way", async || streaming(1).await && streaming(2).await).await;
    // From the second one's cancellation on nothing is heard, as there is no room to store that: the first one's data comes within its time,
    // and there is room long after it.
    let filler = fill(small.at.path());
    assert_eq!(node.local("DELETE", &format!("/v1/tasks/{}", id(2)), b"").await.status, 202);
    tokio::time::sleep(Duration::from_secs(5)).await;
    std::fs::remove_file(filler).unwrap();
    assert_eq!(node.ended(&id(2)).await["state"], "cancelled");
    let ended = node.ended(&id(1)).await;
    assert_eq!(ended["state"], "succeeded", "{ended}");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_daemon_ends_though_its_disk_is_full() {
    let Some(small) = Small::mount("160m") else { return };
    let mut node = TestNode::start(small.folder(), Script::default(), Clock::default(), |_| {}).await;
    node.equip().await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    node.ended(&id(1)).await;
    let filler = fill(small.at.path());
    let stopped = tokio::time::timeout(Duration::from_secs(10), node.stop()).await;
    let dir = stopped.expect("it does not wait for room");
    std::fs::remove_file(filler).unwrap();
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    node.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_cannot_be_written_is_told_and_over_when_it_can() {
    let Some(small) = Small::mount("160m") else { return };
    let mut node = TestNode::start(small.folder(), Script::default(), Clock::default(), |_| {}).await;
    node.equip().await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    // The store's file is open for writing, so that the kernel refuses to take the right away; a daemon that starts meets it.
    let dir = node.stop().await;
    small.remount("ro");
    let refused = fades_daemon::node_dir::NodeDir::open(dir.path()).unwrap_err();
    assert!(fades_daemon::words(&refused).contains("Read-only file system"), "{refused}");
    small.remount("rw");
    let node = TestNode::start(dir, Script::default(), Clock::default(), |_| {}).await;
    assert_eq!(node.local("GET", &format!("/v1/tasks/{}", id(1)), b"").await.json()["state"], "succeeded");
    node.stop().await;
}
