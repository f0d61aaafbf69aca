//! A node for demo, tests and benches: made, run and asked by the built programs, as a person would.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::influx::{DATABASE, Influx};
use crate::images::{Images, RECIPES};
use crate::stage::target;

/// Name of the issuer and of its key file.
pub const ISSUER: &str = "demo.example";
/// Name of the source.
pub const SOURCE: &str = "testbed";
/// Time for the broker to boot under emulation, on a busy machine.
const READY_WITHIN: Duration = Duration::from_secs(120);

/// Names the backend that a node of ours is told to use, of all that work.
pub const BACKEND: &str = "FADES_BACKEND";
/// Names the backend that a node of ours must have, whether it was told or chose it.
pub const EXPECT_BACKEND: &str = "FADES_EXPECT_BACKEND";

/// What the demo's issuer may ask for: everything that the demo needs, and no more.
const POLICY: &str = r#"
images = ["stats", "window", "quantiles", "correlate", "baseline"]
memory_mib = 256
timeout_ms = 600000
priority = 9
result_bytes = 1048576
operations = 16
life_s = 3600
tasks = 1000
per_minute = 6000
burst = 1000
periods = 1000
state_bytes = 262144

[sources.testbed]
everything = true
"#;

/// Where the built programs are.
#[derive(Debug, Clone)]
pub struct Programs(PathBuf);

impl Programs {
    /// Those of a cargo profile: `debug` or `release`.
    pub fn of(profile: &str) -> Self {
        Self(target().join(profile))
    }

    /// The path of one of them.
    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }
}

/// A node's folder with its daemon; the daemon is ended and the folder removed when dropped.
pub struct Node {
    programs: Programs,
    folder: PathBuf,
    listen: String,
    daemon: Option<Child>,
    keep: bool,
}

impl Node {
    /// Makes a node below `folder`, starts its daemon, gives it the images, the issuer and the testbed as a source, and
    /// waits until its broker is ready.
    ///
    /// # Errors
    /// Any of these steps failed; what its program said is in the error.
    pub fn start(programs: Programs, folder: &Path, images: &Images, influx: &Influx) -> Result<Self> {
        Self::make(programs, folder)?.started(images, influx)
    }

    /// The rest of [`Self::start`], of a node that was made and has its settings.
    ///
    /// # Errors
    /// As there; or its backend is not the one that `FADES_EXPECT_BACKEND` names.
    pub fn started(mut self, images: &Images, influx: &Influx) -> Result<Self> {
        // Where results of several backends are compared, a node that would choose another one is told.
        if let Ok(backend) = std::env::var(BACKEND) {
            self.set("kind", &format!("{backend:?}"))?;
        }
        self.run()?;
        // In a lab, or on a machine that has it, a node must choose this one by itself.
        if let Ok(expected) = std::env::var(EXPECT_BACKEND) {
            let (backend, reason) = self.backend()?;
            if backend != expected {
                bail!("the node runs its guests on {backend} ({reason}); {EXPECT_BACKEND} is {expected}");
            }
        }
        self.register(images, influx)?;
        self.wait_until_ready()?;
        Ok(self)
    }

    /// What runs its guests, and why.
    ///
    /// # Errors
    /// The daemon does not say.
    pub fn backend(&self) -> Result<(String, String)> {
        let node: Value = serde_json::from_str(&self.get("/v1/node")?)?;
        let word = |key: &str| node["backend"][key].as_str().map(str::to_owned);
        Ok((word("kind").context("the node tells no backend")?, word("reason").unwrap_or_default()))
    }

