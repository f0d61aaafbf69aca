//! One operation: from the question to the last chunk.
//!
//! ```text
//! Connecting --connected--> Requesting --request sent--> Answering --answer whole--> Draining --last point--> (End)
//! ```
//! From any of them it may fail. The buffer that the answer is read into is lent to whoever reads the socket; there is
//! no room in it while points wait for credit, and so a slow function slows its source down.

use super::Micros;
use super::limits::Layout;
use super::outbox::Outbox;
use super::reason;
use crate::columns::Columns;
use crate::influx1::answer::Answer;
use crate::influx1::document::{Asked, Stop};
use crate::influx1::request::request;
use fades_influxql::Query;
use fades_wire::batch::{BATCH_HEADER_LEN, POINT_LEN};
use fades_wire::control::{self, OperationTimes, SourceKind};
use fades_wire::data::{MAX_SERIES, Series};
use fades_wire::digest::Meter;
use fades_wire::failure::{Code, Failure};
use fades_wire::flow::Sender;
use fades_wire::frame::{BodyHash, HEADER_LEN, Kind};
use fades_wire::message::to_body;

/// Room that chunks leave in an outbox, for the frame that ends a stream.
pub(super) const RESERVE: usize = 2048;
/// Unparsed bytes up to which it is worth moving them to make room behind them.
const CHEAP_MOVE: usize = 4096;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Connecting,
    Requesting,
    Answering,
    Draining,
}

/// The large pieces of memory, handed from one operation of a task to the next.
#[derive(Debug)]
pub(super) struct Buffers {
    read: Vec<u8>,
    columns: Columns,
}

impl Buffers {
    pub(super) fn new(layout: &Layout) -> Self {
        Self { read: vec![0; layout.read], columns: Columns::new(layout.points) }
    }

    pub(super) fn memory(&self) -> usize {
        self.read.capacity() + self.columns.memory_taken()
    }
}

/// How far a step came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Step {
    /// Bytes of the source's answer that were used.
    pub(super) used: usize,
    /// Whether nothing more can be done until something happens: bytes, credit or room in the outbox.
    pub(super) blocked: bool,
    /// Whether every point is in the outbox.
    pub(super) done: bool,
    /// Whether there was credit for a chunk, and only the outbox had no room.
    pub(super) crowded: bool,
}

impl Step {
    const fn blocked(used: usize) -> Self {
        Self { used, blocked: true, done: false, crowded: false }
    }
}

/// An operation under way.
#[derive(Debug)]
pub(super) struct Operation {
    spec: control::Operation,
    phase: Phase,
    answer: Answer,
    buffers: Buffers,
    /// The unused part of the read buffer; of the request, while that stands there.
    start: usize,
    end: usize,
    /// Whether all that came was used, and more is needed.
    starved: bool,
    /// The source closed the connection, in these words if not in the orderly way.
    closed: Option<Option<String>>,
    /// The current series' description, until its first chunk.
    description: Option<Vec<u8>>,
    /// Another series begins once the columns are written.
    turning: bool,
    meter: Meter,
    quiet_since: Option<Micros>,
    started: Micros,
    query_sent: Option<Micros>,
    first_byte: Option<Micros>,
    last_byte: Option<Micros>,
    first_chunk: Option<Micros>,
}

impl Operation {
    /// Writes the request into the buffers.
    pub(super) fn new(
        spec: control::Operation,
        mut buffers: Buffers,
        started: Micros,
    ) -> Result<Self, (Failure, Buffers)> {
        let written = write_request(&spec, &mut buffers.read);
        let end = match written {
            Ok(end) => end,
            Err(failure) => return Err((failure, buffers)),
        };
        let asked = Asked {
            measurement: spec.measurement.clone(),
            field: spec.field.clone(),
            group_by: spec.group_by.clone(),
            from_ns: spec.from_ns,
            to_ns: spec.to_ns,
        };
        Ok(Self {
            spec,
            phase: Phase::Connecting,
            answer: Answer::new(asked),
            buffers,
            start: 0,
            end,
            starved: false,
            closed: None,
            description: None,
            turning: false,
            meter: Meter::default(),
            quiet_since: None,
            started,
            query_sent: None,
            first_byte: None,
            last_byte: None,
            first_chunk: None,
        })
    }

