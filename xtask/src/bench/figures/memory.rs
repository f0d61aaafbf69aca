//! Usable against allocated memory: a function takes pieces of memory, writes every byte, and goes on until its allocator has
//! no more; the report of that says how much it had.
//!
//! What is missing went to the kernel, the program, its stacks and, by TCP, the network's buffers.

use anyhow::{Result, bail};
use serde_json::{Map, Value, json};

use super::ask::Ask;
use super::bed::{Bed, Kind, LEAST_MIB, Ready};
use super::{Options, Part, backends, leave};
use crate::images;
use crate::stage::{stage, target};
use crate::testbed::node::SOURCE;

/// Allocated, MiB. With `--quick` the first few.
const SIZES: [u32; 7] = [8, 16, 32, 64, 128, 256, 512];
const QUICK: usize = 4;
/// What is taken at once: no more than this stays unseen.
const PIECE: u64 = 16 << 10;
const POINTS: u64 = 4096;
const NAME: &str = "hoard";

/// Of one size: bytes that the function had, or why it had none.
type Usable = Result<u64, String>;

/// Every size, and the least that boots, on every backend, with shared memory and by TCP.
///
/// # Errors
/// No size boots on the first backend.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    bed.data.load(POINTS)?;
    let image =
        if super::in_a_lab() { target().join("images-of-tests/faulty.img") } else { images::faulty()? };
    let image = bed.with_any_memory(&image, NAME)?;
    let sizes = if options.quick { &SIZES[..QUICK] } else { &SIZES[..] };
    let mut rows: Vec<Value> = Vec::new();
    for backend in backends(options) {
        for kind in [Kind::Unikernel, Kind::ByNetwork] {
            let name = format!("{} on {backend}", kind.name());
            let measured = stage(&name, || {
                let ready = bed.node(&backend, kind)?;
                ready.node.allow(&image, NAME)?;
                ready.widen(512, None)?;
                ready.telling(row(&ready, sizes))
            });
            let mut row = measured.unwrap_or_else(|error| {
                let mut row = Map::new();
                row.insert("not_measured".into(), json!(error.root_cause().to_string()));
                row
            });
            row.insert("backend".into(), json!(backend));
            row.insert("guest".into(), json!(kind.name()));
            rows.push(Value::Object(row));
            leave(Part::Memory, json!({"unit": "MiB", "rows": rows}))?;
        }
    }
    match rows[0]["not_measured"].as_str() {
        Some(why) => bail!("{why}"),
        None => Ok(()),
    }
}

fn row(ready: &Ready, sizes: &[u32]) -> Result<Map<String, Value>> {
    let mut measured = Vec::new();
    for size in sizes {
        let usable = usable(ready, *size)?;
        eprintln!(
            "   {size} MiB: {}",
            usable.as_ref().map_or_else(Clone::clone, |bytes| format!("{:.2} usable", mib(*bytes)))
        );
        measured.push((*size, usable));
    }
    let Some((booted, _)) = measured.iter().find(|(_, usable)| usable.is_ok()) else {
        bail!("no function of up to {} MiB came to its points", sizes.last().copied().unwrap_or_default())
    };
    let too_small = measured.iter().rev().find(|(size, usable)| size < booted && usable.is_err());
    // Below what may be asked for nothing boots.
    let least = least(too_small.map_or(LEAST_MIB - 1, |(size, _)| *size), *booted, |size| {
        Ok(usable(ready, size)?.is_ok())
    })?;
    if measured.iter().all(|(size, _)| *size != least) {
        measured.push((least, usable(ready, least)?));
        measured.sort_by_key(|(size, _)| *size);
    }
    let mut row = Map::new();
    row.insert("least_mib".into(), json!(least));
    let sizes = measured.iter().map(|(size, usable)| match usable {
        Ok(bytes) => json!({"allocated": size, "usable": (mib(*bytes) * 100.0).round() / 100.0}),
        Err(why) => json!({"allocated": size, "not_measured": why}),
    });
    row.insert("sizes".into(), sizes.collect());
    Ok(row)
}

/// The least size for which `boots` holds, known to hold for `yes` and not for `no`, to the MiB.
fn least(no: u32, yes: u32, mut boots: impl FnMut(u32) -> Result<bool>) -> Result<u32> {
    let (mut no, mut yes) = (no, yes);
    while yes - no > 1 {
        let middle = u32::midpoint(no, yes);
        if boots(middle)? {
            yes = middle;
        } else {
            no = middle;
        }
    }
    Ok(yes)
}

/// A function that takes all it can.
fn usable(ready: &Ready, memory_mib: u32) -> Result<Usable> {
    let parameters = format!("mode = \"memory\"\nbytes = {PIECE}");
    let timeout_ms = 600_000;
    let ask = Ask { image: NAME, parameters, source: SOURCE, points: POINTS, memory_mib, timeout_ms };
    let Err(error) = ask.run(&ready.node, &ready.node.url()) else {
        bail!("a function of {memory_mib} MiB that takes all memory succeeded")
    };
    let words = error.root_cause().to_string();
    Ok(in_use(&words).ok_or_else(|| reason(&words).to_owned()))
}

/// Without the task's name, or that of the wrapper's file.
fn reason(words: &str) -> &str {
    let marks = [" failed: ", ".toml: "];
    marks.into_iter().find_map(|mark| words.split_once(mark)).map_or(words, |(_, why)| why)
}

/// What the report of a failed allocation says was allocated.
fn in_use(words: &str) -> Option<u64> {
    let (_, rest) = words.split_once("bytes asked for, ")?;
    rest.split_once(" in use")?.0.parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "memory is far below 2^53 bytes")]
fn mib(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_in_use_is_read_from_the_report() {
        assert_eq!(
            in_use("task 01 failed: memory ran out: 16384 bytes asked for, 9175040 in use"),
            Some(9_175_040)
        );
        assert_eq!(in_use("the function was not ready after 30000 ms"), None);
    }

    #[test]
    fn a_reason_names_neither_task_nor_file() {
        assert_eq!(reason("task 01 failed: no room"), "no room");
        assert_eq!(reason("/a/ask.toml: memory_mib: 8 is too little"), "memory_mib: 8 is too little");
        assert_eq!(reason("no room"), "no room");
    }

    #[test]
    fn the_least_is_found_to_the_mib() {
        for wanted in 9..=16 {
            assert_eq!(least(8, 16, |size| Ok(size >= wanted)).unwrap(), wanted);
        }
        assert_eq!(least(0, 8, |_| Ok(true)).unwrap(), 1);
    }
}
