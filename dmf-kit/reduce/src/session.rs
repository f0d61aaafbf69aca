//! One task inside a function, without I/O: frames in, credit and at the end a result out.
//!
//! ```text
//! per stream:  open --Series--> open --Chunk--> open --End, equal to our own count--> whole
//!                 `--Abort, or anything unexpected--> the task fails
//! all streams whole --> finish
//! ```
//! What a function relies on is checked here: series of a stream come one after another, and the times of a series never go back.
//!
//! Credit for a chunk is granted again when the function has dealt with it: when `batch` returns, or, of a function that takes its
//! operations together, when it holds the chunk's points no longer ([`Function::held`]). So a stream that is ahead of the others
//! waits at the broker, and what is held never exceeds the window.

use std::rc::Rc;

use fades_wire::batch::{Batch, MAX_BATCH_LEN, POINT_LEN};
use fades_wire::control::OperationName;
use fades_wire::data::{Abort, Credit, End, FromBroker, MAX_SERIES, StreamSummary};
use fades_wire::digest::Meter;
use fades_wire::failure::{Code, Failure};
use fades_wire::flow::Receiver;
use fades_wire::frame::{BodyHash, Frame};

use crate::function::{Function, Series};
use crate::place;

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
    /// The series whose points come now, and the last time of it.
    series: Option<(Rc<Series>, i64)>,
    /// Chunks that came.
    chunks: u64,
    meter: Meter,
    credit: Receiver,
    /// Bytes of chunks that the function has not dealt with.
    kept: u64,
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
        Self::of(start(parameters)?, operations, window, clock)
    }

    /// The same with a function that is made already, as out of what was [kept](crate::recurring).
    ///
    /// # Errors
    /// [`Code::Function`] if it cannot work on these operations.
    pub fn of(mut function: F, operations: &[OperationName], window: u64, clock: C) -> Result<Self, Failure> {
        let ids: Vec<&str> = operations.iter().map(|operation| operation.id.0.as_str()).collect();
        function.operations(&ids).map_err(|error| Failure::new(Code::Function, error.to_string()))?;
        let window = (window / operations.len().max(1) as u64).max(2 * MAX_BATCH_LEN as u64);
        let streams = operations
            .iter()
            .map(|operation| Stream {
                operation: operation.id.0.clone(),
                series: None,
                chunks: 0,
                meter: Meter::default(),
                credit: Receiver::new(window),
                kept: 0,
                whole: false,
            })
            .collect();
        Ok(Self { function, clock, streams, series_in_all: 0, compute_us: 0 })
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
                stream.kept += body.len() as u64;
                self.release();
                taken.map_err(|error| Failure::new(Code::Function, error.to_string()))
            }
            FromBroker::End(End(theirs)) => {
                stream.end(number, &theirs)?;
                let before = (self.clock)();
                let taken = self.function.ended(usize::try_from(number).unwrap_or(usize::MAX));
                self.compute_us += (self.clock)().saturating_sub(before);
                self.release();
                taken.map_err(|error| Failure::new(Code::Function, error.to_string()))
            }
            FromBroker::Abort(Abort(failure)) => Err(failure),
        }
    }

    /// Notes what the function has dealt with, so that its room can be granted again.
    fn release(&mut self) {
        for (operation, stream) in self.streams.iter_mut().enumerate() {
            let held = if F::TOGETHER { (self.function.held(operation) * POINT_LEN) as u64 } else { 0 };
            stream.credit.consumed(stream.kept.saturating_sub(held));
            stream.kept = stream.kept.min(held);
        }
    }

    /// Points of an operation that the function holds.
    #[cfg(test)]
    pub(crate) fn held(&self, operation: usize) -> usize {
        self.function.held(operation)
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
        let series = Series {
            index: *in_all,
            operation: self.operation.clone(),
            measurement: told.measurement,
            field: told.field,
            tags: told.tags.into_iter().map(|tag| (tag.key.0, tag.value.0)).collect(),
        };
        self.series = Some((Rc::new(series), i64::MIN));
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
        let current = self.meter.series_count().checked_sub(1) == Some(batch.series());
        let Some((series, last)) = self.series.as_mut().filter(|_| current) else {
            let words = format!("chunk of series {}, which is not the one that comes", batch.series());
            return Err(failed(Code::Protocol, words));
        };
        // Each against the one before it and without an early exit, so that many are compared at once; where it went wrong is of
        // interest only if it did.
        let later = batch.times().skip(1);
        let ascending =
            batch.times().zip(later).fold(true, |so_far, (before, time)| so_far & (before <= time));
        let (first, latest) = (batch.times().next(), batch.times().next_back());
        if !ascending || first.is_some_and(|first| first < *last) {
            let before = core::iter::once(*last).chain(batch.times());
            let back = before.zip(batch.times()).find(|(before, time)| time < before);
            let (before, time) = back.unwrap_or_default();
            let words = format!("series {}: time {time} comes after {before}", batch.series());
            return Err(failed(Code::Protocol, words));
        }
        *last = latest.unwrap_or(*last);
        let span = (first.unwrap_or(*last), *last);
        place::enter(series, self.chunks, batch.len(), span);
        self.chunks += 1;
        Ok(series)
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
        self.series = None;
        Ok(())
    }
}

#[cfg(test)]
#[path = "session_tests.rs"]
mod tests;
