//! The disk below the store: one writer, group commit, slow at times, full at times; a crash takes what was not yet whole.

use std::collections::VecDeque;

use crate::tables::{Change, Record, Tables};
use fades_core::TaskId;

/// Writes in one transaction.
const BATCH: usize = 256;

/// Something to be written, and who waits for it.
#[derive(Debug)]
pub(crate) enum Job {
    /// A request with this number.
    Accept { request: u64, id: TaskId, record: Box<Record> },
    /// The actor, for all of these at once.
    Changes(Vec<Change>),
}

/// How much room the disk has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    Enough,
    /// For what is under way only.
    Tight,
    None,
}

#[derive(Debug)]
pub(crate) struct Disk {
    /// What is durable.
    pub(crate) tables: Tables,
    queue: VecDeque<Job>,
    flight: Option<(u64, Vec<Job>)>,
    commits: u64,
    pub(crate) room: Room,
    pub(crate) write_us: u64,
}

impl Disk {
    pub(crate) fn new(write_us: u64) -> Self {
        let (tables, queue) = (Tables::default(), VecDeque::new());
        Self { tables, queue, flight: None, commits: 0, room: Room::Enough, write_us }
    }

    pub(crate) fn write(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// Begins a commit if there is something to write, and room for it: its number.
    pub(crate) fn begin(&mut self) -> Option<u64> {
        if self.flight.is_some() || self.queue.is_empty() || self.room == Room::None {
            return None;
        }
        let batch = self.queue.len().min(BATCH);
        self.commits += 1;
        self.flight = Some((self.commits, self.queue.drain(..batch).collect()));
        Some(self.commits)
    }

    /// The commit with this number is on disk.
    pub(crate) fn done(&mut self, commit: u64) -> Option<Vec<Job>> {
        self.flight.take_if(|(number, _)| *number == commit).map(|(_, batch)| batch)
    }

    /// The daemon dies: what waits is gone, what was being written is whole or not there at all. Nobody was told of either.
    pub(crate) fn crash(&mut self, whole: bool) -> Vec<Job> {
        self.queue.clear();
        self.flight.take().filter(|_| whole).map(|(_, batch)| batch).unwrap_or_default()
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.flight.is_none()
    }
}
