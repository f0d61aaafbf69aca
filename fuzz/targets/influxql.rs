//! Requests to a fixture: any text is answered or refused in words, and every query that a broker can write finds the point that it
//! asks for.

#![no_main]

use std::collections::BTreeMap;

use fades_drb::influx1::request::request;
use fades_influxql::Query;
use fades_points::{Fixture, Replay};
use fades_wire::control::{Name, TagSelection};
use libfuzzer_sys::fuzz_target;

/// Measurement, field, retention, a tag with its value and others, first instant and length of the range.
type Asked<'a> = (&'a str, &'a str, Option<&'a str>, &'a str, &'a str, Vec<&'a str>, i64, u32);

fuzz_target!(|input: (&str, Asked<'_>)| {
    let (text, (measurement, field, retention, tag, value, others, from_ns, length)) = input;
    answer(Fixture::default(), &request("host", "db", None, text));
    answer(Fixture::default(), &[text.as_bytes(), b"\r\n\r\n"].concat());

    let name = |text: &str| Name::from(text);
    let values = others.into_iter().chain([value]).map(name).collect();
    let query = Query {
        retention,
        measurement,
        field,
        tags: &[TagSelection { tag: name(tag), values }],
        from_ns,
        to_ns: from_ns.saturating_add(length.into()),
        group_by: &[name(tag)],
    };
    let Ok(query) = query.to_influxql() else { return };
    let mut fixture = Fixture::default();
    fixture.push(measurement, field, &BTreeMap::from([(tag.to_owned(), value.to_owned())]), from_ns, 1.25);
    let answer = answer(fixture, &request("host", "db", None, &query));
    assert!(answer.starts_with(b"HTTP/1.1 200 "), "{query}");
    let point = [&[0x92, 0xd3][..], &from_ns.to_be_bytes(), &[0xcb], &1.25f64.to_be_bytes()].concat();
    assert!(answer.windows(point.len()).any(|window| window == point), "{query}");
});

/// The whole answer to a whole request.
fn answer(fixture: Fixture, request: &[u8]) -> Vec<u8> {
    let replay = Replay::new(fixture);
    let answer = fades_fuzz::parse(|| {
        replay.answer(request).map(|answer| answer.flatten().collect::<Vec<u8>>()).expect("its head is whole")
    });
    assert!(answer.starts_with(b"HTTP/1.1 200 ") || answer.starts_with(b"HTTP/1.1 400 "));
    answer
}
