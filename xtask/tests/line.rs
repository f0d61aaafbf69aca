//! The whole line against a real InfluxDB: three questions, and what InfluxDB says itself.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use common::Bed;
use fades_envelope::{Purpose, SigningKey, parse, verify_receipt};
use serde_json::{Value, json};
use xtask::demo::kept::{refuse_if_running, running};
use xtask::demo::{Answer, Question, ask};
use xtask::testbed::generator::{START_NS, STEP_NS};

#[test]
fn every_question_is_answered_as_influxdb_answers_it() {
    let bed = Bed::with("line", 100_000, &[]);
    for question in Question::ALL {
        let answer = ask(bed.node(), bed.influx(), question, bed.end_ns).unwrap();
        assert!(answer.rows.len() >= 15, "{}: {} rows", question.words(), answer.rows.len());
        for row in &answer.rows {
            assert!(row.holds(), "{row:?}");
        }
        if let Some(folder) = std::env::var_os("FADES_RESULTS") {
            keep(&answer, &bed, Path::new(&folder));
        }
        let document = &answer.document;
        for stage in ["verify", "boot", "retrieve", "transfer", "compute", "total"] {
            assert!(document["timings_us"][stage].as_u64().unwrap() > 0, "{stage} of {document}");
        }
        // A short result may come whole in one piece.
        assert!(document["timings_us"]["return"].is_u64(), "{document}");
        let (read, sent) =
            (document["bytes_read"].as_u64().unwrap(), document["bytes_sent"].as_u64().unwrap());
        assert!(read > sent, "{read} bytes were read for a result of {sent}");

        // The same question gets the same bytes, whatever the timing: chunks end where the data has them end.
        let again = ask(bed.node(), bed.influx(), question, bed.end_ns).unwrap().document;
        assert_eq!(again["result"], document["result"]);
        for (one, other) in operations(document).zip(operations(&again)) {
            for what in ["points", "chunks", "series", "bytes", "digest", "first", "last"] {
                assert_eq!(one[what], other[what], "{what} of {one} and {other}");
            }
            assert!(one["digest"].is_string(), "{one}");
        }
    }
}

/// Leaves what must be the same wherever the question is asked: the result as it was published, and what its receipt says
/// of it but for times, ids and the node. `cargo xtask lab` compares what it finds.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
fn keep(answer: &Answer, bed: &Bed, folder: &Path) {
    let bytes = |key: &str| Base64UrlUnpadded::decode_vec(answer.document[key].as_str().unwrap()).unwrap();
    let result = bytes("result_bytes");
    let node = SigningKey::read(&bed.node().folder().join("node.key")).unwrap().public();
    let receipt = bytes("receipt");
    verify_receipt(&receipt, &node, &result).unwrap();
    let payload = parse(&receipt).unwrap().verify(&node, Purpose::Receipt).unwrap().payload().to_vec();
    let statement: Value = serde_json::from_slice(&payload).unwrap();
    let receipt = &statement["predicate"];
    assert_eq!(receipt["node"]["backend"], bed.backend());
    let mut fields = Vec::new();
    name_fields(&statement, "", &mut fields);
    // Which defences there are is the backend's: a domain has no monitor to keep.
    let has_defences = |field: &String| field.starts_with("/predicate/defences/");
    assert!(fields.iter().any(has_defences), "{statement:#}");
    fields.retain(|field| !has_defences(field));
    let kept = json!({
        "_type": statement["_type"],
        "predicateType": statement["predicateType"],
        "subject": statement["subject"],
        "images": receipt["images"],
        "operations": receipt["operations"],
        "result": receipt["result"],
        "issuer": receipt["wrapper"]["issuer"],
        "fields": fields,
    });
    let name = answer.question.image();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join(format!("{name}.result.json")), &result).unwrap();
    fs::write(folder.join(format!("{name}.receipt.json")), format!("{kept:#}\n")).unwrap();
}

/// Every key of a document, with its place.
fn name_fields(value: &Value, place: &str, fields: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                name_fields(value, &format!("{place}/{key}"), fields);
            }
        }
        Value::Array(list) => {
            for (at, value) in list.iter().enumerate() {
                name_fields(value, &format!("{place}/{at}"), fields);
            }
        }
        _ => fields.push(place.to_owned()),
    }
}

#[expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
fn operations(document: &Value) -> impl Iterator<Item = &Value> {
    document["operations"].as_array().unwrap().iter()
}

