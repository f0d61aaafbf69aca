mod back_end;
mod connecting;
mod hostile;
mod traffic;

use std::rc::Rc;
use std::vec::Vec;

use super::*;
use crate::grant::GrantFrame;
use crate::testing::store::Store;
use crate::testing::{Memory, Wires};

/// A guest with a store in which the toolstack and the back end have written what they write.
struct Guest {
    memory: Rc<Memory>,
    wires: Rc<Wires>,
    grants: Grants,
    /// The grant table as Xen sees it.
    table: [Shared<GrantFrame>; 2],
}

const BACKEND: &str = "/local/domain/0/backend/vif/7/0";

impl Guest {
    fn new() -> Self {
        Self::with(Memory::new())
    }

    fn with(memory: Memory) -> Self {
        let frames = [memory.page(), memory.page()];
        let table = frames.each_ref().map(|page| memory.again(page.frame()).share());
        let grants = Grants::new(frames.map(crate::shared::OwnPage::share).into(), 0, 0..1024);
        Self { memory: Rc::new(memory), wires: Rc::default(), grants, table }
    }

    /// What `xl` and netback leave in the store before the guest runs.
    fn configure(store: &Store) {
        for (node, value) in [
            ("backend", BACKEND),
            ("backend-id", "0"),
            ("mac", "00:16:3e:01:02:03"),
            ("state", "1"),
            ("mtu", "9000"),
        ] {
            store.set(&std::format!("device/vif/0/{node}"), value);
        }
        for (node, value) in [("feature-rx-copy", "1"), ("feature-sg", "1"), ("state", "2")] {
            store.set(&std::format!("{BACKEND}/{node}"), value);
        }
    }

    /// A store with a back end that connects when we do.
    fn connect(&mut self) -> Netfront<Rc<Wires>> {
        let (mut client, store) = Store::client(&self.memory, &self.wires);
        Self::configure(store);
        store.on_write(|store, path, value| {
            if (path, value) == ("device/vif/0/state", "4") {
                store.set(&std::format!("{BACKEND}/state"), "4");
            }
        });
        let mut setup = Setup { pages: &*self.memory, grants: &mut self.grants, deadline: 1000 };
        let front = Netfront::connect(0, Rc::clone(&self.wires), &mut setup, &mut client).unwrap();
        self.wires.sent.borrow_mut().clear();
        front
    }

    /// The frame that `reference` grants to domain 0, for writing if `writable`.
    fn granted(&self, reference: u32, writable: bool) -> crate::shared::Frame {
        let (flags, domain, frame) = self.table[reference as usize / 512].look(reference as usize % 512);
        assert_eq!((flags, domain), (if writable { 1 } else { 5 }, 0), "grant {reference}");
        crate::shared::Frame(frame.into())
    }
}

/// A connected device and its back end.
fn line() -> (Netfront<Rc<Wires>>, back_end::BackEnd) {
    let mut guest = Guest::new();
    let front = guest.connect();
    let back = back_end::BackEnd::new(guest, back_end::rings(&front));
    (front, back)
}

fn bytes(len: usize, seed: usize) -> Vec<u8> {
    (0..=250).cycle().skip(seed % 251).take(len).collect()
}
