//! The whole line against a real InfluxDB: three questions, and what InfluxDB says itself.

mod common;

use common::Bed;
use xtask::demo::{Question, ask};

#[test]
fn every_question_is_answered_as_influxdb_answers_it() {
    let bed = Bed::start("line", 100_000);
    for question in Question::ALL {
        let answer = ask(bed.node(), bed.influx(), question, bed.end_ns).unwrap();
        assert!(answer.rows.len() >= 15, "{}: {} rows", question.words(), answer.rows.len());
        for row in &answer.rows {
            assert!(row.holds(), "{row:?}");
        }
        let document = &answer.document;
        for stage in ["verify", "boot", "retrieve", "transfer", "compute", "return", "total"] {
            assert!(document["timings_us"][stage].as_u64().unwrap() > 0, "{stage} of {document}");
        }
        let (read, sent) =
            (document["bytes_read"].as_u64().unwrap(), document["bytes_sent"].as_u64().unwrap());
        assert!(read > sent, "{read} bytes were read for a result of {sent}");
    }
}
