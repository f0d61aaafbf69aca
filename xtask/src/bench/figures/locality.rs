//! Data locality: a service behind a thin link asks for an aggregate. Either the task runs at the edge, and the link carries a
//! wrapper and a result; or the points are pulled through the link and reduced where the service is, by a plain process.

use anyhow::{Result, bail};
use serde_json::{Value, json};

use super::super::{median, plain, timed};
use super::ask::{Ask, counted};
use super::bed::{Bed, Kind};
use super::relay::{Rates, Relay};
use super::{Options, Part, backends, leave, mib_of, tenths};
use crate::stage::stage;

/// Points, MiB; the first two with `--quick`. So few, as a MiB takes a quarter of a minute to pull.
const PAYLOADS: [f64; 5] = [0.25, 0.5, 1.0, 2.0, 4.0];
const QUICK: usize = 2;
/// The paper's link, seen from the edge: what comes and what leaves, Mbit/s.
const DOWN: f64 = 45.38;
const UP: f64 = 0.574;

/// Both ways for each payload, on the backend that is this machine's.
///
/// # Errors
/// A task fails, or has another count than it should.
pub(super) fn run(options: &Options, bed: &mut Bed) -> Result<()> {
    let backend = backends(options).remove(0);
    let payloads = options.payloads(&PAYLOADS, QUICK);
    payloads.iter().try_for_each(|points| bed.data.load(*points))?;
    let ready = bed.node(&backend, Kind::Unikernel)?;
    let rates = Rates::megabits(UP, DOWN);
    let port = ready.node.url().rsplit(':').next().and_then(|port| port.parse().ok());
    let Some(port) = port else { bail!("{} has no port", ready.node.url()) };
    let to_node = Relay::start(port, rates)?;
    let to_source = Relay::start(bed.data.influx.port(), rates)?;
    let ask = |points: u64, url: &str| {
        let document = Ask::stats(points, Kind::Unikernel.memory_mib()).run(&ready.node, url)?;
        if counted(&document) != points {
            bail!("{} points were reduced instead of {points}", counted(&document));
        }
        Ok(())
    };
    // The first makes what later ones find.
    ask(payloads[0], &ready.node.url())?;
    let mut rows: Vec<Value> = Vec::new();
    for points in payloads {
        let at_the_edge = stage(&format!("{} MiB at the edge", mib_of(points)), || {
            let ended = ready.telling(many(options.tasks, &to_node, || ask(points, &to_node.url())));
            ended.map(|ended| ended.json())
        })?;
        // Its time is the link's: one is as good as many.
        let pulled = stage(&format!("{} MiB pulled", mib_of(points)), || {
            many(1, &to_source, || plain::run(to_source.port(), points)).map(|ended| ended.json())
        })?;
        let row = json!({"mib": mib_of(points), "edge": at_the_edge, "pulled": pulled});
        eprintln!("   {row}");
        rows.push(row);
        let document = json!({"backend": backend, "tasks": options.tasks, "up_mbit_s": UP, "down_mbit_s": DOWN, "rows": rows});
        leave(Part::Locality, document)?;
    }
    Ok(())
}

/// What one way cost.
struct Cost {
    ms: f64,
    up: u64,
    down: u64,
}

impl Cost {
    fn json(&self) -> Value {
        json!({"ms": tenths(self.ms), "up_bytes": self.up, "down_bytes": self.down})
    }
}

/// The median time of so many, and the bytes of one.
fn many(count: usize, relay: &Relay, mut work: impl FnMut() -> Result<()>) -> Result<Cost> {
    let before = relay.carried();
    let took = (0..count).map(|_| timed(&mut work)).collect::<Result<Vec<_>>>()?;
    let (up, down) = relay.carried();
    let each = |after: u64, before: u64| (after - before) / count as u64;
    Ok(Cost { ms: median(took).unwrap_or(f64::NAN), up: each(up, before.0), down: each(down, before.1) })
}
