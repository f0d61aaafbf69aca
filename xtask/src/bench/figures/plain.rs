//! The same reduction as a plain process: no guest, no daemon, no broker between.

use std::process::Command;

use anyhow::{Context, Result, bail};

use super::super::task::{MEASUREMENT, end_ns};
use crate::stage::target;
use crate::testbed::generator::START_NS;
use crate::testbed::influx::DATABASE;

/// Reads so many points from the source at this port of loopback, and reduces them.
pub(super) fn run(port: u16, points: u64) -> Result<()> {
    let program = target().join("release/examples/plain");
    let (host, from, to) = (format!("127.0.0.1:{port}"), START_NS.to_string(), end_ns(points).to_string());
    let output = Command::new(&program)
        .args([&host, DATABASE, MEASUREMENT, &from, &to])
        .output()
        .with_context(|| format!("start {}", program.display()))?;
    let said = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() || !said.starts_with(&format!("{points} points")) {
        bail!("the plain process said {said:?}, {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(())
}
