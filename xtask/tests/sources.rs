//! Sources that are down, slow, wrong or hostile: each fails its own tasks, with the reason, in time, and nothing else.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::fs;
use std::io::{Read as _, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::outside::signal;
use common::service::{Ask, Service};
use common::{Bed, guests};
use serde_json::Value;
use xtask::testbed::generator::START_NS;
use xtask::testbed::influx::{DATABASE, Influx};

/// For ends that no timeout of a task brings about.
const SOON: Duration = Duration::from_secs(30);

/// Registers sources and lets the issuer read them.
fn register(bed: &Bed, sources: &[(&str, String, &str)]) {
    let node = bed.node();
    let policy = node.folder().join("policy.toml");
    let mut text = fs::read_to_string(&policy).unwrap();
    for (name, url, database) in sources {
        node.fades(&["source", "add", name, "influxdb1", url, "--database", database]).unwrap();
        text += &format!("\n[sources.{name}]\neverything = true\n");
    }
    fs::write(&policy, text).unwrap();
    let proof = format!("{}.pub", node.key().display());
    node.fades(&["issuer", "add", &proof, "--policy", policy.to_str().unwrap()]).unwrap();
}

/// That a task failed with one of these codes, in words that say this, and left nothing.
fn assert_failed(service: &Service, id: &str, task: &Value, codes: &[&str], words: &str) {
    let (code, detail) = (task["code"].as_str().unwrap_or(""), task["detail"].as_str().unwrap_or(""));
    assert_eq!(task["state"], "failed", "{task}");
    assert!(codes.contains(&code) && detail.contains(words), "{codes:?} and {words:?} wanted: {task}");
    assert_eq!(task["attempts"], 1, "a source's fault is no reason to try again: {task}");
    service.assert_no_result(id);
}

/// That a task beside one of a bad source went well.
fn assert_went_well(service: &Service, id: &str) {
    let task = service.end(id, SOON);
    assert_eq!((task["state"].as_str(), task["attempts"].as_u64()), (Some("succeeded"), Some(1)), "{task}");
}

#[test]
fn b4_an_influxdb_that_errs_stops_dies_or_is_gone_fails_its_own_tasks_only() {
    let bed = Bed::start("sources", 20_000);
    let service = Service::of(bed.node());
    let other = Influx::start(&bed.node().folder().join("other-influx")).unwrap();
    let end_ns = other.load(1_500_000).unwrap();
    register(&bed, &[("other", other.url(), DATABASE), ("wrong", other.url(), "no_such_database")]);
    let near = Ask::of(&bed);
    let far = Ask { end_ns, ..Ask::of(&bed).source("other") };

    // It answers, with an error: its own words reach the service.
    let id = service.ask(&near.clone().source("wrong"));
    let task = service.end(&id, SOON);
    assert_failed(&service, &id, &task, &["E4001", "E4008"], "database not found: no_such_database");

    // It is stopped, not dead: connections stand and nothing comes.
    signal(other.pid(), "STOP");
    let (asked, timeout) = (Instant::now(), Duration::from_secs(4));
    let silent = service.ask(&far.clone().timeout_ms(4000));
    for _ in 0..3 {
        let id = service.ask(&near);
        assert_went_well(&service, &id);
    }
    assert!(service.task(&silent)["state"] != "failed", "the neighbours were to end while it waits");
    let task = service.end(&silent, SOON);
    let took = asked.elapsed();
    assert!(took < timeout + Duration::from_secs(3), "a timeout of {timeout:?} took {took:?}");
    assert_failed(&service, &silent, &task, &["E4004", "E3002"], "waiting for the source");
    eprintln!("silent: {} {}", task["code"], task["detail"]);
    signal(other.pid(), "CONT");
    let id = service.ask(&far);
    assert_went_well(&service, &id);
    let whole = service.result(&id);
    assert_eq!(whole["groups"][0]["count"], 1_500_000 / 25);

    // It dies in the middle of its answer.
    let (id, neighbour) = (service.ask(&far), service.ask(&near));
    let seen = service.streaming(&id);
    signal(other.pid(), "KILL");
    let task = service.end(&id, SOON);
    assert_failed(&service, &id, &task, &["E4005"], "source");
    eprintln!("killed after {} points: {}", seen["progress"]["points"], task["detail"]);
    assert_went_well(&service, &neighbour);

    // It is gone before the task.
    drop(other);
    let id = service.ask(&far);
    let task = service.end(&id, SOON);
    assert_failed(&service, &id, &task, &["E4000"], "source");
    eprintln!("gone: {}", task["detail"]);
}

/// What a scripted source does with a connection once it has read the request.
type Script = fn(&mut TcpStream, &Stage) -> std::io::Result<()>;

/// What scripts know.
struct Stage {
    /// Where the redirection points.
    elsewhere: String,
}

/// A source on loopback that follows a script, and how many bytes it could send.
struct Scripted {
    url: String,
    connections: Arc<AtomicU64>,
}

impl Scripted {
    /// Serves until the process of the test ends.
    fn start(script: Script, stage: Arc<Stage>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let connections = Arc::new(AtomicU64::new(0));
        let counted = Arc::clone(&connections);
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                counted.fetch_add(1, Ordering::Relaxed);
                let stage = Arc::clone(&stage);
                thread::spawn(move || {
                    let mut stream = stream;
                    read_request(&mut stream);
                    // The broker may close first; what it then says is asserted.
                    let _ = script(&mut stream, &stage);
                });
            }
        });
        Self { url, connections }
    }
}

