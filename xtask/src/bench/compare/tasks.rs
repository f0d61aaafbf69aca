//! Whole tasks by turns: every way of a node, the same code as a plain process, and as a Wasm module.

use std::time::Duration;

use anyhow::{Context, Result};
use fades_bench::Measured;
use serde_json::{Value, json};

use super::super::task::{Data, POINTS_PER_MIB, milliseconds};
use super::super::{median, plain, timed};
use super::data;
use super::wasm::Module;
use super::way::{Running, Way, Ways};

/// What this measures of the group `line`.
pub(super) const FIGURES: [&str; 7] = [
    "line/stock_1_mib",
    "line/linux_1_mib",
    "line/wasm_1_mib",
    "line/wasm_128_mib",
    "line/cold_over_awake_1_mib",
    "line/over_plain_128_mib",
    "line/wasm_over_plain_128_mib",
];
const TURNS: usize = 9;
const LONG_TURNS: usize = 3;
/// After a task that has the next function started ahead: longer than its boot.
const PAUSE: Duration = Duration::from_millis(1500);

/// What was measured, ms.
struct Row {
    name: &'static str,
    mib: u64,
    ms: f64,
}

pub(super) fn measure(ways: &Ways, module: &Module, data: &mut Data) -> Result<Vec<Measured>> {
    let mut rows = Vec::new();
    let all: Vec<&Running> = ways.0.iter().collect();
    rows.extend(by_turns(&all, module, data, 1, TURNS)?);
    data.load(128 * POINTS_PER_MIB)?;
    let cold: Vec<&Running> = ways.0.iter().filter(|running| running.way == Way::Cold).collect();
    rows.extend(by_turns(&cold, module, data, 128, LONG_TURNS)?);
    eprintln!("   whole tasks, ms, medians by turns");
    for Row { name, mib, ms } in &rows {
        eprintln!("   {name:<8} {mib:>4} MiB {ms:>10.1}");
    }
    let drawn: Vec<Value> =
        rows.iter().map(|row| json!({"name": row.name, "mib": row.mib, "ms": row.ms})).collect();
    data::leave_part("compare.json", "tasks", drawn.into())?;
    let of = |name: &str, mib: u64| {
        let row = rows.iter().find(|row| row.name == name && row.mib == mib);
        row.map(|row| row.ms).with_context(|| format!("{name} was not measured with {mib} MiB"))
    };
    Ok(vec![
        Measured::new("line/stock_1_mib", of("stock", 1)?),
        Measured::new("line/linux_1_mib", of("linux", 1)?),
        Measured::new("line/wasm_1_mib", of("wasm", 1)?),
        Measured::new("line/wasm_128_mib", of("wasm", 128)?),
        Measured::new("line/cold_over_awake_1_mib", of("cold", 1)? / of("awake", 1)?),
        Measured::new("line/over_plain_128_mib", of("cold", 128)? / of("plain", 128)?),
        Measured::new("line/wasm_over_plain_128_mib", of("wasm", 128)? / of("plain", 128)?),
    ])
}

fn by_turns(ways: &[&Running], module: &Module, data: &Data, mib: u64, turns: usize) -> Result<Vec<Row>> {
    let mut documents: Vec<Vec<Value>> = ways.iter().map(|_| Vec::new()).collect();
    let (mut processes, mut modules) = (Vec::new(), Vec::new());
    for _ in 0..turns {
        for (running, documents) in ways.iter().zip(&mut documents) {
            documents.push(running.run(mib * POINTS_PER_MIB)?);
            if running.way.goes_on() {
                std::thread::sleep(PAUSE);
            }
        }
        let (port, points) = (data.influx.port(), mib * POINTS_PER_MIB);
        processes.push(timed(|| plain::run(port, points))?);
        modules.push(timed(|| plain::ask(port, points, |question| module.run(question)))?);
    }
    let mut rows = Vec::new();
    for (running, documents) in ways.iter().zip(&documents) {
        for stage in ["boot", "retrieve", "transfer", "compute"] {
            if let Some(ms) = median(milliseconds(documents, stage)) {
                eprintln!("   {:<8} {stage:<10} {ms:>10.2}", running.way.name());
            }
        }
        let ms = median(milliseconds(documents, "total")).context("a result tells no total")?;
        rows.push(Row { name: running.way.name(), mib, ms });
    }
    for (name, took) in [("plain", processes), ("wasm", modules)] {
        rows.push(Row { name, mib, ms: median(took).context("no turn")? });
    }
    Ok(rows)
}
