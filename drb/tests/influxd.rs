//! The broker as a process, against a real influxd: what arrives is what was written, and what goes wrong has its
//! reason. Skipped aloud where no influxd is installed.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed; its numbers are small"
)]

mod support;

use fades_wire::control::{Abandon, Credentials, Operation, Retrieve, Shutdown, SourceKind, TagSelection};
use fades_wire::failure::Code;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};
use support::influxd::Influxd;
use support::node::{Function, Node};
use support::{Data, key, order, ticket};

/// Rooms of the sample data. The second has everything in it that must be quoted.
const ROOMS: [(&str, &str); 3] = [("r1", "r1"), ("a b,c=d'\"\\x", "a\\ b\\,c\\=d'\"\\x"), ("", "")];

/// `count` points per room, and what InfluxDB therefore must give back.
fn sample(influxd: &Influxd, database: &str, count: i64) -> Data {
    influxd.create(database);
    let mut expected = BTreeMap::<String, Vec<(i64, f64)>>::new();
    let mut lines = String::new();
    for at in 0..count {
        for (place, (room, escaped)) in ROOMS.iter().enumerate() {
            let (time, value) = (1_000_000 + at * 10 + place as i64, at as f64 / 7.0 + place as f64);
            let tag = if escaped.is_empty() { String::new() } else { format!(",room={escaped}") };
            lines.push_str(&format!("m{tag} v={value},i={at}i,s=\"hey\" {time}\n"));
            expected.entry((*room).to_owned()).or_default().push((time, value));
        }
        if lines.len() > 1 << 20 {
            influxd.write(database, &lines);
            lines.clear();
        }
    }
    influxd.write(database, &lines);
    expected.into_iter().collect()
}

fn retrieve(node: &Node, influxd: &Influxd, task: usize, change: impl Fn(&mut Operation)) -> Retrieve {
    let mut order = order(task, 1, 1 << 20);
    for operation in &mut order.operations {
        operation.endpoint = node.source(influxd.address.port());
        operation.timeout_ms = 10_000;
        change(operation);
    }
    order
}

fn database(operation: &mut Operation, name: &str) {
    operation.source = SourceKind::InfluxDb1 { database: name.into(), retention: None, credentials: None };
}

/// A change to an operation, and the failure that it must lead to.
type Case<'a> = (&'a dyn Fn(&mut Operation), Code, &'a str);

/// A real influxd, or the reason aloud why there is none.
fn influxd(name: &str) -> Option<Influxd> {
    let influxd = Influxd::start(name);
    if influxd.is_none() {
        eprintln!("SKIPPED: no influxd is installed (apt-get install influxdb)");
    }
    influxd
}

#[test]
fn points_come_as_they_were_written_and_failures_with_their_reason() {
    if let Some(influxd) = influxd("points") {
        points_and_failures(influxd, Node::start());
    }
}

/// What a join rests on: series come in the order of their tags' values, byte by byte, by the tags' sorted keys, whatever the
/// order of the question; and operations side by side are whole.
#[test]
fn series_come_in_the_order_of_their_tags() {
    let Some(influxd) = influxd("order") else { return };
    let mut node = Node::start();
    influxd.create("db");
    let values = ["Z", "a", "a0", "a ", "a|", "a}", "a~b", "aa", "\u{e9}", "z"];
    let escaped = |value: &str| value.replace(' ', "\\ ");
    let mut lines = String::new();
    for (at, room) in values.iter().enumerate() {
        for zone in values.iter().skip(at % 3) {
            lines += &format!("m,room={},zone={} v=1 5\n", escaped(room), escaped(zone));
        }
        lines += &format!("m,zone={} v=1 5\nm,room={} v=1 5\n", escaped(room), escaped(room));
    }
    influxd.write("db", &lines);
    let mut order = order(0, 2, 1 << 20);
    order.together = true;
    for operation in &mut order.operations {
        operation.endpoint = node.source(influxd.address.port());
        operation.group_by = vec!["zone".into(), "room".into()];
    }
    node.say(&order.into());
    let mut function = Function::connect(node.data, ticket(0), 2, 300_000);
    function.receive(u64::MAX);
    assert!(node.end().1.is_ok() && node.end().1.is_ok());
    for stream in &function.peer.streams {
        let sorted = |tags: &Vec<(String, String)>| {
            let mut tags = tags.clone();
            tags.sort();
            tags
        };
        let seen: Vec<_> = stream.tags.iter().map(sorted).collect();
        assert!(seen.len() > 90 && seen.is_sorted_by(|a, b| a < b), "{seen:#?}");
        assert_eq!(stream.tags[0].iter().map(|(key, _)| key.as_str()).collect::<Vec<_>>(), ["zone", "room"]);
    }
}

#[test]
fn the_unikernel_does_what_the_process_does() {
    match Node::boot() {
        Ok(node) => {
            if let Some(influxd) = influxd("unikernel") {
                points_and_failures(influxd, node);
            }
        }
        Err(reason) => eprintln!("SKIPPED: {reason}"),
    }
}

