//! How long a function takes to be ready and where a task's time goes: on every backend that is here, as a unikernel and as a
//! Linux guest that the same monitor boots.
//!
//! Daemon, broker, network and source are the same for all of them. A backend without a guest of either kind (QEMU's
//! translator inside an emulated machine takes longer for Linux than the node waits) has the reason in its place.

use anyhow::Result;
use serde_json::Value;

use super::super::task::Task;
use super::bed::{Bed, Kind};
use super::report::{Figures, Report};
use super::{Options, Part, backends, leave};
use crate::stage::stage;

/// Points of the tasks of which only the boot counts.
const FEW: u64 = 4096;
/// Of those of which all counts, MiB.
const MIB: f64 = 16.0;

/// Measures and prints a table.
///
/// # Errors
/// The unikernel does not do its task on the first backend: then there is nothing to compare with.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    let points = options.payloads(&[MIB], 1)[0];
    stage("points", || bed.data.load(points.max(FEW)))?;
    let mut report = Report::new(options, points);
    for backend in backends(options) {
        for kind in [Kind::Unikernel, Kind::ByNetwork, Kind::Linux] {
            let name = format!("{} on {backend}", kind.name());
            let measured = stage(&name, || measure(options, points, &backend, kind, bed));
            report.add(&backend, kind, measured.map_err(|error| error.root_cause().to_string()));
            // What was measured is kept, whatever becomes of the rest.
            leave(Part::Boot, report.json())?;
        }
    }
    report.print();
    report.first()
}

fn measure(options: &Options, points: u64, backend: &str, kind: Kind, bed: &Bed) -> Result<Figures> {
    let ready = bed.node(backend, kind)?;
    let run = |points: u64| Task { points, memory_mib: kind.memory_mib() }.run(&ready.node);
    let run_all = |count: usize, points: u64| (0..count).map(|_| run(points)).collect::<Result<Vec<Value>>>();
    let all = || {
        // The first makes what later ones find: caches of files, of the source, of the broker.
        run(FEW)?;
        Ok(Figures { boots: run_all(options.boots, FEW)?, tasks: run_all(options.tasks, points)? })
    };
    ready.telling(all())
}
