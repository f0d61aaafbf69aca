//! Runs a function on the host: the readings go through the same frames, checks, credit and digest as on the virtual
//! network; only the network itself is missing.
//!
//! ```
//! # use dmf_reduce::*;
//! # struct Sum(f64);
//! # impl Function for Sum {
//! #     type Parameters = NoParameters;
//! #     type Output = f64;
//! #     fn start(_: NoParameters) -> Result<Self, Error> { Ok(Sum(0.0)) }
//! #     fn batch(&mut self, _: &Series, batch: Batch<'_>) -> Result<(), Error> {
//! #         self.0 += batch.values().sum::<f64>();
//! #         Ok(())
//! #     }
//! #     fn finish(self) -> Result<f64, Error> { Ok(self.0) }
//! # }
//! use dmf_testkit::{Feed, reduce};
//!
//! let result = reduce::<Sum>("{}", &[Feed::new("temp", &[(0, 21.0), (1, 22.0)])]).unwrap();
//! assert_eq!(result, 43.0);
//! ```

use std::collections::{BTreeMap, VecDeque};

use dmf_reduce::Function;
use dmf_reduce::session::Session;
use fades_wire::batch::{Batch, BatchBuilder};
use fades_wire::control::{Name, OperationName};
use fades_wire::data::{End, Series, Tag};
use fades_wire::digest::Meter;
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::message::to_body;

/// One series of a source, for one operation, whose measurement is named like it. As in InfluxDB its points are in the order of
/// time, and a later point of the same time takes the place of an earlier one. Feeds of the same operation and tags are series
/// that differ in tags that are not grouped by: the function sees one series, with the points of all of them.
#[derive(Debug, Clone)]
pub struct Feed {
    operation: String,
    tags: Vec<(String, String)>,
    points: BTreeMap<i64, f64>,
}

impl Feed {
    /// Readings of one operation: time in nanoseconds since 1970, and value; in any order.
    #[must_use]
    pub fn new(operation: &str, points: &[(i64, f64)]) -> Self {
        Self { operation: operation.to_owned(), tags: Vec::new(), points: points.iter().copied().collect() }
    }

    /// The same with a tag to group by.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// What a function sees as one series.
struct Group<'a> {
    operation: &'a str,
    tags: &'a [(String, String)],
    points: Vec<(i64, f64)>,
}

impl<'a> Group<'a> {
    /// The feeds of one operation, joined where their tags are the same; in the order in which they are given.
    fn of(operation: &'a str, feeds: &'a [Feed]) -> Vec<Self> {
        let mut groups: Vec<Self> = Vec::new();
        for feed in feeds.iter().filter(|feed| feed.operation == operation) {
            let points = feed.points.iter().map(|(time, value)| (*time, *value));
            match groups.iter_mut().find(|group| same(group.tags, &feed.tags)) {
                Some(group) => group.points.extend(points),
                None => groups.push(Self { operation, tags: &feed.tags, points: points.collect() }),
            }
        }
        for group in &mut groups {
            group.points.sort_by_key(|(time, _)| *time); // stable: feeds that are joined keep their order
        }
        groups
    }
}

/// Whether tags are the same, in whatever order.
fn same(one: &[(String, String)], other: &[(String, String)]) -> bool {
    one.len() == other.len() && one.iter().all(|tag| other.contains(tag))
}

/// Most bytes of a result in tests.
const RESULT_LIMIT: u64 = 1 << 20;
/// Chunk bytes on their way.
const WINDOW: u64 = 1 << 20;

/// Gives `feeds` to a function in batches of at most `1, 2, 3, …` points, so that every boundary is met, and returns its
/// result. Operations come as a broker sends them: one after another, or side by side if the function takes them together, and
/// none beyond the credit that the function gives.
///
/// # Errors
/// As the orchestrator would see it.
pub fn reduce<F: Function>(parameters: &str, feeds: &[Feed]) -> Result<serde_json::Value, Failure> {
    let mut operations: Vec<&str> = Vec::new();
    for feed in feeds {
        if !operations.contains(&feed.operation.as_str()) {
            operations.push(&feed.operation);
        }
    }
    let names: Vec<OperationName> =
        operations.iter().zip(0..).map(|(id, index)| OperationName { index, id: Name::from(*id) }).collect();
    let mut session = Session::<F, _>::new(parameters, &names, WINDOW, || 0)?;
    let (mut encoder, mut decoder) = (Encoder::data(), Decoder::data());
    let of = |(operation, number): (&&str, u16)| Stream::new(&Group::of(operation, feeds), number);
    let mut streams: Vec<Stream> = operations.iter().zip(0..).map(of).collect();
    let mut turn = 0;
    while streams.iter().any(|stream| !stream.frames.is_empty()) {
        for (number, credit) in session.due() {
            streams[usize::try_from(number).unwrap_or(usize::MAX)].credit += credit.bytes;
        }
        let count = streams.len();
        let mut order = (turn..count).chain(0..turn);
        let next = order.find(|&at| streams[at].may_go()).expect("a function lets one of its streams go on");
        let (kind, body) = streams[next].take();
        let number = u32::try_from(next).unwrap_or(u32::MAX);
        carry(&mut session, &mut encoder, &mut decoder, number, kind, &body)?;
        // Whoever takes them together gets them by turns; else each to its end.
        turn = if F::TOGETHER { (next + 1) % count } else { 0 };
    }
    let outcome = session.finish(RESULT_LIMIT)?;
    serde_json::from_slice(&outcome.result).map_err(|error| Failure::new(Code::Function, error.to_string()))
}

