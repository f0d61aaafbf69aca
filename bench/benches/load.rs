//! Honest wrappers at a rate, each on disk before its 202, beside a flood of wrappers under the same key whose signatures are bad:
//! how late the honest are answered, and whether one that was accepted is lost. Node, services and attackers share this machine, and
//! no limit of rates stands before the signatures, which is the worst that a flood can do.
//!
//! `cargo bench --locked --package fades-bench --bench load -- SECONDS HONEST BAD`, both a second; without words a small one.
//!
//! An honest one that is late keeps its place in the schedule: its wait is counted from when it was due.
#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "a program that measures fails by panicking, and prints"
)]

#[path = "figures/node.rs"]
mod node;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use node::{BenchNode, Connection};

/// Connections of honest services.
const HONEST: u32 = 64;
/// Connections of attackers.
const BAD: usize = 16;
/// Bad ones that an attacker sends before it reads what they gave.
const AT_ONCE: usize = 16;

fn main() {
    // Cargo adds a word of its own.
    let words = std::env::args().skip(1).filter(|word| !word.starts_with("--"));
    let words: Vec<u64> = words.map(|word| word.parse().unwrap()).collect();
    let [seconds, honest, bad] = if words.is_empty() { [5, 1_000, 2_000] } else { words.try_into().unwrap() };
    let node = BenchNode::start();
    let each = honest * seconds / u64::from(HONEST);
    println!("signs {} wrappers", each * u64::from(HONEST));
    let wrappers: Vec<Vec<Vec<u8>>> = (0..HONEST).map(|_| node.wrappers(each)).collect();
    let (stop, refused) = (AtomicBool::new(false), AtomicU64::new(0));
    let start = Instant::now();
    let mut waits: Vec<Duration> = thread::scope(|scope| {
        let attackers: Vec<_> = (0..BAD)
            .map(|_| scope.spawn(|| flood(&node, bad as f64 / BAD as f64, &stop, &refused)))
            .collect();
        let services = (0..HONEST).zip(&wrappers).map(|(place, requests)| {
            let node = &node;
            let beat = Duration::from_secs_f64(1.0 / honest as f64);
            scope.spawn(move || serve(node, requests, start + beat * place, beat * HONEST))
        });
        let services: Vec<_> = services.collect();
        let waits = services.into_iter().flat_map(|service| service.join().unwrap()).collect();
        stop.store(true, Ordering::Relaxed);
        attackers.into_iter().for_each(|attacker| attacker.join().unwrap());
        waits
    });
    let took = start.elapsed().as_secs_f64();
    waits.sort();
    let at = |hundredth: usize| waits[(waits.len() * hundredth / 100).min(waits.len() - 1)];
    let rate = |count: u64| count as f64 / took;
    println!(
        "accepted {} ({:.0}/s), refused {} ({:.0}/s), waits: median {:.1?}, p99 {:.1?}, longest {:.1?}",
        waits.len(),
        rate(waits.len() as u64),
        refused.load(Ordering::Relaxed),
        rate(refused.load(Ordering::Relaxed)),
        at(50),
        at(99),
        waits[waits.len() - 1]
    );
    let kept = node.kept();
    println!("lost: {}", waits.len() as u64 - kept);
    assert_eq!(kept, waits.len() as u64, "tasks that were accepted and are in the store");
}

/// Posts each when it is due; how long after that each was answered.
fn serve(node: &BenchNode, requests: &[Vec<u8>], mut due: Instant, beat: Duration) -> Vec<Duration> {
    let mut connection = Connection::open(node);
    let mut waits = Vec::with_capacity(requests.len());
    for request in requests {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        connection.post_all(std::slice::from_ref(request));
        waits.push(due.elapsed());
        due += beat;
    }
    waits
}

/// Posts what has a bad signature, so many a second, until it is told to stop.
fn flood(node: &BenchNode, rate: f64, stop: &AtomicBool, refused: &AtomicU64) {
    if rate == 0.0 {
        return;
    }
    let mut connection = Connection::open(node);
    let mut bad = node.wrappers(1).remove(0);
    *bad.last_mut().unwrap() ^= 1;
    let (batch, beat) = (bad.repeat(AT_ONCE), Duration::from_secs_f64(AT_ONCE as f64 / rate));
    let mut due = Instant::now();
    while !stop.load(Ordering::Relaxed) {
        thread::sleep(due.saturating_duration_since(Instant::now()));
        connection.post_refused(&batch, AT_ONCE);
        refused.fetch_add(AT_ONCE as u64, Ordering::Relaxed);
        // What it is late, it does not make up for.
        due = (due + beat).max(Instant::now() - beat);
    }
}
