//! Tasks without a pause, for as long as one likes: what the node holds must not grow with how many it has served.
//!
//! `FADES_SECONDS=3600 cargo test --locked -p xtask --test soak -- --nocapture` is an hour of it.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::outside::{children, guests, on_xen};
use common::service::{Ask, Service};
use common::{Bed, COLD};
use serde_json::json;

/// Tasks under way at once.
const SIDE_BY_SIDE: usize = 3;
/// Without more words; an hour in the long form.
const SECONDS: u64 = 40;

/// What is looked at, and how much more of it at the end is no growth: a share, and so many.
const MEASURES: [(&str, f64, f64); 8] = [
    ("memory of fadesd, KiB", 0.10, 2048.0),
    ("memory of the broker, KiB", 0.10, 2048.0),
    ("file descriptors", 0.0, 8.0),
    ("of them sockets", 0.0, 8.0),
    ("threads", 0.0, 8.0),
    ("processes", 0.0, 4.0),
    ("disk, KiB", 0.25, 4096.0),
    ("files in the folder", 0.0, 4.0),
];

#[test]
fn nothing_grows_with_the_tasks_that_were_served() {
    if on_xen() {
        eprintln!("skipped: domains are no processes");
        return;
    }
    let seconds = std::env::var("FADES_SECONDS").map_or(SECONDS, |text| text.parse().unwrap());
    // So little is kept that all of it is full long before the second half.
    let bed = Bed::with("soak", 2_500, &[("keep.finished_tasks", "20\nevents = 200\nrefusals = 10"), COLD]);
    bed.add_faulty();
    let service = Service::of(bed.node());
    let (right, window) = (Ask::of(&bed), bed.node().image("window").unwrap());
    let wrong = Ask { image: window, parameters: json!({ "every": "banana" }), ..right.clone() };
    let looping = Ask {
        image: bed.node().image("faulty").unwrap(),
        parameters: json!({ "mode": "panic", "after": 100 }),
        ..right.clone()
    };
    let (over, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let samples: Mutex<Vec<[f64; 8]>> = Mutex::default();
    let daemon = bed.node().pid().unwrap();
    let (broker, _) = guests(bed.node()).remove(0);
    let started = Instant::now();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                while !over.load(Ordering::Relaxed) {
                    let number = served.fetch_add(1, Ordering::Relaxed);
                    let (ask, state) = match number % 8 {
                        3 => (&wrong, "failed"),
                        6 => (&looping, "failed"),
                        _ => (&right, "succeeded"),
                    };
                    let task = service.end(&service.ask(ask), Duration::from_secs(60));
                    assert_eq!(task["state"], state, "{task}");
                }
            });
        }
        let beat = Duration::from_millis((seconds * 10).clamp(200, 5000));
        while started.elapsed() < Duration::from_secs(seconds) {
            thread::sleep(beat);
            samples.lock().unwrap().push(sample(daemon, broker, bed.node().folder()));
        }
        over.store(true, Ordering::Relaxed);
    });
    let (samples, hours) = (samples.into_inner().unwrap(), started.elapsed().as_secs_f64() / 3600.0);
    assert_eq!(guests(bed.node()).remove(0).0, broker, "one broker served all");
    let (mut words, mut grown) = (Vec::new(), Vec::new());
    for (at, (name, share, some)) in MEASURES.into_iter().enumerate() {
        let of = |part: &[[f64; 8]]| median(part.iter().map(|sample| sample[at]).collect());
        // The first quarter warms up.
        let quarter = samples.len() / 4;
        let (before, after) = (of(&samples[quarter..2 * quarter]), of(&samples[3 * quarter..]));
        words.push(format!(
            "{name} {before:.0} to {after:.0} ({:+.0} an hour)",
            (after - before) / (hours / 2.0)
        ));
        if after > before + before * share + some {
            grown.push(format!("{name}: {before} to {after}"));
        }
    }
    println!("tried: {} | tasks in {:.0?}: {}", served.into_inner(), started.elapsed(), words.join(", "));
    assert_eq!(grown, Vec::<String>::new());
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// What a node has now, in the order of [`MEASURES`].
#[expect(clippy::cast_precision_loss, reason = "counts that are far from 2^52")]
fn sample(daemon: u32, broker: u32, folder: &Path) -> [f64; 8] {
    let status = |pid: u32, key: &str| {
        let text = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(key)).unwrap();
        line.split_whitespace().next().unwrap().parse::<f64>().unwrap()
    };
    let open: Vec<_> = fs::read_dir(format!("/proc/{daemon}/fd")).unwrap().flatten().collect();
    let leads_to = |path: &Path| fs::read_link(path).unwrap_or_default();
    let sockets = open.iter().filter(|fd| leads_to(&fd.path()).to_string_lossy().starts_with("socket:"));
    let files: Vec<_> = fs::read_dir(folder).unwrap().flatten().collect();
    // What this test has it log is the test's.
    let stored = files.iter().filter(|file| file.file_name().to_string_lossy().starts_with("store."));
    let bytes: u64 = stored.map(|file| file.metadata().map_or(0, |meta| meta.len())).sum();
    [
        status(daemon, "VmRSS:"),
        status(broker, "VmRSS:"),
        open.len() as f64,
        sockets.count() as f64,
        status(daemon, "Threads:"),
        children(daemon).len() as f64,
        (bytes >> 10) as f64,
        files.len() as f64,
    ]
}
