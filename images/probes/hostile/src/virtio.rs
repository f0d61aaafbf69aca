//! A virtio device of PCI, reached by ports (VIRTIO 1.2, 4.1.4).

use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::{Random, read32, write8, write16, write32};

/// Where a register of configuration space is named, and where it is read and written.
const ADDRESS: u16 = 0xcf8;
const DATA: u16 = 0xcfc;
/// Who makes virtio devices.
const VENDOR: u32 = 0x1af4;
/// Words of a page that queues are told to lie in.
const WORDS: usize = 512;

/// Kinds of capabilities.
const COMMON: u32 = 1;
const NOTIFY: u32 = 2;
const WINDOW: u32 = 5;

/// Registers of the common configuration: offset and size.
const STATUS: (u32, u32) = (20, 1);
const QUEUE_SELECT: (u32, u32) = (22, 2);
const QUEUE_SIZE: (u32, u32) = (24, 2);
const QUEUE_ENABLE: (u32, u32) = (28, 2);
const QUEUE_PLACES: [u32; 3] = [32, 40, 48];

/// What queues are made of.
#[repr(align(4096))]
struct Page([AtomicU64; WORDS]);

static PAGE: Page = Page([const { AtomicU64::new(0) }; WORDS]);

/// Part of a memory region of the device.
#[derive(Clone, Copy)]
struct Part {
    bar: u32,
    offset: u32,
    length: u32,
}

pub(crate) struct Device {
    /// Its place on the bus.
    place: u32,
    /// Where the window is.
    window: u32,
    common: Part,
    notify: Part,
    parts: Vec<Part>,
}

fn config(place: u32, register: u32) -> u32 {
    write32(ADDRESS, place | (register & 0xfc));
    read32(DATA)
}

fn configure(place: u32, register: u32, size: u32, value: u32) {
    write32(ADDRESS, place | (register & 0xfc));
    let port = DATA + u16::try_from(register & 3).unwrap_or_default();
    let [low, high, ..] = value.to_le_bytes();
    match size {
        1 => write8(port, low),
        2 => write16(port, u16::from_le_bytes([low, high])),
        _ => write32(port, value),
    }
}

impl Device {
    /// The first on the bus.
    pub(crate) fn find() -> Option<Self> {
        let places = (0..32).map(|device| 1 << 31 | device << 11);
        places.filter(|&place| config(place, 0) & 0xffff == VENDOR).find_map(Self::at)
    }

    fn at(place: u32) -> Option<Self> {
        let (mut parts, mut window, mut common, mut notify) = (Vec::new(), None, None, None);
        let mut at = config(place, 0x34) & 0xfc;
        while at != 0 && parts.len() < 16 {
            let head = config(place, at);
            if head & 0xff == 9 {
                let part = Part {
                    bar: config(place, at + 4) & 0xff,
                    offset: config(place, at + 8),
                    length: config(place, at + 12),
                };
                match head >> 24 {
                    COMMON => common = Some(part),
                    NOTIFY => notify = Some(part),
                    WINDOW => window = Some(at),
                    _ => {}
                }
                parts.push(part);
            }
            at = head >> 8 & 0xfc;
        }
        Some(Self { place, window: window?, common: common?, notify: notify?, parts })
    }

    /// Writes to a register in one of its regions.
    fn write(&self, part: Part, offset: u32, size: u32, value: u32) {
        configure(self.place, self.window + 4, 1, part.bar);
        configure(self.place, self.window + 8, 4, part.offset.wrapping_add(offset));
        configure(self.place, self.window + 12, 4, size);
        configure(self.place, self.window + 16, size, value);
    }

    fn common(&self, (offset, size): (u32, u32), value: u32) {
        self.write(self.common, offset, size, value);
    }

    /// One case.
    pub(crate) fn harm(&mut self, random: &mut Random) {
        match random.below(16) {
            0 => self.begin(random),
            1 => self.common(STATUS, random.value()),
            2 | 3 => self.place(random),
            4 => self.common(QUEUE_SIZE, random.value()),
            5 => self.common(QUEUE_ENABLE, random.value() & 3),
            6..=8 => lie(random),
            9..=12 => self.notify(random),
            13 => configure(self.place, 0x10 + random.value() % 0x30, 4, random.value()),
            _ => {
                let part = self.parts[random.value() as usize % self.parts.len()];
                let offset = random.value() % part.length.max(1).saturating_add(64);
                self.write(part, offset, 1 << random.below(3), random.value());
            }
        }
    }

    /// As a driver begins, so that what follows has a device that listens.
    fn begin(&self, random: &mut Random) {
        for status in [0, 1, 3] {
            self.common(STATUS, status);
        }
        // Feature bits 32 and on: VIRTIO_F_VERSION_1 and whatever else.
        self.common((8, 4), 1);
        self.common((12, 4), 1 | random.value());
        self.common(STATUS, 11);
        for queue in 0..3 {
            self.common(QUEUE_SELECT, queue);
            self.place(random);
            self.common(QUEUE_ENABLE, 1);
        }
        self.common(STATUS, 15);
    }

    /// Says where the selected queue lies: here, beyond memory, or at its very end.
    fn place(&self, random: &mut Random) {
        let own = PAGE.0.as_ptr() as u64;
        for register in QUEUE_PLACES {
            let place = match random.below(4) {
                0 => own + random.below(8 * WORDS as u64),
                1 => u64::from(random.value()) << 32 | u64::from(random.value()),
                2 => (64 << 20) - random.below(64),
                _ => own,
            };
            let [low, high] =
                [place & 0xffff_ffff, place >> 32].map(|half| u32::try_from(half).unwrap_or_default());
            self.common((register, 4), low);
            self.common((register + 4, 4), high);
        }
        self.common(QUEUE_SELECT, random.value() % 5);
    }

    fn notify(&self, random: &mut Random) {
        for _ in 0..=random.below(16) {
            let offset = random.value() % self.notify.length.max(4);
            self.write(self.notify, offset & !3, 2, random.value() % 4);
        }
    }
}

/// Writes a word of the queues: descriptors that lead to themselves and out of memory, an index that jumps.
fn lie(random: &mut Random) {
    let at = usize::try_from(random.below(WORDS as u64)).unwrap_or_default();
    let own = PAGE.0.as_ptr() as u64;
    let word = match random.below(4) {
        // Length, flags (more follow; it is written), and the next: itself.
        0 => u64::from(random.value()) | (random.below(8) << 32) | ((at as u64 / 2) << 48),
        1 => own + random.below(8 * WORDS as u64),
        2 => random.any(),
        _ => u64::MAX >> random.below(64),
    };
    PAGE.0[at].store(word, Ordering::Relaxed);
}
