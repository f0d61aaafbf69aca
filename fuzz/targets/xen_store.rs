//! A store that puts any bytes into its ring and any numbers into its indices.
#![no_main]

mod host;

use std::cell::{Cell, RefCell};
use std::sync::atomic::Ordering;

use fades_fuzz::step;
use fades_xen_pv::hypercall::Port;
use fades_xen_pv::shared::{Shared, Words, WriteBytes};
use fades_xen_pv::xenstore::{EVENTS_MAX, Wait, Xenstore};
use fades_xen_store::{Path, Token};
use libfuzzer_sys::fuzz_target;

/// What the store does each time that the client waits: these bytes, and then this index unless it is honest.
struct Hostile {
    page: Shared<Words>,
    steps: RefCell<std::vec::IntoIter<(Vec<u8>, Option<u32>)>>,
    produced: Cell<u32>,
    now: Cell<u64>,
}

impl Wait for &Hostile {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn wait(&self, _: Port, _: u64) {
        self.now.set(self.now.get() + 1);
        let Some((bytes, index)) = self.steps.borrow_mut().next() else {
            self.now.set(u64::MAX);
            return;
        };
        for byte in &bytes {
            let at = 1024 + self.produced.get() as usize % 1024;
            assert!(self.page.write(at, &[*byte]));
            self.produced.set(self.produced.get().wrapping_add(1));
        }
        self.produced.set(index.unwrap_or(self.produced.get()));
        assert!(self.page.write(2060, &self.produced.get().to_le_bytes()));
        // It has read all that was asked.
        let asked = self.page[2048 / 8].load(Ordering::Relaxed) >> 32;
        self.page[2048 / 8].store(asked << 32 | asked, Ordering::Relaxed);
    }
}

fuzz_target!(|steps: Vec<(Vec<u8>, Option<u32>)>| {
    let memory = host::Memory::default();
    let page = memory.page().share();
    let (steps, produced, now) = (RefCell::new(steps.into_iter()), Cell::new(0), Cell::new(0));
    let hostile = Hostile { page: memory.words(0), steps, produced, now };
    let mut store = Xenstore::new(page, Port(1), host::Silence, &hostile);
    let (path, token) = (Path::new("data/x").unwrap(), Token::new("t").unwrap());
    let deadline = u64::MAX;
    while store.now() < deadline {
        let _ = step(|| store.read(&path, deadline).is_ok());
        let _ = step(|| store.list(&path, deadline).is_ok());
        let _ = step(|| store.watch(&path, &token, deadline));
        let mut events = 0;
        while let Ok(Some(_)) = step(|| store.next_event(0)) {
            events += 1;
        }
        assert!(events <= EVENTS_MAX);
        let broken = step(|| store.write(&path, b"1", deadline));
        if broken == Err(fades_xen_pv::xenstore::StoreError::Broken) {
            break;
        }
    }
});
