//! One task inside a function, without I/O: frames in, credit and at the end a result out.
//!
//! ```text
//! per stream:  open --Series--> open --Chunk--> open --End, equal to our own count--> whole
//!                 `--Abort, or anything unexpected--> the task fails
//! all streams whole --> finish
//! ```

use fades_wire::batch::{Batch, MAX_BATCH_LEN};
use fades_wire::control::OperationName;
use fades_wire::data::{Abort, Credit, End, FromBroker, MAX_SERIES, StreamSummary};
use fades_wire::digest::Meter;
use fades_wire::failure::{Code, Failure};
use fades_wire::flow::Receiver;
use fades_wire::frame::{BodyHash, Frame};

use crate::function::{Function, Series};

/// A task under way. `C` tells the time in microseconds, for `compute`.
pub struct Session<F, C> {
    function: F,
    clock: C,
    streams: Vec<Stream>,
    series_in_all: usize,
    compute_us: u64,
}

struct Stream {
    operation: String,
    series: Vec<Series>,
    meter: Meter,
    credit: Receiver,
    whole: bool,
}

/// What a finished session gives.
#[derive(Debug)]
pub struct Outcome {
    /// The result: a JSON document.
    pub result: Vec<u8>,
    /// What was received, per operation.
    pub summaries: Vec<StreamSummary>,
    /// Microseconds spent in the function's own code.
    pub compute_us: u64,
}

impl<F: Function, C: FnMut() -> u64> Session<F, C> {
    /// Reads the parameters and makes the function's state. `window` is the number of chunk bytes that may be on their way,
    /// all streams together; a stream gets at least one whole chunk, without which it could not move.
    ///
    /// # Errors
    /// [`Code::Parameters`] with the place in the parameters that is wrong.
    pub fn new(
        parameters: &str,
        operations: &[OperationName],
        window: u64,
        clock: C,
    ) -> Result<Self, Failure> {
        Ok(Self::of(start(parameters)?, operations, window, clock))
    }

    /// The same with a function that is made already, as out of what was [kept](crate::recurring).
    pub fn of(function: F, operations: &[OperationName], window: u64, clock: C) -> Self {
        let window = (window / operations.len().max(1) as u64).max(2 * MAX_BATCH_LEN as u64);
        let streams = operations
            .iter()
            .map(|operation| Stream {
                operation: operation.id.0.clone(),
                series: Vec::new(),
                meter: Meter::default(),
                credit: Receiver::new(window),
                whole: false,
            })
            .collect();
        Self { function, clock, streams, series_in_all: 0, compute_us: 0 }
    }

    /// The function, for what it wants kept.
    pub const fn function(&self) -> &F {
        &self.function
    }

    /// The credit to send now, by stream.
    pub fn due(&mut self) -> Vec<(u32, Credit)> {
        let streams = self.streams.iter_mut().zip(0u32..).filter(|(stream, _)| !stream.whole);
        streams
            .filter_map(|(stream, number)| Some((number, Credit { bytes: stream.credit.due()? })))
            .collect()
    }

    /// Takes one frame from the broker. Bounded work: one batch at most.
    ///
    /// # Errors
    /// The task has failed, and no further frame may be taken.
    pub fn frame(&mut self, frame: &Frame<'_>) -> Result<(), Failure> {
        let Frame { kind, stream: number, body, hash, .. } = *frame;
        let stream = usize::try_from(number).ok().and_then(|number| self.streams.get_mut(number));
        let Some(stream) = stream.filter(|stream| !stream.whole) else {
            return Err(Failure::new(
                Code::Protocol,
                format!("frame {kind:?} on stream {number}, which is not open"),
            ));
        };
        let message = FromBroker::from_frame(kind, body)
            .map_err(|error| Failure::new(Code::Protocol, format!("stream {number}: {error}")))?;
        match message {
            FromBroker::Series(series) => stream.describe(series, body, &mut self.series_in_all),
            FromBroker::Chunk(batch) => {
                let series = stream.receive(&batch, hash)?;
                let before = (self.clock)();
                let taken = self.function.batch(series, batch);
                self.compute_us += (self.clock)().saturating_sub(before);
                stream.credit.consumed(body.len() as u64);
                taken.map_err(|error| Failure::new(Code::Function, error.to_string()))
            }
            FromBroker::End(End(theirs)) => stream.end(number, &theirs),
            FromBroker::Abort(Abort(failure)) => Err(failure),
        }
    }

