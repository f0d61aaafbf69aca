//! What the broker's tests share: answers as InfluxDB writes them, orders, and a small random generator.
#![allow(dead_code, unreachable_pub, reason = "each test uses its part")]

pub mod function;
pub mod influxd;
pub mod node;

use fades_wire::address::Endpoint;
use fades_wire::control::{Operation, Retrieve, SourceKind};
use fades_wire::ids::{TaskKey, Ticket};
use std::net::Ipv4Addr;

/// Points of one series, under the value of its tag `room`.
pub type Data = Vec<(String, Vec<(i64, f64)>)>;

/// A generator of numbers, good enough to choose with (xorshift64*).
#[derive(Clone, Debug)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 16
    }
    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        (self.next() % end.max(1) as u64) as usize
    }
    pub fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

pub fn data(dice: &mut Dice, series: usize, points: usize) -> Data {
    let mut all = Data::new();
    for index in 0..series {
        let mut time = dice.below(50) as i64;
        let list = (0..1 + dice.below(points)).map(|_| {
            time += dice.below(3) as i64;
            (time, dice.below(1000) as f64 / 8.0)
        });
        all.push((format!("r{index}"), list.collect()));
    }
    all
}

fn text(out: &mut Vec<u8>, text: &str) {
    assert!(text.len() < 32);
    out.push(0xa0 | text.len() as u8);
    out.extend(text.as_bytes());
}

/// Rows of one series in one document, and whether the series goes on in the next.
type Piece<'a> = (&'a str, &'a [(i64, f64)], bool);

/// Documents of at most `rows` rows, with InfluxDB 1.6's stray flags.
pub fn documents(data: &Data, rows: usize) -> Vec<u8> {
    let mut pieces: Vec<Piece<'_>> = Vec::new();
    for (room, points) in data {
        let count = points.chunks(rows).len();
        pieces.extend(
            points.chunks(rows).enumerate().map(|(at, piece)| (room.as_str(), piece, at + 1 < count)),
        );
    }
    let mut out = Vec::new();
    let count = pieces.len();
    if count == 0 {
        empty(&mut out);
    }
    for (at, (room, points, cut)) in pieces.into_iter().enumerate() {
        let more = at + 1 < count;
        out.push(0x81);
        text(&mut out, "results");
        out.push(0x91);
        out.push(if more { 0x83 } else { 0x82 });
        text(&mut out, "statement_id");
        out.push(0);
        text(&mut out, "series");
        out.push(0x91);
        out.push(0x84);
        text(&mut out, "name");
        text(&mut out, "m");
        text(&mut out, "tags");
        out.push(0x81);
        text(&mut out, "room");
        text(&mut out, room);
        text(&mut out, "columns");
        out.push(0x92);
        text(&mut out, "time");
        text(&mut out, "v");
        text(&mut out, "values");
        out.push(0xdd);
        out.extend((points.len() as u32).to_be_bytes());
        for (time, value) in points {
            out.extend([0x92, 0xd3]);
            out.extend(time.to_be_bytes());
            out.push(0xcb);
            out.extend(value.to_be_bytes());
        }
        for _ in 0..usize::from(cut) + usize::from(more) {
            text(&mut out, "partial");
            out.push(0xc3);
        }
    }
    out
}

fn empty(out: &mut Vec<u8>) {
    out.push(0x81);
    text(out, "results");
    out.push(0x91);
    out.push(0x82);
    text(out, "statement_id");
    out.push(0);
    text(out, "series");
    out.push(0x90);
}

/// The head of a good answer.
pub const HEAD: &[u8] =
    b"HTTP/1.1 200 OK\r\nContent-Type: application/x-msgpack\r\nTransfer-Encoding: chunked\r\n\r\n";

/// A whole good answer, its body in chunks of random length.
pub fn answer(body: &[u8], dice: &mut Dice, chunk: usize) -> Vec<u8> {
    let mut out = HEAD.to_vec();
    let mut rest = body;
    while !rest.is_empty() {
        let (piece, after) = rest.split_at((1 + dice.below(chunk)).min(rest.len()));
        out.extend(format!("{:x}\r\n", piece.len()).as_bytes());
        out.extend(piece);
        out.extend(b"\r\n");
        rest = after;
    }
    out.extend(b"0\r\n\r\n");
    out
}

pub const TIMEOUT_MS: u32 = 2_000;

/// Each operation of each task has a source of its own, told by its port.
pub fn operation(task: usize, index: usize) -> Operation {
    Operation {
        index: index as u16,
        source: SourceKind::InfluxDb1 { database: "db".into(), retention: None, credentials: None },
        endpoint: Endpoint::new(Ipv4Addr::LOCALHOST, (task * 64 + index) as u16),
        measurement: "m".into(),
        field: "v".into(),
        tags: vec![],
        from_ns: -1000,
        to_ns: i64::MAX,
        group_by: vec!["room".into()],
        timeout_ms: TIMEOUT_MS,
    }
}

pub fn key(task: usize) -> TaskKey {
    TaskKey((task as u128 + 1).to_be_bytes())
}

pub fn ticket(task: usize) -> Ticket {
    Ticket([task as u8 + 1; 32])
}

pub fn order(task: usize, operations: usize, budget_bytes: u64) -> Retrieve {
    Retrieve {
        task: key(task),
        ticket: ticket(task),
        near: None,
        together: false,
        priority: 5,
        deadline_us: 60_000_000,
        operations: (0..operations).map(|index| operation(task, index)).collect(),
        budget_bytes,
    }
}
