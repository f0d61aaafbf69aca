//! Shares of the work: tasks that always have something to do get it in proportion to their weights.
#![expect(
    clippy::unwrap_used,
    clippy::cast_possible_truncation,
    reason = "a test that panics has failed; its numbers are small"
)]

mod support;

use fades_drb::broker::{Action, Broker, Limits, QUANTUM, SourceId};
use fades_wire::control::Retrieve;
use fades_wire::data::{Credit, Open, ToBroker};
use proptest::prelude::*;
use std::net::{IpAddr, Ipv4Addr};
use support::function::Peer;
use support::{HEAD, documents, key, order, ticket};

/// One task with a source and a function that never let it wait.
struct Busy {
    source: SourceId,
    function: fades_drb::broker::FunctionId,
    /// A document's bytes in an HTTP chunk, over and over; the first time behind the head.
    next: Vec<u8>,
    at: usize,
    used: u64,
    weight: u64,
}

fn begin(broker: &mut Broker, task: usize, priority: u8) -> Busy {
    let mut order = order(task, 1, 1 << 20);
    order.priority = priority;
    broker.retrieve(order, 0);
    let Some(Action::Connect { source, .. }) = broker.next_action() else { panic!("no connection") };
    broker.source_connected(source);
    let request = broker.source_output(source).len();
    broker.source_sent(source, request, 0);
    let function = broker.function_connected(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
    let mut peer = Peer::new(1, 0);
    let mut bytes = Vec::new();
    peer.say(0, &ToBroker::Open(Open { ticket: ticket(task) }), &mut bytes);
    peer.say(0, &ToBroker::Credit(Credit { bytes: u64::MAX / 2 }), &mut bytes);
    broker.function_received(function, &bytes, 0);
    Busy { source, function, next: HEAD.to_vec(), at: 0, used: 0, weight: u64::from(priority) + 1 }
}

impl Busy {
    fn serve(&mut self, broker: &mut Broker, endless: &[u8]) {
        while let Some(space) = broker.source_space(self.source) {
            let count = space.len().min(self.next.len() - self.at);
            space[..count].copy_from_slice(&self.next[self.at..self.at + count]);
            self.at += count;
            self.used += count as u64;
            broker.source_received(self.source, count, 0);
            if self.at == self.next.len() {
                self.next = endless.to_vec();
                self.at = 0;
            }
        }
        while !broker.function_output(self.function).is_empty() {
            let count = broker.function_output(self.function).len();
            broker.function_sent(self.function, count, 0);
        }
    }
}

/// Operations of one task side by side share its turn evenly: what one has in hand while its source says nothing, or its function
/// grants it nothing, gives no other the place before a third.
#[test]
fn operations_side_by_side_share_their_tasks_turn() {
    let endless = endless();
    for idle in 0..3_u16 {
        let mut broker = Broker::new(Limits { memory_bytes: 100 << 20, ..Limits::default() });
        broker.retrieve(Retrieve { together: true, ..order(0, 3, 1 << 20) }, 0);
        let function = broker.function_connected(IpAddr::V4(Ipv4Addr::LOCALHOST), 0);
        let (mut peer, mut bytes) = (Peer::new(3, 0), Vec::new());
        peer.say(0, &ToBroker::Open(Open { ticket: ticket(0) }), &mut bytes);
        for stream in 0..3 {
            peer.say(stream, &ToBroker::Credit(Credit { bytes: u64::MAX / 2 }), &mut bytes);
        }
        broker.function_received(function, &bytes, 0);
        let mut busy = Vec::new();
        while let Some(Action::Connect { source, endpoint }) = broker.next_action() {
            broker.source_connected(source);
            let request = broker.source_output(source).len();
            broker.source_sent(source, request, 0);
            let task = Busy { source, function, next: HEAD.to_vec(), at: 0, used: 0, weight: 1 };
            busy.push((endpoint.port, task));
        }
        assert_eq!(busy.len(), 3);
        for round in 0..600 {
            for (operation, task) in &mut busy {
                // One answers for a while only: then it has points in hand and is starved.
                if *operation != idle || round < 3 {
                    task.serve(&mut broker, &endless);
                }
            }
            assert!(broker.work(0));
        }
        let used: Vec<u64> = busy.iter().filter(|(at, _)| *at != idle).map(|(_, task)| task.used).collect();
        // Two buffers of what they only hold.
        assert!(
            used[0].abs_diff(used[1]) <= 2 * 128 * 1024 + 2 * QUANTUM as u64 && used[0] > 4 << 20,
            "{used:?}"
        );
    }
}

/// A document that says that more follows, of one series with equal times, as one HTTP chunk.
fn endless() -> Vec<u8> {
    let data = vec![("r0".to_owned(), vec![(7, 1.0); 5000]), ("r0".to_owned(), vec![(7, 1.0); 5000])];
    let both = documents(&data, 5000);
    let first = &both[..(both.len() + 9) / 2];
    assert!(first.ends_with(b"\xa7partial\xc3"), "the first of the two documents");
    let mut out = format!("{:x}\r\n", first.len()).into_bytes();
    out.extend(first);
    out.extend(b"\r\n");
    out
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 30, failure_persistence: None, ..Default::default() })]

    /// What two tasks used per weight never differs by more than one round's share and one buffer.
    #[test]
    fn shares_follow_weights(priorities in proptest::collection::vec(0_u8..10, 2..6)) {
        let mut broker = Broker::new(Limits { memory_bytes: 100 << 20, ..Limits::default() });
        let mut busy: Vec<Busy> =
            priorities.iter().enumerate().map(|(task, priority)| begin(&mut broker, task, *priority)).collect();
        let endless = endless();
        for _ in 0..400 {
            busy.iter_mut().for_each(|task| task.serve(&mut broker, &endless));
            prop_assert!(broker.work(0));
            let shares: Vec<f64> = busy.iter().map(|task| task.used as f64 / task.weight as f64).collect();
            let (low, high) = shares.iter().fold((f64::MAX, 0.0_f64), |(low, high), share| (low.min(*share), high.max(*share)));
            // Twice the buffer: what it used over its share, and what it only holds.
            let bound = QUANTUM as f64 + 2.0 * 128.0 * 1024.0 / busy.iter().map(|task| task.weight).min().unwrap() as f64;
            prop_assert!(high - low <= bound, "{shares:?}: apart by {} > {bound}", high - low);
        }
        prop_assert!(busy.iter().all(|task| task.used > 0));
        prop_assert!(broker.memory_of(key(0)) > 0);
    }
}
