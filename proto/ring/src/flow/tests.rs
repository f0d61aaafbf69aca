//! Both sides at once, in every order.

use loom::cell::UnsafeCell;
use loom::sync::atomic::AtomicU32;
use loom::sync::{Arc, Notify};
use loom::thread;

use super::{Receiving, Sending};
use crate::modelled::{Data, Index};
use crate::words::ReadBytes as _;

/// Each side's index and wake, the ring, and each direction's event. If both sides wait, the model fails.
struct Shared {
    produced: Index,
    producer_wake: Index,
    consumed: Index,
    consumer_wake: Index,
    data: Data,
    to_consumer: Notify,
    to_producer: Notify,
}

// SAFETY: it is the model checker's to find out whether it is true.
unsafe impl Sync for Shared {}
// SAFETY: likewise.
unsafe impl Send for Shared {}

fn produce(shared: &Shared, count: u8) {
    let mut sending = Sending::new(&shared.produced);
    for byte in 1..=count {
        loop {
            let (done, tell) = sending
                .write(&shared.produced, &shared.consumed, &shared.consumer_wake, &shared.data, &[byte])
                .unwrap();
            if tell {
                shared.to_consumer.notify();
            }
            if done == 1 {
                break;
            }
            if !sending.arm(&shared.producer_wake, &shared.consumed, 2, 1).unwrap() {
                shared.to_producer.wait();
            }
        }
    }
}

/// What there is, looked at where it lies, and then skipped.
fn take_in_place(shared: &Shared, receiving: &mut Receiving, bytes: &mut [u8; 2]) -> (usize, bool) {
    let (at, count) = receiving.look(&shared.produced, &shared.data).unwrap();
    for (index, byte) in bytes[..count].iter_mut().enumerate() {
        assert!(shared.data.read((at + index) % 2, core::slice::from_mut(byte)));
    }
    (count, receiving.skip(&shared.consumed, &shared.producer_wake, count))
}

fn consume(shared: &Shared, count: u8, in_place: bool) {
    let mut receiving = Receiving::new(&shared.consumed);
    let mut expected = 1;
    while expected <= count {
        let mut bytes = [0; 2];
        let (done, tell) = if in_place {
            take_in_place(shared, &mut receiving, &mut bytes)
        } else {
            receiving
                .read(&shared.consumed, &shared.produced, &shared.producer_wake, &shared.data, &mut bytes)
                .unwrap()
        };
        if tell {
            shared.to_producer.notify();
        }
        for byte in &bytes[..done] {
            assert_eq!(*byte, expected);
            expected += 1;
        }
        if done == 0 && !receiving.arm(&shared.consumer_wake, &shared.produced, &shared.data, 1).unwrap() {
            shared.to_consumer.wait();
        }
    }
}

#[test]
#[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
fn no_wake_up_is_lost_and_no_byte_is_torn() {
    check(false);
}

#[test]
#[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
fn nor_when_bytes_are_looked_at_where_they_lie() {
    check(true);
}

fn check(in_place: bool) {
    let mut model = loom::model::Builder::new();
    model.preemption_bound = Some(3);
    model.check(move || {
        // Close to the end of the numbers, so that they wrap.
        let start = u32::MAX;
        let shared = Arc::new(Shared {
            produced: Index(AtomicU32::new(start)),
            producer_wake: Index(AtomicU32::new(start)),
            consumed: Index(AtomicU32::new(start)),
            consumer_wake: Index(AtomicU32::new(start)),
            data: Data([UnsafeCell::new(0), UnsafeCell::new(0)]),
            to_consumer: Notify::new(),
            to_producer: Notify::new(),
        });
        let other = Arc::clone(&shared);
        let producer = thread::spawn(move || produce(&other, 3));
        consume(&shared, 3, in_place);
        producer.join().unwrap();
    });
}
