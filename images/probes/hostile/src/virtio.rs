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
const DEVICE: u32 = 4;
const WINDOW: u32 = 5;

/// Registers of the common configuration: offset and size.
const STATUS: (u32, u32) = (20, 1);
const QUEUE_SELECT: (u32, u32) = (22, 2);
const QUEUE_SIZE: (u32, u32) = (24, 2);
const QUEUE_ENABLE: (u32, u32) = (28, 2);
const QUEUE_NOTIFY: (u32, u32) = (30, 2);
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
    /// Bytes between two queues' places there.
    stride: u32,
    parts: Vec<Part>,
    /// Where the device's own configuration is.
    own: Option<Part>,
}

fn config(place: u32, register: u32) -> u32 {
    write32(ADDRESS, place | (register & 0xfc));
    read32(DATA)
}

/// Where the memory of devices on the bus begins.
pub(crate) fn bars() -> Vec<u64> {
    let places = (0..32).map(|device| 1 << 31 | device << 11).filter(|&place| config(place, 0) != u32::MAX);
    let of = |place| {
        let registers = [0x10, 0x14, 0x18, 0x1c, 0x20, 0x24];
        registers.map(|register| (config(place, register), config(place, register + 4)))
    };
    // Ports are no memory. What has 64 bits goes on in the next register, which, read as one of its own, is some other address.
    let bases = places.flat_map(of).filter(|(low, _)| low & 1 == 0 && low & !0xf != 0);
    let wide = |(low, high)| {
        let high = if low & 0b110 == 0b100 { u64::from(high) } else { 0 };
        high << 32 | u64::from(low & !0xf)
    };
    bases.map(wide).collect()
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
        let (mut stride, mut own) = (0, None);
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
                    NOTIFY => {
                        notify = Some(part);
                        stride = config(place, at + 16);
                    }
                    DEVICE => own = Some(part),
                    WINDOW => window = Some(at),
                    _ => {}
                }
                parts.push(part);
            }
            at = head >> 8 & 0xfc;
        }
        Some(Self { place, window: window?, common: common?, notify: notify?, stride, parts, own })
    }

    /// Has the window show so many bytes of one of its regions.
    fn show(&self, part: Part, offset: u32, size: u32) {
        configure(self.place, self.window + 4, 1, part.bar);
        configure(self.place, self.window + 8, 4, part.offset.wrapping_add(offset));
        configure(self.place, self.window + 12, 4, size);
    }

    /// Writes to a register in one of its regions.
    fn write(&self, part: Part, offset: u32, size: u32, value: u32) {
        self.show(part, offset, size);
        configure(self.place, self.window + 16, size, value);
    }

    fn read(&self, part: Part, offset: u32, size: u32) -> u32 {
        self.show(part, offset, size);
        config(self.place, self.window + 16)
    }

    /// Begins as a driver does that means well, with this one queue, which lies there: descriptors, what is to be done, what is.
    pub(crate) fn open(&self, queue: u32, places: u32, at: [u64; 3]) {
        for status in [0, 1, 3] {
            self.common(STATUS, status);
        }
        // VIRTIO_F_VERSION_1, and nothing of a network device.
        for (half, features) in [(0, 0), (1, 1)] {
            self.common((8, 4), half);
            self.common((12, 4), features);
        }
        self.common(STATUS, 11);
        self.common(QUEUE_SELECT, queue);
        self.common(QUEUE_SIZE, places);
        for (register, place) in QUEUE_PLACES.into_iter().zip(at) {
            self.wide(register, place);
        }
        self.common(QUEUE_ENABLE, 1);
        self.common(STATUS, 15);
    }

    /// Says that there is something to do in a queue.
    pub(crate) fn ring(&self, queue: u32) {
        self.common(QUEUE_SELECT, queue);
        let place = self.read(self.common, QUEUE_NOTIFY.0, QUEUE_NOTIFY.1) & 0xffff;
        self.write(self.notify, place * self.stride, 2, queue);
    }

    /// Of a network device: its hardware's address.
    pub(crate) fn mac(&self) -> [u8; 6] {
        let byte = |at| self.own.map_or(0, |own| self.read(own, at, 1)).to_le_bytes()[0];
        [0, 1, 2, 3, 4, 5].map(byte)
    }

    fn common(&self, (offset, size): (u32, u32), value: u32) {
        self.write(self.common, offset, size, value);
    }

    /// Writes 64 bits.
    fn wide(&self, register: u32, value: u64) {
        let [low, high] =
            [value & 0xffff_ffff, value >> 32].map(|half| u32::try_from(half).unwrap_or_default());
        self.common((register, 4), low);
        self.common((register + 4, 4), high);
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
            self.wide(register, place);
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
