//! An InfluxDB of our own: on a free loopback port, with its data in a folder that goes with it.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::generator::Generator;
use crate::setup;

/// The database that the testbed fills.
pub const DATABASE: &str = "testbed";

/// A running influxd; ended, and its folder removed, when dropped.
pub struct Influx {
    child: Child,
    folder: PathBuf,
    port: u16,
    keep: bool,
}

impl Influx {
    /// Starts influxd with its data below `folder`, which is made anew, and waits until it answers.
    ///
    /// # Errors
    /// It is not installed, does not start, or does not answer within 30 s.
    pub fn start(folder: &Path) -> Result<Self> {
        let program =
            setup::program("influxd").context("influxd is not installed; run `cargo xtask setup`")?;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(|| format!("clear {}", folder.display()))?;
        }
        fs::create_dir_all(folder).with_context(|| format!("make {}", folder.display()))?;
        let (port, rpc) = (free_port()?, free_port()?);
        let configuration = folder.join("influxdb.conf");
        fs::write(&configuration, configuration_text(folder, port, rpc)?)?;
        let log = fs::File::create(folder.join("influxd.log"))?;
        let child = Command::new(program)
            .arg("-config")
            .arg(&configuration)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .context("start influxd")?;
        let mut influx = Self { child, folder: folder.to_owned(), port, keep: false };
        influx.wait_until_it_answers()?;
        Ok(influx)
    }

    fn wait_until_it_answers(&mut self) -> Result<()> {
        let deadline = Instant::now() + Duration::from_secs(30);
        while ureq::get(format!("{}/ping", self.url())).call().is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = fs::read_to_string(self.folder.join("influxd.log"))?;
                bail!("influxd ended with {status}:\n{log}");
            }
            if Instant::now() > deadline {
                bail!("influxd did not answer at {} within 30 s", self.url());
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Its address for HTTP clients on this machine.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its process id, for tests that stop or end it.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Leaves program and folder where they are.
    pub fn keep(mut self) {
        self.keep = true;
    }

    /// Fills the database with `points` sample readings; gives the first instant after the last one, in nanoseconds.
    ///
    /// # Errors
    /// InfluxDB refused something.
    pub fn load(&self, points: u64) -> Result<i64> {
        self.query(&format!("CREATE DATABASE {DATABASE}"))?;
        let mut generator = Generator::new(points);
        let end = generator.end_ns();
        while let Some(block) = generator.block(20_000) {
            self.write(&block)?;
        }
        Ok(end)
    }

    /// Writes line protocol.
    ///
    /// # Errors
    /// InfluxDB refused it.
    pub fn write(&self, lines: &str) -> Result<()> {
        ureq::post(format!("{}/write?db={DATABASE}&precision=ns", self.url()))
            .send(lines)
            .context("write to influxd")?;
        Ok(())
    }

    /// Asks InfluxDB itself, in InfluxQL; times come back in nanoseconds.
    ///
    /// # Errors
    /// InfluxDB could not be reached or refused the query.
    pub fn query(&self, query: &str) -> Result<Value> {
        let request = ureq::post(format!("{}/query", self.url()));
        let form = [("db", DATABASE), ("epoch", "ns"), ("q", query)];
        let mut response = request.send_form(form).with_context(|| format!("ask influxd {query}"))?;
        let answer: Value = response
            .body_mut()
            .with_config()
            .limit(256 << 20)
            .read_json()
            .context("read influxd's answer")?;
        if let Some(error) = answer["results"][0]["error"].as_str() {
            bail!("influxd refused {query}: {error}");
        }
        Ok(answer["results"][0]["series"].clone())
    }
}

impl Drop for Influx {
    fn drop(&mut self) {
        if self.keep {
            return;
        }
        // Already ended, or already removed, is what is wanted.
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = fs::remove_dir_all(&self.folder);
    }
}

/// A port that is free now on 127.0.0.1. Another program may take it before it is used; then influxd says so and ends.
pub(super) fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

fn configuration_text(folder: &Path, port: u16, rpc: u16) -> Result<String> {
    let folder = folder.to_str().context("the target folder's name is not UTF-8")?;
    Ok(format!(
        r#"reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
dir = "{folder}/meta"
[data]
dir = "{folder}/data"
wal-dir = "{folder}/wal"
query-log-enabled = false
index-version = "inmem"
max-series-per-database = 0
max-values-per-tag = 0
[monitor]
store-enabled = false
[http]
bind-address = "127.0.0.1:{port}"
log-enabled = false
max-row-limit = 0
[logging]
level = "warn"
"#
    ))
}
