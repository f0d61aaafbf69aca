//! Many tasks at once, and many points in one: each takes what it was given, and no more.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;
#[path = "common/driver.rs"]
mod driver;

use std::collections::BTreeSet;
use std::fs;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::outside::{on_xen, patience, patience_ms};
use common::service::{Ask, Service};
use common::{Bed, COLD, guests};
use driver::Driver;
use fades_wire::batch::MAX_POINTS_PER_BATCH;
use fades_wire::data::{Series, Tag};
use serde_json::{Value, json};
use xtask::images::Images;
use xtask::testbed::generator::{CLASSES, START_NS};

/// How many tasks run at the same time at least.
const AT_ONCE: usize = 4;

#[test]
fn twelve_tasks_share_a_broker_and_run_at_the_same_time() {
    let bed = Bed::start("twelve", 400_000);
    let service = Service::of(bed.node());
    let broker = guests(bed.node()).remove(0);
    let asked: Vec<(String, &str)> = (0..12)
        .map(|number| {
            let measurement = CLASSES[number % CLASSES.len()].0;
            (service.ask(&Ask { measurement: measurement.to_owned(), ..Ask::of(&bed) }), measurement)
        })
        .collect();
    let (mut functions, mut reading, mut seen) = (0, 0, BTreeSet::new());
    let deadline = Instant::now() + Duration::from_secs(90);
    loop {
        let alive: Vec<u32> = guests(bed.node())
            .iter()
            .filter(|(_, line)| line.contains("dmf-"))
            .map(|(pid, _)| *pid)
            .collect();
        functions = functions.max(alive.len());
        seen.extend(alive);
        // With points on their way, so that the guests do not merely boot beside each other.
        let list: Value = serde_json::from_str(&service.get("/v1/tasks?state=streaming").unwrap().1).unwrap();
        let points = |task: &&Value| task["progress"]["points"].as_u64().is_some_and(|points| points > 0);
        reading = reading.max(list["tasks"].as_array().unwrap().iter().filter(points).count());
        let tasks: Vec<Value> = asked.iter().map(|(id, _)| service.task(id)).collect();
        assert!(tasks.iter().all(|task| task["state"] != "failed"), "{tasks:#?}");
        if tasks.iter().all(|task| task["state"] == "succeeded") {
            break;
        }
        assert!(Instant::now() < deadline, "{tasks:#?}");
        std::thread::sleep(Duration::from_millis(5));
    }
    eprintln!("at most {functions} functions at once, {reading} of them with points under way");
    assert!(functions >= AT_ONCE && reading >= AT_ONCE, "{functions} functions, {reading} reading");
    // The limit of the node's settings: the broker and six.
    assert!(functions <= 6, "{functions} functions at once");
    assert!(seen.len() <= 12, "{} functions for 12 tasks", seen.len());
    assert_eq!(guests(bed.node()), [broker], "one broker served all, and nothing else is left");
    for (id, measurement) in &asked {
        let task = service.task(id);
        assert_eq!(task["attempts"], 1, "{task}");
        let result = service.result(id);
        let query = format!("SELECT COUNT(value), SUM(value) FROM {measurement} GROUP BY room");
        let influx = bed.influx().query(&query).unwrap();
        for (group, series) in result["groups"].as_array().unwrap().iter().zip(influx.as_array().unwrap()) {
            assert_eq!(group["tags"], series["tags"]);
            assert_eq!(group["count"], series["values"][0][1]);
            close("sum", group["sum"].as_f64().unwrap(), series["values"][0][2].as_f64().unwrap());
        }
        assert_eq!(result["groups"].as_array().unwrap().len(), 5);
    }
}

