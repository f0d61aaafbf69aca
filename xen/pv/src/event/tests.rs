use std::vec::Vec;

use super::*;
use crate::testing::{Memory, Wires};

/// Xen's part: what `evtchn_send` does to the page.
fn raise(info: &SharedInfo, port: u32) {
    let (word, bit) = place(Port(port)).unwrap();
    if info.pending[word].fetch_or(bit, Ordering::SeqCst) & bit != 0 {
        return;
    }
    if info.mask[word].load(Ordering::SeqCst) & bit == 0 {
        info.vcpus[0].selector.fetch_or(1 << word, Ordering::SeqCst);
        info.vcpus[0].upcall_pending.store(1, Ordering::SeqCst);
    }
}

fn taken(events: &Events) -> Vec<u32> {
    let mut ports = Vec::new();
    events.take(|port| ports.push(port.0));
    ports
}

#[test]
fn ports_are_reported_once_and_in_order() {
    let memory = Memory::new();
    let events = Events::new(memory.page().share());
    assert!(!events.pending());
    for port in [4095, 0, 63, 64, 0, 130] {
        raise(&events.info, port);
    }
    assert!(events.pending());
    assert_eq!(taken(&events), [0, 63, 64, 130, 4095]);
    assert!(!events.pending());
    assert_eq!(taken(&events), []);
}

#[test]
fn a_masked_port_keeps_its_news_and_tells_them_when_unmasked() {
    let memory = Memory::new();
    let (events, wires) = (Events::new(memory.page().share()), Wires::default());
    events.mask_all();
    raise(&events.info, 70);
    assert!(!events.pending());
    assert!(events.has_news(Port(70)));
    // Another port of the same word does not bring it along.
    assert_eq!(events.unmask(Port(71), &wires), Ok(()));
    raise(&events.info, 71);
    assert_eq!(taken(&events), [71]);
    assert!(wires.unmasked.borrow().is_empty(), "no hypercall without news");
    assert_eq!(events.unmask(Port(70), &wires), Ok(()));
    assert_eq!(*wires.unmasked.borrow(), [Port(70)]);
    let (word, bit) = place(Port(70)).unwrap();
    assert_ne!(events.info.mask[word].load(Ordering::SeqCst) & bit, 0, "xen clears the mask itself");
    assert!(events.forget(Port(70)));
    assert!(!events.forget(Port(70)));
    events.mask(Port(71));
    raise(&events.info, 71);
    assert_eq!(taken(&events), []);
}

#[test]
fn a_port_that_cannot_exist_does_nothing() {
    let memory = Memory::new();
    let (events, wires) = (Events::new(memory.page().share()), Wires::default());
    events.mask(Port(4096));
    assert_eq!(events.unmask(Port(4096), &wires), Err(HypercallError::Invalid));
    assert!(!events.has_news(Port(u32::MAX)));
    assert!(!events.forget(Port(4096)));
}

#[test]
fn a_selector_without_news_reports_nothing() {
    let memory = Memory::new();
    let events = Events::new(memory.page().share());
    events.info.vcpus[0].selector.store(u64::MAX, Ordering::SeqCst);
    assert_eq!(taken(&events), []);
}

mod interleavings {
    use loom::sync::Arc;
    use loom::sync::atomic::{AtomicBool, AtomicU64, Ordering};
    use loom::thread;

    use super::super::*;

    impl Bits for AtomicU64 {
        fn get(&self) -> u64 {
            self.load(Ordering::SeqCst)
        }

        fn take(&self) -> u64 {
            self.swap(0, Ordering::SeqCst)
        }

        fn set(&self, bits: u64) {
            self.fetch_or(bits, Ordering::SeqCst);
        }

        fn clear(&self, bits: u64) {
            self.fetch_and(!bits, Ordering::SeqCst);
        }
    }

    #[derive(Default)]
    struct Info {
        flag: AtomicBool,
        selector: AtomicU64,
        pending: [AtomicU64; 2],
        mask: [AtomicU64; 2],
        /// What the events are about: one bit per port, raised before its event is sent.
        news: AtomicU64,
    }

    impl Info {
        fn raise(&self, port: usize) {
            self.news.fetch_or(1 << port, Ordering::SeqCst);
            let (word, bit) = (port / 64, 1 << (port % 64));
            if self.pending[word].fetch_or(bit, Ordering::SeqCst) & bit == 0 {
                self.selector.fetch_or(1 << word, Ordering::SeqCst);
                self.flag.store(true, Ordering::SeqCst);
            }
        }

        /// The upcall: takes what is reported out of `news`.
        fn upcall(&self) {
            self.flag.swap(false, Ordering::SeqCst);
            scan(&self.selector, &self.pending, &self.mask, |port| {
                self.news.fetch_and(!(1 << port.0), Ordering::SeqCst);
            });
        }
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
    fn an_event_is_never_lost() {
        // Three threads; all interleavings of them take ten times as long as those with up to three preemptions.
        let mut model = loom::model::Builder::new();
        model.preemption_bound = Some(3);
        model.check(|| {
            let info = Arc::new(Info::default());
            let senders = [0, 1].map(|port| {
                let info = Arc::clone(&info);
                thread::spawn(move || info.raise(port))
            });
            info.upcall();
            for sender in senders {
                sender.join().unwrap();
            }
            // The interrupt is level: as long as the flag is up, it comes again. One is enough now.
            if info.flag.load(Ordering::SeqCst) {
                info.upcall();
            }
            assert_eq!(info.news.load(Ordering::SeqCst), 0);
        });
    }

    #[test]
    #[cfg_attr(miri, ignore = "Miri cannot start loom's threads")]
    fn the_same_port_twice_is_not_lost_either() {
        loom::model(|| {
            let info = Arc::new(Info::default());
            let sender = {
                let info = Arc::clone(&info);
                thread::spawn(move || {
                    info.raise(3);
                    info.raise(3);
                })
            };
            info.upcall();
            sender.join().unwrap();
            if info.flag.load(Ordering::SeqCst) {
                info.upcall();
            }
            assert_eq!(info.news.load(Ordering::SeqCst), 0);
        });
    }
}
