//! The whole line, from a signed wrapper to a stored result, with real guests and a real InfluxDB; and the same reduction
//! without guests beside it.

use std::fs;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use fades_bench::Measured;
use serde_json::Value;

use super::memory::{Memory, guests};
use super::task::{Data, MEASUREMENT, POINTS_PER_MIB, STAGES, Task, end_ns, milliseconds};
use super::{median, plain, signal, timed};
use crate::demo::submit;
use crate::images::Images;
use crate::stage::{stage, target};
use crate::testbed::generator::START_NS;
use crate::testbed::node::{Node, Programs};

/// A size: its points in columns take so many MiB, at 16 bytes a point.
struct Size {
    mib: u64,
    runs: usize,
    total: &'static str,
    plain: &'static str,
    influx: &'static str,
}

const SIZES: [Size; 3] = [
    Size {
        mib: 1,
        runs: 15,
        total: "line/total_1_mib",
        plain: "line/plain_1_mib",
        influx: "line/influxdb_1_mib",
    },
    Size {
        mib: 16,
        runs: 7,
        total: "line/total_16_mib",
        plain: "line/plain_16_mib",
        influx: "line/influxdb_16_mib",
    },
    Size {
        mib: 128,
        runs: 3,
        total: "line/total_128_mib",
        plain: "line/plain_128_mib",
        influx: "line/influxdb_128_mib",
    },
];
const AWAKE_RUNS: usize = 15;
/// Memory of a function, MiB.
const MEMORY_MIB: u32 = 64;

/// A node with its source.
struct Bed {
    data: Data,
    node: Node,
}

/// Starts a testbed and measures.
///
/// # Errors
/// A program does not start, or a task does not succeed with the right count.
pub(super) fn measure(images: &Images, line: bool, memory: bool) -> Result<Vec<Measured>> {
    let folder = target().join("bench/line");
    let mut data = Data::start(&folder.join("influx"))?;
    data.load(POINTS_PER_MIB)?;
    let node = cold(&folder.join("node"), images, &data)?;
    let mut bed = Bed { data, node };
    let mut measured = Vec::new();
    // The first task makes what later ones find: caches of files, of the source, of the broker.
    bed.run(1)?;
    if memory {
        measured.extend(stage("idle memory", || bed.memory())?);
    }
    if line {
        for size in &SIZES {
            measured.extend(stage(&format!("{} MiB of points", size.mib), || bed.size(size))?);
        }
    }
    if line {
        bed.node =
            Node::start(Programs::of("release"), &folder.join("node-awake"), images, &bed.data.influx)?;
        measured.extend(stage("1 MiB of points, functions awake", || bed.awake())?);
    }
    drop(bed);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(measured)
}

/// A node whose functions are started for their task, not ahead of it.
fn cold(folder: &Path, images: &Images, data: &Data) -> Result<Node> {
    let node = Node::make(Programs::of("release"), folder)?;
    node.set_cold()?;
    node.started(images, &data.influx)
}

impl Bed {
    /// Tasks whose function was started ahead.
    fn awake(&mut self) -> Result<Vec<Measured>> {
        self.run(1)?;
        let mut documents = Vec::new();
        for _ in 0..AWAKE_RUNS {
            // Longer than a function takes to boot.
            std::thread::sleep(Duration::from_secs(1));
            documents.push(self.run(1)?);
        }
        table(&documents);
        Ok(vec![figure("line/awake_total_1_mib", median(milliseconds(&documents, "total")))?])
    }

    fn size(&mut self, size: &Size) -> Result<Vec<Measured>> {
        self.data.load(size.mib * POINTS_PER_MIB)?;
        let documents: Vec<Value> = (0..size.runs).map(|_| self.run(size.mib)).collect::<Result<_>>()?;
        table(&documents);
        let mut measured = vec![figure(size.total, median(milliseconds(&documents, "total")))?];
        if size.mib == 1 {
            measured.push(figure("line/boot", median(milliseconds(&documents, "boot")))?);
        }
        let plain = (0..size.runs)
            .map(|_| timed(|| plain::run(self.data.influx.port(), size.mib * POINTS_PER_MIB)))
            .collect::<Result<_>>()?;
        measured.push(figure(size.plain, median(plain))?);
        let influx = (0..size.runs).map(|_| timed(|| self.ask(size.mib))).collect::<Result<_>>()?;
        measured.push(figure(size.influx, median(influx))?);
        Ok(measured)
    }

