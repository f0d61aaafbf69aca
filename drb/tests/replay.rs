//! A fixture answers as InfluxDB does: the same lines in both, the same requests to both, the same points read by the broker's
//! own parser. Skipped aloud where no influxd is installed.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed; its numbers are small"
)]

mod support;

use std::io::{Read, Write};
use std::net::TcpStream;

use fades_drb::columns::Columns;
use fades_drb::influx1::answer::Answer;
use fades_drb::influx1::document::{Asked, Stop};
use fades_drb::influx1::request::request;
use fades_influxql::Query;
use fades_points::{Fixture, Replay};
use fades_wire::control::{Name, TagSelection};
use support::influxd::Influxd;

type Groups = Vec<(Vec<(String, String)>, Vec<(i64, u64)>)>;

/// What the broker's parser makes of an answer.
fn parsed(query: &Query<'_>, bytes: &[u8]) -> Groups {
    let asked = Asked {
        measurement: query.measurement.to_owned(),
        field: query.field.to_owned(),
        group_by: query.group_by.to_vec(),
        from_ns: query.from_ns,
        to_ns: query.to_ns,
    };
    let (mut answer, mut columns, mut groups, mut at) =
        (Answer::new(asked), Columns::new(1000), Groups::new(), 0);
    loop {
        let (used, stop) = answer.feed(&bytes[at..], &mut columns).unwrap();
        at += used;
        if !columns.is_empty() {
            let mut chunk = Vec::new();
            columns.write(0, &mut chunk);
            let batch = fades_wire::batch::Batch::parse(&chunk).unwrap();
            let points = &mut groups.last_mut().expect("points follow their series").1;
            points.extend(batch.points().map(|(time, value)| (time, value.to_bits())));
        }
        match stop {
            Stop::Series => {
                let tags = answer.tags().iter().map(|tag| (tag.key.0.clone(), tag.value.0.clone()));
                groups.push((tags.collect(), Vec::new()));
            }
            Stop::NeedInput => break,
            Stop::Full => {}
        }
    }
    answer.closed().unwrap();
    groups
}

fn asked_of_influxd(influxd: &Influxd, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(influxd.address).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    answer
}

/// Rooms with what must be quoted, missing tags, several fields, series that join in one group, more rows than a document has.
fn lines() -> String {
    let mut lines = String::new();
    for at in 0..23_000_i64 {
        let room = ["r1", r"b\ b", r"a\,c\=d'", "\u{e4}"][usize::try_from(at % 4).unwrap()];
        let tags = if at % 5 == 0 { String::new() } else { format!(",room={room},floor={}", at % 3) };
        lines += &format!("m{tags} v={}.25,i={at}i,w=-1e{} {}\n", at % 100, at % 20, 1_000_000 + at * 7);
    }
    lines + "other,room=r1 v=1 1000001\n"
}

#[test]
fn a_fixture_answers_as_influxdb_does() {
    let Some(influxd) = Influxd::start("replay") else {
        eprintln!("SKIPPED: no influxd is installed (apt-get install influxdb)");
        return;
    };
    let lines = lines();
    influxd.create("db");
    influxd.write("db", &lines);
    let fixture = Fixture::from_line_protocol(&lines).unwrap();
    let recorded = Fixture::from_fpt(&fixture.to_fpt().unwrap()).unwrap();
    assert_eq!(recorded, fixture);
    let replay = Replay::new(recorded);
    let tag = |tag: &str, values: &[&str]| TagSelection {
        tag: tag.into(),
        values: values.iter().map(|value| Name::from(*value)).collect(),
    };
    let all = Query {
        retention: None,
        measurement: "m",
        field: "v",
        tags: &[],
        from_ns: 0,
        to_ns: i64::MAX,
        group_by: &[],
    };
    let (rooms, floors) =
        ([tag("room", &["r1", "a,c=d'"])], [tag("room", &["", "b b"]), tag("floor", &["", "1"])]);
    let (room, both) = (["room".into()], ["room".into(), "floor".into()]);
    let mut points = 0;
    for query in [
        all,
        Query { group_by: &room, ..all },
        Query { group_by: &both, field: "i", ..all },
        Query { tags: &rooms, group_by: &["floor".into()], field: "w", ..all },
        Query { tags: &floors, group_by: &room, ..all },
        Query { from_ns: 1_000_700, to_ns: 1_000_707, ..all },
        Query { from_ns: 1_000_701, to_ns: 1_000_707, ..all },
        Query { group_by: &["nothing".into()], ..all },
        Query { field: "nothing", ..all },
        Query { measurement: "other", retention: Some("autogen"), group_by: &room, ..all },
    ] {
        let bytes = request("h", "db", None, &query.to_influxql().unwrap());
        let (real, ours) = (asked_of_influxd(&influxd, &bytes), replay.answer(&bytes).unwrap());
        let (real, ours) = (parsed(&query, &real), parsed(&query, &ours.flatten().collect::<Vec<u8>>()));
        assert!(real == ours, "{query:?}: {} groups of InfluxDB, {} of the fixture", real.len(), ours.len());
        points += real.iter().map(|(_, points)| points.len()).sum::<usize>();
    }
    assert!(points > 80_000, "{points}");
}