    /// Makes a node's folder and nothing else.
    ///
    /// # Errors
    /// `fades init` failed.
    pub fn make(programs: Programs, folder: &Path) -> Result<Self> {
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("clear {}", folder.display()))?;
        }
        if let Some(parent) = folder.parent() {
            fs::create_dir_all(parent)?;
        }
        let listen = format!("127.0.0.1:{}", super::influx::free_port()?);
        let node = Self { programs, folder: folder.to_owned(), listen, daemon: None, keep: false };
        let folder = node.folder.to_str().context("the target folder's name is not UTF-8")?.to_owned();
        node.fades(&["init", &folder, "--name", "edge-1", "--listen", &node.listen])?;
        Ok(node)
    }

    /// Gives a setting a value of our own: one that `fades init` wrote as a comment, with its default. Holds from the daemon's
    /// next start on. Where several tables have one of this name, `TABLE.KEY` says which.
    ///
    /// # Errors
    /// There is no such line, or more than one, or the file could not be written.
    pub fn set(&self, key: &str, value: &str) -> Result<()> {
        let file = self.folder.join("fades.toml");
        let text = fs::read_to_string(&file).with_context(|| format!("read {}", file.display()))?;
        let (wanted, key) = key.split_once('.').map_or((None, key), |(table, key)| (Some(table), key));
        let comment = format!("# {key} = ");
        let (mut found, mut table) = (0, String::new());
        let lines = text.lines().map(|line| {
            if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
                name.clone_into(&mut table);
            }
            if !line.starts_with(&comment) || wanted.is_some_and(|wanted| wanted != table) {
                return line.to_owned();
            }
            found += 1;
            format!("{key} = {value}")
        });
        let changed = lines.collect::<Vec<_>>().join("\n");
        if found != 1 {
            bail!("{} has {found} lines that start with `{comment}`", file.display());
        }
        fs::write(&file, changed).with_context(|| format!("write {}", file.display()))
    }

    /// Has each function boot for its task: none waits for one, and none goes on from a snapshot.
    ///
    /// # Errors
    /// As [`Node::set`].
    pub fn set_cold(&self) -> Result<()> {
        self.set("dormant_memory_mib", "0")?;
        self.set("snapshot_memory_mib", "0")
    }

    /// Starts the daemon. What it logs goes to `fadesd.log` in the node's folder.
    ///
    /// # Errors
    /// It cannot be started, or its socket does not appear.
    pub fn run(&mut self) -> Result<()> {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("fadesd.log"))?;
        let filter = std::env::var("FADES_LOG").unwrap_or_else(|_| "info".to_owned());
        let daemon = Command::new(self.programs.path("fadesd"))
            .arg(&self.folder)
            // With what guests say, who are the ones to be asked when something fails.
            .env("FADES_LOG", filter + ",fades_daemon::runtime::log=debug")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start fadesd")?;
        self.daemon = Some(daemon);
        self.wait("answer", |node| Ok(node.get("/livez").is_ok()))
    }

    /// Gives the node the images, the issuer `ISSUER` with a fresh key, and the testbed as a source.
    ///
    /// # Errors
    /// One of the commands failed.
    pub fn register(&self, images: &Images, influx: &Influx) -> Result<()> {
        let signer = text(&images.signer)?;
        for recipe in RECIPES {
            let file = images.file(recipe.name);
            self.fades(&["image", "add", text(&file)?, "--trust", signer])?;
        }
        let (key, policy) = (self.key(), self.folder.join("policy.toml"));
        fs::write(&policy, POLICY)?;
        self.fades(&["key", "new", text(&key)?, "--name", ISSUER])?;
        let public = format!("{}.pub", text(&key)?);
        self.fades(&["issuer", "add", &public, "--policy", text(&policy)?])?;
        self.fades(&["source", "add", SOURCE, "influxdb1", &influx.url(), "--database", DATABASE])?;
        Ok(())
    }

    /// Adds one more image from its file, and lets the issuer ask for it.
    ///
    /// # Errors
    /// One of the commands failed.
    pub fn allow(&self, file: &Path, name: &str) -> Result<()> {
        self.fades(&["image", "add", text(file)?])?;
        let (key, policy) = (self.key(), self.folder.join("policy.toml"));
        let known = fs::read_to_string(&policy)?;
        fs::write(&policy, known.replacen("images = [", &format!("images = [\"{name}\", "), 1))?;
        let public = format!("{}.pub", text(&key)?);
        self.fades(&["issuer", "add", &public, "--policy", text(&policy)?])?;
        Ok(())
    }

    /// Waits until the broker is ready.
    ///
    /// # Errors
    /// It is not within two minutes, or the daemon has ended.
    pub fn wait_until_ready(&mut self) -> Result<()> {
        self.wait("be ready", |node| Ok(node.get("/readyz").is_ok()))
    }

    fn wait(&mut self, what: &str, mut done: impl FnMut(&Self) -> Result<bool>) -> Result<()> {
        let deadline = Instant::now() + READY_WITHIN;
        while !done(self)? {
            if let Some(status) = self.daemon.as_mut().context("no daemon runs")?.try_wait()? {
                bail!("fadesd ended with {status}:\n{}", self.log());
            }
            if Instant::now() > deadline {
                bail!("fadesd did not {what} within {READY_WITHIN:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// A path of the HTTP interface, over TCP.
    ///
    /// # Errors
    /// The daemon is not there, or answered with an error.
    pub fn get(&self, path: &str) -> Result<String> {
        Ok(ureq::get(format!("{}{path}", self.url())).call()?.body_mut().read_to_string()?)
    }

    /// Runs `fades` against this node, over its local socket; gives what it printed.
    ///
    /// # Errors
    /// It ended with another code than 0; what it said is in the error.
    pub fn fades(&self, words: &[&str]) -> Result<String> {
        let output = self.try_fades(words)?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            bail!("fades {} ended with {}: {}", words.join(" "), output.status, said.trim());
        }
        Ok(String::from_utf8(output.stdout)?)
    }

    /// The same, whatever it ended with.
    ///
    /// # Errors
    /// It could not be started.
    pub fn try_fades(&self, words: &[&str]) -> Result<Output> {
        let mut command = Command::new(self.programs.path("fades"));
        command.args(words).env("FADES_NODE", self.socket()).stdin(Stdio::null());
        command.output().with_context(|| format!("start fades {}", words.join(" ")))
    }

    /// Runs `fades … -o json`, with its progress on our own standard error, and reads what it printed.
    ///
    /// # Errors
    /// As [`Self::fades`], or it printed no JSON.
    pub fn watch(&self, words: &[&str]) -> Result<Value> {
        let mut command = Command::new(self.programs.path("fades"));
        command.args(words).args(["-o", "json"]).env("FADES_NODE", self.socket());
        let output = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output()?;
        if !output.status.success() {
            bail!("fades {} ended with {}", words.join(" "), output.status);
        }
        serde_json::from_slice(&output.stdout)
            .with_context(|| format!("fades {} printed no JSON", words.join(" ")))
    }

    /// Runs `fades … -o json` and reads what it printed.
    ///
    /// # Errors
    /// As [`Self::fades`], or it printed no JSON.
    pub fn json(&self, words: &[&str]) -> Result<Value> {
        let mut words = words.to_vec();
        words.extend(["-o", "json"]);
        let printed = self.fades(&words)?;
        serde_json::from_str(&printed).with_context(|| format!("fades {} printed no JSON", words.join(" ")))
    }

    /// How a wrapper names the image of this name.
    ///
    /// # Errors
    /// The node does not have it.
    pub fn image(&self, name: &str) -> Result<String> {
        let node: Value = serde_json::from_str(&self.get("/v1/node")?)?;
        let references = node["images"].as_array().context("the node tells no images")?;
        let mut reference = references.iter().filter_map(|image| image["reference"].as_str());
        let found = reference.rfind(|text| text.split('@').next() == Some(name));
        found.map(str::to_owned).with_context(|| format!("the node has no image {name}"))
    }

    /// The issuer's key file.
    pub fn key(&self) -> PathBuf {
        self.folder.join(format!("{ISSUER}.key"))
    }

    /// Its folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its address over TCP.
    pub fn url(&self) -> String {
        format!("http://{}", self.listen)
    }

    /// Its local socket, as `--node` takes it.
    pub fn socket(&self) -> String {
        format!("unix:{}", self.folder.join("fadesd.sock").display())
    }

    /// The daemon's process id.
    pub fn pid(&self) -> Option<u32> {
        self.daemon.as_ref().map(Child::id)
    }

    /// What the daemon logged.
    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.join("fadesd.log")).unwrap_or_default()
    }

    /// Waits until a function was saved, to be gone on with.
    ///
    /// # Errors
    /// None is.
    pub fn wait_for_snapshot(&self) -> Result<()> {
        let until = Instant::now() + READY_WITHIN;
        while !self.log().contains("a function was saved") {
            if Instant::now() > until {
                bail!("no function was saved within {READY_WITHIN:?}:\n{}", self.log());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Kills the daemon as a crash would.
    ///
    /// # Errors
    /// It could not be killed.
    pub fn kill(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill()?;
            daemon.wait()?;
        }
        Ok(())
    }

    /// Ends the daemon as an operator would.
    ///
    /// # Errors
    /// It could not be told.
    pub fn stop(&mut self) -> Result<()> {
        if let Some(mut daemon) = self.daemon.take() {
            let told = Command::new("kill").args(["-TERM", &daemon.id().to_string()]).status()?;
            if !told.success() {
                daemon.kill()?;
            }
            daemon.wait()?;
        }
        Ok(())
    }

    /// Leaves daemon and folder where they are.
    pub fn keep(mut self) {
        self.keep = true;
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        if self.stop().is_err() {
            eprintln!("xtask: the daemon of {} could not be ended", self.folder.display());
        }
        // Already gone is what is wanted.
        let _ = fs::remove_dir_all(&self.folder);
    }
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().with_context(|| format!("{} is not UTF-8", path.display()))
}
