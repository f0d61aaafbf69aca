//! Whether an earlier demo still runs: `--keep` leaves its programs up, and a killed one may.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use serde_json::{Value, json};

use crate::stage::target;
use crate::testbed::influx::{DATABASE, Influx};
use crate::testbed::node::{ISSUER, Node};

/// What `--keep` leaves up, and how to talk to it.
pub(super) struct Left {
    node: String,
    socket: String,
    issuer: &'static str,
    key: PathBuf,
    influxdb: String,
    database: &'static str,
    end: String,
}

impl Left {
    pub(super) fn of(node: &Node, influx: &Influx) -> Self {
        let pids: Vec<u32> = node.pid().into_iter().chain([influx.pid()]).collect();
        Self {
            node: node.url(),
            socket: node.socket(),
            issuer: ISSUER,
            key: node.key(),
            influxdb: influx.url(),
            database: DATABASE,
            end: end_command(&pids),
        }
    }

    /// For programs.
    pub(super) fn json(&self) -> Value {
        let Self { node, socket, issuer, key, influxdb, database, end } = self;
        json!({
            "node": node, "socket": socket, "issuer": issuer, "key": key,
            "influxdb": influxdb, "database": database, "end": end,
        })
    }

    /// For people.
    pub(super) fn text(&self) -> String {
        let Self { node, socket, issuer, key, influxdb, database, end } = self;
        let (key, fades) = (key.display(), target().join("release/fades"));
        format!(
            "Left up, until you end it:
  node      {node}; its operator: FADES_NODE={socket} {} status
  issuer    {issuer}, key {key}
  InfluxDB  {influxdb}, database {database}
  end it    {end}
",
            fades.display()
        )
    }
}

/// Programs that a demo starts. Others may look at its folder as they like.
const PROGRAMS: [&str; 2] = ["fadesd", "influxd"];

/// A program that works in the demo's folder.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// Its process id.
    pub pid: u32,
    /// `fadesd` or `influxd`.
    pub program: String,
}

/// Programs that work in `folder` now, by their command lines; the node first.
///
/// # Errors
/// The list of processes cannot be read.
pub fn running(folder: &Path) -> Result<Vec<Running>> {
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc")? {
        let entry = entry?;
        let Ok(pid) = entry.file_name().to_string_lossy().parse() else { continue };
        // A process may have ended since it was listed.
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line);
        let mut words = line.split('\0');
        let name = words.next().and_then(|word| Path::new(word).file_name()).unwrap_or_default();
        let program = PROGRAMS.into_iter().find(|program| name == *program);
        if let Some(program) = program.filter(|_| words.any(|word| Path::new(word).starts_with(folder))) {
            found.push(Running { pid, program: program.to_owned() });
        }
    }
    found.sort_by_key(|running| PROGRAMS.iter().position(|program| running.program == *program));
    Ok(found)
}

/// The command that ends these programs. The folder goes with the next demo.
pub fn end_command(pids: &[u32]) -> String {
    pids.iter().fold("kill".to_owned(), |command, pid| format!("{command} {pid}"))
}

/// Nothing may work in `folder`: a demo begins by clearing it.
///
/// # Errors
/// Something does; the error says what, and how to end it.
pub fn refuse_if_running(folder: &Path) -> Result<()> {
    let running = running(folder)?;
    if running.is_empty() {
        return Ok(());
    }
    let names: Vec<String> =
        running.iter().map(|running| format!("{} (process {})", running.program, running.pid)).collect();
    let pids: Vec<u32> = running.iter().map(|running| running.pid).collect();
    bail!(
        "an earlier demo still runs in {}: {}; nothing of it was touched. End it, then try again:\n  {}",
        folder.display(),
        names.join(", "),
        end_command(&pids)
    );
}

#[cfg(test)]
mod tests {
    use std::os::unix::process::CommandExt as _;
    use std::process::{Child, Command, Stdio};
    use std::thread::sleep;
    use std::time::{Duration, Instant};

    use super::*;

    /// A process that waits, under a name and with a file of a folder among its arguments; ended when dropped.
    struct Waiting(Child);

    impl Waiting {
        fn start(name: &str, file: &Path) -> Self {
            let mut command = Command::new("sh");
            command.arg0(name).args(["-c", "read line", "-"]).arg(file).stdin(Stdio::piped());
            let waiting = Self(command.spawn().unwrap());
            waiting.until_its_command_line_is_there();
            waiting
        }

        /// `spawn` returns as soon as the kernel closes the files of the old program, which it does before it has the
        /// new one's command line.
        fn until_its_command_line_is_there(&self) {
            let line = format!("/proc/{}/cmdline", self.0.id());
            let deadline = Instant::now() + Duration::from_secs(30);
            while fs::read(&line).unwrap().is_empty() {
                assert!(Instant::now() < deadline, "{line} is still empty");
                sleep(Duration::from_millis(1));
            }
        }
    }

    impl Drop for Waiting {
        fn drop(&mut self) {
            self.0.kill().unwrap();
            self.0.wait().unwrap();
        }
    }

    #[test]
    fn a_demo_that_still_runs_is_refused_with_the_command_that_ends_it() {
        let folder = PathBuf::from(format!("/nowhere/demo-{}", std::process::id()));
        refuse_if_running(&folder).unwrap();
        let influx = Waiting::start("/usr/bin/influxd", &folder.join("influx/influxdb.conf"));
        let node = Waiting::start("fadesd", &folder.join("node"));
        let _editor = Waiting::start("vi", &folder.join("influx/influxdb.conf"));
        let _other = Waiting::start("fadesd", &folder.with_extension("other").join("node"));
        let error = refuse_if_running(&folder).unwrap_err().to_string();
        let (node_pid, influx_pid) = (node.0.id(), influx.0.id());
        assert!(
            error.contains(&format!("fadesd (process {node_pid}), influxd (process {influx_pid});")),
            "{error}"
        );
        assert!(error.ends_with(&format!("\n  kill {node_pid} {influx_pid}")), "{error}");
        drop(node);
        let error = refuse_if_running(&folder).unwrap_err().to_string();
        assert!(error.ends_with(&format!("\n  kill {influx_pid}")), "{error}");
        drop(influx);
        refuse_if_running(&folder).unwrap();
    }
}
