//! The daemon's core in a simulated world: broker, functions, sources, services, disk and clocks, and every fault that these have, from one seed.
//!
//! ```text
//! seed ──> dice ──> weather (what will go wrong)
//!                      │
//!   services ──> door ─┴> shell ──> engine ──> effects ──> disk (what is durable) · machines (what really runs)
//!                          ^                                 │                          │
//!                          └──────────── messages, late or lost, and the end of waiting ┘
//! ```
//! One thread, one line of events (`outside.rs`), no clock and no randomness but the seed's: the same seed tells the same story, byte for
//! byte. The engine and admission are the daemon's own; what is around them (`shell`, `lines`, `door`, `tables`) is a model of the daemon's, as small as
//! it can be and in the same order. Each law (`laws.rs`) is a sentence and a function. `mutation.rs` puts faults into the model, and each has to be noticed.
//!
//! `FADES_SEEDS=10000 cargo test --locked -p fades-core --test simulation -- --nocapture whatever` tells ten thousand; `FADES_SEED=7` begins with seed 7, and with
//! `FADES_SEEDS=1` tells it alone; `FADES_TRACE=1` prints every line of it. What it found so far is in `SIMULATION.md`.

mod books;
mod dice;
mod disk;
mod door;
mod faults;
mod functions;
mod laws;
mod lines;
mod machines;
mod mutation;
mod outside;
mod services;
mod shell;
mod steps;
mod tables;
mod trace;
mod weather;
mod wires;
mod world;
mod wrappers;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};

use mutation::Mutation;
use world::{Ended, tell};

fn number(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(otherwise)
}

/// Tells a story; a broken law ends the test in words.
fn told(seed: u64) -> Ended {
    let again = format!(
        "again: FADES_SEED={seed} FADES_SEEDS=1 FADES_TRACE=1 cargo test --locked -p fades-core --test simulation -- --nocapture whatever"
    );
    let ended = catch_unwind(AssertUnwindSafe(|| tell(seed, None)));
    let Ok(ended) = ended else { panic!("seed {seed} panics\n{again}") };
    if let Some(broken) = &ended.broken {
        panic!("seed {seed} breaks {}:{}\n{}\n{}{again}", broken.law, broken.words, broken.why, ended.tail);
    }
    ended
}

#[test]
fn whatever_befalls_the_daemon_its_laws_hold() {
    let (first, count) = (number("FADES_SEED", 1), number("FADES_SEEDS", 300));
    let (mut events, mut seen) = (0, BTreeMap::<String, u64>::new());
    for seed in first..first.saturating_add(count) {
        let ended = told(seed);
        events += ended.events;
        ended.seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
    }
    println!(
        "tried: {count} | from seed {first}, {} laws, {} events each",
        laws::COUNT,
        events / count.max(1)
    );
}

/// Laws that are never put to the test hold easily.
#[test]
fn the_seeds_reach_every_kind_of_trouble() {
    let mut seen = BTreeMap::<String, u64>::new();
    for seed in 1..=600 {
        told(seed).seen.into_iter().for_each(|(what, times)| *seen.entry(what).or_default() += times);
    }
    let often = [
        ("told accepted", 3000),
        ("succeeded", 1000),
        ("period done", 1000),
        ("cancelled", 50),
        ("expired", 50),
        ("crash", 150),
        ("disk full", 100),
        ("disk nearly full", 100),
        ("disk slow", 100),
        ("clock ten years back", 20),
        ("clock ten years ahead", 20),
        ("clock jumps", 100),
        ("images change", 100),
        ("source goes or comes", 100),
        ("limits change", 50),
        ("refused CLOCK_WENT_BACK", 100),
        ("refused STORE_WRITE_FAILED", 100),
        ("refused TASK_ID_REUSED", 50),
        ("refused EXPIRED", 50),
        ("refused TOO_MANY_TASKS", 1),
    ];
    for (what, least) in often {
        let times = seen.get(what).copied().unwrap_or(0);
        assert!(times >= least, "{what} {times} times, not {least}: {seen:?}");
    }
    let failures = [
        "BROKER_DIED",
        "FUNCTION_FAILED",
        "GUEST_BOOT_TIMED_OUT",
        "GUEST_CONTROL_LOST",
        "GUEST_EXITED",
        "GUEST_OUT_OF_MEMORY",
        "GUEST_PANICKED",
        "GUEST_PROTOCOL",
        "GUEST_START_FAILED",
        "GUEST_TIMED_OUT",
        "NODE_RESTARTED",
        "RESULT_BEFORE_INPUT",
        "RESULT_NOT_JSON",
        "RESULT_TOO_LARGE",
        "SOURCE_STATUS",
        "SOURCE_UNKNOWN",
        "SUMMARIES_DIFFER",
    ];
    for code in failures {
        let times: u64 = [code, &format!("period {code}")].iter().filter_map(|what| seen.get(*what)).sum();
        assert!(times > 0, "nothing ends with {code}: {seen:?}");
    }
}

#[test]
fn the_same_seed_tells_the_same_story() {
    let hashes = |seed: u64| tell(seed, None).hash;
    let all: Vec<u64> = (1..=20).map(hashes).collect();
    assert_eq!(all, (1..=20).map(hashes).collect::<Vec<_>>());
    let mut different = all.clone();
    different.sort_unstable();
    different.dedup();
    assert_eq!(different.len(), all.len(), "each seed has a story of its own");
}

#[test]
fn every_fault_that_is_put_in_is_noticed() {
    let mut unnoticed = Vec::new();
    for mutation in Mutation::ALL {
        let found = (1..=300).find_map(|seed| {
            let broken = tell(seed, Some(mutation)).broken?;
            Some((seed, broken.law))
        });
        match found {
            Some((seed, law)) => println!("{mutation:?}: seed {seed}, {law}"),
            None => unnoticed.push(mutation),
        }
    }
    assert!(unnoticed.is_empty(), "nothing notices {unnoticed:?}");
}
