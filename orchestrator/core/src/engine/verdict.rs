//! What a task brings in, from both ends of its streams, and the judgement over it.
//!
//! A result is published only when the broker's and the function's summaries of every operation are equal: points, bytes,
//! chunks, series, first and last instant, digest. So a partial aggregate never passes for a whole one. And it is published only
//! within its bounds and of the schema that its image states.

use fades_api::codes;
use fades_wire::control::{Finished, Keep, OperationEnded, ResultPart};
use fades_wire::data::StreamSummary;

use crate::fault::Fault;
use crate::periods::FunctionState;
use crate::terms::{Shape, Terms};

/// Everything known of one attempt's streams and result.
#[derive(Debug)]
pub(super) struct Intake {
    /// Of the operations, as the wrapper has them.
    names: Vec<String>,
    progress: Vec<(u64, u64)>,
    ended: Vec<Option<OperationEnded>>,
    result: Vec<u8>,
    terms: Terms,
    shape: Option<Shape>,
    parts: u32,
    complete: bool,
    first_part_us: Option<u64>,
    finished: Option<Finished>,
    /// What the function wants kept so far.
    kept: Vec<u8>,
    kept_parts: u32,
    /// Most bytes of that; `None` where nothing is kept.
    kept_limit: Option<u64>,
}

/// What a verdict in favour rests on.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Agreed {
    pub(super) result: String,
    pub(super) summaries: Vec<StreamSummary>,
    pub(super) retrieve_us: u64,
    pub(super) transfer_us: u64,
    pub(super) compute_us: u64,
    pub(super) first_part_us: u64,
    pub(super) state: Option<FunctionState>,
    pub(super) heap_peak: u64,
}

impl Intake {
    /// For a task with these operations, a result within these bounds, and at most so much state where it may keep one.
    pub(super) fn new(
        names: Vec<String>,
        terms: Terms,
        shape: Option<Shape>,
        kept_limit: Option<u64>,
    ) -> Self {
        let operations = names.len();
        Self {
            names,
            progress: vec![(0, 0); operations],
            ended: vec![None; operations],
            result: Vec::new(),
            terms,
            shape,
            parts: 0,
            complete: false,
            first_part_us: None,
            finished: None,
            kept: Vec::new(),
            kept_parts: 0,
            kept_limit,
        }
    }

    /// The broker tells how far an operation is; the sum over all is given back when it has grown.
    ///
    /// # Errors
    /// What the broker did wrong.
    pub(super) fn progress(
        &mut self,
        operation: u16,
        points: u64,
        bytes: u64,
    ) -> Result<Option<(u64, u64)>, String> {
        let Some(own) = self.progress.get_mut(usize::from(operation)) else {
            return Err(format!("reported on operation {operation}, which the task does not have"));
        };
        if points < own.0 || (points, bytes) == *own {
            return Ok(None);
        }
        *own = (points, bytes);
        let sum =
            |sum: (u64, u64), one: &(u64, u64)| (sum.0.saturating_add(one.0), sum.1.saturating_add(one.1));
        Ok(Some(self.progress.iter().fold((0, 0), sum)))
    }

    /// The broker has sent an operation in full.
    ///
    /// # Errors
    /// What the broker did wrong.
    pub(super) fn ended(&mut self, ended: OperationEnded) -> Result<(), String> {
        let OperationEnded { operation, summary, .. } = ended;
        match self.ended.get_mut(usize::from(operation)) {
            None => Err(format!("ended operation {operation}, which the task does not have")),
            Some(Some(_)) => Err(format!("ended operation {operation} twice")),
            Some(_) if summary.operation != operation => {
                Err(format!("ended operation {operation} with the summary of {}", summary.operation))
            }
            Some(empty) => {
                *empty = Some(ended);
                Ok(())
            }
        }
    }

    /// A piece of the result.
    pub(super) fn part(&mut self, part: &ResultPart, now_us: u64) -> Result<(), Fault> {
        let wrong = |why: String| Err(Fault::new(codes::RESULT_PARTS_WRONG, why));
        if self.complete {
            return wrong(format!("result part {} came after the last one", part.index));
        }
        if part.index != self.parts {
            return wrong(format!("result part {} came instead of part {}", part.index, self.parts));
        }
        if part.bytes.is_empty() && !part.last {
            return wrong(format!("result part {} is empty", part.index));
        }
        let size = self.result.len() as u64 + part.bytes.len() as u64;
        if size > self.terms.bytes {
            let why = format!("the result has at least {size} bytes, the task allows {}", self.terms.bytes);
            return Err(Fault::new(codes::RESULT_TOO_LARGE, why));
        }
        self.first_part_us.get_or_insert(now_us);
        self.result.extend_from_slice(&part.bytes);
        self.parts += 1;
        self.complete = part.last;
        Ok(())
    }

