//! What a node does when its disk is full, cannot be written, or it has no file descriptors left: it refuses with a code, loses nothing, and
//! goes on by itself when that is over.
//!
//! Needs root for a file system of its own; elsewhere that is said.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
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

    fn folder(&self) -> TempDir {
        folder_in(self.at.path())
    }

    fn remount(&self, how: &str) {
        let done = Command::new("mount").args(["-o", &format!("remount,{how}")]).arg(self.at.path()).status();
        assert!(done.unwrap().success(), "remount {how}");
    }
}

/// A node's folder in another.
fn folder_in(path: &Path) -> TempDir {
    let open = std::fs::Permissions::from_mode(0o700);
    let dir = tempfile::Builder::new().permissions(open).tempdir_in(path).unwrap();
    let mut settings = std::fs::File::create(dir.path().join("fades.toml")).unwrap();
    settings.write_all(b"node = \"edge-1\"\n").and_then(|()| settings.sync_all()).unwrap();
    key(1).create(&dir.path().join("node.key")).unwrap();
    dir
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

/// A disk with a file system of its own, in a file: it can be stopped by a fault or for a while.
struct Disk {
    _small: Small,
    image: PathBuf,
    at: PathBuf,
}

impl Disk {
    fn new() -> Option<Self> {
        let small = Small::mount("400m")?;
        let (image, at) = (small.at.path().join("disk"), small.at.path().join("at"));
        std::fs::File::create(&image).unwrap().set_len(192 << 20).unwrap();
        let made = Command::new("mkfs.ext4").args(["-q", "-F"]).arg(&image).status();
        if !made.is_ok_and(|status| status.success()) {
            eprintln!("skipped: there is no mkfs.ext4 here");
            return None;
        }
        std::fs::create_dir(&at).unwrap();
        let disk = Self { _small: small, image, at };
        disk.mount().then_some(disk)
    }

    fn mount(&self) -> bool {
        let mut command = Command::new("mount");
        let mounted = command.args(["-o", "loop,errors=remount-ro"]).arg(&self.image).arg(&self.at).status();
        let mounted = mounted.is_ok_and(|status| status.success());
        if mounted {
            std::fs::set_permissions(&self.at, std::fs::Permissions::from_mode(0o700)).unwrap();
        } else {
            eprintln!("skipped: no file can be mounted as a disk here");
        }
        mounted
    }

    fn unmount(&self) {
        // A child that a test beside this one is about to start has our files until it is another program.
        let unmounted = (0..100).any(|_| {
            let done = Command::new("umount").arg(&self.at).status().unwrap().success();
            if !done {
                std::thread::sleep(Duration::from_millis(100));
            }
            done
        });
        assert!(unmounted, "umount");
    }

    /// What the kernel does when it finds a fault in a file system that says so.
    fn fault(&self) -> bool {
        let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.contains(self.at.to_str().unwrap())).unwrap();
        let device = mount.split(' ').next().unwrap().trim_start_matches("/dev/");
        let done = std::fs::write(format!("/sys/fs/ext4/{device}/trigger_fs_error"), "1").is_ok();
        if !done {
            eprintln!("skipped: this kernel gives no fault when asked");
        }
        done
    }

    fn freeze(&self, how: &str) {
        assert!(Command::new("fsfreeze").arg(how).arg(&self.at).status().unwrap().success(), "{how}");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).stderr(Stdio::null()).status();
    }
}

/// An SD card's end: the kernel finds a fault and writes there no more, in the midst of a task.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_turns_read_only_under_a_node_loses_nothing() {
    let Some(disk) = Disk::new() else { return };
    let slow = || Script::default().brokers([BrokerAct::Serves(Duration::from_millis(1500))]);
    let mut node = TestNode::start(folder_in(&disk.at), slow(), Clock::default(), |_| {}).await;
    node.equip().await;
    assert_eq!(node.submit(&node.signed(&id(1), |_| {})).await.status, 202);
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    assert_eq!(node.submit(&node.signed(&id(2), |_| {})).await.status, 202);
    // Between two writes: one that the fault meets ends the daemon, as a power cut would, which is tried elsewhere.
    tokio::time::sleep(Duration::from_millis(700)).await;
    if !disk.fault() {
        return;
    }
    let refused = node.submit(&node.signed(&id(3), |_| {})).await;
    assert_eq!((refused.status, refused.code().as_str()), (503, "E7000"), "{refused:?}");
    assert!(String::from_utf8_lossy(&refused.body).contains("read-only"), "{refused:?}");
    tokio::time::sleep(Duration::from_secs(3)).await;
    let warnings = node.get("/v1/node").await.json()["warnings"].to_string();
    assert!(warnings.contains("read-only: no task is accepted"), "{warnings}");
    // What was stored is still given.
    let result = node.local("GET", &format!("/v1/tasks/{}/result", id(1)), b"").await;
    assert_eq!((result.status, &result.json()["result"]["count"]), (200, &1.into()));
    assert_ne!(node.local("GET", &format!("/v1/tasks/{}", id(2)), b"").await.json()["state"], "succeeded");
    let dir = node.stop().await;

    // Mended, as at the next boot.
    disk.unmount();
    let check = Command::new("fsck.ext4").args(["-p", "-f"]).arg(&disk.image).status().unwrap();
    assert!(check.code().is_some_and(|code| code < 4), "{check}");
    assert!(disk.mount());
    let node = TestNode::start(dir, slow(), Clock::default(), |_| {}).await;
    node.until_ready().await;
    assert_eq!(node.ended(&id(1)).await["state"], "succeeded");
    assert_eq!(node.ended(&id(2)).await["state"], "succeeded");
    drop(node.stop().await);
    disk.unmount();
}

/// A disk that takes seconds for a write: whoever asks waits, or is told by a deadline of its own; nothing fails for it.
#[tokio::test(flavor = "multi_thread")]
async fn a_disk_that_stands_still_for_seconds_fails_no_task() {
    let Some(disk) = Disk::new() else { return };
    let slow = Script::default().brokers([BrokerAct::Serves(Duration::from_millis(300))]);
    let mut node = TestNode::start(folder_in(&disk.at), slow, Clock::default(), |_| {}).await;
    node.equip().await;
    let hurried = |w: &mut serde_json::Value| w["dmf"]["resources"]["timeout_ms"] = json!(3000);
    for number in 1..=6 {
        assert_eq!(node.submit(&node.signed(&id(number), hurried)).await.status, 202);
    }
    // Thrice for longer than any of them may take, wherever each of them is.
    for _ in 0..3 {
        disk.freeze("-f");
        tokio::time::sleep(Duration::from_secs(4)).await;
        disk.freeze("-u");
        tokio::time::sleep(Duration::from_millis(150)).await;
    }
    for number in 1..=6 {
        let view = node.ended(&id(number)).await;
        assert_eq!((&view["state"], &view["attempts"]), (&"succeeded".into(), &1.into()), "{view}");
    }
    drop(node.stop().await);
    disk.unmount();
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
