//! The whole line against a real InfluxDB: three questions, and what InfluxDB says itself.

mod common;

use std::fs;
use std::path::Path;

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