    /// A piece of what the function wants kept.
    pub(super) fn keep(&mut self, part: &Keep) -> Result<(), Fault> {
        let size = self.kept.len() as u64 + part.bytes.len() as u64;
        let why = match self.kept_limit {
            None => "the function wants a state kept, and the task is not persistent".into(),
            Some(_) if part.index != self.kept_parts || part.bytes.is_empty() || self.finished.is_some() => {
                format!("state part {} of {} bytes came out of turn", part.index, part.bytes.len())
            }
            Some(limit) if size > limit => {
                format!("the state has at least {size} bytes, the task allows {limit}")
            }
            Some(_) => {
                self.kept.extend_from_slice(&part.bytes);
                self.kept_parts += 1;
                return Ok(());
            }
        };
        Err(Fault::new(codes::STATE_PARTS_WRONG, why))
    }

    /// The function says that it is done.
    pub(super) fn finished(&mut self, finished: Finished) -> Result<(), Fault> {
        let why = if self.finished.is_some() {
            "the function finished twice".into()
        } else if !self.complete {
            format!("the function finished after {} result parts, none of them the last", self.parts)
        } else if finished.result_len != self.result.len() as u64 {
            format!("the result has {} bytes, the function claims {}", self.result.len(), finished.result_len)
        } else if finished.state.map_or(0, |head| head.len) != self.kept.len() as u64
            || (finished.state.is_some() && self.kept_limit.is_none())
        {
            let why = format!(
                "a state of {} bytes came, the function claims {:?}",
                self.kept.len(),
                finished.state
            );
            return Err(Fault::new(codes::STATE_PARTS_WRONG, why));
        } else {
            self.finished = Some(finished);
            return Ok(());
        };
        Err(Fault::new(codes::RESULT_PARTS_WRONG, why))
    }

    /// Whether the broker has sent everything.
    pub(super) fn all_sent(&self) -> bool {
        self.ended.iter().all(Option::is_some)
    }

    /// Whether the function is done.
    pub(super) const fn is_finished(&self) -> bool {
        self.finished.is_some()
    }

    /// Operations of which the broker has not told the end, in words; `None` when it has of all.
    pub(super) fn missing(&self) -> Option<String> {
        let missing = self.names.iter().zip(&self.ended).filter(|(_, ended)| ended.is_none());
        let names: Vec<String> = missing.map(|(name, _)| format!("{name:?}")).collect();
        match names.len() {
            0 => None,
            1 => Some(format!("operation {}", names[0])),
            _ => Some(format!("operations {}", names.join(", "))),
        }
    }

    /// The judgement, once both ends have said everything; `None` before.
    pub(super) fn verdict(&self) -> Option<Result<Agreed, Fault>> {
        let finished = self.finished.as_ref()?;
        let sent: Vec<OperationEnded> = self.ended.iter().copied().collect::<Option<_>>()?;
        Some(self.judge(finished, &sent))
    }

    fn judge(&self, finished: &Finished, sent: &[OperationEnded]) -> Result<Agreed, Fault> {
        if finished.summaries.len() != sent.len() {
            let why = format!(
                "the function read {} operations, the broker sent {}",
                finished.summaries.len(),
                sent.len()
            );
            return Err(Fault::new(codes::SUMMARIES_DIFFER, why));
        }
        for (name, (ended, read)) in self.names.iter().zip(sent.iter().zip(&finished.summaries)) {
            if ended.summary != *read {
                return Err(Fault::new(codes::SUMMARIES_DIFFER, difference(name, &ended.summary, read)));
            }
        }
        let result = String::from_utf8(self.result.clone()).map_err(|error| {
            Fault::new(codes::RESULT_NOT_JSON, format!("the result is not UTF-8: {error}"))
        })?;
        self.terms.hold(&result, &self.names, sent)?;
        if let Some(Shape(schema)) = &self.shape {
            schema.hold(&result).map_err(|why| Fault::new(codes::RESULT_OFF_SCHEMA, why))?;
        }
        Ok(Agreed {
            result,
            summaries: finished.summaries.clone(),
            retrieve_us: sent.iter().map(|ended| ended.times.retrieve_us).max().unwrap_or(0),
            transfer_us: finished.transfer_us,
            compute_us: finished.compute_us,
            first_part_us: self.first_part_us.unwrap_or(0),
            state: finished
                .state
                .map(|head| FunctionState { version: head.version, bytes: self.kept.clone() }),
            heap_peak: finished.heap_peak,
        })
    }
}

/// In words, where two summaries of one operation differ.
fn difference(name: &str, sent: &StreamSummary, read: &StreamSummary) -> String {
    if read.operation != sent.operation {
        return format!(
            "operation {name:?}: the function gives the summary of number {} for number {}",
            read.operation, sent.operation
        );
    }
    if sent.points != read.points || sent.bytes != read.bytes {
        return format!(
            "operation {name:?}: the broker sent {} points in {} bytes, the function read {} in {}",
            sent.points, sent.bytes, read.points, read.bytes
        );
    }
    if sent.digest != read.digest {
        return format!("operation {name:?}: the digests of {} points differ", sent.points);
    }
    format!("operation {name:?}: counts of chunks or series, or first or last instants differ")
}
