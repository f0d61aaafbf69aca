//! The same reduction without guest, daemon and broker: a program that asks InfluxDB itself, and says how many points it took.

use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::task::{MEASUREMENT, end_ns};
use crate::stage::target;
use crate::testbed::generator::START_NS;
use crate::testbed::influx::DATABASE;

/// The plain process over so many points of the source at this port of loopback.
pub(super) fn run(port: u16, points: u64) -> Result<()> {
    ask(port, points, process)
}

/// Any such program.
pub(super) fn ask(port: u16, points: u64, program: impl Fn(&[&str]) -> Result<String>) -> Result<()> {
    let (host, from, to) = (format!("127.0.0.1:{port}"), START_NS.to_string(), end_ns(points).to_string());
    let said = program(&[&host, DATABASE, MEASUREMENT, &from, &to])?;
    let right = said.starts_with(&format!("{points} points"));
    ensure!(right, "{points} points were asked for, it said {said:?}");
    Ok(())
}

fn process(question: &[&str]) -> Result<String> {
    let program = target().join("release/examples/plain");
    let output = Command::new(&program).args(question).output();
    let output = output.with_context(|| format!("start {}", program.display()))?;
    if !output.status.success() {
        bail!("{} failed: {}", program.display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}
