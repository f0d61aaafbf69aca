//! What the whole line's tests share: a testbed with a node, taken down again, with proof that nothing is left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
#![allow(unreachable_pub, reason = "a module of each test program; what it shares is meant for all of them")]
#![allow(dead_code, reason = "each test program uses its own part of this")]

pub mod outside;
pub mod service;

pub use outside::guests;

use std::fs;
use std::path::PathBuf;
use std::process::Output;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde_json::Value;
use xtask::images::{self, Images};
use xtask::stage::target;
use xtask::testbed::influx::Influx;
use xtask::testbed::node::{Node, Programs};

/// One bed at a time: two cores are soon full.
static ONE: Mutex<()> = Mutex::new(());

/// A testbed: an InfluxDB with sample readings, and a node that reads from it.
pub struct Bed {
    pub influx: Option<Influx>,
    pub node: Option<Node>,
    /// First instant after the readings.
    pub end_ns: i64,
    folder: PathBuf,
    _turn: MutexGuard<'static, ()>,
}

/// The setting by which no function is started ahead of its task.
pub const COLD: (&str, &str) = ("dormant_memory_mib", "0");

impl Bed {
    /// A bed of its own below `target/beds/NAME`, with `points` readings, its broker ready. Each function is started for its
    /// task, from a snapshot if its like ran twice before, so that guests that are there can be counted.
    pub fn start(name: &str, points: u64) -> Self {
        Self::with(name, points, &[COLD])
    }

    /// The same, with these settings of the node: keys and values of `fades.toml`.
    pub fn with(name: &str, points: u64, settings: &[(&str, &str)]) -> Self {
        Self::of(&Images::built().unwrap(), name, points, settings)
    }

    /// The same, of these images.
    pub fn of(images: &Images, name: &str, points: u64, settings: &[(&str, &str)]) -> Self {
        let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = target().join("beds").join(name);
        let influx = Influx::start(&folder.join("influx")).unwrap();
        let end_ns = influx.load(points).unwrap();
        let node = Node::make(Programs::of("debug"), &folder.join("node")).unwrap();
        for (key, value) in settings {
            node.set(key, value).unwrap();
        }
        let node = node.started(images, &influx).unwrap();
        Self { influx: Some(influx), node: Some(node), end_ns, folder, _turn: turn }
    }

    pub fn node(&self) -> &Node {
        self.node.as_ref().unwrap()
    }

    pub fn influx(&self) -> &Influx {
        self.influx.as_ref().unwrap()
    }

    /// Where everything of it is.
    pub fn folder(&self) -> &std::path::Path {
        &self.folder
    }

    /// Adds the image that misbehaves, and lets the issuer ask for it.
    pub fn add_faulty(&self) {
        self.node().allow(&images::faulty().unwrap(), "faulty").unwrap();
    }

    /// A wrapper for people, of one operation on the temperature, for this image and these parameters (TOML lines).
    pub fn wrapper(&self, image: &str, parameters: &str, memory_mib: u32, timeout_ms: u32) -> PathBuf {
        let image = self.node().image(image).unwrap();
        let end = jiff::Timestamp::from_nanosecond(i128::from(self.end_ns)).unwrap();
        let text = format!(
            "schema = \"fades.task.v1\"\n[[drb.operations]]\nid = \"temp\"\nsource = \"testbed\"\n\
             measurement = \"temperature\"\nfield = \"value\"\nfrom = \"2026-01-01T00:00:00Z\"\nto = \"{end}\"\n\
             group_by = [\"room\"]\n[dmf]\nimage = \"{image}\"\n[dmf.parameters]\n{parameters}\n\
             [dmf.resources]\nmemory_mib = {memory_mib}\ntimeout_ms = {timeout_ms}\n"
        );
        let file = self.folder.join(format!("{}.toml", ulid()));
        fs::write(&file, text).unwrap();
        file
    }

    /// `fades task submit FILE --wait` over TCP: exit code, and what it printed as JSON (the result, or the failure).
    pub fn submit_and_wait(&self, file: &std::path::Path) -> (i32, Value) {
        let output = self.submit(file, &["--wait"]);
        let printed = if output.status.success() { &output.stdout } else { &output.stderr };
        let text = String::from_utf8_lossy(printed);
        let last = text
            .lines()
            .rev()
            .find(|line| line.starts_with('{'))
            .unwrap_or_else(|| panic!("no JSON in {text}"));
        let start = if output.status.success() { text.as_ref() } else { last };
        (
            output.status.code().unwrap(),
            serde_json::from_str(start).unwrap_or_else(|e| panic!("{e} in {text}")),
        )
    }

    /// `fades task submit FILE …` over TCP.
    pub fn submit(&self, file: &std::path::Path, more: &[&str]) -> Output {
        let (url, key) = (self.node().url(), self.node().key());
        let mut words = vec![
            "task",
            "submit",
            file.to_str().unwrap(),
            "--key",
            key.to_str().unwrap(),
            "--node",
            &url,
            "-o",
            "json",
        ];
        words.extend(more);
        self.node().try_fades(&words).unwrap()
    }
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(node) = self.node.as_ref().filter(|_| std::thread::panicking()) {
            eprintln!("the daemon logged:\n{}", node.log());
        }
        let guests = self.node.as_ref().map(guests).unwrap_or_default();
        drop(self.node.take());
        drop(self.influx.take());
        let _ = fs::remove_dir_all(&self.folder);
        if !std::thread::panicking() {
            let folder = self.folder.to_str().unwrap();
            let left: Vec<String> = processes().into_iter().filter(|line| line.contains(folder)).collect();
            assert!(left.is_empty(), "processes of this test are left: {left:#?}");
            outside::nothing_is_left(&guests);
            assert!(!self.folder.exists(), "{folder} is left");
        }
    }
}

/// Command lines of all processes.
pub fn processes() -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    let lines = entries.filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
    lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " ")).collect()
}

fn ulid() -> String {
    use std::sync::atomic::{AtomicU32, Ordering};
    static NEXT: AtomicU32 = AtomicU32::new(0);
    format!("wrapper-{}", NEXT.fetch_add(1, Ordering::Relaxed))
}
