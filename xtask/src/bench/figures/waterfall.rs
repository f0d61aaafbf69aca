//! What lies between "asked for" and ready: the stages of a start, from times at which QEMU saw the guest do something.
//!
//! A program in front of QEMU has it write down (`-trace`) what only one stage does, with the time; the guest is the one that
//! always runs, and knows nothing of it.

mod stages;

use std::fs;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::json;

use self::stages::{Stage, Start};
use super::super::compare::stock;
use super::super::task::{Task, milliseconds};
use super::bed::Bed;
use super::{Options, Part, leave};
use crate::stage::stage;
use crate::testbed::node::{Node, Programs};

/// Points of each task: only its start counts.
const POINTS: u64 = 4096;
const MEMORY_MIB: u32 = 64;
/// Said to the reader when there is no more.
const OVER: &str = "over\n";

/// The ways to start a function that are compared.
const WAYS: [Way; 3] = [
    Way { name: "cold", restored: false, stock: false },
    Way { name: "restored", restored: true, stock: false },
    Way { name: "stock", restored: false, stock: true },
];

struct Way {
    name: &'static str,
    /// From a snapshot.
    restored: bool,
    /// As QEMU boots it unless it is told otherwise.
    stock: bool,
}

/// Leaves `{"rows": [{"name", "stages": [{"name", "start_ms", "ms"}]}]}`.
///
/// # Errors
/// A task fails, or QEMU did not say what it was asked to.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    bed.data.load(POINTS)?;
    let mut rows = Vec::new();
    for way in &WAYS {
        let stages = stage(&format!("starts, {}", way.name), || one(way, bed, options.boots))?;
        rows.push(json!({"name": way.name, "stages": stages.iter().map(Stage::json).collect::<Vec<_>>()}));
    }
    leave(Part::Waterfall, json!({ "rows": rows, "boots": options.boots }))
}

fn one(way: &Way, bed: &Bed, starts: usize) -> Result<Vec<Stage>> {
    let node = Node::make(Programs::of("release"), &bed.folder().join(format!("waterfall-{}", way.name)))?;
    node.set("kind", "\"qemu-tcg\"")?;
    if way.restored {
        node.set("dormant_memory_mib", "0")?;
    } else {
        node.set_cold()?;
    }
    let next = if way.stock {
        stock::program(&node)?.display().to_string()
    } else {
        "qemu-system-x86_64".to_owned()
    };
    let said = Said::by(&node, &next)?;
    let node = node.started(&bed.images, &bed.data.influx)?;
    let task = || Task { points: POINTS, memory_mib: MEMORY_MIB }.run(&node);
    // The first makes what later ones find; after the second one like it is saved, if that is wanted.
    task()?;
    task()?;
    if way.restored {
        node.wait_for_snapshot()?;
    }
    said.lines();
    let mut measured = Vec::new();
    for _ in 0..starts {
        let document = task()?;
        let [boot] = milliseconds(&[document], "boot")[..] else { bail!("a result without its boot") };
        let lines = said.lines();
        measured.push(Start::read(&lines)?.stages(boot)?);
    }
    stages::medians(&measured)
}

/// What QEMU says.
struct Said {
    fifo: PathBuf,
    lines: Receiver<String>,
}

impl Said {
    /// Puts a program in front of the QEMU of a node that has not been started.
    fn by(node: &Node, next: &str) -> Result<Self> {
        let (program, fifo) = (node.folder().join("traced-qemu"), node.folder().join("trace"));
        node.set("qemu", &format!("{:?}", program.display().to_string()))?;
        fs::create_dir_all(node.folder())?;
        let made = Command::new("mkfifo").arg(&fifo).status().context("start mkfifo")?;
        if !made.success() {
            bail!("mkfifo {} ended with {made}", fifo.display());
        }
        fs::write(&program, script(&fifo, next)).with_context(|| format!("write {}", program.display()))?;
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
        // Both ends, so that it is never at its end.
        let read = fs::File::options().read(true).write(true).open(&fifo)?;
        let (to, lines) = channel();
        thread::spawn(move || {
            for line in BufReader::new(read).lines().map_while(Result::ok) {
                if line == OVER.trim_end() || to.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { fifo, lines })
    }

    /// All that was said since the last time.
    fn lines(&self) -> Vec<String> {
        // QEMU writes each line at once; this is for the thread between.
        thread::sleep(Duration::from_millis(100));
        self.lines.try_iter().collect()
    }
}

impl Drop for Said {
    fn drop(&mut self) {
        if let Ok(mut fifo) = fs::File::options().write(true).open(&self.fifo) {
            let _ = fifo.write_all(OVER.as_bytes());
        }
    }
}

fn script(fifo: &Path, next: &str) -> String {
    let fifo = fifo.display();
    let traces: String = stages::EVENTS.iter().map(|event| format!(" -trace {event}")).collect();
    format!(
        "#!/bin/bash\n\
         case \" $*\" in *\" guest=fades:\"*\":dmf-\"*) ;; *) exec {next} \"$@\" ;; esac\n\
         echo \"$$@$EPOCHREALTIME:start\" > '{fifo}'\n\
         exec {next} -msg timestamp=on{traces} -D '{fifo}' \"$@\"\n"
    )
}
