//! A producer, and then a consumer, that write anything into their end pages.
#![no_main]

mod host;

use std::sync::atomic::Ordering;

use fades_fuzz::step;
use fades_xen_pv::channel::{Offer, Receiver};
use fades_xen_pv::grant::{GrantRef, Grants};
use fades_xen_pv::hypercall::{Domain, Hypercalls, Port};
use fades_xen_pv::page::Pages;
use fades_xen_pv::shared::{Frame, OwnPage};
use libfuzzer_sys::fuzz_target;

/// Words of the other side's end page, in the order of their writing; between them we read and write.
type Steps = Vec<(u16, u64)>;

/// Gives one page that says what `words` say, before the others.
struct Prepared<'a> {
    memory: &'a host::Memory,
    words: &'a [u64],
}

// SAFETY: as the memory's.
unsafe impl Pages for Prepared<'_> {
    fn take(&self) -> Option<OwnPage> {
        let page = self.memory.take();
        let at = self.memory.words(self.memory.taken() - 1);
        for (at, word) in at.iter().zip(self.words) {
            at.store(*word, Ordering::Relaxed);
        }
        page
    }

    fn give(&self, page: OwnPage) {
        self.memory.give(page);
    }

    fn map(&self, frame: Frame) -> Option<OwnPage> {
        self.memory.map(frame)
    }
}

fuzz_target!(|input: (Vec<u64>, u8, Steps)| {
    let (words, pages, steps) = input;
    let memory = host::Memory::default();
    let xen = Hypercalls::by(host::Silence);
    let mut grants = Grants::new(vec![memory.page().share()], 0, 0..512);
    let reference = GrantRef::from_number(9);

    // Version and one page, unless the input has something else to say.
    let mut words = words;
    if words.is_empty() {
        words = vec![u64::from(u32::from_le_bytes(*b"fch1")), 0, 1];
    }
    let prepared = Prepared { memory: &memory, words: &words };
    let first = memory.taken();
    let joined = step(|| {
        Receiver::join(&xen, &prepared, &mut grants, host::Silence, Domain(2), (reference, Port(5)), 256)
    });
    if let Ok(mut receiver) = joined {
        let theirs = memory.words(first);
        for (at, word) in &steps {
            theirs[usize::from(*at) % 4].store(*word, Ordering::Relaxed);
            let mut bytes = vec![0; usize::from(*at)];
            if let Ok(Some(read)) = step(|| receiver.read(&mut bytes)) {
                assert!(read <= bytes.len().min(receiver.capacity()));
            }
            let _ = step(|| receiver.arm(usize::from(*at)));
        }
        let (mut leftover, _) = receiver.finish(&xen, &prepared);
        leftover.release(&prepared, &mut grants);
    }

    let Ok(offer) = Offer::new(&memory, &mut grants, host::Silence, Domain(2), usize::from(pages) + 1) else {
        return;
    };
    let theirs = memory.taken();
    let Ok(mut sender) = step(|| offer.accept(&xen, &prepared, reference)) else { return };
    let theirs = memory.words(theirs);
    for (at, word) in &steps {
        theirs[usize::from(*at) % 4].store(*word, Ordering::Relaxed);
        let bytes = vec![7; usize::from(*at)];
        if let Ok(written) = step(|| sender.write(&bytes)) {
            assert!(written <= usize::from(*at).min(sender.capacity()));
        }
        let _ = step(|| sender.arm(usize::from(*at)));
    }
    let (mut leftover, _) = sender.finish(&xen, &memory);
    leftover.release(&memory, &mut grants);
});
