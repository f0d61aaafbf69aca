//! A source's answer on its way to points: MessagePack as the broker reads it, and the same rows as JSON and CSV, read in
//! the plainest way there is for each.

use std::fmt::Write as _;
use std::hint::black_box;

use criterion::{Criterion, Throughput};
use fades_drb::columns::Columns;
use fades_drb::influx1::document::{Asked, Parser};

/// Rows of one document, as the broker asks for them.
const ROWS: u16 = 10_000;
const START_NS: i64 = 1_767_225_600_000_000_000;

fn rows() -> impl Iterator<Item = (i64, f64)> {
    (0..ROWS).map(|i| (START_NS + i64::from(i) * 1_000_000_000, 20.0 + f64::from(i % 977) / 1000.0))
}

fn message_pack() -> Vec<u8> {
    let mut out = Vec::new();
    let text = |out: &mut Vec<u8>, text: &str| {
        out.push(0xa0 | u8::try_from(text.len()).unwrap());
        out.extend(text.as_bytes());
    };
    out.push(0x81);
    text(&mut out, "results");
    out.extend([0x91, 0x82]);
    text(&mut out, "statement_id");
    out.push(0);
    text(&mut out, "series");
    out.extend([0x91, 0x83]);
    text(&mut out, "name");
    text(&mut out, "m");
    text(&mut out, "columns");
    out.push(0x92);
    text(&mut out, "time");
    text(&mut out, "v");
    text(&mut out, "values");
    out.push(0xdc);
    out.extend(ROWS.to_be_bytes());
    for (time, value) in rows() {
        out.extend([0x92, 0xd3]);
        out.extend(time.to_be_bytes());
        out.push(0xcb);
        out.extend(value.to_be_bytes());
    }
    out
}

fn json() -> String {
    let mut rows = rows().fold(String::new(), |mut text, (time, value)| {
        let _ = write!(text, "[{time},{value}],");
        text
    });
    rows.pop();
    rows
}

fn csv() -> String {
    rows().fold(String::new(), |mut text, (time, value)| {
        let _ = writeln!(text, "m,,{time},{value}");
        text
    })
}

pub(crate) fn benches(c: &mut Criterion) {
    let (message_pack, json, csv) = (message_pack(), format!("[{}]", json()), csv());
    let asked = Asked {
        measurement: "m".into(),
        field: "v".into(),
        group_by: Vec::new(),
        from_ns: START_NS,
        to_ns: START_NS + i64::from(ROWS) * 1_000_000_000,
    };
    let all: f64 = rows().map(|(_, value)| value).sum();

    let mut group = c.benchmark_group("source");
    group.throughput(Throughput::Elements(ROWS.into()));
    group.bench_function("message_pack", |b| {
        b.iter(|| {
            let (mut parser, mut columns) = (Parser::new(asked.clone()), Columns::new(ROWS.into()));
            let mut at = 0;
            while at < message_pack.len() {
                at += parser.feed(black_box(&message_pack[at..]), &mut columns).unwrap().0;
            }
            assert_eq!(columns.len(), usize::from(ROWS));
        });
    });
    group.bench_function("json", |b| {
        b.iter(|| {
            let rows: Vec<(i64, f64)> = serde_json::from_str(black_box(&json)).unwrap();
            assert_eq!(rows.len(), usize::from(ROWS));
            rows
        });
    });
    group.bench_function("csv", |b| {
        b.iter(|| {
            let row = |line: &str| {
                let mut cells = line.split(',').skip(2);
                let mut cell = || cells.next().unwrap();
                (cell().parse::<i64>().unwrap(), cell().parse::<f64>().unwrap())
            };
            let rows: Vec<(i64, f64)> = black_box(&csv).lines().map(row).collect();
            assert!((rows.iter().map(|row| row.1).sum::<f64>() - all).abs() < 1e-6);
            rows
        });
    });
    group.finish();
}
