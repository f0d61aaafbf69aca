//! A network back end that writes anything anywhere in the rings.
#![no_main]

mod host;

use std::cell::{Cell, RefCell};
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};

use fades_fuzz::step;
use fades_ring::{Reader, Writer};
use fades_xen_pv::grant::Grants;
use fades_xen_pv::hypercall::Port;
use fades_xen_pv::net::{MAX_FRAME, Netfront, Setup};
use fades_xen_pv::shared::{Overlay, PeerU32, PeerU64, Shared};
use fades_xen_pv::xenstore::{Wait, Xenstore};
use fades_xen_store::{Decoder, Kind, Message, Request};
use libfuzzer_sys::fuzz_target;

/// The store's ring from its own side.
#[repr(C)]
struct StorePage {
    requests: [PeerU64; 128],
    replies: [AtomicU64; 128],
    requests_consumed: AtomicU32,
    requests_produced: PeerU32,
    replies_consumed: PeerU32,
    replies_produced: AtomicU32,
}

// SAFETY: atomics only.
unsafe impl Overlay for StorePage {}

/// A store that knows the few nodes of one device, whose back end connects when we do.
struct Store {
    page: Shared<StorePage>,
    ring: RefCell<(Reader, Writer, Decoder)>,
    connected: Cell<bool>,
    now: Cell<u64>,
}

impl Store {
    fn answer(&self, message: &Message) -> Message {
        let value = match Request::decode(message).unwrap() {
            Request::Read { path } => match path.as_str() {
                "device/vif/0/backend" => "/b",
                "device/vif/0/backend-id" => "0",
                "device/vif/0/mac" => "00:16:3e:00:00:01",
                "/b/state" if self.connected.get() => "4",
                "/b/state" => "2",
                "/b/feature-rx-copy" | "/b/feature-sg" => "1",
                _ => {
                    return Message::new(Kind::Error, message.header().request, 0, b"ENOENT\0".to_vec())
                        .unwrap();
                }
            },
            Request::Write { path, .. } => {
                self.connected.set(path.as_str() == "device/vif/0/state");
                "OK\0"
            }
            _ => "OK\0",
        };
        Message::new(message.kind(), message.header().request, 0, value.into()).unwrap()
    }
}

impl Wait for &Store {
    fn now(&self) -> u64 {
        self.now.get()
    }

    fn wait(&self, _: Port, _: u64) {
        self.now.set(self.now.get() + 1);
        let (page, mut bytes) = (&*self.page, [0; 1024]);
        let (reader, writer, decoder) = &mut *self.ring.borrow_mut();
        let len = reader
            .read(&page.requests_consumed, &page.requests_produced, &page.requests, &mut bytes)
            .unwrap();
        let mut input = &bytes[..len];
        while let Some(message) = decoder.push(&mut input).unwrap() {
            let reply = self.answer(&message).encode();
            let done =
                writer.write(&page.replies_produced, &page.replies_consumed, &page.replies, &reply).unwrap();
            assert_eq!(done, reply.len());
        }
    }
}

/// In one of the two rings (sent, received), a word; or what we do.
type Step = (u8, u16, u64);

fuzz_target!(|steps: Vec<Step>| {
    let memory = host::Memory::default();
    let page = memory.page().share();
    let daemon = memory.again::<StorePage>(0);
    let ring =
        (Reader::attach(&daemon.requests_consumed), Writer::attach(&daemon.replies_produced), Decoder::new());
    let store =
        Store { page: daemon, ring: RefCell::new(ring), connected: Cell::new(false), now: Cell::new(0) };
    let mut client = Xenstore::new(page, Port(1), host::Silence, &store);
    let mut grants = Grants::new(vec![memory.page().share(), memory.page().share()], 0, 0..1024);
    let mut setup = Setup { pages: &memory, grants: &mut grants, deadline: 1000 };
    let mut front = Netfront::connect(0, host::Silence, &mut setup, &mut client).unwrap();
    let rings = [memory.words(memory.taken() - 2), memory.words(memory.taken() - 1)];
    for (what, at, word) in steps {
        match what % 6 {
            0 => rings[0][usize::from(at) % 512].store(word, Ordering::Relaxed),
            1 => rings[1][usize::from(at) % 512].store(word, Ordering::Relaxed),
            // How many responses there are, the lower half of the second word, close to what is possible.
            ring @ (2 | 3) => {
                let ring = &rings[usize::from(ring) - 2];
                let requests = ring[0].load(Ordering::Relaxed) & 0xffff_ffff;
                let upper = ring[1].load(Ordering::Relaxed) & !0xffff_ffff;
                ring[1].store(
                    upper | requests.wrapping_sub(u64::from(at) % 300) & 0xffff_ffff,
                    Ordering::Relaxed,
                );
            }
            4 => {
                let _ = step(|| front.can_send());
                let _ = step(|| front.send(usize::from(at) % 10_000, |_| ()));
            }
            _ => {
                step(|| {
                    if let Ok(Some(frame)) = front.receive() {
                        assert!((1..=MAX_FRAME).contains(&frame.len()));
                    }
                });
                let _ = step(|| front.arm());
            }
        }
    }
});
