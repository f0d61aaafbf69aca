//! Frames through the network device, with a driver of our own: no kernel looks at what it is given.

use std::hint::spin_loop;
use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicU8, AtomicU16, AtomicU64, Ordering};

use fades_wire::address::NETWORK;

use crate::frames::{Attack, KINDS};
use crate::virtio::Device;

/// What goes in front of each frame (VIRTIO 1.2, 5.1.6): all zero, nothing is asked of the device.
const HEADER: usize = 12;
/// Room for the largest frame that a monitor takes.
const ROOM: usize = HEADER + (64 << 10);
/// Looks at the used ring before the device counts as dead: minutes.
const LOOKS: u64 = 1 << 34;
/// The queue that is sent from.
const TRANSMIT: u32 = 1;

/// A queue of one place, so that its one descriptor is always the next.
#[repr(C, align(4096))]
struct Queue {
    descriptor: [AtomicU64; 2],
    /// Flags, index, ring.
    available: [AtomicU16; 4],
    /// The same.
    used: [AtomicU16; 8],
}

static QUEUE: Queue = Queue {
    descriptor: [const { AtomicU64::new(0) }; 2],
    available: [const { AtomicU16::new(0) }; 4],
    used: [const { AtomicU16::new(0) }; 8],
};
static BUFFER: [AtomicU8; ROOM] = [const { AtomicU8::new(0) }; ROOM];

/// The device, begun as drivers do, with a queue to send from and none to receive.
pub(crate) struct Sender {
    device: Device,
    own: Ipv4Addr,
    sent: u16,
}

impl Sender {
    pub(crate) fn open() -> Option<Self> {
        let device = Device::find()?;
        // What lies in the image is where it is mapped: the loader maps it one to one.
        let places =
            [QUEUE.descriptor.as_ptr() as u64, QUEUE.available.as_ptr() as u64, QUEUE.used.as_ptr() as u64];
        // No interrupt, when something was sent: it is looked at.
        QUEUE.available[0].store(1, Ordering::SeqCst);
        device.open(TRANSMIT, 1, places);
        // Its address follows from the hardware's.
        let [.., high, low] = device.mac();
        let own = Ipv4Addr::from_bits(NETWORK.to_bits() | u32::from(high) << 8 | u32::from(low));
        Some(Self { device, own, sent: 0 })
    }

    pub(crate) const fn own(&self) -> Ipv4Addr {
        self.own
    }

    /// One frame; whether the device took it. In place of none a byte: QEMU gives a device up that is to send nothing.
    fn send(&mut self, frame: &[u8]) -> bool {
        let frame = if frame.is_empty() { &[0xff] } else { frame };
        for (place, byte) in BUFFER[HEADER..].iter().zip(frame) {
            place.store(*byte, Ordering::Relaxed);
        }
        QUEUE.descriptor[0].store(BUFFER.as_ptr() as u64, Ordering::SeqCst);
        QUEUE.descriptor[1].store((HEADER + frame.len()) as u64, Ordering::SeqCst);
        self.sent = self.sent.wrapping_add(1);
        QUEUE.available[1].store(self.sent, Ordering::SeqCst);
        self.device.ring(TRANSMIT);
        (0..LOOKS).any(|_| {
            spin_loop();
            QUEUE.used[1].load(Ordering::SeqCst) == self.sent
        })
    }
}

/// Frames of all kinds in turn; whether the device took the one that it was given.
pub(crate) fn storm(mut sender: Sender, mut attack: Attack) -> impl FnMut() -> bool {
    let mut kinds = KINDS.iter().cycle();
    move || kinds.next().is_some_and(|(_, make)| sender.send(&make(&mut attack)))
}
