use proptest::prelude::*;

use super::*;
use crate::testing::Memory;

type Page = RingPage<256, 2>;

#[test]
fn requests_get_their_responses() {
    let memory = Memory::new();
    let page = memory.page().share::<Page>();
    let mut ring = FrontRing::new(&*page);
    assert_eq!(ring.free(&*page), 256);
    for index in 0..256 {
        assert!(ring.put(&*page, [index, 7]));
    }
    assert!(!ring.put(&*page, [0, 0]));
    assert_eq!(page.requests.load(Ordering::Relaxed), 0, "not before it is published");
    assert!(ring.publish(&*page));
    assert!(!ring.publish(&*page), "nothing new");
    assert_eq!(page.requests.load(Ordering::Relaxed), 256);
    assert_eq!(ring.look(&*page), Ok(0));
    page.slots[0][1].store(9, Ordering::Relaxed);
    page.responses.set(2);
    assert_eq!(ring.take(&*page), None, "not before it is looked for");
    assert_eq!(ring.look(&*page), Ok(2));
    assert_eq!(ring.take(&*page), Some((0, [0, 9])));
    assert_eq!(ring.take(&*page), Some((1, [1, 7])));
    assert_eq!(ring.take(&*page), None);
    assert_eq!(ring.free(&*page), 2);
}

#[test]
fn the_back_end_is_notified_only_when_it_waits() {
    let memory = Memory::new();
    let page = memory.page().share::<Page>();
    let mut ring = FrontRing::new(&*page);
    page.request_event.publish(3);
    let mut publish = || {
        assert!(ring.put(&*page, [0, 0]));
        ring.publish(&*page)
    };
    assert_eq!([publish(), publish(), publish(), publish()], [false, false, true, false]);
}

#[test]
fn we_are_told_when_there_is_something_and_not_before() {
    let memory = Memory::new();
    let page = memory.page().share::<Page>();
    let mut ring = FrontRing::new(&*page);
    for _ in 0..4 {
        assert!(ring.put(&*page, [0, 0]));
    }
    let _ = ring.publish(&*page);
    assert_eq!(ring.arm(&*page), Ok(false));
    assert_eq!(page.response_event.load(Ordering::Relaxed), 1);
    page.responses.set(1);
    assert_eq!(ring.arm(&*page), Ok(true));
    assert!(ring.take(&*page).is_some());
    assert_eq!(ring.arm(&*page), Ok(false));
    assert_eq!(page.response_event.load(Ordering::Relaxed), 2);
    assert_eq!(ring.arm_after(&*page, 2), Ok(false));
    assert_eq!(page.response_event.load(Ordering::Relaxed), 3);
    page.responses.set(3);
    assert_eq!(ring.arm_after(&*page, 2), Ok(true));
}

proptest! {
    /// A back end that says anything: what is impossible is told, and never is more taken than was put in.
    #[test]
    fn whatever_the_back_end_counts(steps in proptest::collection::vec(
        (0_u32..300, prop_oneof![0_u32..400, any::<u32>()], 0_u32..300), 1..20)) {
        let memory = Memory::new();
        let page = memory.page().share::<Page>();
        let mut ring = FrontRing::new(&*page);
        let (mut put, mut taken, mut seen) = (0_u32, 0_u32, 0_u32);
        for (requests, says, takes) in steps {
            for _ in 0..requests {
                let room = put - taken < 256;
                prop_assert_eq!(ring.put(&*page, [put, 0]), room);
                put += u32::from(room);
            }
            let _ = ring.publish(&*page);
            page.responses.set(says);
            let looked = ring.look(&*page);
            if !(seen..=put).contains(&says) {
                prop_assert_eq!(looked, Err(BadIndex { ours: put, theirs: says }));
                return Ok(());
            }
            seen = says;
            prop_assert_eq!(looked, Ok(seen - taken));
            for _ in 0..takes {
                let response = ring.take(&*page);
                prop_assert_eq!(response.map(|response| response.0), (taken < seen).then_some(taken));
                taken += u32::from(taken < seen);
            }
            prop_assert_eq!(ring.outstanding(), put - taken);
        }
    }
}

