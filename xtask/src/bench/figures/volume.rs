//! How much a function of some memory reduces: the whole line, with a source that makes its points while it is read.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use super::super::memory::guests;
use super::ask::{Ask, TIMEOUT_MS, counted};
use super::bed::{Bed, Kind, Ready};
use super::source::{self, Source};
use super::{Options, Part, backends, leave, mib_of, tenths};
use crate::stage::stage;
use crate::testbed::influx::DATABASE;

/// Volumes, MiB, for the least memory that boots; the first two with `--quick`.
const LARGE: &[f64] = &[16.0, 64.0, 256.0, 1024.0, 4096.0];
/// For others.
const USUAL: &[f64] = &[16.0, 64.0, 256.0, 1024.0];
const OTHERS: [u32; 3] = [32, 64, 128];
const QUICK: usize = 2;
/// Where the least memory that boots is looked for, MiB. Nothing less may be asked for.
const LEAST: std::ops::RangeInclusive<u32> = 16..=64;
/// Points of the look for it.
const FEW: u64 = 4096;
const NAME: &str = "generated";
const IMAGE: &str = "volume";

/// Every memory with every volume on the backend that is this machine's.
///
/// # Errors
/// The first memory's smallest volume is not reduced, or a result is wrong.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    let backend = backends(options).remove(0);
    let source = Source::start()?;
    let image = bed.with_any_memory(&bed.images.file("stats"), IMAGE)?;
    let ready = bed.node(&backend, Kind::Unikernel)?;
    ready.node.allow(&image, IMAGE)?;
    ready.widen(512, Some((NAME, &source.url(), DATABASE)))?;
    let mut why = None;
    let least = LEAST.into_iter().find(|memory_mib| match one(&ready, *memory_mib, FEW) {
        Ok(_) => true,
        Err(error) => {
            why = Some(error);
            false
        }
    });
    let Some(least) = least else {
        return ready.telling(Err(why.unwrap_or_else(|| anyhow::anyhow!("no memory was tried"))));
    };
    let others = OTHERS.into_iter().filter(|memory_mib| *memory_mib > least && !options.quick);
    let series = [(least, LARGE)].into_iter().chain(others.map(|memory_mib| (memory_mib, USUAL)));
    let mut rows: Vec<Value> = Vec::new();
    for (memory_mib, usual) in series {
        for points in options.payloads(usual, QUICK) {
            let name = format!("{} MiB through a function of {memory_mib} MiB", mib_of(points));
            let row = stage(&name, || ready.telling(one(&ready, memory_mib, points)));
            let mut row = row.unwrap_or_else(|error| json!({"not_measured": error.root_cause().to_string()}));
            row["memory_mib"] = json!(memory_mib);
            row["mib"] = json!(mib_of(points));
            row["points"] = json!(points);
            eprintln!("   {row}");
            rows.push(row);
            leave(Part::Volume, json!({"backend": backend, "rows": rows}))?;
        }
    }
    match rows[0]["not_measured"].as_str() {
        Some(why) => bail!("{why}"),
        None => Ok(()),
    }
}

/// One task, and the most that its guest's process had resident meanwhile.
fn one(ready: &Ready, memory_mib: u32, points: u64) -> Result<Value> {
    let parameters = String::new();
    let ask = Ask { image: IMAGE, parameters, source: NAME, points, memory_mib, timeout_ms: TIMEOUT_MS };
    let started = Instant::now();
    let done = AtomicBool::new(false);
    let (document, resident) = thread::scope(|scope| {
        let watch = scope.spawn(|| most_resident(ready, &done));
        let document = ask.run(&ready.node, &ready.node.url());
        done.store(true, Ordering::Relaxed);
        (document, watch.join())
    });
    let (document, seconds) = (document?, started.elapsed().as_secs_f64());
    let found = counted(&document);
    if found != points {
        bail!("{found} points were reduced instead of {points}");
    }
    whole_cycles(&document)?;
    let resident = resident.ok().flatten();
    Ok(
        json!({"seconds": tenths(seconds), "mib_per_s": tenths(mib_of(points) / seconds), "resident_mib": resident}),
    )
}

/// Of a generated series the mean is known; it is near that for points that are no whole number of cycles.
fn whole_cycles(document: &Value) -> Result<()> {
    for group in document["result"]["groups"].as_array().context("the result has no groups")? {
        let (mean, count) = (group["mean"].as_f64(), group["count"].as_f64());
        let (mean, count) = mean.zip(count).context("a group has no mean")?;
        // The cycle that is not whole moves it by no more than its share.
        if (mean - source::mean()).abs() > source::mean() * 2.0 * 1000.0 / count {
            bail!("a series of {count} points has the mean {mean} instead of {}", source::mean());
        }
    }
    Ok(())
}

/// MiB, looked at ten times a second. `None` where the guest is no process of ours.
fn most_resident(ready: &Ready, done: &AtomicBool) -> Option<f64> {
    let daemon = ready.node.pid()?;
    let broker = guests(daemon).ok()?;
    let mut most: Option<f64> = None;
    while !done.load(Ordering::Relaxed) {
        thread::sleep(Duration::from_millis(100));
        let found = guests(daemon).unwrap_or_default();
        for pid in found.into_iter().filter(|pid| !broker.contains(pid)) {
            // It may have ended meanwhile.
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            let kib = line.and_then(|line| line.trim().strip_suffix("kB")?.trim().parse::<f64>().ok());
            most = kib.map(|kib| tenths(kib / 1024.0)).into_iter().chain(most).reduce(f64::max);
        }
    }
    most
}