/// Two operations are read side by side and joined by time: each has more points than a function's window, so that one of them would
/// never end if they came one after another.
#[test]
fn operations_are_joined_by_time() {
    let bed = Bed::start("joined", 500_000);
    let room = |class: &str, room: &str| {
        let answer = bed.influx().query(&format!("SELECT value FROM {class} WHERE room = '{room}'")).unwrap();
        let rows = answer[0]["values"].as_array().unwrap();
        rows.iter().map(|row| row[1].as_f64().unwrap()).collect::<Vec<f64>>()
    };
    let (exit, document) = bed.submit_and_wait(&joined(&bed, "{}", "[\"r1\", \"r2\", \"r4\"]", 0));
    assert_eq!(exit, 0, "{document}");
    let groups = document["result"]["groups"].as_array().unwrap();
    assert_eq!(
        groups.iter().map(|group| group["tags"]["room"].as_str().unwrap()).collect::<Vec<_>>(),
        ["r1", "r2", "r4"]
    );
    for group in groups {
        let name = group["tags"]["room"].as_str().unwrap();
        let (x, y) = (room("temperature", name), room("humidity", name));
        assert_eq!((group["rows"].as_u64(), x.len(), y.len()), (Some(20_000), 20_000, 20_000));
        let pair = &group["pairs"][0];
        assert_eq!((&pair["x"], &pair["y"]), (&"temp".into(), &"humid".into()));
        // By the definition, in two passes: both are off by some n · 2^-53.
        let (expected, found) = (pearson(&x, &y), pair["pearson"].as_f64().unwrap());
        assert!((expected - found).abs() < 1e-9, "{name}: {found} is not {expected}");
        assert!(group["trends"][0]["slope_per_second"].is_f64());
    }
    // What the others had was read as well, and left out, and both ends counted it.
    let unused: Vec<_> =
        document["result"]["unused"].as_array().unwrap().iter().map(|it| it["unmatched"].as_u64()).collect();
    assert_eq!(unused, [Some(2 * 20_000), Some(0)]);
    let points: Vec<_> = operations(&document).map(|it| it["points"].as_u64()).collect();
    assert_eq!(points, [Some(100_000), Some(60_000)]);

    // Moved by 4 s, no two have one time any more, and the nearest is 4 s away.
    for (parameters, rows) in [
        ("{ tolerance = \"3s\" }", None),
        ("{ tolerance = \"4s\" }", Some(20_000)),
        ("{ max_age = \"6s\" }", Some(19_999)),
    ] {
        let (exit, document) = bed.submit_and_wait(&joined(&bed, parameters, "[\"r3\"]", 4_000_000_000));
        assert_eq!(
            (exit, document["result"]["groups"][0]["rows"].as_u64()),
            (0, rows),
            "{parameters}: {document}"
        );
    }
}

/// A wrapper of the temperature of all rooms and of the humidity of some, or of a copy of it that is later.
#[expect(clippy::unwrap_used, reason = "a test fails by panicking, and so do its helpers")]
fn joined(bed: &Bed, parameters: &str, rooms: &str, later_ns: i64) -> PathBuf {
    let mut measurement = "humidity";
    if later_ns > 0 {
        measurement = "late";
        let answer = bed.influx().query("SELECT value FROM humidity WHERE room = 'r3'").unwrap();
        let rows = answer[0]["values"].as_array().unwrap();
        let line =
            |row: &Value| format!("late,room=r3 value={} {}\n", row[1], row[0].as_i64().unwrap() + later_ns);
        for rows in rows.chunks(10_000) {
            bed.influx().write(&rows.iter().map(line).collect::<String>()).unwrap();
        }
    }
    let operation = |id: &str, measurement: &str, tags: &str| {
        format!(
            "[[drb.operations]]\nid = \"{id}\"\nsource = \"testbed\"\nmeasurement = \"{measurement}\"\nfield = \"value\"\n\
             {tags}\nfrom = \"2026-01-01T00:00:00Z\"\nto = \"2026-02-01T00:00:00Z\"\ngroup_by = [\"room\"]\n"
        )
    };
    let text = format!(
        "{}{}[dmf]\nimage = \"{}\"\nparameters = {parameters}\n[dmf.resources]\nmemory_mib = 64\ntimeout_ms = 120000\n",
        operation("temp", "temperature", ""),
        operation("humid", measurement, &format!("tags = {{ room = {rooms} }}")),
        bed.node().image("correlate").unwrap(),
    );
    let file = bed.folder().join("joined.toml");
    fs::write(&file, text).unwrap();
    file
}

fn pearson(x: &[f64], y: &[f64]) -> f64 {
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    let (a, b) = (mean(x), mean(y));
    let sum = |one: &dyn Fn(f64, f64) -> f64| x.iter().zip(y).map(|(x, y)| one(x - a, y - b)).sum::<f64>();
    sum(&|x, y| x * y) / (sum(&|x, _| x * x) * sum(&|_, y| y * y)).sqrt()
}

#[test]
fn few_readings_are_compared_as_well_as_many_and_a_wrong_number_is_found() {
    let bed = Bed::start("few", 25_000);
    let ask = |question, steps: i64| {
        let end_ns = START_NS + steps * STEP_NS;
        (ask(bed.node(), bed.influx(), question, end_ns).unwrap(), end_ns)
    };
    // From one reading of each sensor on, as `--points` allows.
    for steps in [1, 2, 3, 4, 5, 20, 40, 41, 99, 1000] {
        let (answer, end_ns) = ask(Question::Quantiles, steps);
        assert_eq!(answer.rows.len(), 15);
        for row in &answer.rows {
            assert!(row.holds(), "{steps} readings per sensor: {row:?}");
        }
        let mut wrong = answer.document["result"].clone();
        let value = &mut wrong["groups"][2]["quantiles"][1]["value"];
        *value = Value::from(value.as_f64().unwrap() * 1.3);
        let rows = Question::Quantiles.compare(&wrong, bed.influx(), end_ns).unwrap();
        let wrong: Vec<&str> = rows.iter().filter(|row| !row.holds()).map(|row| &*row.label).collect();
        assert_eq!(wrong, ["r3 p90"], "{steps} readings per sensor");
    }
    for question in [Question::HourlyMean, Question::AllClasses] {
        let (answer, _) = ask(question, 1);
        assert!(answer.rows.len() >= 5 && answer.rows.iter().all(|row| row.holds()), "{:?}", answer.rows);
    }
}

#[test]
fn a_demo_does_not_clear_what_still_runs() {
    let bed = Bed::start("kept", 25);
    let pids: Vec<u32> = running(bed.folder()).unwrap().iter().map(|running| running.pid).collect();
    assert_eq!(pids, [bed.node().pid().unwrap(), bed.influx().pid()]);
    assert!(refuse_if_running(bed.folder()).is_err());
    let folder = bed.folder().to_owned();
    drop(bed);
    refuse_if_running(&folder).unwrap();
}