    /// A task over the first `mib` MiB of points.
    fn run(&self, mib: u64) -> Result<Value> {
        task(mib).run(&self.node)
    }

    /// InfluxDB's own answer to the same question.
    fn ask(&self, mib: u64) -> Result<()> {
        let functions = ["COUNT", "SUM", "MEAN", "MIN", "MAX", "STDDEV", "FIRST", "LAST"];
        let columns: Vec<String> = functions.iter().map(|name| format!("{name}(value)")).collect();
        let query = format!(
            "SELECT {} FROM {MEASUREMENT} WHERE time >= {START_NS} AND time < {} GROUP BY room",
            columns.join(", "),
            end_ns(mib * POINTS_PER_MIB)
        );
        let series = self.data.influx.query(&query)?;
        let counts = series.as_array().context("influxd gave no series")?;
        let count: u64 = counts.iter().filter_map(|series| series["values"][0][1].as_u64()).sum();
        if count != mib * POINTS_PER_MIB {
            bail!("influxd counts {count} points instead of {}", mib * POINTS_PER_MIB);
        }
        Ok(())
    }

    /// Daemon and broker with nothing to do; then a function that waits for its first point, as the source stands still.
    fn memory(&self) -> Result<Vec<Measured>> {
        std::thread::sleep(Duration::from_secs(2));
        let daemon = self.node.pid().context("no daemon runs")?;
        let idle = guests(daemon)?;
        let [broker] = idle[..] else { bail!("{} guests run instead of the broker alone", idle.len()) };
        let mut measured = Vec::new();
        let names = ["memory/fadesd_rss", "memory/fadesd_pss", "memory/fadesd_private_dirty"];
        measured.extend(Memory::of(daemon)?.figures(names));
        let names = ["memory/broker_rss", "memory/broker_pss", "memory/broker_private_dirty"];
        measured.extend(Memory::of(broker)?.figures(names));
        let wrapper = task(1).wrapper(&self.node)?;
        signal("-STOP", self.data.influx.pid())?;
        let function = std::thread::scope(|scope| {
            let task = scope.spawn(|| submit(&self.node, &wrapper));
            std::thread::sleep(Duration::from_secs(5));
            let function = guests(daemon).and_then(|found| {
                let function = found.into_iter().find(|pid| *pid != broker);
                Memory::of(function.context("no function runs")?)
            });
            signal("-CONT", self.data.influx.pid())?;
            let ended = task.join();
            ended.ok().context("the task's thread has ended")??;
            function
        })?;
        let names = ["memory/function_rss", "memory/function_pss", "memory/function_private_dirty"];
        measured.extend(function.figures(names));
        Ok(measured)
    }
}

const fn task(mib: u64) -> Task {
    Task { points: mib * POINTS_PER_MIB, memory_mib: MEMORY_MIB }
}

fn figure(name: &str, value: Option<f64>) -> Result<Measured> {
    let value = value.with_context(|| format!("{name} was not measured"))?;
    Ok(Measured::new(name, value))
}

/// Medians of all stages, with the fastest and the slowest.
fn table(documents: &[Value]) {
    eprintln!("   stages in ms, {} runs (they overlap, so they need not add up)", documents.len());
    for stage in STAGES {
        let mut values = milliseconds(documents, stage);
        values.sort_by(f64::total_cmp);
        if let (Some(first), Some(last), Some(median)) =
            (values.first(), values.last(), median(values.clone()))
        {
            eprintln!("   {stage:<10} {median:>10.2}   {first:.2} .. {last:.2}");
        }
    }
}
