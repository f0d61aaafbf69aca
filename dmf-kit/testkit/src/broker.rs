//! The broker's logic between a fixture and a function: what sockets do on a node is a loop here, and its clock only counts.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Instant;

use dmf_reduce::Function;
use dmf_reduce::session::{Session, start};
use fades_drb::broker::{Action, Broker, FunctionId, Limits, SourceId};
use fades_points::{Answer, Fixture, Replay};
use fades_wire::control::FromGuest;
use fades_wire::data::{Open, StreamSummary, ToBroker};
use fades_wire::failure::Failure;
use fades_wire::frame::{Decoder, Encoder};
use fades_wire::ids::Ticket;
use serde::Serialize;
use serde_json::Value;

use crate::{Task, TaskError};

/// What a run gives.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Run {
    /// The result; of several periods that of the last one.
    pub result: Value,
    /// What the function was given.
    pub read: Read,
    /// Microseconds in the function's own code, of a build for the host.
    pub compute_us: u64,
    /// The periods of a persistent task, from 0 on; then what was read and computed is all of theirs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub periods: Vec<Self>,
}

/// What was read, all operations together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Read {
    /// Series.
    pub series: u64,
    /// Points.
    pub points: u64,
    /// Column bytes, 16 per point.
    pub bytes: u64,
    /// Chunks.
    pub chunks: u64,
}

/// Why a run gave no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    /// In the words that the task would fail with.
    #[error("{0}")]
    Failed(Failure),
    /// A fault in this crate.
    #[error("the broker waits and nothing comes: this is a fault of the testkit")]
    Stuck,
    /// In one of several periods.
    #[error("period {number}")]
    Period {
        /// Counted from 0.
        number: u64,
        /// Why it failed.
        source: Box<Self>,
    },
    /// A persistent task whose `until` is before its first period is due.
    #[error("no period is due until the task's end: the first one is at the latest `to`")]
    NoPeriod,
    /// A period reads beyond the times that there are.
    #[error(transparent)]
    Task(#[from] TaskError),
}

/// Runs a task on a fixture; of a persistent one the windows that it names, without any state.
///
/// # Errors
/// As the task would fail on a node.
pub fn run<F: Function>(task: &Task, fixture: &Fixture) -> Result<Run, RunError> {
    let begin = |parameters: &str| start::<F>(parameters);
    let (run, ()) = carry_out(task, &Replay::new(fixture.clone()), begin, |_| Ok(()))?;
    Ok(run)
}

/// Runs a task with a function that `begin` makes of its parameters; what `keep` takes of it before its end is given back.
pub(crate) fn carry_out<F: Function, K>(
    task: &Task,
    readings: &Replay,
    begin: impl FnOnce(&str) -> Result<F, Failure>,
    keep: impl FnOnce(&F) -> Result<K, Failure>,
) -> Result<(Run, K), RunError> {
    let ticket = Ticket([7; 32]);
    let orders = task.orders(ticket);
    let begun = Instant::now();
    let clock = || u64::try_from(begun.elapsed().as_micros()).unwrap_or(u64::MAX);
    let mut session = begin(&orders.parameters)
        .and_then(|function| Session::of(function, &orders.operations, orders.window_bytes, clock))
        .map_err(RunError::Failed)?;
    let mut node = Node::new(readings.clone());
    node.broker.retrieve(task.order(ticket, F::TOGETHER), 0);
    node.say(0, &ToBroker::Open(Open { ticket }));
    while !session.is_whole() {
        node.moved = false;
        for (stream, credit) in session.due() {
            node.say(stream, &ToBroker::Credit(credit));
        }
        node.act()?;
        node.feed();
        while node.broker.work(node.now) {
            node.moved = true;
        }
        node.carry(&mut session)?;
        if !node.moved {
            return Err(RunError::Stuck);
        }
    }
    let kept = keep(session.function()).map_err(RunError::Failed)?;
    let outcome = session.finish(orders.result_limit).map_err(RunError::Failed)?;
    let result = serde_json::from_slice(&outcome.result);
    let no_json =
        |error: serde_json::Error| Failure::new(fades_wire::failure::Code::Function, error.to_string());
    let run = Run {
        result: result.map_err(|error| RunError::Failed(no_json(error)))?,
        read: Read::of(&outcome.summaries),
        compute_us: outcome.compute_us,
        periods: Vec::new(),
    };
    Ok((run, kept))
}