    pub(super) const fn index(&self) -> u16 {
        self.spec.index
    }

    pub(super) const fn meter(&self) -> &Meter {
        &self.meter
    }

    /// Rows without a value, which were left out.
    pub(super) const fn nulls(&self) -> u64 {
        self.answer.nulls()
    }

    pub(super) fn memory(&self) -> usize {
        self.buffers.memory() + self.description.as_ref().map_or(0, Vec::capacity)
    }

    pub(super) fn into_buffers(self) -> Buffers {
        self.buffers
    }

    /// Times, at the moment when the last byte was sent to the function.
    pub(super) fn times(&self, received: Micros, now: Micros) -> OperationTimes {
        let query = self.query_sent.unwrap_or(self.started);
        let since = |from: Micros, to: Option<Micros>| to.map_or(0, |to| to.saturating_sub(from));
        OperationTimes {
            waited_us: query.saturating_sub(received),
            first_byte_us: since(query, self.first_byte),
            retrieve_us: since(query, self.last_byte),
            send_us: self.first_chunk.map_or(0, |first| now.saturating_sub(first)),
        }
    }

    /// Whether it still has to do with its source.
    pub(super) fn needs_source(&self) -> bool {
        self.phase != Phase::Draining
    }

    /// Whether points wait to be sent.
    pub(super) fn has_points(&self) -> bool {
        !self.buffers.columns.is_empty()
    }

    pub(super) fn connected(&mut self) {
        if self.phase == Phase::Connecting {
            self.phase = Phase::Requesting;
            self.quiet_since = None;
        }
    }

    /// What is still to be sent to the source.
    pub(super) fn request(&self) -> &[u8] {
        if self.phase == Phase::Requesting { &self.buffers.read[self.start..self.end] } else { &[] }
    }