fn read_request(stream: &mut TcpStream) {
    let (mut seen, mut byte) = (Vec::new(), [0]);
    while !seen.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|count| count > 0) {
        seen.push(byte[0]);
    }
}

const MSGPACK: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nTransfer-Encoding: chunked\r\n\r\n";

fn chunk(stream: &mut TcpStream, bytes: &[u8]) -> std::io::Result<()> {
    stream.write_all(&[format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat())
}

/// A document of InfluxDB's up to its rows, of which it announces `rows`.
fn document(rows: u32) -> Vec<u8> {
    let text = |text: &str| [&[0xa0 | u8::try_from(text.len()).unwrap()], text.as_bytes()].concat();
    let mut bytes = vec![0x81];
    bytes.extend(text("results"));
    bytes.extend([0x91, 0x82]);
    bytes.extend(text("statement_id"));
    bytes.push(0);
    bytes.extend(text("series"));
    bytes.extend([0x91, 0x84]);
    bytes.extend(
        [text("name"), text("temperature"), text("tags"), vec![0x81], text("room"), text("r1")].concat(),
    );
    bytes.extend(
        [text("columns"), vec![0x92], text("time"), text("value"), text("values"), vec![0xdd]].concat(),
    );
    bytes.extend(rows.to_be_bytes());
    bytes
}

/// Rows of one nanosecond's distance, behind `before` others.
fn rows(before: i64, count: i64) -> Vec<u8> {
    let row = |index: i64| {
        let (time, value) = ((START_NS + before + index).to_be_bytes(), 20.5_f64.to_be_bytes());
        [&[0x92, 0xd3], &time[..], &[0xcb], &value[..]].concat()
    };
    (0..count).flat_map(row).collect()
}

/// Name, script, code, what the words say, and the task's timeout in ms.
const SCRIPTS: &[(&str, Script, &[&str], &str, u32)] = &[
    (
        "status",
        |stream, _| {
            let body = "{\"error\":\"the engine is on fire\"}";
            write!(
                stream,
                "HTTP/1.1 500 Internal Server Error\r\nContent-Length: {}\r\n\r\n{body}",
                body.len()
            )
        },
        &["E4001"],
        "on fire",
        60_000,
    ),
    (
        "denies",
        |stream, _| write!(stream, "HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"),
        &["E4007"],
        "401",
        60_000,
    ),
    (
        "redirects",
        |stream, stage| {
            write!(
                stream,
                "HTTP/1.1 302 Found\r\nLocation: {}/query\r\nContent-Length: 0\r\n\r\n",
                stage.elsewhere
            )
        },
        &["E4001"],
        "redirect",
        60_000,
    ),
    (
        "head",
        |stream, _| {
            write!(stream, "HTTP/1.1 200 OK\r\nX-Endless: ")?;
            loop {
                stream.write_all(&[b'a'; 8192])?;
            }
        },
        &["E4002"],
        "head",
        60_000,
    ),
    ("ssh", |stream, _| write!(stream, "SSH-2.0-OpenSSH_9.2\r\n\r\n"), &["E4002"], "not HTTP", 60_000),
    (
        "json",
        |stream, _| {
            write!(
                stream,
                "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{{}}"
            )
        },
        &["E4002"],
        "MessagePack",
        60_000,
    ),
    (
        "malformed",
        |stream, _| {
            write!(stream, "{MSGPACK}")?;
            chunk(stream, &[document(2), rows(0, 1), vec![0xc1; 64]].concat())
        },
        &["E4002"],
        "malformed",
        60_000,
    ),
    (
        "token",
        |stream, _| {
            // A string of 4 GiB where a row should be.
            write!(stream, "{MSGPACK}")?;
            chunk(stream, &[document(2), vec![0xdb, 0xff, 0xff, 0xff, 0xff]].concat())?;
            loop {
                chunk(stream, &[b'a'; 8192])?;
            }
        },
        &["E4002", "E4003", "E4006"],
        "",
        60_000,
    ),
    (
        "strings",
        |stream, _| {
            let row = [&[0x92, 0xd3][..], &(START_NS + 9).to_be_bytes(), &[0xa4], b"warm"].concat();
            write!(stream, "{MSGPACK}")?;
            chunk(stream, &[document(3), rows(0, 2), row].concat())
        },
        &["E4003"],
        "not a number",
        60_000,
    ),
    (
        "closes",
        |stream, _| {
            write!(stream, "{MSGPACK}1000\r\n")?;
            stream.write_all(&[document(100_000), rows(0, 10)].concat())
        },
        &["E4005"],
        "closed",
        60_000,
    ),
    ("nothing", |_, _| Ok(()), &["E4000"], "without an answer", 60_000),
    ("chunk", |stream, _| write!(stream, "{MSGPACK}fffffffffffffffff\r\n"), &["E4002"], "chunk", 60_000),
    (
        "silent",
        |stream, _| {
            write!(stream, "{MSGPACK}")?;
            chunk(stream, &[document(9), rows(0, 3)].concat())?;
            thread::sleep(Duration::from_secs(600));
            Ok(())
        },
        &["E4004", "E3002"],
        "source",
        4000,
    ),
];

#[test]
fn b4_every_wrong_answer_has_its_code_and_troubles_nobody_else() {
    let bed = Bed::start("scripted", 20_000);
    let service = Service::of(bed.node());
    let elsewhere = Scripted::start(|_, _| Ok(()), Arc::new(Stage { elsewhere: String::new() }));
    let stage = Arc::new(Stage { elsewhere: elsewhere.url.clone() });
    let scripted: Vec<Scripted> =
        SCRIPTS.iter().map(|(_, script, ..)| Scripted::start(*script, Arc::clone(&stage))).collect();
    let named: Vec<(&str, String, &str)> =
        SCRIPTS.iter().zip(&scripted).map(|((name, ..), source)| (*name, source.url.clone(), "db")).collect();
    register(&bed, &named);
    let ask = Ask::of(&bed);
    let broker = guests(bed.node());
    let ids: Vec<String> = SCRIPTS
        .iter()
        .map(|(name, .., timeout_ms)| service.ask(&ask.clone().source(name).timeout_ms(*timeout_ms)))
        .collect();
    let neighbours: Vec<String> = (0..3).map(|_| service.ask(&ask)).collect();
    for (id, (name, _, codes, words, _)) in ids.iter().zip(SCRIPTS) {
        let task = service.end(id, Duration::from_secs(60));
        eprintln!("{name}: {} {}", task["code"], task["detail"]);
        assert_failed(&service, id, &task, codes, words);
        assert!(task["detail"].as_str().unwrap().contains(name), "which source? {task}");
    }
    for id in &neighbours {
        assert_went_well(&service, id);
    }
    for (source, (name, ..)) in scripted.iter().zip(SCRIPTS) {
        assert!(source.connections.load(Ordering::Relaxed) > 0, "{name} was never asked");
    }
    assert_eq!(elsewhere.connections.load(Ordering::Relaxed), 0, "the redirection was followed");
    assert!(guests(bed.node()).contains(&broker[0]), "the broker died of an answer");
}

#[test]
fn b4_an_endless_answer_ends_with_the_tasks_time_and_in_bounded_memory() {
    let bed = Bed::start("endless", 20_000);
    let service = Service::of(bed.node());
    let source = Scripted::start(
        |stream, _| {
            write!(stream, "{MSGPACK}")?;
            chunk(stream, &document(u32::MAX))?;
            for block in 0.. {
                let bytes = rows(block * 4096, 4096);
                chunk(stream, &bytes)?;
                SENT.fetch_add(bytes.len() as u64, Ordering::Relaxed);
            }
            Ok(())
        },
        Arc::new(Stage { elsewhere: String::new() }),
    );
    register(&bed, &[("endless", source.url, "db")]);
    let (broker, _) = guests(bed.node()).remove(0);
    let asked = Instant::now();
    let id = service.ask(&Ask::of(&bed).source("endless").timeout_ms(8000));
    let neighbour = service.ask(&Ask::of(&bed));
    assert_went_well(&service, &neighbour);
    service
        .until(&id, SOON, |task| task["progress"]["points"].as_u64().is_some_and(|points| points > 100_000));
    let early = resident(broker);
    let task = service.end(&id, SOON);
    let (took, late) = (asked.elapsed(), resident(broker));
    eprintln!(
        "{} {} after {took:.1?}; {} MB came; the broker's process had {} then {} MiB",
        task["code"],
        task["detail"],
        SENT.load(Ordering::Relaxed) >> 20,
        early >> 10,
        late >> 10
    );
    assert_failed(&service, &id, &task, &["E3002", "E4006"], "");
    assert!(took < Duration::from_secs(12), "a timeout of 8 s took {took:?}");
    assert!(SENT.load(Ordering::Relaxed) > 8 << 20, "it was to go on and on");
    // Buffers, TCP windows and translated code were there early; the answer itself must leave nothing.
    assert!(late < early + (8 << 10), "the broker grew from {early} to {late} KiB");
    assert_eq!(guests(bed.node())[0].0, broker, "the broker died of it");
}

/// Bytes of rows that the endless source could send.
static SENT: AtomicU64 = AtomicU64::new(0);

/// Resident memory of a process, KiB.
fn resident(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