impl Read {
    fn of(summaries: &[StreamSummary]) -> Self {
        summaries.iter().fold(Self::default(), |read, stream| Self {
            series: read.series + u64::from(stream.series),
            points: read.points + stream.points,
            bytes: read.bytes + stream.bytes,
            chunks: read.chunks + stream.chunks,
        })
    }
}

impl Run {
    /// What all periods have given, in one.
    pub(crate) fn of_periods(periods: Vec<Self>) -> Option<Self> {
        let result = periods.last()?.result.clone();
        let read = periods.iter().fold(Read::default(), |all, Self { read, .. }| Read {
            series: all.series + read.series,
            points: all.points + read.points,
            bytes: all.bytes + read.bytes,
            chunks: all.chunks + read.chunks,
        });
        let compute_us = periods.iter().map(|period| period.compute_us).sum();
        Some(Self { result, read, compute_us, periods })
    }
}

/// What stands around a broker.
struct Node {
    broker: Broker,
    replay: Replay,
    sources: BTreeMap<SourceId, Source>,
    function: FunctionId,
    encoder: Encoder,
    decoder: Decoder,
    now: u64,
    moved: bool,
}

/// A connection to the fixture.
#[derive(Default)]
struct Source {
    request: Vec<u8>,
    answer: Option<Answer>,
    piece: Vec<u8>,
    given: usize,
}