fn points_and_failures(mut influxd: Influxd, mut node: Node) {
    let expected = sample(&influxd, "db", 60_000);
    assert_eq!(node.ping(), 77);

    // All of it, with little more of a window than the longest chunk.
    let order = retrieve(&node, &influxd, 0, |_| {});
    node.say(&order.into());
    let mut function = Function::connect(node.data, ticket(0), 1, 300_000);
    let begun = Instant::now();
    function.receive(u64::MAX);
    let (task, ended) = node.end();
    let ended = ended.unwrap();
    assert_eq!(task, key(0));
    assert_eq!(ended.summary, function.peer.streams[0].meter.summary(0));
    assert_eq!(ended.summary.points, 180_000);
    assert!(ended.times.retrieve_us > 0 && ended.times.send_us > 0, "{:?}", ended.times);
    let mut got = std::mem::take(&mut function.peer.streams[0].data);
    got.sort_by(|a, b| a.0.cmp(&b.0));
    assert!(got == expected, "what arrived is what was written");
    eprintln!("180,000 points in {:?}, {:?}", begun.elapsed(), ended.times);
    // A wake-up that is lost shows as a wait for the source's timeout of 10 s.
    assert!(begun.elapsed() < Duration::from_secs(8), "it stood still for a while");

    // Selected by tag and time, ungrouped, whole numbers as they are.
    let select = |operation: &mut Operation| {
        operation.tags =
            vec![TagSelection { tag: "room".into(), values: vec![ROOMS[1].0.into(), "none".into()] }];
        operation.group_by = vec![];
        operation.field = "i".into();
        (operation.from_ns, operation.to_ns) = (1_000_100, 1_000_200);
    };
    let order = retrieve(&node, &influxd, 1, select);
    node.say(&order.into());
    // `Peer` expects field `v` and a tag: only the counts are looked at here.
    let ended = without_function(&mut node, 1);
    assert_eq!(
        ended.map(|ended| (ended.points, ended.first_ns, ended.last_ns)),
        Ok((10, Some(1_000_101), Some(1_000_191)))
    );

    // What InfluxDB refuses, in its own words; types; names; nobody there.
    let cases: [Case<'_>; 6] = [
        (&|operation| database(operation, "nodb"), Code::SourceStatus, "database not found: nodb"),
        (&|operation| operation.field = "s".into(), Code::SourceType, "m,room="),
        (&|operation| operation.field = "a\0".into(), Code::SourceQuery, "cannot express"),
        (&|operation| operation.group_by = vec!["time".into()], Code::SourceQuery, "`time`"),
        (&|operation| operation.endpoint.port = 1, Code::SourceUnreachable, "no connection"),
        (&|operation| operation.to_ns = operation.from_ns, Code::SourceQuery, "is empty"),
    ];
    for (place, (change, code, words)) in cases.into_iter().enumerate() {
        let order = retrieve(&node, &influxd, 10 + place, change);
        node.say(&order.into());
        let failure = node.end().1.unwrap_err();
        assert!(failure.code == code && failure.message.contains(words), "case {place}: {failure}");
    }
    // Credentials are of no harm where none are asked for.
    let known = |operation: &mut Operation| {
        let credentials = Some(Credentials { user: "u".into(), password: "p".into() });
        operation.source =
            SourceKind::InfluxDb1 { database: "db".into(), retention: Some("autogen".into()), credentials };
    };
    let order = retrieve(&node, &influxd, 20, known);
    node.say(&order.into());
    assert_eq!(without_function(&mut node, 20).map(|ended| ended.points), Ok(180_000));

    // It dies in the middle of an answer, while another task waits.
    let order = retrieve(&node, &influxd, 30, |_| {});
    node.say(&order.into());
    let mut function = Function::connect(node.data, ticket(30), 1, 270_000);
    function.receive(300_000);
    influxd.kill();
    function.receive(u64::MAX);
    let failure = node.end().1.unwrap_err();
    assert_eq!(failure.code, Code::SourceClosedEarly, "{failure}");
    assert_eq!(function.peer.streams[0].end.as_ref().unwrap().as_ref().unwrap_err(), &failure);
    assert_eq!(node.ping(), 77, "the broker lives on");

    node.say(&Abandon { task: key(30) }.into());
    node.say(&Shutdown.into());
    assert!(node.ended_well());
}

/// Receives a task's stream with no regard to what is in it.
fn without_function(
    node: &mut Node,
    task: usize,
) -> Result<fades_wire::data::StreamSummary, fades_wire::failure::Failure> {
    let data = node.data;
    let receiver = std::thread::spawn(move || support::node::swallow(data, ticket(task)));
    let ended = node.end().1.map(|ended| ended.summary);
    let _ = receiver.join().unwrap();
    ended
}

#[test]
fn memory_does_not_follow_the_data() {
    let Some(influxd) = influxd("memory") else { return };
    sample(&influxd, "db", 400_000);
    let mut node = Node::start();
    let order = retrieve(&node, &influxd, 0, |_| {});
    node.say(&order.into());
    let data = node.data;
    let receiver = std::thread::spawn(move || support::node::swallow(data, ticket(0)));
    let ended = node.end().1.unwrap();
    receiver.join().unwrap();
    let (bytes, memory) = (ended.summary.bytes, node.resident());
    eprintln!("{bytes} bytes of points, {:?}; most memory {} KiB", ended.times, memory / 1024);
    assert!(bytes > 19_000_000 && memory < 12 * 1024 * 1024, "{memory} bytes of memory for {bytes}");
}
