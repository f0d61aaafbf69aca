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

use dmf_reduce::Function;
use dmf_reduce::session::Session;
use fades_wire::batch::{Batch, BatchBuilder};
use fades_wire::control::{Name, OperationName};
use fades_wire::data::{End, Series, Tag};
use fades_wire::digest::Meter;
use fades_wire::failure::{Code, Failure};
use fades_wire::frame::{Decoder, Encoder, Kind};
use fades_wire::message::to_body;

/// One series of readings for a function: one operation, its measurement named like it.
#[derive(Debug, Clone)]
pub struct Feed {
    operation: String,
    tags: Vec<(String, String)>,
    points: Vec<(i64, f64)>,
}

impl Feed {
    /// Readings of one operation: time in nanoseconds since 1970, and value.
    #[must_use]
    pub fn new(operation: &str, points: &[(i64, f64)]) -> Self {
        Self { operation: operation.to_owned(), tags: Vec::new(), points: points.to_vec() }
    }

    /// The same with a tag to group by.
    #[must_use]
    pub fn tag(mut self, key: &str, value: &str) -> Self {
        self.tags.push((key.to_owned(), value.to_owned()));
        self
    }
}

/// Most bytes of a result in tests.
const RESULT_LIMIT: u64 = 1 << 20;
/// Chunk bytes on their way.
const WINDOW: u64 = 1 << 20;

/// Gives `feeds` to a function in batches of at most `1, 2, 3, …` points, so that every boundary is met, and returns its
/// result.
///
/// # Errors
/// As the orchestrator would see it.
pub fn reduce<F: Function>(parameters: &str, feeds: &[Feed]) -> Result<serde_json::Value, Failure> {
    let mut operations: Vec<&str> = feeds.iter().map(|feed| feed.operation.as_str()).collect();
    operations.dedup();
    let names: Vec<OperationName> =
        operations.iter().zip(0..).map(|(id, index)| OperationName { index, id: Name::from(*id) }).collect();
    let mut session = Session::<F, _>::new(parameters, &names, WINDOW, || 0)?;
    let (mut encoder, mut decoder) = (Encoder::data(), Decoder::data());
    for (operation, stream) in operations.iter().zip(0u32..) {
        let mut meter = Meter::default();
        for feed in feeds.iter().filter(|feed| feed.operation == *operation) {
            for (kind, body) in frames_of(feed, meter.series_count()) {
                count(&mut meter, kind, &body);
                carry(&mut session, &mut encoder, &mut decoder, stream, kind, &body)?;
            }
        }
        let end = body(&End(meter.summary(u16::try_from(stream).unwrap_or(u16::MAX))));
        carry(&mut session, &mut encoder, &mut decoder, stream, Kind::End, &end)?;
    }
    let outcome = session.finish(RESULT_LIMIT)?;
    serde_json::from_slice(&outcome.result).map_err(|error| Failure::new(Code::Function, error.to_string()))
}

fn frames_of(feed: &Feed, id: u32) -> Vec<(Kind, Vec<u8>)> {
    let tags = feed
        .tags
        .iter()
        .map(|(key, value)| Tag { key: Name::from(key.as_str()), value: Name::from(value.as_str()) });
    let series =
        Series { id, tags: tags.collect(), measurement: feed.operation.clone(), field: "value".to_owned() };
    let mut frames = vec![(Kind::Series, body(&series))];
    let (mut at, mut size) = (0, 1);
    while at < feed.points.len() {
        let end = feed.points.len().min(at + size);
        let mut builder = BatchBuilder::new(id);
        for &(time, value) in &feed.points[at..end] {
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
    // Credit is granted as a running function would; a feed never waits, so the grants only have to be made.
    let _ = session.due();
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