#[test]
fn twenty_tasks_go_four_at_a_time_where_a_node_has_room_for_four() {
    // The broker and four.
    let guests_at_once = (AT_ONCE + 1).to_string();
    let bed = Bed::with("twenty", 10_000, &[("guests", &guests_at_once), COLD]);
    let service = Service::of(bed.node());
    let broker = bed.broker();
    let ids: Vec<(String, &str)> = (0..20)
        .map(|number| {
            let measurement = CLASSES[number % CLASSES.len()].0;
            (service.ask(&Ask { measurement: measurement.to_owned(), ..Ask::of(&bed) }), measurement)
        })
        .collect();
    let (mut together, mut under_way, deadline) = (0, 0, Instant::now() + Duration::from_secs(300));
    // Guests are built before they are seen, on Xen one after another, and are gone from sight before they are gone.
    let count = || {
        let (_, list) = service.get("/v1/tasks").unwrap();
        let list: Value = serde_json::from_str(&list).unwrap();
        let states = list["tasks"].as_array().unwrap().iter().filter_map(|task| task["state"].as_str());
        states.filter(|state| ["starting", "streaming", "computing"].contains(state)).count()
    };
    let mut waiting = ids.iter();
    let mut next = waiting.next();
    while let Some((id, _)) = next {
        together = together.max(bed.functions().len());
        under_way = under_way.max(count());
        let task = service.task(id);
        assert!(task["state"] != "failed" && Instant::now() < deadline, "{task}");
        if task["state"] == "succeeded" {
            next = waiting.next();
        } else {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    assert_eq!(under_way, AT_ONCE, "tasks under way at once");
    assert!(
        if on_xen() { (2..=AT_ONCE).contains(&together) } else { together == AT_ONCE },
        "{together} functions"
    );
    for (id, measurement) in &ids {
        assert_eq!(service.task(id)["attempts"], 1, "{id}");
        let first = ids.iter().find(|(_, other)| other == measurement).unwrap();
        let (result, of_the_first) = (service.result(id), service.result(&first.0));
        assert_eq!(result, of_the_first, "one question, one answer");
        let count: u64 =
            result["groups"].as_array().unwrap().iter().map(|group| group["count"].as_u64().unwrap()).sum();
        assert_eq!(count, 10_000 / CLASSES.len() as u64, "{result}");
    }
    assert_eq!(
        (bed.broker(), bed.functions()),
        (broker, Vec::new()),
        "one broker served all, and nothing else is left"
    );
}

/// Tasks that have almost nothing to do, and how many of them are under way at once.
const SMALL: usize = 100;
const SIDE_BY_SIDE: usize = 4;
/// From the start of a small task to its end. One takes a quarter of a second here; a guest that slept through what should
/// have woken it takes 10 s more.
const SMALL_WITHIN: Duration = Duration::from_secs(5);

/// Guards against guests that sleep through a wake-up: one function in some dozen was 10 s late, as its kernel had lost a
/// thread that had just been started (`images/kernel/patches/0019`). It takes many short lives to meet such a thing.
#[test]
fn a_hundred_small_tasks_and_none_is_late() {
    let bed = Bed::with("hundred", 2_500, &[]);
    let service = Service::of(bed.node());
    let right = Ask::of(&bed);
    let image = bed.node().image("window").unwrap();
    let refused = Ask { image, parameters: json!({"every": "banana"}), ..right.clone() };
    let next = AtomicUsize::new(0);
    let took: Mutex<Vec<Duration>> = Mutex::default();
    let started = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= SMALL {
                        break;
                    }
                    // Every other one ends before it has taken a single point.
                    let (ask, state) =
                        if number.is_multiple_of(2) { (&right, "succeeded") } else { (&refused, "failed") };
                    let id = service.ask(ask);
                    let task = service.end(&id, Duration::from_secs(60));
                    assert_eq!((&task["state"], &task["attempts"]), (&state.into(), &1.into()), "{task}");
                    let events = service.events(&id);
                    let at =
                        |event: &Value| event["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
                    let start = events.iter().find(|event| event["state"] == "starting");
                    let start = at(start.unwrap_or_else(|| panic!("it never started: {events:#?}")));
                    let lasted = at(events.last().unwrap()).duration_since(start).unsigned_abs();
                    assert!(lasted < SMALL_WITHIN, "task {number} took {lasted:?}: {events:#?}");
                    took.lock().unwrap().push(lasted);
                }
            });
        }
    });
    let mut took = took.into_inner().unwrap();
    took.sort();
    assert_eq!(took.len(), SMALL);
    let (median, longest) = (took[SMALL / 2], took[SMALL - 1]);
    eprintln!("{SMALL} tasks in {:.1?}: median {median:.0?}, longest {longest:.0?}", started.elapsed());
}

/// Processor time of a process so far.
fn processor_time(pid: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks: u64 = [11, 12].iter().map(|at| fields[*at].parse::<u64>().unwrap()).sum();
    // Linux counts in hundredths of a second for whoever asks here.
    Duration::from_millis(ticks * 10)
}

