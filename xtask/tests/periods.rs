//! Persistent tasks with real guests: a long baseline over past periods, with the node killed in the midst.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]

mod common;

use std::collections::BTreeMap;
use std::time::Duration;

use common::Bed;
use common::service::{Ask, Service};
use serde_json::{Value, json};
use xtask::testbed::generator::{Generator, ROOMS, START_NS};

const HOUR_NS: i64 = 3_600_000_000_000;
/// Readings in all, 25 sensors with one in ten seconds each: eleven full hours.
const POINTS: u64 = 100_000;
const PERIODS: u64 = 11;

/// Temperatures by room: time and value, as they were put into the database.
fn temperatures() -> BTreeMap<String, Vec<(i64, f64)>> {
    let mut generator = Generator::new(POINTS);
    let mut rooms: BTreeMap<String, Vec<(i64, f64)>> = BTreeMap::new();
    while let Some(block) = generator.block(5_000) {
        for line in block.lines().filter_map(|line| line.strip_prefix("temperature,room=")) {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap();
            let (room, value, time) = (word(), word(), word());
            let value = value.strip_prefix("value=").unwrap().parse().unwrap();
            rooms.entry(room.to_owned()).or_default().push((time.parse().unwrap(), value));
        }
    }
    rooms
}

/// Count, mean and sample deviation of what lies between two hours, by their definitions.
fn moments(points: &[(i64, f64)], from: u64, to: u64) -> (u64, f64, f64) {
    let at = |hour: u64| START_NS + i64::try_from(hour).unwrap() * HOUR_NS;
    let inside = points.iter().filter(|(time, _)| (at(from)..at(to)).contains(time));
    let values: Vec<f64> = inside.map(|(_, value)| *value).collect();
    let n = values.len() as f64;
    let mean = values.iter().sum::<f64>() / n;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    (values.len() as u64, mean, (squares / (n - 1.0)).sqrt())
}

fn close(found: &Value, expected: f64, what: &str) {
    let found = found.as_f64().unwrap_or_else(|| panic!("{what} is {found}"));
    assert!((found - expected).abs() <= 1e-6 * expected.abs().max(1e-3), "{what}: {found}, not {expected}");
}

/// What period `number` must say of every room.
fn check(result: &Value, number: u64, rooms: &BTreeMap<String, Vec<(i64, f64)>>) {
    let rows = result["groups"].as_array().unwrap();
    assert_eq!(rows.len(), ROOMS.len(), "{result}");
    for row in rows {
        let room = row["tags"]["room"].as_str().unwrap();
        let (points, what) = (&rooms[room], |what: &str| format!("period {number}, {room}, {what}"));
        let (count, mean, _) = moments(points, number, number + 1);
        assert_eq!((row["count"].as_u64(), count), (Some(360), 360), "{row}");
        close(&row["mean"], mean, &what("mean"));
        let past = &row["baseline"];
        assert_eq!(past["periods"].as_u64(), Some(number), "{row}");
        if number == 0 {
            assert!(past["count"] == 0 && row["z"].is_null(), "{row}");
            continue;
        }
        let (count, long, spread) = moments(points, 0, number);
        assert_eq!(past["count"].as_u64(), Some(count), "{row}");
        close(&past["mean"], long, &what("baseline"));
        close(&past["stddev"], spread, &what("spread"));
        close(&row["z"], (mean - long) / spread, &what("z"));
    }
}

/// The document of a period.
fn document(service: &Service, id: &str, number: u64) -> Value {
    let (status, body) = service.get(&format!("/v1/tasks/{id}/periods/{number}/result")).unwrap();
    assert_eq!(status, 200, "{body}");
    serde_json::from_str(&body).unwrap()
}

