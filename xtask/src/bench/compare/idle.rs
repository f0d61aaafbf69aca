//! Functions that wait for their tasks: what each costs in memory beyond its guest's own, and all of them in processor time.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use fades_bench::Measured;
use serde_json::json;

use super::super::memory::guests;
use super::super::task::{Data, Task};
use super::super::{median, signal};
use super::smaps::Memory;
use super::{data, service};
use crate::images::Images;
use crate::testbed::node::{Node, Programs};

/// So many wait. One after the other at one node, as each many at once makes as many be started ahead; in such steps that no
/// more than 16 boot at once, or the last is not ready in the time that a node waits for it.
const WAITING: [u32; 6] = [1, 4, 16, 32, 48, 64];
/// The least that the image takes.
const MEMORY_MIB: u32 = 32;
/// More there cannot be in QEMU.
const MOST_GUESTS: u32 = 117;
/// What a guest counts beside its memory.
const REGION_MIB: u32 = 4;
/// Of a broker, as a node has it unless told otherwise.
const BROKER_MIB: u32 = 128;
const TASK: Task = Task { points: 4096, memory_mib: MEMORY_MIB };
/// Until all have been started, one after the other; less than the time after which one less is wanted.
const PATIENCE: Duration = Duration::from_secs(55);
/// Until one that was started has gone to sleep.
const SETTLE: Duration = Duration::from_secs(3);
/// In which processor time is counted.
const SPAN: Duration = Duration::from_secs(10);
/// A figure is more than nothing: this stands for none at all.
const LEAST_MS: f64 = 0.001;

pub(super) fn measure(folder: &Path, images: &Images, data: &Data) -> Result<Vec<Measured>> {
    let most = WAITING[WAITING.len() - 1];
    let node = Node::make(Programs::of("release"), &folder.join("idle"))?;
    // Room for all that run and for as many that wait.
    node.set("running", &most.to_string())?;
    node.set("guests", &MOST_GUESTS.to_string())?;
    node.set("limits.memory_mib", &(BROKER_MIB + MOST_GUESTS * (MEMORY_MIB + REGION_MIB)).to_string())?;
    node.set("dormant_memory_mib", &(most * MEMORY_MIB).to_string())?;
    let node = node.started(images, &data.influx)?;
    let daemon = node.pid().context("no daemon runs")?;
    let [broker] = guests(daemon)?[..] else { anyhow::bail!("more runs than the broker alone") };
    let mut rows = Vec::new();
    std::thread::sleep(SETTLE);
    let memory = Memory::of(broker, BROKER_MIB)?;
    rows.push(row(0, &[memory], processor_ms_per_s(&[broker])?));
    let mut measured = Vec::new();
    for waiting in WAITING {
        let envelopes = service::sign(&node, &TASK.wrapper(&node)?, waiting as usize)?;
        // While the source stands still none of them ends, so all are under way at once.
        signal("-STOP", data.influx.pid())?;
        let begun = service::submit(&node, &envelopes).and_then(|ids| {
            service::begun(&node, &ids)?;
            Ok(ids)
        });
        signal("-CONT", data.influx.pid())?;
        let ids = begun?;
        service::wait(&node, &ids)?;
        for id in &ids {
            let document = service::result(&node, id)?;
            TASK.check(&document).with_context(|| format!("a task gave {document}"))?;
        }
        let functions = wait_for(daemon, broker, waiting)?;
        let memory: Vec<Memory> =
            functions.iter().map(|pid| Memory::of(*pid, MEMORY_MIB)).collect::<Result<_>>()?;
        let processor = processor_ms_per_s(&functions)?;
        ensure!(guests(daemon)?.len() == functions.len() + 1, "a function was started or ended meanwhile");
        rows.push(row(waiting, &memory, processor));
        if waiting == most {
            let own = median(memory.iter().map(Memory::own).collect()).context("no memory")?;
            measured.push(Measured::new("idle/private_beyond_guest", own));
            let value = (processor * SPAN.as_secs_f64()).max(LEAST_MS);
            measured.push(Measured::new("idle/processor", value));
            parts(&memory);
        }
    }
    eprintln!("   waiting   private   touched       own, MiB each   processor, ms/s in all (0: the broker)");
    for row in &rows {
        let of = |key: &str| row[key].as_f64().unwrap_or_default();
        eprintln!(
            "   {:>7} {:>9.2} {:>9.2} {:>9.2} {:>26.2}",
            row["waiting"],
            of("private_mib_each"),
            of("touched_mib_each"),
            of("own_mib_each"),
            of("processor_ms_per_s")
        );
    }
    data::leave("idle.json", &json!({"rows": rows}))?;
    Ok(measured)
}

fn row(waiting: u32, memory: &[Memory], processor_ms_per_s: f64) -> serde_json::Value {
    let each = |of: fn(&Memory) -> f64| median(memory.iter().map(of).collect()).unwrap_or_default();
    json!({
        "waiting": waiting,
        "private_mib_each": each(|memory| memory.private),
        "touched_mib_each": each(|memory| memory.touched),
        "own_mib_each": each(Memory::own),
        "processor_ms_per_s": processor_ms_per_s,
    })
}

/// Medians of what a monitor's own memory is.
fn parts(memory: &[Memory]) {
    let mut parts: BTreeMap<&str, Vec<f64>> = BTreeMap::new();
    for (what, mib) in memory.iter().flat_map(|memory| &memory.parts) {
        parts.entry(what).or_default().push(*mib);
    }
    for (what, mib) in parts {
        eprintln!("   of a monitor's own: {:>7.2} MiB {what}", median(mib).unwrap_or_default());
    }
}

/// Functions, once there are so many, and the same for a while: those of ended tasks are gone by then.
fn wait_for(daemon: u32, broker: u32, waiting: u32) -> Result<Vec<u32>> {
    let deadline = Instant::now() + PATIENCE;
    let mut before = Vec::new();
    loop {
        let mut found = guests(daemon)?;
        found.retain(|pid| *pid != broker);
        found.sort_unstable();
        if found.len() == waiting as usize && found == before {
            return Ok(found);
        }
        ensure!(Instant::now() < deadline, "{} functions wait instead of {waiting}", found.len());
        before = found;
        std::thread::sleep(SETTLE);
    }
}

/// Processor time that these processes take from now on, all threads of all of them.
fn processor_ms_per_s(pids: &[u32]) -> Result<f64> {
    let spent = || pids.iter().map(|pid| processor_ns(*pid)).sum::<Result<u64>>();
    let (before, begun) = (spent()?, Instant::now());
    std::thread::sleep(SPAN);
    let (after, took) = (spent()?, begun.elapsed());
    Ok(after.saturating_sub(before) as f64 / 1e6 / took.as_secs_f64())
}

/// Nanoseconds that the threads of a process have run: `/proc/PID/task/*/schedstat`, which is finer than ticks.
fn processor_ns(pid: u32) -> Result<u64> {
    let folder = format!("/proc/{pid}/task");
    let mut sum = 0;
    for thread in fs::read_dir(&folder).with_context(|| format!("list {folder}"))? {
        let file = thread?.path().join("schedstat");
        let text = match fs::read_to_string(&file) {
            // A thread that has ended since the folder was listed.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
            text => text.with_context(|| format!("read {}", file.display()))?,
        };
        let ran = text.split_whitespace().next().and_then(|word| word.parse::<u64>().ok());
        sum += ran.with_context(|| format!("{} has no number", file.display()))?;
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_spent_processor_time() {
        assert!(processor_ns(std::process::id()).unwrap() > 0);
    }
}
