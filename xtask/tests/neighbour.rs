//! What a hostile function costs an honest neighbour of it: how long its task takes, beside how long it takes with a function in the other's
//! place that stands still. It is printed and nothing is asserted of it, as no test is timed.
//!
//! `FADES_RUNS` says how often each is run, in turn: the medians are compared. `cargo xtask torture` says it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::time::Duration;

use common::outside::{on_xen, patience_ms};
use common::service::{Ask, Service};
use common::{Bed, COLD};
use serde_json::{Value, json};
use xtask::images;

/// Readings, a fifth of which a task has.
const POINTS: u64 = 1_000_000;
/// Honest tasks in a run.
const TASKS: usize = 5;
/// Longer than the honest tasks of a run take.
const WHILE_MS: u32 = 120_000;

/// Honest tasks, one after another, beside another one of this image and these parameters, which is ended afterwards: µs as their results tell
/// them.
fn beside(bed: &Bed, service: &Service, image: &str, parameters: Value, still: bool) -> Vec<u64> {
    let other = Ask {
        image: bed.node().image(image).unwrap(),
        parameters,
        timeout_ms: patience_ms(WHILE_MS),
        ..Ask::of(bed)
    };
    let other = service.ask(&other);
    let begun = if image == "hostile" { "starting" } else { "streaming" };
    service.until(&other, Duration::from_secs(30), |task| task["state"] == begun);
    // It boots, or has its first batch; then it computes until it is known to.
    std::thread::sleep(Duration::from_secs(4));
    if still {
        bed.functions().into_iter().for_each(|function| bed.stop_guest(function));
    }
    let honest = (0..TASKS).map(|_| {
        let id = service.ask(&Ask::of(bed));
        let end = service.end(&id, Duration::from_secs(120));
        assert_eq!(end["state"], "succeeded", "{end}");
        let (_, result) = service.get(&format!("/v1/tasks/{id}/result")).unwrap();
        let result: Value = serde_json::from_str(&result).unwrap();
        result["timings_us"]["total"].as_u64().unwrap()
    });
    let honest = honest.collect();
    let key = bed.node().key();
    bed.node().fades(&["task", "cancel", &other, "--key", key.to_str().unwrap()]).unwrap();
    let end = service.end(&other, Duration::from_secs(20));
    assert_eq!(end["state"], "cancelled", "{image}: {end}");
    honest
}

fn median(mut all: Vec<u64>) -> f64 {
    all.sort_unstable();
    all[all.len() / 2] as f64
}

#[test]
fn what_a_hostile_function_costs_an_honest_neighbour() {
    if on_xen() {
        eprintln!("skipped: what a Xen host gives its domains is its scheduler's affair");
        return;
    }
    let Ok(runs) = std::env::var("FADES_RUNS") else {
        eprintln!("skipped: a figure; FADES_RUNS says how often, and `cargo xtask torture` asks for it");
        return;
    };
    let runs: usize = runs.parse().unwrap();
    let faulty = |mode: &str| ("faulty", json!({ "mode": mode, "millis": WHILE_MS }));
    let near = [("computes", faulty("loop")), ("rings", faulty("ring"))];
    let far = [("sends frames", ("hostile", json!({ "mode": "nothing" })))];
    let mut told = Vec::new();
    for (name, network_only, kinds) in [("near", "false", &near[..]), ("far", "true", &far[..])] {
        let settings = [("network_only", network_only), COLD];
        let bed = Bed::with(&format!("neighbour-{name}"), POINTS, &settings);
        bed.add_faulty();
        bed.node().allow(&images::hostile().unwrap(), "hostile").unwrap();
        let service = Service::of(bed.node());
        let mut took: Vec<Vec<u64>> = vec![Vec::new(); kinds.len() + 1];
        // The first of all is not counted: what is saved of functions is saved then.
        for run in 0..=runs {
            let still = ("stands still", faulty("slow"));
            for (at, (_, (image, parameters))) in [&still].into_iter().chain(kinds).enumerate() {
                let one = beside(&bed, &service, image, parameters.clone(), at == 0);
                if run > 0 {
                    took[at].extend(one);
                }
            }
        }
        let mut medians = took.into_iter().map(median);
        let still = medians.next().unwrap();
        for ((what, _), one) in kinds.iter().zip(medians) {
            told.push(format!("{:.2} of its throughput beside one that {what}", still / one));
        }
    }
    println!("tried: {} | {}", runs * TASKS * (near.len() + far.len()), told.join(", "));
}
