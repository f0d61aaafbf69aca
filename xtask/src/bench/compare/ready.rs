//! Asked for → ready, by turns: a function that waits, one that goes on from a snapshot, one that boots, one that boots the stock way, a Linux guest; and what
//! a Wasm module takes to be an instance.

use std::time::Duration;

use anyhow::{Context, Result};
use fades_bench::Measured;
use serde_json::json;

use super::super::median;
use super::super::task::milliseconds;
use super::data;
use super::wasm::Module;
use super::way::{WAYS, Ways};

/// Each way so often.
const TURNS: usize = 9;
/// Points of a task of which only the start counts.
pub(super) const FEW: u64 = 4096;
/// After a task that has the next function started ahead: longer than its boot.
const PAUSE: Duration = Duration::from_millis(1500);

pub(super) fn measure(ways: &Ways, module: &Module) -> Result<Vec<Measured>> {
    let mut took = WAYS.map(|_| Vec::new());
    let (mut wasm, mut inside) = (Vec::new(), Vec::new());
    for _ in 0..TURNS {
        for (running, took) in ways.0.iter().zip(&mut took) {
            took.extend(milliseconds(&[running.run(FEW)?], "boot"));
            if running.way.goes_on() {
                std::thread::sleep(PAUSE);
            }
        }
        let start = module.start()?;
        wasm.push(start.process_ms);
        inside.push(start.instance_ms);
    }
    let [stock, linux, cold, restored, awake] = took.map(median);
    let nothing = "a start was not measured";
    let (stock, linux, cold) = (stock.context(nothing)?, linux.context(nothing)?, cold.context(nothing)?);
    let restored = restored.context(nothing)?;
    let (awake, wasm) = (awake.context(nothing)?, median(wasm).context(nothing)?);
    let inside = median(inside).context(nothing)?;
    let rows = [stock, linux, cold, restored, awake].into_iter().zip(WAYS);
    let mut rows: Vec<_> =
        rows.map(|(ms, way)| json!({"name": way.name(), "ms": ms, "words": way.words()})).collect();
    rows.push(json!({"name": "wasm", "ms": wasm, "words": "a process with wasmtime and a compiled module"}));
    eprintln!("   asked for → ready, ms, medians of {TURNS} by turns");
    for row in &rows {
        eprintln!(
            "   {:<8} {:>12.3}   {}",
            row["name"].as_str().unwrap_or_default(),
            row["ms"].as_f64().unwrap_or_default(),
            row["words"].as_str().unwrap_or_default()
        );
    }
    eprintln!("   of wasm's, {inside:.3} load the module and make the instance");
    data::leave_part("compare.json", "ready", rows.into())?;
    Ok(vec![
        Measured::new("ready/stock", stock),
        Measured::new("ready/linux", linux),
        Measured::new("ready/cold", cold),
        Measured::new("ready/restored", restored),
        Measured::new("ready/awake", awake),
        Measured::new("ready/wasm", wasm),
        Measured::new("ready/wasm_instance", inside),
        Measured::new("ready/stock_over_awake", stock / awake),
        Measured::new("ready/stock_over_restored", stock / restored),
        Measured::new("ready/stock_over_cold", stock / cold),
        Measured::new("ready/linux_over_cold", linux / cold),
    ])
}
