use core::sync::atomic::{AtomicU32, AtomicU64};
use std::vec::Vec;

use proptest::prelude::*;

use super::*;
use crate::words::PeerU32;

fn ring() -> [AtomicU64; 4] {
    core::array::from_fn(|_| AtomicU64::new(0))
}

proptest! {
    /// Against a queue, from any start index, so that the index wraps.
    #[test]
    fn a_ring_is_a_queue(
        start in prop_oneof![Just(0), Just(u32::MAX - 40), any::<u32>()],
        steps in proptest::collection::vec((any::<bool>(), 0_usize..50), 1..60),
    ) {
        let data = ring();
        let (prod, cons) = (AtomicU32::new(start), AtomicU32::new(start));
        let (prod_seen, cons_seen) = (PeerU32::new(start), PeerU32::new(start));
        let (mut writer, mut reader) = (Writer::attach(&prod), Reader::attach(&cons));
        let (mut model, mut next) = (std::collections::VecDeque::new(), 0_u8);
        for (writes, len) in steps {
            if writes {
                let bytes: Vec<u8> = (0..len).map(|_| { next = next.wrapping_add(1); next }).collect();
                let done = writer.write(&prod, &cons_seen, &data, &bytes).unwrap();
                prop_assert_eq!(done, len.min(32 - model.len()));
                model.extend(&bytes[..done]);
                prod_seen.set(prod.current());
            } else {
                let mut bytes = std::vec![0; len];
                prop_assert_eq!(reader.available(&prod_seen, &data), Ok(model.len()));
                let done = reader.read(&cons, &prod_seen, &data, &mut bytes).unwrap();
                prop_assert_eq!(done, len.min(model.len()));
                let expected: Vec<u8> = model.drain(..done).collect();
                prop_assert_eq!(&bytes[..done], &expected[..]);
                cons_seen.set(cons.current());
            }
        }
    }

    #[test]
    fn whatever_the_other_index_says_is_either_possible_or_an_error(ours in any::<u32>(), theirs in any::<u32>()) {
        let data = ring();
        let (own, peer) = (AtomicU32::new(ours), PeerU32::new(theirs));
        let inside = ours.wrapping_sub(theirs);
        let wrote = Writer::attach(&own).write(&own, &peer, &data, &[1; 40]);
        prop_assert_eq!(wrote, if inside <= 32 { Ok(32 - inside as usize) } else { Err(BadIndex { ours, theirs }) });
        let (own, inside) = (AtomicU32::new(ours), theirs.wrapping_sub(ours));
        let read = Reader::attach(&own).read(&own, &peer, &data, &mut [0; 40]);
        prop_assert_eq!(read, if inside <= 32 { Ok(inside as usize) } else { Err(BadIndex { ours, theirs }) });
        if inside > 32 {
            prop_assert_eq!(own.current(), ours);
        }
    }
}

mod interleavings {
    use loom::cell::UnsafeCell;
    use loom::sync::Arc;
    use loom::sync::atomic::AtomicU32;
    use loom::thread;

    use super::super::*;
    use crate::modelled::{Data, Index};

    #[test]
    #[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
    fn bytes_cross_in_order_and_untorn() {
        loom::model(|| {
            let start = u32::MAX;
            let shared = Arc::new((
                Index(AtomicU32::new(start)),
                Index(AtomicU32::new(start)),
                Data([UnsafeCell::new(0), UnsafeCell::new(0)]),
            ));
            let other = Arc::clone(&shared);
            let writer = thread::spawn(move || {
                let (prod, cons, data) = &*other;
                let (mut writer, mut bytes) = (Writer::attach(prod), &[1, 2, 3][..]);
                while !bytes.is_empty() {
                    let done = writer.write(prod, cons, data, bytes).unwrap();
                    if done == 0 {
                        thread::yield_now();
                    }
                    bytes = &bytes[done..];
                }
            });
            let (prod, cons, data) = &*shared;
            let (mut reader, mut seen) = (Reader::attach(cons), 0);
            while seen < 3 {
                let mut bytes = [0; 2];
                let done = reader.read(cons, prod, data, &mut bytes).unwrap();
                if done == 0 {
                    thread::yield_now();
                }
                for byte in &bytes[..done] {
                    seen += 1;
                    assert_eq!(*byte, seen);
                }
            }
            writer.join().unwrap();
        });
    }
}