mod interleavings {
    use loom::cell::UnsafeCell;
    use loom::sync::atomic::{AtomicU32, Ordering, fence};
    use loom::sync::{Arc, Notify};
    use loom::thread;

    use super::super::*;

    struct Index(AtomicU32);

    impl Word for Index {
        fn publish(&self, value: u32) {
            self.0.store(value, Ordering::Release);
        }

        fn current(&self) -> u32 {
            self.0.load(Ordering::Relaxed)
        }

        fn barrier() {
            fence(Ordering::SeqCst);
        }
    }

    impl PeerWord for Index {
        fn take(&self) -> u32 {
            let value = self.0.load(Ordering::Relaxed);
            fence(Ordering::Acquire);
            value
        }
    }

    /// A ring of two slots, and each direction's event. If both sides wait, the model fails.
    struct Shared {
        counters: [Index; 4],
        slots: [UnsafeCell<u32>; 2],
        to_back: Notify,
        to_front: Notify,
    }

    // SAFETY: it is the model checker's to find out whether it is true.
    unsafe impl Sync for Shared {}
    // SAFETY: likewise.
    unsafe impl Send for Shared {}

    impl RingMemory for Shared {
        type Slot = u32;
        type Own = Index;
        type Peer = Index;
        type PeerEvent = Index;

        fn slots(&self) -> u32 {
            2
        }

        fn requests(&self) -> &Index {
            &self.counters[0]
        }

        fn request_event(&self) -> &Index {
            &self.counters[1]
        }

        fn responses(&self) -> &Index {
            &self.counters[2]
        }

        fn response_event(&self) -> &Index {
            &self.counters[3]
        }

        fn put(&self, index: u32, slot: u32) {
            // SAFETY: checked by the model.
            self.slots[index as usize % 2].with_mut(|cell| unsafe { *cell = slot });
        }

        fn get(&self, index: u32) -> u32 {
            // SAFETY: checked by the model.
            self.slots[index as usize % 2].with(|cell| unsafe { *cell })
        }
    }

    /// A back end that answers `count` requests with their double, sleeping until it is told whenever there is none.
    fn back_end(shared: &Shared, count: u32) {
        let mut done = 0;
        while done < count {
            if shared.requests().take() == done {
                shared.request_event().publish(done + 1);
                Index::barrier();
                if shared.requests().take() == done {
                    shared.to_back.wait();
                }
                continue;
            }
            let request = shared.get(done);
            shared.put(done, request * 2);
            done += 1;
            shared.responses().publish(done);
            Index::barrier();
            // One at a time: told if we wait for exactly this one.
            if done.wrapping_sub(shared.response_event().take()) < 1 {
                shared.to_front.notify();
            }
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
    fn no_wake_up_is_lost_and_no_slot_is_torn() {
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let shared = Arc::new(Shared {
                counters: [0, 1, 0, 1].map(|value| Index(AtomicU32::new(value))),
                slots: [UnsafeCell::new(0), UnsafeCell::new(0)],
                to_back: Notify::new(),
                to_front: Notify::new(),
            });
            let other = Arc::clone(&shared);
            let back = thread::spawn(move || back_end(&other, 2));
            let mut ring = FrontRing { put: 0, published: 0, seen: 0, taken: 0 };
            for request in [5, 6] {
                assert!(ring.put(&*shared, request));
                if ring.publish(&*shared) {
                    shared.to_back.notify();
                }
            }
            let mut expected = [10, 12].into_iter();
            while expected.len() > 0 {
                if let Some((_, response)) = ring.take(&*shared) {
                    assert_eq!(Some(response), expected.next());
                } else if !ring.arm(&*shared).unwrap() {
                    // Sleeps: only the event ends it.
                    shared.to_front.wait();
                }
            }
            back.join().unwrap();
        });
    }
}
