//! The signed statement about a result.

use fades_core::engine::Success;
use fades_core::periods::{FunctionState, Schedule};
use fades_core::task::{ImageRef, TaskSpec};
use fades_envelope::receipt::{
    Defences, ImageRef as Named, Images, Leak, NodeRef, OperationRead, PeriodRef, ResultRef, Timings,
    WindowRef, WrapperRef,
};
use fades_envelope::{Digest, HexError, Receipt, ReceiptError, SigningKey};
use fades_wire::data::StreamSummary;

use crate::clock::timestamp;
use crate::defences::Defence;
use crate::store::StoredResult;
use crate::store::record::{OutcomeRecord, ReadRecord, TaskRecord, WindowRecord};

/// What the node says of itself in a receipt.
pub(crate) struct Signer {
    pub(crate) key: SigningKey,
    pub(crate) node: String,
    pub(crate) backend: String,
    defences: Defences,
}

impl Signer {
    pub(crate) fn new(key: SigningKey, node: String, backend: String, defences: &[Defence]) -> Self {
        let (on, off): (Vec<_>, Vec<_>) = defences.iter().partition(|defence| defence.lack.is_none());
        let names = |list: Vec<&Defence>| list.into_iter().map(|defence| defence.name.to_owned()).collect();
        Self { key, node, backend, defences: Defences { on: names(on), off: names(off) } }
    }
}

/// Why a receipt could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Unsigned {
    #[error("the task's record holds a digest that is none")]
    Record(#[from] HexError),
    #[error("the receipt could not be written")]
    Receipt(#[from] ReceiptError),
}

/// What is known of an operation besides what was read.
#[derive(Clone, Debug)]
pub(crate) struct Operation {
    pub(crate) id: String,
    pub(crate) source: String,
    from_ns: i64,
    to_ns: i64,
}

/// What a task's end needs of its beginning.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) image: ImageRef,
    pub(crate) operations: Vec<Operation>,
    schedule: Option<Schedule>,
}

impl Plan {
    pub(crate) fn of(spec: &TaskSpec) -> Self {
        let operations = spec.operations.iter();
        let operations = operations.map(|op| Operation {
            id: op.id.clone(),
            source: op.source.clone(),
            from_ns: op.order.from_ns,
            to_ns: op.order.to_ns,
        });
        Self { image: spec.image.clone(), operations: operations.collect(), schedule: spec.schedule }
    }

    /// What each operation asks for in a period.
    pub(crate) fn windows(&self, period: u64) -> Vec<WindowRecord> {
        let shift_ns = self.schedule.map_or(0, |schedule| schedule.shift_ns(period));
        let operations = self.operations.iter();
        let windows = operations.map(|operation| WindowRecord {
            id: operation.id.clone(),
            from_ns: operation.from_ns.saturating_add(shift_ns),
            to_ns: operation.to_ns.saturating_add(shift_ns),
        });
        windows.collect()
    }

    /// What a receipt says of a period: its windows, the state that it went on from, and the one that it leaves.
    pub(crate) fn period(
        &self,
        number: u64,
        record: &TaskRecord,
        after: Option<&FunctionState>,
    ) -> Result<Option<PeriodRef>, HexError> {
        let Some(periods) = &record.periods else { return Ok(None) };
        let before = periods.state.as_ref().map(|state| state.sha256.parse()).transpose()?;
        let windows = self.windows(number).into_iter().filter_map(|window| {
            let (from, to) = (instant(Some(window.from_ns))?, instant(Some(window.to_ns))?);
            Some(WindowRef { id: window.id, from, to })
        });
        Ok(Some(PeriodRef {
            number,
            due: timestamp(periods.due_us(number)),
            windows: windows.collect(),
            state_before: before,
            state_after: after.map(|state| Digest::of(&state.bytes)).or(before),
        }))
    }
}

/// Signs what a task gave.
#[expect(clippy::too_many_arguments, reason = "everything that a receipt speaks of")]
pub(crate) fn seal(
    signer: &Signer,
    task: &str,
    record: &TaskRecord,
    plan: &Plan,
    broker: &ImageRef,
    period: Option<PeriodRef>,
    success: Success,
    ended_us: i64,
) -> Result<StoredResult, Unsigned> {
    let bytes = success.result.into_bytes();
    let timings = success.timings;
    let reads = plan.operations.iter().zip(&success.summaries);
    let receipt = Receipt {
        task: task.to_owned(),
        period,
        wrapper: WrapperRef {
            sha256: record.payload_digest.parse()?,
            issuer: record.issuer.clone(),
            key: record.key_id.parse()?,
        },
        images: Images { function: named(&plan.image), broker: named(broker) },
        node: NodeRef {
            id: signer.node.clone(),
            epoch: record.epoch.clone(),
            backend: signer.backend.clone(),
        },
        operations: reads.clone().map(|(operation, read)| signed_read(operation, read)).collect(),
        result: ResultRef { sha256: Digest::of(&bytes), bytes: bytes.len() as u64 },
        leak: Some(Leak {
            bytes_read: success.summaries.iter().fold(0, |sum, read| sum.saturating_add(read.bytes)),
            bytes_sent: bytes.len() as u64,
            budget_per_mille: record.terms.per_mille,
        }),
        timings_us: Timings {
            verify: Some(timings.verify),
            queue: Some(timings.queue),
            boot: Some(timings.boot),
            retrieve: Some(timings.retrieve),
            transfer: Some(timings.transfer),
            compute: Some(timings.compute),
            return_: Some(timings.return_),
            total: Some(timings.total),
        },
        defences: signer.defences.clone(),
        started: timestamp(record.started_us.unwrap_or(record.accepted_us)),
        ended: timestamp(ended_us),
    };
    let stages = [
        ("verify", timings.verify),
        ("queue", timings.queue),
        ("boot", timings.boot),
        ("retrieve", timings.retrieve),
        ("transfer", timings.transfer),
        ("compute", timings.compute),
        ("return", timings.return_),
        ("total", timings.total),
    ];
    let outcome = OutcomeRecord {
        timings_us: stages.into_iter().map(|(name, us)| (name.to_owned(), us)).collect(),
        operations: reads.map(|(operation, read)| stored_read(operation, read)).collect(),
        heap_peak_bytes: success.heap_peak,
    };
    Ok(StoredResult { receipt: receipt.sign(&signer.key)?, bytes, outcome })
}

fn named(image: &ImageRef) -> Named {
    Named { name: image.name.clone(), sha256: Digest(image.digest) }
}

fn instant(ns: Option<i64>) -> Option<jiff::Timestamp> {
    ns.and_then(|ns| jiff::Timestamp::from_nanosecond(ns.into()).ok())
}

fn signed_read(operation: &Operation, read: &StreamSummary) -> OperationRead {
    OperationRead {
        id: operation.id.clone(),
        source: operation.source.clone(),
        points: read.points,
        bytes: read.bytes,
        first: instant(read.first_ns),
        last: instant(read.last_ns),
        digest: Digest(read.digest),
        digest_algorithm: fades_wire::digest::ALGORITHM.to_owned(),
    }
}

fn stored_read(operation: &Operation, read: &StreamSummary) -> ReadRecord {
    ReadRecord {
        id: operation.id.clone(),
        points: read.points,
        bytes: read.bytes,
        series: read.series,
        chunks: read.chunks,
        first_ns: read.first_ns,
        last_ns: read.last_ns,
        digest: crate::hex(&read.digest),
    }
}
