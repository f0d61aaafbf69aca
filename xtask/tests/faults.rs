//! Functions that misbehave, in their unikernels: each failure has its cause, its code and its exit code, the neighbours
//! do not notice, and no process is left.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use common::outside::{list, on_xen, patience, patience_ms};
use common::service::{Ask, Service};
use common::{Bed, COLD, guests};
use serde_json::Value;

const POINTS: u64 = 100_000;

/// What a misbehaving function is told, what it may take, and what must come of it.
struct Fault<'a> {
    parameters: &'static str,
    memory_mib: u32,
    timeout_ms: u32,
    exit: i32,
    code: &'static str,
    /// Words of the message.
    words: &'a [&'a str],
}

const USUAL: Fault =
    Fault { parameters: "", memory_mib: 64, timeout_ms: 120_000, exit: 0, code: "", words: &[] };

const PANIC: Fault<'static> = Fault {
    parameters: "mode = \"panic\"\nafter = 5000",
    exit: 8,
    code: "E3000",
    words: &["told to panic after ", " points", "dmf-kit/testkit/faulty/src/main.rs:"],
    ..USUAL
};
const MEMORY: Fault =
    Fault { parameters: "mode = \"memory\"", exit: 8, code: "E3001", words: &["memory", "1048576"], ..USUAL };
const LOOP: Fault<'static> = Fault {
    parameters: "mode = \"loop\"\nafter = 5000",
    timeout_ms: 6_000,
    exit: 6,
    code: "E3002",
    words: &["6000 ms"],
    ..USUAL
};
const REFUSE: Fault<'static> = Fault {
    parameters: "mode = \"refuse\"\nafter = 5000",
    exit: 1,
    code: "E3011",
    words: &["told to refuse after ", " points"],
    ..USUAL
};
const LARGE: Fault<'static> = Fault {
    parameters: "mode = \"large\"\nbytes = 2000000",
    exit: 1,
    code: "E5000",
    words: &["2000", "1048576"],
    ..USUAL
};

/// Lets a function misbehave and looks at what comes of it.
fn misbehave(bed: &Bed, fault: &Fault<'_>) {
    let Fault { parameters, memory_mib, timeout_ms, exit, code, words } = fault;
    let (ended, failure) = bed.submit_and_wait(&bed.wrapper("faulty", parameters, *memory_mib, *timeout_ms));
    assert_eq!(ended, *exit, "{parameters}: {failure}");
    assert_eq!(failure["code"], *code, "{parameters}: {failure}");
    let message = failure["message"].as_str().unwrap();
    for word in *words {
        assert!(message.contains(word), "{parameters}: {word:?} is not in {message:?}");
    }
}

/// A task that does what it should, beside what InfluxDB counts.
fn behave(bed: &Bed) {
    let (ended, document) = bed.submit_and_wait(&bed.wrapper("stats", "", 64, patience_ms(30_000)));
    assert_eq!(ended, 0, "{document}");
    assert_eq!(points(&document), POINTS / 5);
    let series = bed.influx().query("SELECT COUNT(value) FROM temperature").unwrap();
    assert_eq!(series[0]["values"][0][1], POINTS / 5, "{series}");
}

fn points(document: &Value) -> u64 {
    document["operations"].as_array().unwrap().iter().map(|one| one["points"].as_u64().unwrap()).sum()
}

