//! Strategies for every message.

use fades_wire::address::{Endpoint, Neighbour, Place};
use fades_wire::control::*;
use fades_wire::data::*;
use fades_wire::failure::{Code, Failure};
use fades_wire::ids::{Role, TaskKey, Ticket};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

fn text() -> impl Strategy<Value = String> {
    "\\PC{0,40}"
}

fn name() -> impl Strategy<Value = Name> {
    text().prop_map(Name)
}

fn failure() -> impl Strategy<Value = Failure> {
    (any::<u16>(), text()).prop_map(|(code, message)| Failure::new(Code::from(code), message))
}

fn key() -> impl Strategy<Value = TaskKey> {
    any::<[u8; 16]>().prop_map(TaskKey)
}

fn endpoint() -> impl Strategy<Value = Endpoint> {
    (any::<[u8; 4]>(), any::<u16>()).prop_map(|(address, port)| Endpoint::new(address.into(), port))
}

prop_compose! {
    fn summary()(
        operation: u16, points: u64, bytes: u64, chunks: u64, series: u32,
        range in option::of(any::<(i64, i64)>()), digest: [u8; 32],
    ) -> StreamSummary {
        let (first_ns, last_ns) = range.unzip();
        StreamSummary { operation, points, bytes, chunks, series, first_ns, last_ns, digest }
    }
}

prop_compose! {
    fn times()(waited_us: u64, first_byte_us: u64, retrieve_us: u64, send_us: u64) -> OperationTimes {
        OperationTimes { waited_us, first_byte_us, retrieve_us, send_us }
    }
}

prop_compose! {
    fn source()(
        database in name(), retention in option::of(name()), login in option::of((name(), name())),
    ) -> SourceKind {
        let credentials = login.map(|(user, password)| Credentials { user, password });
        SourceKind::InfluxDb1 { database, retention, credentials }
    }
}

prop_compose! {
    fn operation()(
        index: u16, source in source(), endpoint in endpoint(), measurement in text(), field in text(),
        tags in vec((name(), vec(name(), 0..4)), 0..4), range: (i64, i64), group_by in vec(name(), 0..4),
        timeout_ms: u32,
    ) -> Operation {
        let tags = tags.into_iter().map(|(tag, values)| TagSelection { tag, values }).collect();
        let (from_ns, to_ns) = range;
        Operation { index, source, endpoint, measurement, field, tags, from_ns, to_ns, group_by, timeout_ms }
    }
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![endpoint().prop_map(Place::Network), neighbour().prop_map(Place::Near)]
}

fn neighbour() -> impl Strategy<Value = Neighbour> {
    prop_oneof![
        any::<u16>().prop_map(Neighbour::Domain),
        any::<(u16, u32)>().prop_map(|(number, turn)| Neighbour::Region { number, turn }),
    ]
}

prop_compose! {
    fn retrieve()(
        task in key(), ticket: [u8; 32], near in option::of(neighbour()), together: bool, priority: u8,
        deadline_us: u64, operations in vec(operation(), 0..4), budget_bytes: u64,
    ) -> Retrieve {
        Retrieve { task, ticket: Ticket(ticket), near, together, priority, deadline_us, operations, budget_bytes }
    }
}

prop_compose! {
    fn run()(
        task in key(), ticket: [u8; 32], broker in place(), names in vec((any::<u16>(), name()), 0..4),
        parameters in text(), result_limit: u64, window_bytes: u64,
        memory in option::of((option::of(state_head()), any::<u64>())),
    ) -> Run {
        let operations = names.into_iter().map(|(index, id)| OperationName { index, id }).collect();
        let ticket = Ticket(ticket);
        let memory = memory.map(|(state, limit)| Memory { state, limit });
        Run { task, ticket, broker, operations, parameters, result_limit, window_bytes, memory }
    }
}

fn state_head() -> impl Strategy<Value = StateHead> {
    any::<(u32, u64)>().prop_map(|(version, len)| StateHead { version, len })
}

fn piece() -> impl Strategy<Value = (u32, Vec<u8>)> {
    (any::<u32>(), vec(any::<u8>(), 0..300))
}

pub(crate) fn from_guest() -> impl Strategy<Value = FromGuest> {
    let role = prop_oneof![Just(Role::Broker), Just(Role::Function), Just(Role::Probe)];
    prop_oneof![
        (any::<u16>(), role, text())
            .prop_map(|(protocol, role, image)| Hello { protocol, role, image }.into()),
        any::<(u64, u64)>().prop_map(|(nonce, heap_used)| Heartbeat { nonce, heap_used }.into()),
        (any::<u8>(), text()).prop_map(|(level, text)| Log::new(level, text).into()),
        (key(), any::<(u16, u64, u64)>()).prop_map(|(task, (operation, points, bytes))| {
            OperationProgress { task, operation, points, bytes }.into()
        }),
        (key(), any::<(u16, u64)>(), summary(), times()).prop_map(
            |(task, (operation, fewest), summary, times)| {
                OperationEnded { task, operation, summary, fewest, times }.into()
            }
        ),
        (key(), any::<u16>(), failure())
            .prop_map(|(task, operation, failure)| { OperationFailed { task, operation, failure }.into() }),
        Just(Started.into()),
        any::<u64>().prop_map(|points| Progress { points }.into()),
        (any::<u32>(), any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(index, last, bytes)| ResultPart {
            index,
            last,
            bytes
        }
        .into()),
        (vec(summary(), 0..4), any::<(u64, u64, u64, u64)>(), option::of(state_head())).prop_map(
            |(summaries, numbers, state)| {
                let (transfer_us, compute_us, result_len, heap_peak) = numbers;
                Finished { summaries, transfer_us, compute_us, result_len, state, heap_peak }.into()
            }
        ),
        piece().prop_map(|(index, bytes)| Keep { index, bytes }.into()),
        failure().prop_map(|failure| Failed(failure).into()),
    ]
}

pub(crate) fn to_guest() -> impl Strategy<Value = ToGuest> {
    prop_oneof![
        any::<(u32, u64)>()
            .prop_map(|(heartbeat_ms, time_unix_us)| Welcome { heartbeat_ms, time_unix_us }.into()),
        any::<u64>().prop_map(|nonce| Ping { nonce }.into()),
        Just(Shutdown.into()),
        retrieve().prop_map(Into::into),
        key().prop_map(|task| Abandon { task }.into()),
        run().prop_map(Into::into),
        piece().prop_map(|(index, bytes)| Recall { index, bytes }.into()),
    ]
}

pub(crate) fn to_broker() -> impl Strategy<Value = ToBroker> {
    prop_oneof![
        any::<[u8; 32]>().prop_map(|ticket| Open { ticket: Ticket(ticket) }.into()),
        any::<u64>().prop_map(|bytes| Credit { bytes }.into()),
    ]
}

prop_compose! {
    pub(crate) fn series()(
        id: u32, tags in vec((name(), name()), 0..4), measurement in text(), field in text(),
    ) -> Series {
        let tags = tags.into_iter().map(|(key, value)| Tag { key, value }).collect();
        Series { id, tags, measurement, field }
    }
}

pub(crate) fn end() -> impl Strategy<Value = End> {
    summary().prop_map(End)
}

pub(crate) fn abort() -> impl Strategy<Value = Abort> {
    failure().prop_map(Abort)
}