    /// Whether every stream came whole.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.streams.iter().all(|stream| stream.whole)
    }

    /// Points received so far.
    #[must_use]
    pub fn points(&self) -> u64 {
        self.streams.iter().map(|stream| stream.meter.points()).sum()
    }

    /// Ends the function and writes its result.
    ///
    /// # Errors
    /// A stream is not whole, the function has no result, or the result is over `limit` bytes.
    pub fn finish(mut self, limit: u64) -> Result<Outcome, Failure> {
        if let Some(stream) = self.streams.iter().find(|stream| !stream.whole) {
            return Err(Failure::new(
                Code::ClosedEarly,
                format!("operation {} is not whole", stream.operation),
            ));
        }
        let summaries = self.streams.iter().zip(0u16..).map(|(stream, n)| stream.meter.summary(n)).collect();
        let before = (self.clock)();
        let output =
            self.function.finish().map_err(|error| Failure::new(Code::Function, error.to_string()))?;
        let result = serde_json::to_vec(&output)
            .map_err(|error| Failure::new(Code::Function, format!("the result is not JSON: {error}")))?;
        let compute_us = self.compute_us + (self.clock)().saturating_sub(before);
        if result.len() as u64 > limit {
            let words = format!("the result has {} bytes, and the task allows {limit}", result.len());
            return Err(Failure::new(Code::ResultTooLarge, words));
        }
        Ok(Outcome { result, summaries, compute_us })
    }
}

/// Reads the parameters and makes a function's state.
///
/// # Errors
/// [`Code::Parameters`] with the place in the parameters that is wrong.
pub fn start<F: Function>(text: &str) -> Result<F, Failure> {
    F::start(parameters(text)?)
        .map_err(|error| Failure::new(Code::Parameters, format!("parameters: {error}")))
}

/// A function's parameters out of their JSON text. By way of an object: serde would take a list for a struct as well.
pub(crate) fn parameters<P: serde::de::DeserializeOwned>(text: &str) -> Result<P, Failure> {
    serde_json::from_str::<serde_json::Map<_, _>>(text)
        .and_then(|object| serde_json::from_value(serde_json::Value::Object(object)))
        .map_err(|error| Failure::new(Code::Parameters, format!("parameters: {error}")))
}

impl Stream {
    fn describe(
        &mut self,
        told: fades_wire::data::Series,
        body: &[u8],
        in_all: &mut usize,
    ) -> Result<(), Failure> {
        if told.id != self.meter.series_count() || told.id >= MAX_SERIES {
            let words = format!(
                "operation {}: series {} after {}",
                self.operation,
                told.id,
                self.meter.series_count()
            );
            return Err(Failure::new(Code::Protocol, words));
        }
        self.meter.series(body);
        self.series.push(Series {
            index: *in_all,
            operation: self.operation.clone(),
            measurement: told.measurement,
            field: told.field,
            tags: told.tags.into_iter().map(|tag| (tag.key.0, tag.value.0)).collect(),
        });
        *in_all += 1;
        Ok(())
    }

    fn receive(&mut self, batch: &Batch<'_>, hash: BodyHash) -> Result<&Series, Failure> {
        let failed =
            |code, words: String| Failure::new(code, format!("operation {}: {words}", self.operation));
        if let Err(exceeded) = self.credit.received(batch.body().len() as u64) {
            return Err(failed(Code::CreditExceeded, exceeded.to_string()));
        }
        self.meter.hashed_chunk(batch, hash);
        let series = usize::try_from(batch.series()).ok().and_then(|id| self.series.get(id));
        series.ok_or_else(|| failed(Code::Protocol, format!("chunk of unknown series {}", batch.series())))
    }

    fn end(&mut self, number: u32, theirs: &StreamSummary) -> Result<(), Failure> {
        let ours = self.meter.summary(u16::try_from(number).unwrap_or(u16::MAX));
        if ours != *theirs {
            let words = format!(
                "operation {}: received {} points in {} chunks, the broker says {} in {}, or the digests differ",
                self.operation, ours.points, ours.chunks, theirs.points, theirs.chunks
            );
            return Err(Failure::new(Code::Digest, words));
        }
        self.whole = true;
        // Series descriptions are not needed any more, and a task may have many.
        self.series = Vec::new();
        Ok(())
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