/// The second task finds its function awake, which has cost no processor time meanwhile, and serves it and no other; with its
/// image it goes.
#[test]
fn a_task_like_one_before_finds_its_function_awake_and_it_slept() {
    if on_xen() {
        eprintln!("skipped: on Xen no function is started ahead");
        return;
    }
    let bed = Bed::with("awake", 25_000, &[]);
    let task = || {
        let (exit, document) = bed.submit_and_wait(&bed.wrapper("stats", "", 64, patience_ms(30_000)));
        assert_eq!(exit, 0, "{document}");
        document["timings_us"]["boot"].as_u64().unwrap()
    };
    let functions = || guests(bed.node()).into_iter().filter(|(_, line)| line.contains(":dmf-"));
    let only = |unlike: u32| {
        let until = Instant::now() + patience(Duration::from_secs(20));
        loop {
            let found: Vec<(u32, String)> = functions().collect();
            if let [(pid, _)] = &found[..]
                && *pid != unlike
            {
                return *pid;
            }
            assert!(Instant::now() < until, "{found:#?}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    let cold = task();
    assert!(cold > 1000, "{cold} µs are no boot");
    let first = only(0);
    // It boots, and then it sleeps.
    std::thread::sleep(patience(Duration::from_secs(2)));
    let before = processor_time(first);
    std::thread::sleep(Duration::from_secs(3));
    let spent = processor_time(first) - before;
    assert!(spent <= Duration::from_millis(60), "who waits has spent {spent:?} in 3 s");
    let warm = task();
    assert!(0 < warm && warm < cold, "woken in {warm} µs, booted in {cold}");
    let second = only(first);
    assert_ne!(first, second, "each serves one task");
    // Another one sleeps on while the broker is replaced, and serves a task of the next one's.
    let broker = bed.broker();
    bed.end_guest(broker);
    let until = Instant::now() + patience(Duration::from_secs(20));
    let next = |(pid, line): &(u32, String)| *pid != broker && line.contains(":drb-");
    while !guests(bed.node()).iter().any(next) {
        assert!(Instant::now() < until, "no broker has come");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert_eq!(only(first), second);
    task();
    only(second);
    bed.node().fades(&["image", "rm", &bed.node().image("stats").unwrap()]).unwrap();
    let until = Instant::now() + patience(Duration::from_secs(5));
    while functions().count() > 0 {
        assert!(Instant::now() < until, "a function outlived its image");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Points of the long stream, in five series.
const POINTS: u64 = 50_000_000;
const SERIES: u32 = 5;
/// Memory of the function that reduces them.
const MEMORY_MIB: u32 = 64;
/// Blocks of values that are used over and over, each with its exact sums.
const BLOCKS: usize = 61;

/// A chunk's worth of values, in thousandths, so that their sums are whole numbers.
struct Block {
    body: Vec<u8>,
    sum: i128,
    squares: i128,
    low: i64,
    high: i64,
}

impl Block {
    fn new(random: &mut u64) -> Self {
        let values: Vec<i64> = (0..MAX_POINTS_PER_BATCH)
            .map(|_| {
                *random =
                    random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                i64::try_from(*random >> 47).unwrap() - 40_000
            })
            .collect();
        let mut body = vec![0; 8 + 8 * values.len()];
        #[expect(clippy::cast_precision_loss, reason = "17 bits")]
        body.extend(values.iter().flat_map(|value| (*value as f64 / 1000.0).to_le_bytes()));
        let wide = values.iter().map(|value| i128::from(*value));
        Self {
            body,
            sum: wide.clone().sum(),
            squares: wide.map(|value| value * value).sum(),
            low: *values.iter().min().unwrap(),
            high: *values.iter().max().unwrap(),
        }
    }

    /// The chunk of these values in a series, one point per millisecond from `first` on.
    fn chunk(&mut self, series: u32, first: i64) -> &[u8] {
        self.body[0..4].copy_from_slice(&series.to_le_bytes());
        self.body[4..8].copy_from_slice(&u32::try_from(MAX_POINTS_PER_BATCH).unwrap().to_le_bytes());
        let mut time = first;
        for word in self.body[8..8 + 8 * MAX_POINTS_PER_BATCH].as_chunks_mut::<8>().0 {
            *word = time.to_le_bytes();
            time += 1_000_000;
        }
        &self.body
    }
}

/// What the numbers of a series must be.
#[derive(Clone, Copy)]
struct Exact {
    count: i128,
    sum: i128,
    squares: i128,
    low: i64,
    high: i64,
}

#[test]
fn a_function_of_64_mib_reduces_fifty_million_points_without_growing() {
    let image = std::fs::read(Images::built().unwrap().file("stats")).unwrap();
    let mut driver = Driver::boot(&image, MEMORY_MIB);
    let mut stream = driver.run();
    let mut random = 2026;
    let mut blocks: Vec<Block> = (0..BLOCKS).map(|_| Block::new(&mut random)).collect();
    let mut exact = [Exact { count: 0, sum: 0, squares: 0, low: i64::MAX, high: i64::MIN }; SERIES as usize];
    let chunks = POINTS.div_ceil(MAX_POINTS_PER_BATCH as u64);
    let (started, mut asked) = (Instant::now(), Instant::now());
    // Heap of the function and memory of its process, with how much of the stream was sent.
    let mut seen: Vec<(u64, u64, u64)> = Vec::new();
    for number in 0..chunks {
        let series = u32::try_from(number * u64::from(SERIES) / chunks).unwrap();
        let exact = &mut exact[series as usize];
        if exact.count == 0 {
            let tags = vec![Tag { key: "room".into(), value: format!("r{series}").as_str().into() }];
            let (measurement, field) = ("temperature".to_owned(), "value".to_owned());
            stream.series(&Series { id: series, tags, measurement, field });
        }
        let block = &mut blocks[usize::try_from(number).unwrap() % BLOCKS];
        exact.sum += block.sum;
        exact.squares += block.squares;
        exact.low = exact.low.min(block.low);
        exact.high = exact.high.max(block.high);
        let first = START_NS + i64::try_from(exact.count).unwrap() * 1_000_000;
        exact.count += MAX_POINTS_PER_BATCH as i128;
        stream.chunk(block.chunk(series, first));
        if asked.elapsed() > Duration::from_millis(500) {
            asked = Instant::now();
            if let Some(beat) = driver.beat() {
                seen.push((number * 100 / chunks, beat.heap_used, driver.resident_bytes()));
            }
        }
    }
    let sent = stream.end();
    let resident = driver.resident_bytes();
    let (result, finished, exit) = driver.finish();
    let took = started.elapsed();
    let rate = sent.bytes / u64::try_from(took.as_millis()).unwrap() / 1000;
    eprintln!(
        "{} points, {} MB in {took:.1?}: {rate} MB/s, compute {} ms",
        sent.points,
        sent.bytes / 1_000_000,
        finished.compute_us / 1000
    );
    assert!(sent.points >= POINTS);
    assert_eq!(finished.summaries, [sent], "both ends counted and digested the same stream");
    assert_eq!(exit.cause.to_string(), "ended with code 0 (ok)", "{}", exit.console_tail);
    assert_numbers(&result, &exact);
    assert_bounded(&seen, resident);
}

/// Every series as the exact sums have it.
fn assert_numbers(result: &str, exact: &[Exact]) {
    let result: Value = serde_json::from_str(result).unwrap();
    let groups = result["groups"].as_array().unwrap();
    assert_eq!(groups.len(), exact.len());
    #[expect(clippy::cast_precision_loss, reason = "the difference is far below what is compared")]
    for (group, exact) in groups.iter().zip(exact) {
        let number = |name: &str| group[name].as_f64().unwrap();
        assert_eq!(group["count"].as_u64().map(i128::from), Some(exact.count), "{group}");
        let spread = exact.squares * exact.count - exact.sum * exact.sum;
        let variance = spread as f64 / exact.count as f64 / (exact.count - 1) as f64;
        close("sum", number("sum"), exact.sum as f64 / 1000.0);
        close("mean", number("mean"), exact.sum as f64 / exact.count as f64 / 1000.0);
        close("stddev", number("stddev"), variance.sqrt() / 1000.0);
        close("min", number("min"), exact.low as f64 / 1000.0);
        close("max", number("max"), exact.high as f64 / 1000.0);
    }
}

/// Neither the function's heap nor its process follows the data.
fn assert_bounded(seen: &[(u64, u64, u64)], at_the_end: u64) {
    assert!(seen.len() >= 5, "only {} heartbeats came while it worked", seen.len());
    let (least, most) =
        (seen.iter().map(|seen| seen.1).min().unwrap(), seen.iter().map(|seen| seen.1).max().unwrap());
    let early = seen.iter().find(|seen| seen.0 >= 10).unwrap().2;
    eprintln!(
        "{} heartbeats: heap {} to {} KiB; process {} MiB early, {} MiB at the end",
        seen.len(),
        least >> 10,
        most >> 10,
        early >> 20,
        at_the_end >> 20
    );
    assert!(least > 0, "the heap is not measured");
    // The stream has 800 MB; the function holds a chunk or two of 256 KiB, buffers, and five groups.
    assert!(most < 2 << 20, "{most} bytes on the heap");
    assert!(most - least < 512 << 10, "the heap went from {least} to {most} bytes");
    // The guest's memory, QEMU itself and its translated code (32 MiB at most).
    assert!(at_the_end < (u64::from(MEMORY_MIB) + 64) << 20, "{at_the_end} bytes resident");
    assert!(at_the_end < early + (8 << 20), "the process went from {early} to {at_the_end} bytes");
}

/// Equal to 1e-9 relative.
fn close(what: &str, found: f64, wanted: f64) {
    assert!((found - wanted).abs() <= 1e-9 * wanted.abs(), "{what} is {found}, wanted {wanted}");
}