/// What is still to be sent of one operation.
struct Stream {
    frames: VecDeque<(Kind, Vec<u8>)>,
    credit: u64,
}

impl Stream {
    fn new(groups: &[Group<'_>], number: u16) -> Self {
        let (mut meter, mut frames) = (Meter::default(), VecDeque::new());
        for group in groups {
            for (kind, body) in frames_of(group, meter.series_count()) {
                count(&mut meter, kind, &body);
                frames.push_back((kind, body));
            }
        }
        frames.push_back((Kind::End, body(&End(meter.summary(number)))));
        Self { frames, credit: 0 }
    }

    /// Only chunks take credit.
    fn may_go(&self) -> bool {
        self.frames
            .front()
            .is_some_and(|(kind, body)| *kind != Kind::Chunk || body.len() as u64 <= self.credit)
    }

    fn take(&mut self) -> (Kind, Vec<u8>) {
        let (kind, body) = self.frames.pop_front().expect("one that may go has a frame");
        if kind == Kind::Chunk {
            self.credit -= body.len() as u64;
        }
        (kind, body)
    }
}

fn frames_of(group: &Group<'_>, id: u32) -> Vec<(Kind, Vec<u8>)> {
    let tags = group
        .tags
        .iter()
        .map(|(key, value)| Tag { key: Name::from(key.as_str()), value: Name::from(value.as_str()) });
    let series = Series {
        id,
        tags: tags.collect(),
        measurement: group.operation.to_owned(),
        field: "value".to_owned(),
    };
    let mut frames = vec![(Kind::Series, body(&series))];
    let (mut at, mut size) = (0, 1);
    while at < group.points.len() {
        let end = group.points.len().min(at + size);
        let mut builder = BatchBuilder::new(id);
        for &(time, value) in &group.points[at..end] {
            builder.push(time, value);
        }
        let mut chunk = Vec::new();
        builder.write(&mut chunk);
        frames.push((Kind::Chunk, chunk));
        (at, size) = (end, (size + 1).min(4096));
    }
    frames
}

fn count(meter: &mut Meter, kind: Kind, body: &[u8]) {
    match kind {
        Kind::Series => meter.series(body),
        _ => meter.chunk(&Batch::parse(body).expect("a chunk of our own making is a batch")),
    }
}

fn carry<F: Function, C: FnMut() -> u64>(
    session: &mut Session<F, C>,
    encoder: &mut Encoder,
    decoder: &mut Decoder,
    stream: u32,
    kind: Kind,
    body: &[u8],
) -> Result<(), Failure> {
    let mut bytes = Vec::new();
    encoder.frame(kind, stream, body, &mut bytes).expect("a frame of our own making fits");
    decoder.push(&bytes);
    while let Some(frame) = decoder.next().expect("a frame of our own making is right") {
        session.frame(&frame)?;
    }
    Ok(())
}

fn body(message: &impl serde::Serialize) -> Vec<u8> {
    to_body(message).expect("a message of our own making is within its caps")
}

#[cfg(test)]
mod tests {
    use dmf_reduce::{Error, NoParameters};
    use serde_json::json;

    use super::*;

    /// Operation, tags, time and value.
    type Row = (String, Vec<(String, String)>, i64, f64);

    /// All points as they come.
    #[derive(Default)]
    struct Seen(Vec<Row>);

    impl Function for Seen {
        type Parameters = NoParameters;
        type Output = Vec<Row>;

        fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
            Ok(Self::default())
        }

        fn batch(&mut self, series: &dmf_reduce::Series, batch: Batch<'_>) -> Result<(), Error> {
            let row = |(time, value)| (series.operation.clone(), series.tags.clone(), time, value);
            self.0.extend(batch.points().map(row));
            Ok(())
        }

        fn finish(self) -> Result<Self::Output, Error> {
            Ok(self.0)
        }
    }

    #[test]
    fn points_are_in_the_order_of_time_and_the_later_takes_the_place_of_the_earlier() {
        let feed = Feed::new("air", &[(7, 1.0), (3, 2.0), (7, 4.0), (-1, 3.0)]);
        let seen = reduce::<Seen>("{}", &[feed]).unwrap();
        assert_eq!(seen, json!([["air", [], -1, 3.0], ["air", [], 3, 2.0], ["air", [], 7, 4.0]]));
    }

    #[test]
    fn feeds_of_the_same_tags_are_one_series_with_all_their_points() {
        let tagged = |operation: &str, keys: [&str; 2], points: &[(i64, f64)]| {
            Feed::new(operation, points).tag(keys[0], "1").tag(keys[1], "1")
        };
        let feeds = [
            tagged("a", ["k", "l"], &[(1, 1.0), (2, 2.0)]),
            Feed::new("b", &[(1, 9.0)]),
            tagged("a", ["l", "k"], &[(1, 3.0)]),
        ];
        let tags = [["k", "1"], ["l", "1"]];
        let expected =
            json!([["a", tags, 1, 1.0], ["a", tags, 1, 3.0], ["a", tags, 2, 2.0], ["b", [], 1, 9.0]]);
        assert_eq!(reduce::<Seen>("{}", &feeds).unwrap(), expected);
    }
}