/// Of all guests only the broker is left, the one that was there all the time. The node may answer a service a moment
/// before the guest's process is gone.
fn only_the_broker_is_left(bed: &Bed, broker: u32) {
    let until = Instant::now() + patience(Duration::from_secs(5));
    let (left, node) = loop {
        let left: Vec<u32> = guests(bed.node()).into_iter().map(|guest| guest.0).collect();
        let node: Value = serde_json::from_str(&bed.node().get("/v1/node").unwrap()).unwrap();
        if (left.len() <= 1 && node["usage"]["guests"] == 1) || Instant::now() > until {
            break (left, node);
        }
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(left, [broker], "{node}");
    assert_eq!(
        (&node["broker"]["state"], &node["broker"]["restarts"]),
        (&"ready".into(), &0.into()),
        "{node}"
    );
    assert_eq!((&node["usage"]["running"], &node["usage"]["guests"]), (&0.into(), &1.into()), "{node}");
}

fn broker(bed: &Bed) -> u32 {
    let guests = guests(bed.node());
    assert_eq!(guests.len(), 1, "{guests:#?}");
    guests[0].0
}

#[test]
fn g5_each_fault_has_its_cause_and_leaves_nothing() {
    let bed = Bed::start("faults-alone", POINTS);
    bed.add_faulty();
    let broker = broker(&bed);
    for fault in [PANIC, MEMORY, REFUSE, LARGE] {
        misbehave(&bed, &fault);
        only_the_broker_is_left(&bed, broker);
    }
    // What its image says of its parameters, before any guest; and what only the function knows.
    for (parameters, words) in [
        ("", "dmf.parameters.mode"),
        ("mode = \"dance\"", "dmf.parameters.mode"),
        ("mode = \"nothing\"\ncolour = 3", "dmf.parameters.colour"),
        ("mode = \"nothing\"\nafter = \"noon\"", "dmf.parameters.after"),
    ] {
        misbehave(&bed, &Fault { parameters, exit: 2, code: "E1327", words: &[words], ..USUAL });
        only_the_broker_is_left(&bed, broker);
    }
    let refused = bed.wrapper("window", "every = \"banana\"", 64, patience_ms(30_000));
    let (ended, failure) = bed.submit_and_wait(&refused);
    assert_eq!((ended, failure["code"].as_str()), (1, Some("E3012")), "{failure}");
    assert!(failure["message"].as_str().unwrap().contains("\"banana\" is no duration"), "{failure}");
    only_the_broker_is_left(&bed, broker);
    behave(&bed);
    only_the_broker_is_left(&bed, broker);
}

#[test]
fn g4_neighbours_of_functions_that_misbehave_do_not_notice() {
    let bed = Bed::start("faults-together", POINTS);
    bed.add_faulty();
    let broker = broker(&bed);
    let done = AtomicBool::new(false);
    let most = std::thread::scope(|scope| {
        let watching = scope.spawn(|| {
            let mut most = 0;
            while !done.load(Ordering::Relaxed) {
                most = most.max(guests(bed.node()).len() - 1);
                std::thread::sleep(Duration::from_millis(10));
            }
            most
        });
        let bad = [LOOP, PANIC, MEMORY, REFUSE, LARGE].map(|fault| {
            let bed = &bed;
            scope.spawn(move || misbehave(bed, &fault))
        });
        let good = [(); 3].map(|()| scope.spawn(|| behave(&bed)));
        let ends: Vec<_> = bad.into_iter().chain(good).map(|task| task.join()).collect();
        done.store(true, Ordering::Relaxed);
        let most = watching.join().unwrap();
        ends.into_iter().for_each(|end| end.unwrap());
        most
    });
    assert!(most >= 4, "only {most} functions ran at once");
    only_the_broker_is_left(&bed, broker);
    let metrics = bed.node().get("/metrics").unwrap();
    for line in ["fades_tasks_ended{state=\"succeeded\"} 3", "fades_tasks_ended{state=\"failed\"} 5"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in {metrics}");
    }
}

/// A function that does something to its broker's domain, and a neighbour of it that does what it should. What comes of it.
fn beside_a_neighbour(bed: &Bed, parameters: &str) -> (i32, Value) {
    let parameters = format!("{parameters}\nbroker = {}", bed.broker());
    std::thread::scope(|scope| {
        let wrapper = bed.wrapper("faulty", &parameters, 64, patience_ms(30_000));
        let task = scope.spawn(move || bed.submit_and_wait(&wrapper));
        behave(bed);
        task.join().unwrap()
    })
}

/// What a function writes into the memory that it shares, and how often it rings, is its own affair: a neighbour's task goes on
/// beside it, and the broker lives.
#[test]
fn g2_who_scribbles_over_its_region_or_rings_without_end_harms_itself() {
    if on_xen() {
        eprintln!("skipped: functions have no regions here");
        return;
    }
    let bed = Bed::start("faults-regions", POINTS);
    bed.add_faulty();
    let broker = broker(&bed);
    let beside = |parameters: &str| {
        let wrapper = bed.wrapper("faulty", parameters, 64, patience_ms(30_000));
        std::thread::scope(|scope| {
            let task = scope.spawn(|| bed.submit_and_wait(&wrapper));
            behave(&bed);
            task.join().unwrap()
        })
    };
    for after in [0, 3000] {
        let (exit, failure) = beside(&format!("mode = \"scribble\"\nafter = {after}\nmillis = 400"));
        assert!(
            exit != 0 && failure["code"].as_str().is_some_and(|code| code.starts_with("E30")),
            "{failure}"
        );
        only_the_broker_is_left(&bed, broker);
    }
    let (exit, document) = beside("mode = \"ring\"\nafter = 1000\nmillis = 1000");
    assert_eq!((exit, &document["result"]["points"]), (0, &(POINTS / 5).into()), "{document}");
    assert!(document["result"]["events"].as_u64().unwrap() > 1000, "{document}");
    // Each in its turn, through the same few regions.
    for _ in 0..12 {
        behave(&bed);
    }
    only_the_broker_is_left(&bed, broker);
}

/// The daemon's open files, of which no guest is to leave any.
fn files(bed: &Bed) -> usize {
    std::fs::read_dir(format!("/proc/{}/fd", bed.node().pid().unwrap())).unwrap().count()
}

/// Wherever in its stream a function dies, by a panic or without a word, it is that task that fails, and a neighbour's stream goes on.
#[test]
fn g11_a_function_may_die_with_any_chunk() {
    // What is saved of a function is kept open, and would be counted.
    let bed = Bed::with("faults-chunks", POINTS, &[COLD, ("snapshot_memory_mib", "0")]);
    bed.add_faulty();
    let broker = broker(&bed);
    let (exit, whole) =
        bed.submit_and_wait(&bed.wrapper("faulty", "mode = \"nothing\"", 64, patience_ms(30_000)));
    assert_eq!(exit, 0, "{whole}");
    let last = whole["result"]["batches"].as_u64().unwrap();
    assert!(last >= 4, "{whole}");
    behave(&bed);
    only_the_broker_is_left(&bed, broker);
    let before = files(&bed);
    for chunk in [1, 2, last / 2, last] {
        for (mode, code, words) in [("panic", "E3000", "told to panic after "), ("exit", "E3007", "77")] {
            let parameters = format!("mode = \"{mode}\"\nbatch = {chunk}");
            let wrapper = bed.wrapper("faulty", &parameters, 64, patience_ms(30_000));
            let (exit, failure) = std::thread::scope(|scope| {
                let task = scope.spawn(|| bed.submit_and_wait(&wrapper));
                behave(&bed);
                task.join().unwrap()
            });
            let message = failure["message"].as_str().unwrap_or_default();
            assert!(
                exit != 0 && failure["code"] == code && message.contains(words),
                "chunk {chunk} of {last}, {mode}: {failure}"
            );
        }
    }
    only_the_broker_is_left(&bed, broker);
    let until = Instant::now() + patience(Duration::from_secs(5));
    while files(&bed) > before && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(files(&bed) <= before, "{} files are open, {before} were", files(&bed));
    let metrics = bed.node().get("/metrics").unwrap();
    for line in ["fades_tasks_ended{state=\"succeeded\"} 10", "fades_tasks_ended{state=\"failed\"} 8"] {
        assert!(metrics.lines().any(|other| other == line), "{line} is not in {metrics}");
    }
}

/// How much later than its deadline a function's end is told, at most.
const LATE: Duration = Duration::from_secs(2);

/// When the node, by its own clock, had a task in each of these states.
fn times<const N: usize>(service: &Service, id: &str, states: [&str; N]) -> [jiff::Timestamp; N] {
    let events = service.events(id);
    states.map(|state| {
        let event = events.iter().find(|event| event["state"] == state);
        event.unwrap_or_else(|| panic!("no {state} in {events:?}"))["at"].as_str().unwrap().parse().unwrap()
    })
}

/// A guest that boots and never says that it is ready, and one that stands still in the midst of its work: each is ended and told with its
/// cause at its deadline, neighbours run beside them meanwhile, and nothing is left.
#[test]
fn g4_guests_that_are_never_ready_or_stand_still_are_ended_at_their_deadlines() {
    const BOOT: Duration = Duration::from_secs(30);
    let timeout = patience(Duration::from_secs(5));
    let bed = Bed::start("faults-silent", POINTS);
    bed.add_faulty();
    bed.node().allow(&xtask::images::hostile().unwrap(), "hostile").unwrap();
    let (broker, service) = (broker(&bed), Service::of(bed.node()));
    let ask = |image: &str, parameters| Ask {
        image: bed.node().image(image).unwrap(),
        parameters,
        timeout_ms: u32::try_from(timeout.as_millis()).unwrap(),
        ..Ask::of(&bed)
    };
    let standing = service.ask(&ask("faulty", serde_json::json!({ "mode": "slow", "millis": 1000 })));
    service.streaming(&standing);
    let functions = bed.functions();
    assert_eq!(functions.len(), 1, "{functions:?}");
    bed.stop_guest(functions[0]);
    let unready = service.ask(&ask("hostile", serde_json::json!({ "mode": "nothing" })));
    behave(&bed);

    let stood = service.end(&standing, timeout + BOOT);
    assert_eq!((stood["state"].as_str(), stood["code"].as_str()), (Some("failed"), Some("E3002")), "{stood}");
    let [starting, streaming, failed] = times(&service, &standing, ["starting", "streaming", "failed"]);
    // Its time runs from its hello on, which was between the two.
    let (most, least) = (failed.duration_since(starting), failed.duration_since(streaming));
    assert!(most.unsigned_abs() >= timeout && least.unsigned_abs() < timeout + LATE, "{least:?} to {most:?}");

    let told = service.end(&unready, 2 * BOOT);
    assert_eq!((told["state"].as_str(), told["code"].as_str()), (Some("failed"), Some("E3003")), "{told}");
    assert!(told["detail"].as_str().unwrap().contains("30000 ms"), "{told}");
    let [starting, failed] = times(&service, &unready, ["starting", "failed"]);
    let took = failed.duration_since(starting).unsigned_abs();
    // A moment between its order and what is stored of it.
    assert!((BOOT - LATE..BOOT + LATE).contains(&took), "{took:?}");
    behave(&bed);
    only_the_broker_is_left(&bed, broker);
}

/// Frames of all kinds that no guest may send, without end, from a function's own network device: what it may not send reaches nobody, and its
/// neighbours and its broker go on.
#[test]
fn g7_a_function_that_sends_what_it_may_not_harms_itself() {
    if on_xen() {
        eprintln!("skipped: functions have no network here");
        return;
    }
    let bed = Bed::with("faults-frames", POINTS, &[("network_only", "true"), COLD]);
    bed.node().allow(&xtask::images::hostile().unwrap(), "hostile").unwrap();
    let (broker, service) = (broker(&bed), Service::of(bed.node()));
    let parameters = serde_json::json!({ "mode": "nothing" });
    let id = service.ask(&Ask { image: bed.node().image("hostile").unwrap(), parameters, ..Ask::of(&bed) });
    let dropped = || {
        let metrics = bed.node().get("/metrics").unwrap();
        let counts =
            metrics.lines().filter_map(|line| line.strip_prefix("fades_network_dropped_")?.split_once(' '));
        counts.map(|(_, count)| count.parse::<u64>().unwrap()).sum::<u64>()
    };
    let until = Instant::now() + patience(Duration::from_secs(20));
    while dropped() < 1000 {
        assert!(Instant::now() < until, "{} frames were dropped", dropped());
        std::thread::sleep(Duration::from_millis(20));
    }
    for _ in 0..3 {
        let before = dropped();
        behave(&bed);
        assert!(dropped() > before, "it sends no more");
    }
    let key = bed.node().key();
    bed.node().fades(&["task", "cancel", &id, "--key", key.to_str().unwrap()]).unwrap();
    let ended = service.end(&id, Duration::from_secs(10));
    assert_eq!(ended["state"], "cancelled", "{ended}");
    println!("tried: {} | frames of a function in a node, dropped", dropped());
    behave(&bed);
    only_the_broker_is_left(&bed, broker);
}

/// The grants that the broker had free when nothing of it was lent and it met nobody, if that is what it said last.
fn free_grants(bed: &Bed) -> Option<u32> {
    let log = bed.node().log();
    let said = log.lines().filter_map(|line| line.split_once(" grants are free, "));
    let (before, after) = said.collect::<Vec<_>>().pop()?;
    let at_rest = after.starts_with("0 pages not given back, 0 meetings");
    before.rsplit('"').next().filter(|_| at_rest)?.parse().ok()
}

/// Waits until the broker is at rest.
fn free_grants_at_rest(bed: &Bed) -> Option<u32> {
    let until = Instant::now() + patience(Duration::from_secs(5));
    while free_grants(bed).is_none() && Instant::now() < until {
        std::thread::sleep(Duration::from_millis(100));
    }
    free_grants(bed)
}

#[test]
fn each_fault_between_domains_is_told_and_leaves_no_page() {
    if !on_xen() {
        eprintln!("skipped: functions are no domains here");
        return;
    }
    let bed = Bed::start("faults-domains", POINTS);
    bed.add_faulty();
    let broker = broker(&bed);
    behave(&bed);
    let all = free_grants_at_rest(&bed);
    assert!(all.is_some(), "the broker does not come to rest: {}", bed.node().log());

    let fails = |parameters, code, words: &str| {
        let (exit, failure) = beside_a_neighbour(&bed, parameters);
        let message = failure["message"].as_str().unwrap_or_default();
        assert!(exit != 0 && failure["code"] == code && message.contains(words), "{parameters}: {failure}");
    };
    std::thread::scope(|scope| {
        // The others come and go while the broker waits for this one.
        let silent = scope.spawn(|| fails("mode = \"silent\"", "E3009", "showed no answer in 20000 ms"));
        fails("mode = \"nonsense\"", "E3005", "says nonsense in /local/domain/");
        fails("mode = \"huge\"", "E3005", "256");
        for parameters in ["mode = \"flood\"\nmillis = 1500", "mode = \"storm\"\nmillis = 1500"] {
            let (exit, document) = beside_a_neighbour(&bed, parameters);
            assert_eq!((exit, &document["result"]["points"]), (0, &(POINTS / 5).into()), "{document}");
            let events = document["result"]["events"].as_u64().unwrap();
            assert!(events > 1000 || !parameters.contains("storm"), "{document}");
        }
        silent.join().unwrap();
    });
    // One that dies with the broker's pages mapped.
    fails("mode = \"panic\"\nafter = 5000", "E3000", "told to panic");
    behave(&bed);
    only_the_broker_is_left(&bed, broker);
    assert_eq!(free_grants_at_rest(&bed), all, "grants: {}", bed.node().log());
    let shown = list(&format!("/local/domain/{broker}/data/fades/link"));
    assert!(shown.is_empty(), "the broker still shows something to domains {shown:?}");
}