    pub(super) fn request_sent(&mut self, count: usize, now: Micros) {
        if self.phase != Phase::Requesting {
            return;
        }
        self.start += count.min(self.end - self.start);
        self.quiet_since = None;
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
            self.starved = true;
            self.query_sent = Some(now);
            self.phase = Phase::Answering;
        }
    }

    /// Room for the source's next bytes, or `None` while it must wait.
    pub(super) fn space(&mut self) -> Option<&mut [u8]> {
        if self.phase != Phase::Answering || self.closed.is_some() {
            return None;
        }
        let unused = self.end - self.start;
        if self.start > 0 && (self.starved || unused <= CHEAP_MOVE) {
            self.buffers.read.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, unused);
        }
        let room = self.buffers.read.len() - self.end;
        // Many small reads cost more than few large ones.
        let worthwhile = self.starved || room >= self.buffers.read.len() / 4;
        (room > 0 && worthwhile).then(|| &mut self.buffers.read[self.end..])
    }

    pub(super) fn received(&mut self, count: usize, now: Micros) {
        self.end = (self.end + count).min(self.buffers.read.len());
        self.starved = false;
        self.quiet_since = None;
        self.first_byte.get_or_insert(now);
    }

    /// The connection has ended; what came before still counts.
    pub(super) fn closed(&mut self, words: Option<String>) -> Result<(), Failure> {
        self.closed.get_or_insert(words);
        match self.phase {
            Phase::Connecting | Phase::Requesting => Err(self.broken_off()),
            Phase::Answering | Phase::Draining => Ok(()),
        }
    }

    fn broken_off(&self) -> Failure {
        let how = self.closed.clone().flatten().map_or_else(String::new, |words| format!(" ({words})"));
        match (self.phase, self.answer.closed()) {
            (Phase::Connecting, _) => {
                Failure::new(Code::SourceUnreachable, format!("no connection to the source{how}"))
            }
            (_, Err(error)) => {
                let Failure { code, message } = reason::answer(&error);
                Failure::new(code, format!("{message}{how}"))
            }
            (_, Ok(())) => {
                Failure::new(Code::SourceClosedEarly, format!("the source closed the connection{how}"))
            }
        }
    }

    /// When the source will have been silent for too long, if it is its turn to say something.
    pub(super) fn watch(&mut self, now: Micros) -> Result<Option<Micros>, Failure> {
        let its_turn = match self.phase {
            Phase::Connecting | Phase::Requesting => true,
            Phase::Answering => self.starved && self.closed.is_none(),
            Phase::Draining => false,
        };
        if !its_turn {
            self.quiet_since = None;
            return Ok(None);
        }
        let limit = Micros::from(self.spec.timeout_ms) * 1000;
        let due = self.quiet_since.get_or_insert(now).saturating_add(limit);
        if now < due {
            return Ok(Some(due));
        }
        let limit = self.spec.timeout_ms;
        Err(match self.phase {
            Phase::Connecting => Failure::new(
                Code::SourceUnreachable,
                format!("no connection to the source within {limit} ms"),
            ),
            Phase::Requesting => Failure::new(
                Code::SourceSilent,
                format!("the source did not take the request for {limit} ms"),
            ),
            _ if self.first_byte.is_none() => {
                Failure::new(Code::SourceSilent, format!("the source did not answer within {limit} ms"))
            }
            _ => {
                let points = self.meter.points() + self.buffers.columns.len() as u64;
                Failure::new(
                    Code::SourceSilent,
                    format!("the source fell silent for {limit} ms, after {points} points"),
                )
            }
        })
    }

    /// Whether it is the source's turn to do something.
    pub(super) fn waits_for_source(&self) -> bool {
        match self.phase {
            Phase::Connecting | Phase::Requesting => true,
            Phase::Answering => self.starved,
            Phase::Draining => false,
        }
    }

    /// Whom the operation is waiting for, in words.
    pub(super) fn waits_for(&self) -> &'static str {
        match self.phase {
            Phase::Connecting => "for a connection to the source",
            Phase::Requesting => "for the source to take the request",
            Phase::Answering if self.starved => "for the source's answer",
            Phase::Answering | Phase::Draining => "for the function to take points",
        }
    }

    /// Uses about `allowance` bytes of what came, within credit and the outbox's room.
    pub(super) fn step(
        &mut self,
        allowance: usize,
        now: Micros,
        credit: &mut Sender,
        outbox: &mut Outbox,
    ) -> Result<Step, Failure> {
        let mut used = 0;
        loop {
            let must_write =
                self.turning || self.phase == Phase::Draining || self.buffers.columns.room() == 0;
            if must_write && !self.buffers.columns.is_empty() {
                if self.write_chunk(now, credit, outbox)? {
                    continue;
                }
                let crowded = credit.available() >= self.chunk_len() as u64;
                return Ok(Step { crowded, ..Step::blocked(used) });
            }
            if self.turning {
                self.turn()?;
            }
            match self.phase {
                Phase::Connecting | Phase::Requesting => {
                    return Ok(Step::blocked(used));
                }
                Phase::Draining => return Ok(Step { blocked: false, done: true, ..Step::blocked(used) }),
                Phase::Answering if used >= allowance => {
                    return Ok(Step { blocked: false, ..Step::blocked(used) });
                }
                Phase::Answering => {}
            }
            let input = &self.buffers.read[self.start..self.end];
            let (count, stop) =
                self.answer.feed(input, &mut self.buffers.columns).map_err(|error| reason::answer(&error))?;
            self.start += count;
            used += count;
            self.turning |= stop == Stop::Series;
            if self.answer.is_whole() {
                self.last_byte = Some(now);
                self.phase = Phase::Draining;
            } else if stop == Stop::NeedInput {
                if self.closed.is_some() {
                    return Err(self.broken_off());
                }
                self.starved = true;
                return Ok(Step::blocked(used));
            }
        }
    }

    /// Begins the series that the answer has come to. The columns are empty.
    fn turn(&mut self) -> Result<(), Failure> {
        self.turning = false;
        let id = self.meter.series_count();
        if id >= MAX_SERIES {
            return Err(Failure::new(
                Code::SourceTooLarge,
                format!("the answer has more than {MAX_SERIES} series"),
            ));
        }
        let series = Series {
            id,
            tags: self.answer.tags().to_vec(),
            measurement: self.spec.measurement.clone(),
            field: self.spec.field.clone(),
        };
        let body = to_body(&series).map_err(|error| {
            Failure::new(Code::SourceTooLarge, format!("a series cannot be described: {error}"))
        })?;
        self.description = Some(body);
        Ok(())
    }

    /// Bytes of the chunk that all points that are held would make.
    fn chunk_len(&self) -> usize {
        BATCH_HEADER_LEN + self.buffers.columns.len() * POINT_LEN
    }

    /// Writes all points that are held as one chunk, before it its series' description if that is new. Says whether there was
    /// room and credit for it.
    ///
    /// Chunks end where the columns are full or the series ends, and never where credit or time does: the same answer makes the
    /// same chunks, and so the same digest and the same last digits of every sum, on every machine. A function's window holds
    /// the longest chunk ([`fades_wire::flow`]), so that the credit for it comes.
    fn write_chunk(
        &mut self,
        now: Micros,
        credit: &mut Sender,
        outbox: &mut Outbox,
    ) -> Result<bool, Failure> {
        let described = self.description.as_ref().map_or(0, |body| HEADER_LEN + body.len());
        let frame = HEADER_LEN + BATCH_HEADER_LEN;
        let room = outbox.room().saturating_sub(RESERVE + described + frame) / POINT_LEN;
        let points = self.buffers.columns.len();
        if room < points || !credit.take(self.chunk_len() as u64) {
            return Ok(false);
        }
        if let Some(body) = self.description.take() {
            self.meter.series(&body);
            put(outbox, Kind::Series, self.spec.index, |out| out.extend_from_slice(&body))?;
        }
        let series = self.meter.series_count().saturating_sub(1);
        let columns = &mut self.buffers.columns;
        let (range, points) = (columns.range(), columns.len());
        let hash = put(outbox, Kind::Chunk, self.spec.index, |out| columns.write(series, out))?;
        self.meter.count(points, range, hash);
        self.first_chunk.get_or_insert(now);
        Ok(true)
    }
}

