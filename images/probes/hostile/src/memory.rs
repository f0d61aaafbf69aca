//! Addresses where there is no memory, through a window of one large page that is moved over all of them.

use core::arch::asm;
use core::arch::x86_64::__cpuid;
use core::ptr;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::Random;
use crate::virtio::bars;

/// Where memory ends: tests give so much.
const MEMORY: u64 = 64 << 20;
/// The legacy devices' addresses, and the programs in ROM.
const HOLE: (u64, u64) = (0xa_0000, 0x6_0000);
/// The two interrupt controllers, and where devices' messages go: from here to there.
const CONTROLLERS: (u64, u64) = (0xfec0_0000, 0x40_0000);
const INTERRUPTS: (u64, u64) = (0xfec0_0000, 0x1000);
const LOCAL_INTERRUPTS: (u64, u64) = (0xfee0_0000, 0x10_0000);
/// Below the end of what 32 bits address: what the machine starts with.
const START: (u64, u64) = (0xfff0_0000, 0x10_0000);
/// By these bits of a message a processor is not interrupted but held or reset, and no case would come after it.
const DELIVERY: u64 = 0x0000_0700_0000_0700;

/// Bits of a table's entry: present, writable, large, not cached.
const ENTRY: u64 = 0b11;
const LARGE: u64 = ENTRY | 1 << 7 | 1 << 4;
const PAGE: u64 = 2 << 20;
/// The entry of the root table that is ours; nothing of the kernel's lies so far up.
const SLOT: u64 = 200;
const WINDOW: u64 = SLOT << 39;

#[repr(align(4096))]
struct Table([AtomicU64; 512]);

static POINTERS: Table = Table([const { AtomicU64::new(0) }; 512]);
static DIRECTORY: Table = Table([const { AtomicU64::new(0) }; 512]);

pub(crate) struct Memory {
    /// First address behind the last one that the processor has.
    end: u64,
    bars: Vec<u64>,
}

impl Memory {
    /// Puts the window into the kernel's tables, if its place is free.
    pub(crate) fn open() -> Option<Self> {
        let root: u64;
        // SAFETY: reads a register.
        unsafe { asm!("mov {}, cr3", out(reg) root, options(nomem, nostack)) };
        let at = (root & !0xfff) + SLOT * 8;
        // SAFETY: tables are mapped one to one by the loader, and the kernel, which has no other thread now, does not touch this entry.
        let entry =
            unsafe { AtomicU64::from_ptr(ptr::with_exposed_provenance_mut(usize::try_from(at).ok()?)) };
        let link = |table: &Table| table.0.as_ptr() as u64 | ENTRY;
        POINTERS.0[0].store(link(&DIRECTORY), Ordering::SeqCst);
        let was = entry.swap(link(&POINTERS), Ordering::SeqCst);
        let bits = __cpuid(0x8000_0008).eax & 0xff;
        (was == 0).then(|| Self { end: 1 << bits.clamp(36, 52), bars: bars() })
    }

    /// A read or a write of any size somewhere where there is no memory.
    pub(crate) fn any_address(&self, random: &mut Random) {
        let within = |(from, length): (u64, u64), random: &mut Random| from + random.below(length);
        let address = match random.below(8) {
            0 => within(HOLE, random),
            1 => within(INTERRUPTS, random),
            2 => within(LOCAL_INTERRUPTS, random),
            3 | 4 if !self.bars.is_empty() => {
                let bar = self.bars[usize::try_from(random.any()).unwrap_or_default() % self.bars.len()];
                bar + random.below(0x5000)
            }
            5 => within(START, random),
            6 => MEMORY + random.below((4 << 30) - MEMORY),
            _ => MEMORY + random.below(self.end - MEMORY),
        };
        at(address & (self.end - 1), random);
    }
}

/// A read or a write of any size there.
#[expect(clippy::cast_possible_truncation, reason = "any bits do")]
fn at(address: u64, random: &mut Random) {
    let mut value = u64::from(random.value()) << 32 | u64::from(random.value());
    // One that is as long as it is aligned lies in one page.
    let mut address = address & !7;
    if (CONTROLLERS.0..CONTROLLERS.0 + CONTROLLERS.1).contains(&address) {
        value &= !DELIVERY;
    } else {
        address |= random.below(4) * 2;
    }
    DIRECTORY.0[0].store(address & !(PAGE - 1) | LARGE, Ordering::SeqCst);
    let place = WINDOW + (address & (PAGE - 1));
    // SAFETY: the processor is to forget where the window was.
    unsafe { asm!("invlpg [{}]", in(reg) place, options(nostack)) };
    let place = ptr::with_exposed_provenance_mut::<u64>(place as usize);
    // SAFETY: the window is mapped, and no Rust object lies there; what a device does then harms this guest, which is there to be
    // harmed. Processors of this kind take addresses that are not aligned.
    unsafe {
        match random.below(6) {
            0 => asm!("mov {:r}, [{}]", out(reg) _, in(reg) place, options(nostack)),
            1 => asm!("mov {:e}, [{}]", out(reg) _, in(reg) place, options(nostack)),
            2 => asm!("mov [{}], {:e}", in(reg) place, in(reg) value as u32, options(nostack)),
            3 => asm!("mov [{}], {:x}", in(reg) place, in(reg) value as u16, options(nostack)),
            4 => asm!("mov [{}], {}", in(reg) place, in(reg_byte) value as u8, options(nostack)),
            _ => asm!("mov [{}], {:r}", in(reg) place, in(reg) value, options(nostack)),
        }
    }
}
