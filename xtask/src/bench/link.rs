//! What a transfer alone takes: two guests of which one sends the other points (`bench/link`), by every way there is.

use std::process::Command;

use anyhow::{Context, Result, bail};
use fades_bench::Measured;
use serde_json::{Value, json};

use super::compare::data;
use super::median;
use crate::images;
use crate::stage::target;

/// MiB of points, as columns.
const MIB: u64 = 128;
/// Each way so often, by turns, so that what else the host does meets all of them.
const RUNS: usize = 5;
/// Ways as the program calls them, each with its figure.
const WAYS: [(&str, &str); 3] = [
    ("region", "link/region_128_mib"),
    ("tcp-9000-1024", "link/tcp_128_mib"),
    ("stock-1500", "link/stock_128_mib"),
];

/// Milliseconds of each way, and how many times as fast the first one is as the others.
///
/// # Errors
/// A guest does not boot, or not all points arrive.
pub(super) fn measure() -> Result<Vec<Measured>> {
    let (loader, guest) = images::link_bench()?;
    let program = target().join("release/examples/link");
    let run = |way: &str| -> Result<f64> {
        let mut command = Command::new(&program);
        let output = command.args([&loader, &guest]).args([way, &MIB.to_string()]).output();
        let output = output.with_context(|| format!("start {}", program.display()))?;
        let said: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        match said["transfer_us"].as_u64() {
            Some(us) if output.status.success() => Ok(us as f64 / 1e3),
            _ => bail!("a transfer by {way} failed: {}", String::from_utf8_lossy(&output.stderr)),
        }
    };
    let mut took: [Vec<f64>; WAYS.len()] = Default::default();
    for _ in 0..RUNS {
        for ((way, _), took) in WAYS.iter().zip(&mut took) {
            took.push(run(way)?);
        }
    }
    let [region, tcp, stock] = took.map(|took| median(took).unwrap_or(f64::NAN));
    let drawn = [
        ("shared memory", region),
        ("TCP, MTU 9000, buffers of 1 MiB", tcp),
        ("stock: TCP, MTU 1500, SHA-256", stock),
    ];
    let drawn = drawn.map(|(name, ms)| json!({"name": name, "mib": MIB, "ms": ms}));
    data::leave_part("compare.json", "link", drawn.to_vec().into())?;
    Ok(vec![
        Measured::new(WAYS[0].1, region),
        Measured::new(WAYS[1].1, tcp),
        Measured::new(WAYS[2].1, stock),
        Measured::new("link/region_over_tcp", tcp / region),
        Measured::new("link/region_over_stock", stock / region),
    ])
}
