//! A node on a folder that `fades init` made, and `fades` as a process.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::time::{Duration, Instant};

use fades_api::http::BackendInfo;
use fades_core::network::Network;
use fades_daemon::Daemon;
use fades_daemon::clock::Clock;
use fades_daemon::node_dir::NodeDir;
use fades_daemon::serve::Listener;
use fades_daemon::wiring::{Wired, Wiring};
use fades_testkit::{Script, ScriptedBackend, ScriptedNetwork};
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Runtime;
use tokio::sync::oneshot;

/// How `fades` ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) exit: i32,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: String,
}

impl Ended {
    pub(crate) fn of(output: Output) -> Self {
        Self {
            exit: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.stdout).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The same, once it has gone well.
    #[track_caller]
    pub(crate) fn done(self) -> Self {
        assert_eq!(self.exit, 0, "{self:?}");
        self
    }

    /// The same, once it has ended so and named this code.
    #[track_caller]
    pub(crate) fn refused(self, exit: i32, code: &str) -> Self {
        assert_eq!(self.exit, exit, "{self:?}");
        assert!(self.stderr.contains(code), "{code}: {self:?}");
        assert!(self.stdout.is_empty(), "{self:?}");
        self
    }
}

/// Runs `fades` in a folder.
pub(crate) fn fades(folder: &Path, words: &[&str]) -> Ended {
    let mut command = Command::new(env!("CARGO_BIN_EXE_fades"));
    command.current_dir(folder).env_remove("FADES_NODE").args(words);
    Ended::of(command.output().unwrap())
}

/// A node that runs in this process, in the folder `n` of a scratch folder.
pub(crate) struct TestNode {
    pub(crate) work: TempDir,
    pub(crate) url: String,
    stop: Option<oneshot::Sender<()>>,
    runtime: Option<Runtime>,
}

impl TestNode {
    /// Makes the folder with `fades init` and runs a daemon on it whose guests follow `script`.
    pub(crate) fn start(script: Script) -> Self {
        let work = tempfile::tempdir().unwrap();
        fades(work.path(), &["init", "n", "--name", "edge-1", "--listen", "127.0.0.1:0"]).done();
        let mut node = Self { work, url: String::new(), stop: None, runtime: None };
        node.run(script);
        node
    }

    /// Ends the daemon in order.
    pub(crate) fn stop(&mut self) {
        if let (Some(stop), Some(runtime)) = (self.stop.take(), self.runtime.take()) {
            let _ = stop.send(());
            runtime.shutdown_timeout(Duration::from_secs(5));
        }
    }

    /// Runs a daemon on the folder; its address over TCP is another one each time.
    pub(crate) fn run(&mut self, script: Script) {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let dir = NodeDir::open(&self.path("n")).unwrap();
        let (stop, stopped) = oneshot::channel();
        self.url = runtime.block_on(async {
            let config = dir.config().unwrap();
            let tcp = Listener::tcp(config.listen.unwrap()).await.unwrap();
            let url = format!("http://{}", tcp.tcp_address().unwrap());
            let listeners = vec![Listener::local(&dir.socket()).unwrap(), tcp];
            let daemon = Daemon::new(dir, config, wiring(script), Clock::default()).await.unwrap();
            tokio::spawn(daemon.serve(listeners, async {
                let _ = stopped.await;
            }));
            url
        });
        (self.stop, self.runtime) = (Some(stop), Some(runtime));
    }

    /// The same with an issuer, a source and images, told to it as an operator would.
    pub(crate) fn equipped(script: Script) -> Self {
        let node = Self::start(script);
        node.local(&["key", "new", "maker.key", "--name", "tests"]).done();
        std::fs::write(node.path("some.elf"), elf()).unwrap();
        let functions = ["stats", "window", "quantiles", "correlate", "baseline"].map(|name| (name, "dmf"));
        for (name, role) in std::iter::once(("drb", "drb")).chain(functions) {
            let file = format!("{name}.img");
            let parts = ["--loader", "some.elf", "--application", "some.elf", "--key", "maker.key"];
            let words = ["image", "pack", &file, "--name", name, "--image-version", "1.0.0", "--role", role];
            node.local(&[&words[..], &parts].concat()).done();
            node.local(&["image", "add", &file, "--trust", "maker.key.pub"]).done();
        }
        let address = "http://127.0.0.1:8086";
        node.local(&["source", "add", "testbed", "influxdb1", address, "--database", "testbed"]).done();
        node.local(&["key", "new", "service.key", "--name", "pollution.example"]).done();
        let images = functions.map(|(name, _)| ["--image", name]).concat();
        let persistent = ["--periods", "1000"];
        let words = ["issuer", "add", "service.key.pub", "--source", "testbed"];
        node.local(&[&words[..], &images, &persistent].concat()).done();
        let deadline = Instant::now() + Duration::from_secs(20);
        while node.status()["broker"]["state"] != "ready" {
            assert!(Instant::now() < deadline, "the broker is not ready: {}", node.status());
            std::thread::sleep(Duration::from_millis(20));
        }
        node
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.work.path().join(name)
    }

    /// `fades` over the local socket.
    pub(crate) fn local(&self, words: &[&str]) -> Ended {
        fades(self.work.path(), &[&["--node", "n/"], words].concat())
    }

    /// `fades` over TCP.
    pub(crate) fn tcp(&self, words: &[&str]) -> Ended {
        fades(self.work.path(), &[&["--node", &self.url], words].concat())
    }

    pub(crate) fn status(&self) -> Value {
        self.local(&["status", "-o", "json"]).done().json()
    }

    /// Writes a task for an image and gives its file's name.
    pub(crate) fn task(&self, image: &str) -> &'static str {
        let text = format!(
            "[[drb.operations]]\nid = \"t\"\nsource = \"testbed\"\nmeasurement = \"temperature\"\nfield = \"value\"\n\
             from = 2026-01-01T00:00:00Z\nto = 2026-01-02T00:00:00Z\n[dmf]\nimage = \"{image}\"\n"
        );
        std::fs::write(self.path("task.toml"), text).unwrap();
        "task.toml"
    }
}

impl Drop for TestNode {
    fn drop(&mut self) {
        self.stop();
    }
}

fn wiring(script: Script) -> Wiring {
    Box::new(move |_, _, sinks| {
        let network = ScriptedNetwork::new(sinks.events);
        let backend = ScriptedBackend::new(Arc::clone(&network), script);
        let info = BackendInfo { kind: "qemu-tcg".into(), reason: "scripted".into(), cost: "none".into() };
        let network = network as Arc<dyn Network>;
        let consumed = Arc::new(|_, _| {});
        Ok(Wired {
            backend,
            info,
            tsc_mhz: None,
            network,
            consumed,
            waits: false,
            defences: Vec::new(),
            region_mib: 0,
        })
    })
}

/// An ELF file that is nothing but its header.
fn elf() -> Vec<u8> {
    let mut elf = vec![0u8; 64];
    elf[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
    for (at, value) in [(16, 2), (18, 62), (20, 1), (52, 64), (54, 56), (58, 64)] {
        elf[at] = value;
    }
    elf
}