#[test]
fn a_long_baseline_goes_on_over_a_node_that_is_killed() {
    let mut bed = Bed::with("periods", POINTS, &[]);
    let service = Service::of(bed.node());
    let mut ask = Ask::of(&bed);
    ask.image = bed.node().image("baseline").unwrap();
    ask.end_ns = START_NS + HOUR_NS;
    let until = jiff::Timestamp::from_nanosecond((START_NS + 11 * HOUR_NS).into()).unwrap();
    ask.lifetime = json!({
        "persistent": { "every_ms": HOUR_NS / 1_000_000, "until": until.to_string(), "missed": "catch_up" },
    });
    let id = service.ask(&ask);
    // Twice in the midst: once when a function is under way, once wherever it is.
    for done in [2, 5] {
        service.until(&id, Duration::from_secs(60), |task| {
            let under_way = ["starting", "streaming", "computing"].contains(&task["state"].as_str().unwrap());
            task["periods"]["done"].as_u64().unwrap() >= done && (under_way || done > 2)
        });
        let node = bed.node.as_mut().unwrap();
        node.kill().unwrap();
        node.run().unwrap();
    }
    let task = service.end(&id, Duration::from_secs(120));
    assert_eq!(task["state"], "succeeded", "{task}");
    assert_eq!(task["periods"], json!({ "done": PERIODS, "failed": 0, "missed": 0 }));

    let rooms = temperatures();
    let mut state = Value::Null;
    for number in 0..PERIODS {
        let document = document(&service, &id, number);
        check(&document["result"], number, &rooms);
        assert_eq!(document["period"]["state_before"], state, "period {number} goes on from the one before");
        state = document["period"]["state_after"].clone();
        assert!(state.is_string(), "{document}");
    }
    // The task's own result is the last one's, its receipt verified.
    check(&service.result(&id), PERIODS - 1, &rooms);
    let events = service.events(&id);
    let done = events.iter().filter(|event| event["period"]["state"] == "done");
    let done: Vec<u64> = done.map(|event| event["period"]["number"].as_u64().unwrap()).collect();
    assert_eq!(done, (0..PERIODS).collect::<Vec<_>>(), "each period is published once");

    // What it has of the past is what one task over all of it says.
    let mut whole = Ask::of(&bed);
    whole.end_ns = START_NS + i64::try_from(PERIODS - 1).unwrap() * HOUR_NS;
    let id = service.ask(&whole);
    assert_eq!(service.end(&id, Duration::from_secs(60))["state"], "succeeded");
    let whole = service.result(&id);
    for (one, long) in whole["groups"].as_array().unwrap().iter().zip(baselines(&service, &task)) {
        assert_eq!(one["count"], long["count"]);
        close(&long["mean"], one["mean"].as_f64().unwrap(), "mean");
        close(&long["stddev"], one["stddev"].as_f64().unwrap(), "deviation");
    }
}

/// The baselines of the last period, in the order of the rooms.
fn baselines(service: &Service, task: &Value) -> Vec<Value> {
    let document = document(service, task["task"].as_str().unwrap(), PERIODS - 1);
    document["result"]["groups"].as_array().unwrap().iter().map(|row| row["baseline"].clone()).collect()
}

#[test]
fn periods_of_the_present_run_as_they_come_due() {
    let bed = Bed::start("present", 25);
    let service = Service::of(bed.node());
    let mut ask = Ask::of(&bed);
    ask.image = bed.node().image("baseline").unwrap();
    let in_s = |seconds: u64| jiff::Timestamp::now() + Duration::from_secs(seconds);
    ask.end_ns = i64::try_from(in_s(1).as_nanosecond()).unwrap();
    ask.lifetime = json!({ "persistent": { "every_ms": 4000, "until": in_s(10).to_string() } });
    let id = service.ask(&ask);
    let waiting = service.until(&id, Duration::from_secs(30), |task| {
        task["state"] == "waiting" && task["periods"]["done"] == 1
    });
    assert!(waiting["periods"]["next_due"].is_string(), "{waiting}");
    let task = service.end(&id, Duration::from_secs(60));
    assert_eq!(task["state"], "succeeded", "{task}");
    let of = |what: &str| task["periods"][what].as_u64().unwrap();
    // A machine that stands still for seconds misses one, and says so.
    assert_eq!((of("done") + of("missed"), of("failed")), (3, 0), "{task}");
}

#[test]
fn a_state_of_the_largest_size_goes_through_a_guest_and_a_larger_one_is_refused() {
    let bed = Bed::start("states", 25_000);
    bed.add_faulty();
    let service = Service::of(bed.node());
    let mut ask = Ask::of(&bed);
    ask.image = bed.node().image("faulty").unwrap();
    ask.end_ns = START_NS + HOUR_NS / 2;
    let until = jiff::Timestamp::from_nanosecond((START_NS + 3 * HOUR_NS / 2).into()).unwrap();
    ask.lifetime = json!({
        "persistent": { "every_ms": HOUR_NS / 2_000_000, "until": until.to_string(), "missed": "catch_up" },
    });
    let run = |bytes: u64| {
        let parameters = json!({ "mode": "remember", "bytes": bytes });
        let id = service.ask(&Ask { parameters, ..ask.clone() });
        (id.clone(), service.end(&id, Duration::from_secs(60)))
    };
    // Beside the padding: one byte for few periods, three for its length.
    let (id, task) = run((256 << 10) - 4);
    assert_eq!(task["periods"], json!({ "done": 3, "failed": 0, "missed": 0 }), "{task}");
    for number in 0..3 {
        let document = document(&service, &id, number);
        assert_eq!(document["result"]["events"].as_u64(), Some(number), "{document}");
    }
    let (id, task) = run((256 << 10) - 3);
    assert_eq!((&task["state"], &task["code"]), (&"failed".into(), &"E5017".into()), "{task}");
    let (_, body) = service.get(&format!("/v1/tasks/{id}/periods")).unwrap();
    let rows: Value = serde_json::from_str(&body).unwrap();
    for row in rows["periods"].as_array().unwrap() {
        assert_eq!(row["code"], "E3032", "{row}");
        assert!(row["detail"].as_str().unwrap().contains("262145 bytes"), "{row}");
    }
}
