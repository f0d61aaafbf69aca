//! Many tasks at once: how much later the last is than most, whether any fails or loses points; and how many a second are
//! done by so many functions side by side.

use std::path::Path;
use std::time::Instant;

use anyhow::{Context, Result, ensure};
use fades_bench::Measured;
use serde_json::{Value, json};

use super::super::median;
use super::super::task::{Data, POINTS_PER_MIB, Task, milliseconds};
use super::{data, service};
use crate::images::Images;
use crate::testbed::node::{Node, Programs};

/// Tasks of each burst, at a node with its defaults.
const BURSTS: [usize; 2] = [50, 100];
/// Functions side by side.
const FUNCTIONS: [u32; 7] = [1, 2, 4, 8, 16, 32, 64];
/// Tasks that they do together, a MiB each.
const TASKS: usize = 64;
/// The least that the image takes, so that 64 have room.
const MEMORY_MIB: u32 = 32;
const TASK: Task = Task { points: POINTS_PER_MIB, memory_mib: MEMORY_MIB };

/// What came of tasks that were submitted at once.
struct Burst {
    /// Of those that succeeded, accepted → stored, in order of length, ms.
    ms: Vec<f64>,
    failed: usize,
    /// From the first request to the last end, s.
    took_s: f64,
}

impl Burst {
    fn p50(&self) -> Option<f64> {
        median(self.ms.clone())
    }

    /// The nearest rank: what 99 of 100 do not exceed.
    fn p99(&self) -> Option<f64> {
        let rank = (self.ms.len() * 99).div_ceil(100);
        self.ms.get(rank.checked_sub(1)?).copied()
    }
}

pub(super) fn measure(folder: &Path, images: &Images, data: &Data) -> Result<Vec<Measured>> {
    let mut measured = bursts(folder, images, data)?;
    measured.extend(scaling(folder, images, data)?);
    Ok(measured)
}

fn bursts(folder: &Path, images: &Images, data: &Data) -> Result<Vec<Measured>> {
    let node = Node::start(Programs::of("release"), &folder.join("burst"), images, &data.influx)?;
    TASK.run(&node)?;
    let (mut rows, mut measured) = (Vec::new(), Vec::new());
    eprintln!("   tasks at once   failed      p50      p99   p99/p50, ms from accepted to stored");
    for tasks in BURSTS {
        let burst = at_once(&node, tasks)?;
        let (p50, p99) = (burst.p50().context("all tasks failed")?, burst.p99().context("all tasks failed")?);
        eprintln!("   {tasks:>13} {:>8} {p50:>8.0} {p99:>8.0} {:>9.2}", burst.failed, p99 / p50);
        if tasks == 50 {
            measured.push(Measured::new("burst/p50_50", p50));
            measured.push(Measured::new("burst/p99_50", p99));
            measured.push(Measured::new("burst/p99_over_p50_50", p99 / p50));
        }
        rows.push(json!({"tasks": tasks, "failed": burst.failed, "ms": burst.ms, "p50": p50, "p99": p99}));
        data::leave("burst.json", &json!({"bursts": rows}))?;
        ensure!(burst.failed == 0, "{} of {tasks} tasks at once failed:\n{}", burst.failed, node.log());
    }
    Ok(measured)
}

fn scaling(folder: &Path, images: &Images, data: &Data) -> Result<Vec<Measured>> {
    let (mut rows, mut rates) = (Vec::new(), Vec::new());
    eprintln!("   functions side by side, tasks/s of {TASKS}");
    for functions in FUNCTIONS {
        let node = Node::make(Programs::of("release"), &folder.join("scaling"))?;
        node.set_cold()?;
        node.set("running", &functions.to_string())?;
        node.set("guests", &(functions + 1).to_string())?;
        node.set("limits.memory_mib", &(1024 + functions * (MEMORY_MIB + 4)).to_string())?;
        let node = node.started(images, &data.influx)?;
        TASK.run(&node)?;
        let burst = at_once(&node, TASKS)?;
        // Those that failed are told, and no part of the rate.
        let rate = burst.ms.len() as f64 / burst.took_s;
        eprintln!("   {functions:>9} {rate:>10.2}   failed: {}", burst.failed);
        rates.push(rate);
        // A task is one MiB.
        rows.push(json!({
            "functions": functions, "tasks": TASKS, "failed": burst.failed, "tasks_per_s": rate, "mib_per_s": rate,
        }));
    }
    data::leave("scaling.json", &json!({"rows": rows}))?;
    let best = rates.iter().copied().fold(0.0, f64::max);
    let first = rates.first().copied().context("nothing was measured")?;
    let last = rates.last().copied().context("nothing was measured")?;
    Ok(vec![
        Measured::new("burst/tasks_1", first),
        Measured::new("burst/tasks_64", last),
        Measured::new("burst/best_over_tasks_64", best / last),
    ])
}

/// Signs ahead, submits at once, waits, and counts points.
fn at_once(node: &Node, tasks: usize) -> Result<Burst> {
    let envelopes = service::sign(node, &TASK.wrapper(node)?, tasks)?;
    let begun = Instant::now();
    let ids = service::submit(node, &envelopes)?;
    service::wait(node, &ids)?;
    let took_s = begun.elapsed().as_secs_f64();
    let results: Vec<Value> = ids.iter().map(|id| service::result(node, id)).collect::<Result<_>>()?;
    let (right, wrong): (Vec<Value>, Vec<Value>) =
        results.into_iter().partition(|document| TASK.check(document).is_ok());
    for document in &wrong {
        eprintln!("   a task gave {document}");
    }
    let mut ms = milliseconds(&right, "total");
    ms.sort_by(f64::total_cmp);
    Ok(Burst { failed: tasks - ms.len(), ms, took_s })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tail_is_the_nearest_rank() {
        let burst = |count: u32| Burst { ms: (1..=count).map(f64::from).collect(), failed: 0, took_s: 1.0 };
        assert_eq!((burst(100).p99(), burst(100).p50()), (Some(99.0), Some(50.5)));
        assert_eq!((burst(50).p99(), burst(1).p99(), burst(0).p99()), (Some(50.0), Some(1.0), None));
    }
}