impl Node {
    fn new(replay: Replay) -> Self {
        let mut broker = Broker::new(Limits::default());
        let function = broker.function_connected(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        Self {
            broker,
            replay,
            sources: BTreeMap::new(),
            function,
            encoder: Encoder::data(),
            decoder: Decoder::data(),
            now: 0,
            moved: false,
        }
    }

    /// The function says something to the broker.
    fn say(&mut self, stream: u32, message: &ToBroker) {
        let mut bytes = Vec::new();
        let body = message.to_body().expect("what a function says is within its caps");
        self.encoder.frame(message.kind(), stream, &body, &mut bytes).expect("it fits into a frame");
        self.broker.function_received(self.function, &bytes, self.now);
        self.moved = true;
    }

    /// Does what the broker wants done.
    fn act(&mut self) -> Result<(), RunError> {
        self.now += 1;
        while let Some(action) = self.broker.next_action() {
            self.moved = true;
            match action {
                Action::Connect { source, .. } => {
                    self.broker.source_connected(source);
                    self.sources.insert(source, Source::default());
                }
                Action::CloseSource(source) => drop(self.sources.remove(&source)),
                Action::Tell(FromGuest::OperationFailed(failed)) => {
                    return Err(RunError::Failed(failed.failure));
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Takes requests and gives as much of their answers as the broker has room for.
    fn feed(&mut self) {
        for (&id, source) in &mut self.sources {
            let request = self.broker.source_output(id);
            if !request.is_empty() {
                let count = request.len();
                source.request.extend_from_slice(request);
                self.broker.source_sent(id, count, self.now);
                self.moved = true;
            }
            if source.answer.is_none() {
                source.answer = self.replay.answer(&source.request);
            }
            while let Some(rest) = source.rest() {
                let Some(space) = self.broker.source_space(id) else { break };
                let count = space.len().min(rest.len());
                space[..count].copy_from_slice(&rest[..count]);
                source.given += count;
                self.broker.source_received(id, count, self.now);
                self.moved = true;
            }
        }
    }

    /// Brings the function what the broker has for it.
    fn carry<F: Function, C: FnMut() -> u64>(&mut self, session: &mut Session<F, C>) -> Result<(), RunError> {
        loop {
            let output = self.broker.function_output(self.function);
            if output.is_empty() {
                return Ok(());
            }
            let space = self.decoder.space();
            let count = space.len().min(output.len());
            space[..count].copy_from_slice(&output[..count]);
            self.decoder.filled(count);
            self.broker.function_sent(self.function, count, self.now);
            self.moved = true;
            while let Some(frame) = self.decoder.next().expect("a broker's frames are right") {
                session.frame(&frame).map_err(RunError::Failed)?;
            }
        }
    }
}

impl Source {
    /// What is still to be given of the piece under way.
    fn rest(&mut self) -> Option<&[u8]> {
        if self.given == self.piece.len() {
            self.piece = self.answer.as_mut()?.next()?;
            self.given = 0;
        }
        Some(&self.piece[self.given..])
    }
}

#[cfg(test)]
mod tests {
    use dmf_reduce::{Batch, Error, Function, Groups, NoParameters, Series};
    use serde_json::json;

    use super::*;

    /// Points and sum per room; fails on a value of 13.
    struct Sums(Groups<(u64, f64)>);

    impl Function for Sums {
        type Parameters = NoParameters;
        type Output = Vec<(String, String, u64, f64)>;

        fn start(NoParameters {}: NoParameters) -> Result<Self, Error> {
            Ok(Self(Groups::default()))
        }

        fn batch(&mut self, series: &Series, batch: Batch<'_>) -> Result<(), Error> {
            if batch.values().any(|value| value == 13.0) {
                return Err(Error::new("13 is unlucky"));
            }
            let (count, sum) = self.0.state(series, || (0, 0.0));
            *count += batch.len() as u64;
            *sum += batch.values().sum::<f64>();
            Ok(())
        }

        fn finish(self) -> Result<Self::Output, Error> {
            let room = |tags: &BTreeMap<String, String>| tags.get("room").cloned().unwrap_or_default();
            Ok(self
                .0
                .into_rows()
                .map(|(group, (n, sum))| (group.operation, room(&group.tags), n, sum))
                .collect())
        }
    }

    const TASK: &str = "
        [[drb.operations]]
        id = 'warm'
        source = 'any'
        measurement = 'temperature'
        field = 'value'
        from = '1970-01-01T00:00:00Z'
        to = '1970-01-01T00:00:01Z'
        group_by = ['room']
        [drb.operations.tags]
        floor = ['1', '2']
        [[drb.operations]]
        id = 'none'
        source = 'any'
        measurement = 'nothing'
        field = 'value'
        from = '1970-01-01T00:00:00Z'
        to = '1970-01-01T00:00:01Z'
        [dmf]
        image = 'sums'
    ";

    fn fixture(points: u32) -> Fixture {
        let mut fixture = Fixture::default();
        for index in 0..points {
            let (room, floor) = (format!("r{}", index % 2), (index % 4).to_string());
            let tags = BTreeMap::from([("room".to_owned(), room), ("floor".to_owned(), floor)]);
            fixture.push("temperature", "value", &tags, i64::from(index), 0.5);
        }
        fixture
    }

    #[test]
    fn a_task_reads_what_it_asks_for_and_no_more() {
        let task = Task::from_toml(TASK).unwrap();
        let done = run::<Sums>(&task, &fixture(400_000)).unwrap();
        // Floors 1 and 2 of 0 to 3: half of the points, and one floor of each room.
        assert_eq!(
            done.result,
            json!([["warm", "r0", 100_000, 50_000.0], ["warm", "r1", 100_000, 50_000.0]])
        );
        assert_eq!((done.read.series, done.read.points, done.read.bytes), (2, 200_000, 3_200_000));
        assert!(done.read.chunks >= 200_000 / 16_384, "{:?}", done.read);
        let none = run::<Sums>(&task, &Fixture::default()).unwrap();
        assert_eq!((none.result, none.read.points), (json!([]), 0));
    }

    #[test]
    fn failures_are_those_of_the_task() {
        let mut unlucky = fixture(10);
        let floor = BTreeMap::from([("floor".to_owned(), "1".to_owned())]);
        unlucky.push("temperature", "value", &floor, 3, 13.0);
        let failed = run::<Sums>(&Task::from_toml(TASK).unwrap(), &unlucky).unwrap_err();
        assert!(failed.to_string().contains("13 is unlucky"), "{failed}");
        let parameters = format!("{TASK}\nparameters = {{ every = '1h' }}");
        let failed = run::<Sums>(&Task::from_toml(&parameters).unwrap(), &unlucky).unwrap_err();
        assert!(failed.to_string().contains("unknown field `every`"), "{failed}");
        let error = Task::from_toml(&TASK.replace("field", "feild")).unwrap_err();
        assert!(error.to_string().contains("feild"), "{error}");
    }
}
