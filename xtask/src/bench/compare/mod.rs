//! What a task is compared with, in one run on one machine: the stock way, a Linux guest, a plain process and a Wasm module;
//! and what it costs to have functions wait, and many tasks come at once.
//!
//! | part | what it does |
//! |---|---|
//! | `way` | nodes whose functions come to be in one way each |
//! | `stock` | a program in front of the monitor that makes it boot as it does unless told otherwise |
//! | `wasm` | the module and its host, built and run |
//! | `ready` | asked for → ready, by turns |
//! | `tasks` | whole tasks, by turns |
//! | `idle`, `smaps` | functions that wait: memory and processor time |
//! | `burst` | many tasks at once: how late the last is, and how they spread over the cores |
//! | `service` | signs ahead and submits fast |
//! | `data` | what is left for drawing |
//!
//! Another way: a variant of [`way::Way`]; its figures in `budgets.toml`, once they were measured.

mod burst;
pub(super) mod data;
mod idle;
mod ready;
mod service;
mod smaps;
pub(super) mod stock;
mod tasks;
mod wasm;
mod way;

use std::fs;

use anyhow::{Context, Result};
use fades_bench::Measured;

use self::way::Ways;
use super::task::{Data, POINTS_PER_MIB};
use crate::images::Images;
use crate::stage::{building, stage, target};

/// What `bench FILTER` calls all of this.
const ALL: &str = "compare";

/// Whether a figure is one of these.
pub(super) fn measures(name: &str) -> bool {
    ["ready/", "idle/", "burst/"].iter().any(|group| name.starts_with(group))
        || tasks::FIGURES.contains(&name)
}

/// Whether this filter is the name of all of these.
pub(super) fn is_all(filter: &str) -> bool {
    filter == ALL
}

/// Those of the figures that `wants` names, and what else is measured with them.
///
/// # Errors
/// Something does not build or start, or a task does not give the right count.
pub(super) fn measure(images: &Images, wants: &[&str]) -> Result<Vec<Measured>> {
    let of = |group: &str| wants.iter().any(|name| name.starts_with(group));
    let (ready, tasks) = (of("ready/"), wants.iter().any(|name| tasks::FIGURES.contains(name)));
    let folder = target().join("bench/compare");
    let mut data = Data::start(&folder.join("influx"))?;
    data.load(POINTS_PER_MIB)?;
    let mut measured = Vec::new();
    if ready || tasks {
        building("Linux guest", "a minute", crate::lab::linux::build)?;
        let module = building("Wasm module and wasmtime", "8 minutes", wasm::build)?;
        let ways = stage("nodes to compare", || Ways::start(&folder, images, &data))?;
        if ready {
            measured.extend(stage("asked for → ready", || ready::measure(&ways, &module))?);
        }
        if tasks {
            measured.extend(stage("whole tasks", || tasks::measure(&ways, &module, &mut data))?);
        }
    }
    if of("burst/") {
        measured.extend(stage("tasks at once", || burst::measure(&folder, images, &data))?);
    }
    if of("idle/") {
        measured.extend(stage("functions that wait", || idle::measure(&folder, images, &data))?);
    }
    drop(data);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(measured)
}
