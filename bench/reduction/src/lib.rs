//! What broker and function do with an answer of InfluxDB, one behind the other: the broker's parser, the frames, the
//! checks, and the code of the image `stats`. Bytes in, the result out, without guests, network and daemon.
//!
//! No I/O and no clock, so that the same code is a plain process (`bench/examples/plain.rs`) and a Wasm module
//! (`bench/wasm/module`).

#![forbid(unsafe_code)]

use dmf_reduce::session::Session;
use dmf_stats::Stats;
use fades_drb::columns::Columns;
use fades_drb::influx1::answer::{Answer, AnswerError};
use fades_drb::influx1::document::{Asked, Stop};
use fades_drb::influx1::request::request;
use fades_influxql::{Query, QueryError};
use fades_wire::batch::{Batch, BatchError};
use fades_wire::control::{Name, OperationName};
use fades_wire::data::{End, Series};
use fades_wire::digest::Meter;
use fades_wire::failure::Failure;
use fades_wire::frame::{Decoder, Encoder, FrameError, Kind};
use fades_wire::message::{MessageError, to_body};

/// Bytes of the answer that are held at once: what a broker reads at once.
const BUFFER: usize = 256 << 10;
/// Points of a chunk, as the broker makes them.
const CHUNK: usize = 8192;
/// Bytes of chunks under way, and of a result.
const WINDOW: u64 = 1 << 20;

/// What is asked.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// `HOST:PORT` of an InfluxDB 1.x.
    pub host: &'a str,
    /// Its database.
    pub database: &'a str,
    /// A measurement with a field `value` and a tag `room`.
    pub measurement: &'a str,
    /// First instant, nanoseconds since 1970.
    pub from_ns: i64,
    /// First instant that is not asked for.
    pub to_ns: i64,
}

/// Why there is no result.
#[derive(Debug, thiserror::Error)]
pub enum ReductionError {
    /// The question cannot be put.
    #[error("the question is none")]
    Query(#[from] QueryError),
    /// The answer cannot be used.
    #[error(transparent)]
    Answer(#[from] AnswerError),
    /// A chunk of ours is none.
    #[error("a chunk cannot be read back")]
    Batch(#[from] BatchError),
    /// A frame of ours is none.
    #[error("a frame cannot be read back")]
    Frame(#[from] FrameError),
    /// A message of ours is none.
    #[error("a message cannot be written")]
    Message(#[from] MessageError),
    /// The function's own.
    #[error("the function failed: {0:?}")]
    Function(Failure),
}

/// What came out.
#[derive(Debug)]
pub struct Reduced {
    /// Points that the function took.
    pub points: u64,
    /// Its result, a JSON document.
    pub result: Vec<u8>,
}

/// One task under way.
pub struct Reduction {
    measurement: String,
    answer: Answer,
    columns: Columns,
    line: Line<fn() -> u64>,
    buffer: Vec<u8>,
    held: usize,
    chunk: Vec<u8>,
}

impl Reduction {
    /// A task, and the bytes of its request to the source.
    ///
    /// # Errors
    /// The question is none.
    pub fn new(question: &Question<'_>) -> Result<(Self, Vec<u8>), ReductionError> {
        let Question { host, database, measurement, from_ns, to_ns } = *question;
        let group_by = [Name::from("room")];
        let query = Query {
            retention: None,
            measurement,
            field: "value",
            tags: &[],
            from_ns,
            to_ns,
            group_by: &group_by,
        };
        let request = request(host, database, None, &query.to_influxql()?);
        let measurement = measurement.to_owned();
        let asked = Asked {
            measurement: measurement.clone(),
            field: "value".into(),
            group_by: group_by.to_vec(),
            from_ns,
            to_ns,
        };
        let reduction = Self {
            measurement,
            answer: Answer::new(asked),
            columns: Columns::new(CHUNK),
            line: Line::new()?,
            buffer: vec![0; BUFFER],
            held: 0,
            chunk: Vec::new(),
        };
        Ok((reduction, request))
    }

    /// Where the next bytes of the answer go; never empty.
    pub fn space(&mut self) -> &mut [u8] {
        &mut self.buffer[self.held..]
    }

    /// So many bytes were put there. Gives whether the answer is whole now.
    ///
    /// # Errors
    /// What no further bytes can repair.
    pub fn filled(&mut self, count: usize) -> Result<bool, ReductionError> {
        let (mut start, end) = (0, self.held + count);
        while !self.answer.is_whole() {
            let (used, stop) = self.answer.feed(&self.buffer[start..end], &mut self.columns)?;
            start += used;
            if !self.columns.is_empty() && (stop != Stop::NeedInput || self.answer.is_whole()) {
                self.chunk.clear();
                self.columns.write(self.line.meter.series_count() - 1, &mut self.chunk);
                self.line.carry(Kind::Chunk, &self.chunk)?;
            }
            if stop == Stop::Series {
                let series = Series {
                    id: self.line.meter.series_count(),
                    tags: self.answer.tags().to_vec(),
                    measurement: self.measurement.clone(),
                    field: "value".into(),
                };
                self.line.carry(Kind::Series, &to_body(&series)?)?;
            } else if stop == Stop::NeedInput {
                break;
            }
        }
        self.buffer.copy_within(start..end, 0);
        self.held = end - start;
        Ok(self.answer.is_whole())
    }

    /// The result of a whole answer.
    ///
    /// # Errors
    /// It is not whole, or the two ends have not seen the same.
    pub fn finish(mut self) -> Result<Reduced, ReductionError> {
        self.answer.closed()?;
        let end = to_body(&End(self.line.meter.summary(0)))?;
        self.line.carry(Kind::End, &end)?;
        let outcome = self.line.session.finish(WINDOW).map_err(ReductionError::Function)?;
        let points = outcome.summaries.iter().map(|summary| summary.points).sum();
        Ok(Reduced { points, result: outcome.result })
    }
}

/// Both ends of the data connection.
struct Line<C: FnMut() -> u64> {
    session: Session<Stats, C>,
    meter: Meter,
    encoder: Encoder,
    decoder: Decoder,
    bytes: Vec<u8>,
}

impl Line<fn() -> u64> {
    fn new() -> Result<Self, ReductionError> {
        let names = [OperationName { index: 0, id: Name::from("all") }];
        let clock: fn() -> u64 = || 0;
        Ok(Self {
            session: Session::new("{}", &names, WINDOW, clock).map_err(ReductionError::Function)?,
            meter: Meter::default(),
            encoder: Encoder::data(),
            decoder: Decoder::data(),
            bytes: Vec::new(),
        })
    }

    fn carry(&mut self, kind: Kind, body: &[u8]) -> Result<(), ReductionError> {
        match kind {
            Kind::Series => self.meter.series(body),
            Kind::Chunk => self.meter.chunk(&Batch::parse(body)?),
            _ => {}
        }
        let _ = self.session.due();
        self.bytes.clear();
        self.encoder.frame(kind, 0, body, &mut self.bytes)?;
        self.decoder.push(&self.bytes);
        while let Some(frame) = self.decoder.next()? {
            self.session.frame(&frame).map_err(ReductionError::Function)?;
        }
        Ok(())
    }
}
