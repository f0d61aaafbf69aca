//! The same function for each processor that images are built for, by turns on this machine, where QEMU translates all of them: the
//! size of its packed image, and asked for → ready.

use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use fades_bench::Measured;
use fades_image_build::Architecture;

use super::median;
use super::task::{Data, Task, milliseconds};
use crate::images::Images;
use crate::stage::target;
use crate::testbed::node::{Node, Programs};

/// Each of them so often.
const TURNS: usize = 15;
/// Only the start counts.
const TASK: Task = Task { points: 4096, memory_mib: 64 };
const MIB: f64 = 1_048_576.0;

/// What is measured of each.
const FIGURES: [(Architecture, &str, &str); 2] = [
    (Architecture::X86_64, "architecture/image_x86_64", "architecture/boot_x86_64"),
    (Architecture::Aarch64, "architecture/image_aarch64", "architecture/boot_aarch64"),
];

/// Starts a node for each, with functions that boot for their task, and measures. The images are there.
///
/// # Errors
/// A program does not start, or a task does not succeed with the right count.
pub(super) fn measure() -> Result<Vec<Measured>> {
    let folder = target().join("bench/architecture");
    let mut data = Data::start(&folder.join("influx"))?;
    data.load(TASK.points)?;
    let mut measured = Vec::new();
    let mut nodes = Vec::new();
    for (architecture, size, boot) in FIGURES {
        let images = Images::built_for(architecture)?;
        let file = images.file("stats");
        let bytes = fs::metadata(&file).with_context(|| format!("look at {}", file.display()))?.len();
        measured.push(Measured::new(size, bytes as f64 / MIB));
        let node = node(&folder.join(architecture.name()), architecture, &images, &data)?;
        // The first makes what later ones find.
        TASK.run(&node)?;
        nodes.push((node, boot, Vec::new()));
    }
    for _ in 0..TURNS {
        for (node, _, took) in &mut nodes {
            took.extend(milliseconds(&[TASK.run(node)?], "boot"));
        }
    }
    for (_, boot, took) in nodes {
        eprintln!("   {boot}: {took:.1?} ms");
        measured.push(Measured::new(boot, median(took).context("a start was not measured")?));
    }
    drop(data);
    fs::remove_dir_all(&folder).with_context(|| format!("remove {}", folder.display()))?;
    Ok(measured)
}

/// A node that runs these images by translation.
fn node(folder: &Path, architecture: Architecture, images: &Images, data: &Data) -> Result<Node> {
    let node = Node::make(Programs::of("release"), folder)?;
    node.set_cold()?;
    node.set("kind", "\"qemu-tcg\"")?;
    if architecture != Architecture::default() {
        node.set("emulate", &format!("[\"{architecture}\"]"))?;
    }
    node.started(images, &data.influx)
}
