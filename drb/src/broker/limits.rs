//! What a broker may hold, and how an operation's memory is divided.

use crate::columns::Columns;
use crate::influx1::document::Parser;
use crate::influx1::http::MAX_HEAD;
use fades_wire::batch::{BATCH_HEADER_LEN, MAX_POINTS_PER_BATCH, POINT_LEN};
use fades_wire::frame::HEADER_LEN;

/// Limits of one broker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Tasks that may be known at once, those waiting for their turn included.
    pub tasks: usize,
    /// Memory for all tasks that are being served, in bytes; others wait for their turn.
    pub memory_bytes: usize,
    /// Connections that may be open without belonging to a task.
    pub strangers: usize,
    /// How long a connection may take to show its ticket, and a ticket to become that of a task, in microseconds.
    pub ticket_us: u64,
}

impl Default for Limits {
    /// For a guest of 128 MiB. Kernel and image take about 12; a socket takes twice 256 KiB, of which each task has one if its
    /// function comes by the network and one more per operation that is served, each stranger one, and eight more wait for connections.
    /// Of memory about sixteen operations are served at once at the full size of a chunk; tasks that need more wait for their turn.
    fn default() -> Self {
        Self { tasks: 128, memory_bytes: 16 * 1024 * 1024, strangers: 16, ticket_us: 5_000_000 }
    }
}

/// Room in an outbox beside a chunk: a series' description (at most 32 tags of 516 bytes, and
/// names), an abort, and headers.
const SLACK: usize = 20 * 1024 + HEADER_LEN + BATCH_HEADER_LEN;
/// What an operation takes beside its three large buffers.
const OVERHEAD: usize = Parser::MEMORY + 2 * SLACK + 8 * 1024;
/// Largest read buffer: reads beyond this are not faster.
const MAX_READ: usize = 128 * 1024;

/// How an operation's budget is divided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Bytes of the buffer that the source's answer is read into; before that, the request stands in it.
    pub read: usize,
    /// Points that are collected for a chunk.
    pub points: usize,
    /// Bytes of each half of the outbox.
    pub outbox: usize,
}

impl Layout {
    /// Least budget of an operation: a head's room, and chunks of a few hundred points.
    pub const MIN_BUDGET: u64 = 160 * 1024;

    /// Divides a budget, or gives `None` if it is below [`Self::MIN_BUDGET`]. All parts together, with what else an
    /// operation holds, stay within it. From about 1 MiB upwards chunks have their full size.
    #[must_use]
    pub fn of(budget_bytes: u64) -> Option<Self> {
        let budget = usize::try_from(budget_bytes).unwrap_or(usize::MAX);
        if budget_bytes < Self::MIN_BUDGET {
            return None;
        }
        let read = (budget / 8).clamp(MAX_HEAD, MAX_READ);
        // The columns once while they are filled, and once in each half of the outbox.
        let points = ((budget - OVERHEAD - read) / (3 * POINT_LEN)).min(MAX_POINTS_PER_BATCH);
        let outbox = SLACK + points * POINT_LEN;
        Some(Self { read, points, outbox })
    }

    /// Most memory that an operation of this layout takes, in bytes.
    #[must_use]
    pub const fn memory(&self) -> usize {
        self.read + Columns::memory(self.points) + 2 * self.outbox + OVERHEAD - 2 * SLACK
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_budget_holds_its_parts() {
        for budget in (Layout::MIN_BUDGET..4 << 20).step_by(1021) {
            let layout = Layout::of(budget).unwrap();
            assert!(layout.memory() as u64 <= budget, "{budget}: {layout:?}");
            assert!(layout.points > 100, "{budget}: {layout:?}");
        }
        assert_eq!(Layout::of(Layout::MIN_BUDGET - 1), None);
        // A join of as many operations as documents promise, at the full size of a chunk.
        assert_eq!(Limits::default().memory_bytes / Layout::of(u64::MAX).unwrap().memory(), 16);
        assert_eq!(Layout::of(1100 * 1024).unwrap().points, MAX_POINTS_PER_BATCH);
    }
}
