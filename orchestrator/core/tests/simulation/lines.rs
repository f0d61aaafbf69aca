//! The guests of one run of the daemon as its shell knows them, and in which order the engine hears of each: as
//! `orchestrator/daemon/src/runtime/guests.rs` has it.

use std::collections::BTreeMap;

use fades_core::GuestId;
use fades_core::backend::GuestExit;
use fades_core::engine::GuestInput;
use fades_wire::address::Place;

/// How long a guest's end waits for what it sent before.
const LAST_WORDS_US: u64 = 250_000;

#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) machine: u64,
    started: bool,
    early: Vec<GuestInput>,
    link_lost: bool,
    pub(crate) stopped: bool,
    /// It was welcomed, so it counts how long nobody speaks to it.
    pub(crate) welcomed: bool,
    exit: Option<(GuestExit, u64)>,
}

/// All guests of this run that have not ended.
#[derive(Debug, Default)]
pub(crate) struct Lines(pub(crate) BTreeMap<GuestId, Line>);

impl Lines {
    pub(crate) fn expect(&mut self, guest: GuestId, machine: u64) {
        let (started, early, link_lost, stopped, welcomed, exit) =
            (false, Vec::new(), false, false, false, None);
        self.0.insert(guest, Line { machine, started, early, link_lost, stopped, welcomed, exit });
    }

    pub(crate) fn started(&mut self, guest: GuestId, place: Place) -> Vec<GuestInput> {
        let Some(line) = self.0.get_mut(&guest) else { return Vec::new() };
        line.started = true;
        let early = std::mem::take(&mut line.early);
        std::iter::once(GuestInput::Started { place }).chain(early).collect()
    }

    pub(crate) fn start_failed(&mut self, guest: GuestId) {
        self.0.remove(&guest);
    }

    /// Something came over its connection.
    pub(crate) fn hear(&mut self, guest: GuestId, input: GuestInput) -> Option<GuestInput> {
        let line = self.0.get_mut(&guest)?;
        if line.started {
            return Some(input);
        }
        line.early.push(input);
        None
    }

    pub(crate) fn link_lost(&mut self, guest: GuestId) -> Option<GuestInput> {
        let line = self.0.get_mut(&guest)?;
        line.link_lost = true;
        if line.exit.is_some() { self.ended(guest) } else { None }
    }

    pub(crate) fn exited(&mut self, guest: GuestId, exit: GuestExit, now_us: u64) -> Option<GuestInput> {
        let line = self.0.get_mut(&guest)?;
        let nothing_to_come = line.link_lost || line.stopped;
        line.exit = Some((exit, now_us + LAST_WORDS_US));
        if nothing_to_come { self.ended(guest) } else { None }
    }

    /// Ends that have waited long enough.
    pub(crate) fn overdue(&mut self, now_us: u64) -> Vec<(GuestId, GuestInput)> {
        let due = |line: &Line| line.exit.as_ref().is_some_and(|(_, until_us)| *until_us <= now_us);
        let guests: Vec<GuestId> =
            self.0.iter().filter(|(_, line)| due(line)).map(|(guest, _)| *guest).collect();
        guests.into_iter().filter_map(|guest| Some((guest, self.ended(guest)?))).collect()
    }

    pub(crate) fn due_us(&self) -> Option<u64> {
        self.0.values().filter_map(|line| line.exit.as_ref().map(|(_, until_us)| *until_us)).min()
    }

    fn ended(&mut self, guest: GuestId) -> Option<GuestInput> {
        let (exit, _) = self.0.remove(&guest)?.exit?;
        Some(GuestInput::Exited(exit))
    }
}