/// Puts a frame into the outbox, and gives its body's hash.
pub(super) fn put(
    outbox: &mut Outbox,
    kind: Kind,
    stream: u16,
    write: impl FnOnce(&mut Vec<u8>),
) -> Result<BodyHash, Failure> {
    outbox.put(kind, stream, write).map_err(|error| {
        Failure::new(error.code(), format!("a frame for the function cannot be written: {error}"))
    })
}

/// Writes the request to the start of `buffer` and gives its length.
fn write_request(spec: &control::Operation, buffer: &mut [u8]) -> Result<usize, Failure> {
    let SourceKind::InfluxDb1 { database, credentials, .. } = &spec.source;
    let influxql = Query::from(spec).to_influxql().map_err(|error| reason::query(&error))?;
    let credentials = credentials.as_ref().map(|known| (known.user.0.as_str(), known.password.0.as_str()));
    let bytes = request(&spec.endpoint.to_string(), &database.0, credentials, &influxql);
    let (length, room) = (bytes.len(), buffer.len());
    let place = buffer.get_mut(..length).ok_or_else(|| {
        Failure::new(
            Code::SourceQuery,
            format!("the query of {length} bytes is over {room}, what the budget allows"),
        )
    })?;
    place.copy_from_slice(&bytes);
    Ok(length)
}
