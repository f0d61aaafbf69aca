//! What must hold, whatever befalls. A law is a function; the sentence above it is what a broken one prints.

use std::collections::{BTreeMap, BTreeSet};

use fades_core::limits::Limits;
use fades_core::periods::FunctionState;
use fades_core::task::TaskState;
use fades_core::{GuestId, TaskId};
use fades_wire::address::Place;

use crate::tables::{Record, Row, RowEnd};

/// A law that did not hold.
#[derive(Debug, Clone)]
pub(crate) struct Broken {
    pub(crate) law: &'static str,
    pub(crate) words: &'static str,
    pub(crate) why: String,
}

pub(crate) type Held<T = ()> = Result<T, Broken>;

/// Makes a function of a condition and its sentence; the condition is an `Err` of what is the matter.
macro_rules! laws {
    ($($(#[doc = $words:literal])+ fn $name:ident($($arg:ident: $type:ty),* $(,)?) $body:block)*) => {
        $($(#[doc = $words])+
        pub(crate) fn $name($($arg: $type),*) -> Held {
            fn judge($($arg: $type),*) -> Result<(), String> $body
            judge($($arg),*).map_err(|why| Broken { law: stringify!($name), words: concat!($($words),+), why })
        })*
        /// How many there are.
        pub(crate) const COUNT: usize = [$(stringify!($name)),*].len();
    };
}

/// So it is, or else these words.
fn so(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}

laws! {
    /// A task moves along the arrows of `task.rs` only, so nothing comes after an end.
    fn states_move_along_the_arrows(from: TaskState, to: TaskState) {
        // A change may be stored again in the same words, as when a period is begun that was begun before.
        so(from.may_become(to) || from == to && !to.is_final(), || format!("{from} to {to}"))
    }

    /// A wrapper is accepted at most once, however often it is sent, whatever the clock says, and over every restart.
    fn accepted_at_most_once(ever: &mut BTreeSet<TaskId>, id: TaskId) {
        so(ever.insert(id), || format!("{id} was accepted a second time"))
    }

    /// Who is told that a task is accepted finds it on disk.
    fn told_accepted_is_durable(stored: Option<&Record>, id: TaskId) {
        so(stored.is_some(), || format!("{id} was told as accepted and is not stored"))
    }

    /// A state that was told is what is stored: an end that somebody has read stays that end, with the same result.
    fn told_is_what_is_stored(told: &(TaskState, Option<String>), stored: Option<&Record>, id: TaskId) {
        let stored = stored.map(|record| (record.state, record.result.clone()));
        so(stored.as_ref() == Some(told), || format!("{id} was told as {told:?}, stored is {stored:?}"))
    }

    /// An accepted task ends exactly once.
    fn ends_exactly_once(id: TaskId, record: &Record) {
        so(record.ends == 1, || format!("{id} ended {} times, it is {}", record.ends, record.state))
    }

    /// A task that is asked to end goes no further.
    fn who_is_to_end_ends(goes_on: bool, id: TaskId) {
        so(!goes_on, || format!("{id} goes on after its cancellation"))
    }

    /// Once the faults are over everything comes to its end within its deadlines, without a hand.
    fn comes_to_its_end(left: Vec<TaskId>) {
        so(left.is_empty(), || format!("{left:?} do not end"))
    }

    /// Once the faults are over the node takes in a new task and does it, without a hand.
    fn recovers_without_a_hand(last: Option<TaskState>) {
        so(last == Some(TaskState::Succeeded), || format!("the last task of all is {last:?}"))
    }

    /// A function is begun for a task only while the task is stored as starting and open: not after its end, its cancellation or its
    /// expiry was stored, nor before that it is begun was.
    fn begins_only_what_is_stored_as_starting(stored: Option<TaskState>, id: TaskId) {
        so(stored == Some(TaskState::Starting), || format!("{id} begins and is stored as {stored:?}"))
    }

    /// A guest is told to work for a task only while the task is stored as streaming.
    fn works_only_for_what_is_stored_as_streaming(stored: Option<TaskState>, id: TaskId) {
        so(stored == Some(TaskState::Streaming), || format!("{id} is served and stored as {stored:?}"))
    }

    /// No task or period is begun more often than the node allows, over all restarts.
    fn begun_no_more_often_than_allowed(begun: u32, most: u32, id: TaskId) {
        so(begun <= most, || format!("{id} was begun {begun} times, {most} are allowed"))
    }

    /// The broker is not started again and again: its starts are apart by the pause that doubles.
    fn broker_is_not_started_for_ever(starts: usize, most: usize) {
        so(starts <= most, || format!("{starts} starts within a minute, {most} are allowed"))
    }

    /// Never more guests than the node's limits, counted by the processes that there really are.
    fn guests_within_limits(guests: u32, limits: &Limits) {
        so(guests <= limits.guests, || format!("{guests} guests, {} are allowed", limits.guests))
    }

    /// Memory given to guests is never above the node's, counted by the processes that there really are.
    fn memory_within_limits(memory_mib: u32, limits: &Limits) {
        so(memory_mib <= limits.memory_mib, || format!("{memory_mib} MiB of {}", limits.memory_mib))
    }

    /// No two living guests have the same address or region.
    fn places_are_never_shared(living: &[(u64, Place)]) {
        let mut seen: Vec<Place> = Vec::new();
        for (_, place) in living {
            so(!seen.contains(place), || format!("{place} is two guests': {living:?}"))?;
            seen.push(*place);
        }
        Ok(())
    }

    /// A guest serves one task in its life.
    fn a_function_serves_one_task(before: Option<TaskId>, now: TaskId, guest: GuestId) {
        so(before.is_none_or(|before| before == now), || format!("{guest} served {before:?}, then {now}"))
    }

    /// A ticket is given out once, and the data that it stands for is handed over once.
    fn data_is_given_once(given: &mut BTreeSet<([u8; 32], u16)>, ticket: [u8; 32], operation: u16) {
        so(given.insert((ticket, operation)), || format!("operation {operation} went twice by one ticket"))
    }

    /// A result is of its own task and its own window, and whole: what the function says that it read, the broker really sent to it.
    fn a_result_is_its_tasks_own(result: &str, me: TaskId, from_ns: i64, moved: bool) {
        let read: serde_json::Value = serde_json::from_str(result).map_err(|error| error.to_string())?;
        so(read["me"] == me.to_string(), || format!("{me} has the result {result}"))?;
        so(read["from"] == from_ns, || format!("{me} was to read from {from_ns}: {result}"))?;
        so(moved && read["whole"] == true, || format!("{me} has a result of data that did not come whole"))
    }

    /// The periods of a task are over in the order of their numbers, each number once.
    fn periods_in_order_each_once(rows: &[Row], next: &Row) {
        let wanted = rows.last().map_or(0, |row| row.last + 1);
        so(next.first == wanted && next.last >= next.first, || format!("{next:?} comes where {wanted} is next"))
    }

    /// The state of a recurring task goes on from the last period that gave a result, and holds each of them once.
    fn a_state_goes_on_from_the_last_one(rows: &[Row], after: Option<&FunctionState>, result: &str) {
        let Some(after) = after else { return Ok(()) };
        let done = rows.iter().filter_map(|row| if let RowEnd::Done(result) = &row.end { Some(result.as_str()) } else { None });
        let chain: Vec<u8> = done.chain([result]).flat_map(|result| from_of(result).to_le_bytes()).collect();
        so(after.bytes == chain, || format!("{} bytes are kept, {} belong there", after.bytes.len(), chain.len()))
    }

    /// Nobody fails for what another one did, or for what the daemon lost itself: a task that failed had a function, a source or a message
    /// of its own that went wrong, or lost every attempt to deaths of broker or daemon.
    fn nobody_fails_for_anothers_fault(own: bool, shared: u32, most: u32, id: TaskId, code: &str) {
        so(own || shared >= most, || format!("{id} failed with {code}; broker and daemon died {shared} times under it"))
    }

    /// As many seats are taken as there are tasks that have not ended.
    fn seats_are_those_of_open_tasks(taken: &BTreeMap<String, u32>, open: &BTreeMap<String, u32>) {
        so(taken == open, || format!("{taken:?} are taken, {open:?} are open"))
    }

    /// With the clock behind, everything new is refused with the code for it; otherwise nothing is refused with that.
    fn a_clock_behind_is_refused_as_such(behind: bool, code: &str) {
        so(behind == (code == "CLOCK_WENT_BACK"), || format!("behind: {behind}, refused with {code}"))
    }

    /// A full disk is refused with the code for it, and only a full disk.
    fn a_full_disk_is_refused_as_such(full: bool, code: &str) {
        // What is known, and what is wrong in any case, is told as ever.
        so(full || code != "STORE_WRITE_FAILED", || format!("refused with {code}"))
    }

    /// The engine always looks again, and neither at once nor later than in half a minute.
    fn there_is_always_a_next_look(wake_us: u64, now_us: u64) {
        so(wake_us > now_us && wake_us <= now_us + 30_000_000, || format!("at {wake_us}, it is {now_us}"))
    }

    /// The engine's books of guests are those of its shell.
    fn the_books_agree(engine: u32, shell: u32) {
        so(engine == shell, || format!("the engine has {engine} guests, its shell {shell}"))
    }

    /// When all is over nothing is left of it: no function but those that wait for a task, no change that is not stored, and one broker.
    fn nothing_is_left(what: Vec<String>) {
        so(what.is_empty(), || what.join(", "))
    }
}

/// First instant that a result was made of.
pub(crate) fn from_of(result: &str) -> i64 {
    let read: Option<serde_json::Value> = serde_json::from_str(result).ok();
    read.and_then(|read| read["from"].as_i64()).unwrap_or(-1)
}
