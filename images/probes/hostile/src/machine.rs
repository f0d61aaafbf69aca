//! Ports, and ways to stop.

use core::arch::asm;
use core::fmt::{self, Write};

/// Ports by which a machine is told to end or to begin anew: no case would come after them.
const ENDS: [u16; 8] = [0x64, 0x92, 0xb2, 0xcf9, 0xf4, 0xf5, 0xf6, 0xf7];
/// The console's.
const CONSOLE: u16 = 0x3f8;

/// Xorshift (Marsaglia 2003): the same for the same seed.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) const fn any(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Any value, but more often one at an end of something.
    #[expect(clippy::cast_possible_truncation, reason = "any bits do")]
    pub(crate) const fn value(&mut self) -> u32 {
        let any = self.any();
        match any >> 61 {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << (any % 32),
            3 => (any % 0x1_0000) as u32,
            _ => any as u32,
        }
    }

    pub(crate) const fn below(&mut self, most: u64) -> u64 {
        self.any() % most
    }
}

pub(crate) fn read8(port: u16) -> u8 {
    let value;
    // SAFETY: reading a port touches no memory of ours; what the machine does then is what this is for.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack)) };
    value
}

pub(crate) fn read32(port: u16) -> u32 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in eax, dx", in("dx") port, out("eax") value, options(nomem, nostack)) };
    value
}

pub(crate) fn write8(port: u16, value: u8) {
    // SAFETY: a device that then writes to our memory harms this guest, which is there to be harmed.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nostack)) };
}

pub(crate) fn write16(port: u16, value: u16) {
    // SAFETY: as above.
    unsafe { asm!("out dx, ax", in("dx") port, in("ax") value, options(nostack)) };
}

pub(crate) fn write32(port: u16, value: u32) {
    // SAFETY: as above.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nostack)) };
}

/// A read or a write of any size at any port.
#[expect(clippy::cast_possible_truncation, reason = "any bits do")]
pub(crate) fn any_port(random: &mut Random) {
    let (port, value) = (random.any() as u16, random.value());
    if ENDS.contains(&port) || (CONSOLE..CONSOLE + 8).contains(&port) {
        return;
    }
    match random.below(5) {
        0 => _ = read8(port),
        1 => _ = read32(port),
        2 => write8(port, value as u8),
        3 => write16(port, value as u16),
        _ => write32(port, value),
    }
}

/// Writes bytes as fast as the machine takes them.
pub(crate) fn write_console(bytes: &[u8]) {
    let (at, count) = (bytes.as_ptr(), bytes.len());
    // SAFETY: reads `count` bytes from `at`, which are there; the direction is forward by the calling convention.
    unsafe {
        asm!("rep outsb", in("dx") CONSOLE, inout("rsi") at => _, inout("rcx") count => _, options(nostack, readonly));
    }
}

/// The console for words.
pub(crate) struct Console;

impl Write for Console {
    fn write_str(&mut self, words: &str) -> fmt::Result {
        // A domain has no serial port, but a console that its kernel knows.
        if is_domain() {
            let _ = std::io::Write::write_all(&mut std::io::stdout(), words.as_bytes());
        } else {
            write_console(words.as_bytes());
        }
        Ok(())
    }
}

/// Whether Xen runs this machine (`xen/include/public/arch-x86/cpuid.h`, leaf `0x4000_0000`).
fn is_domain() -> bool {
    let leaf = core::arch::x86_64::__cpuid(0x4000_0000);
    [leaf.ebx, leaf.ecx, leaf.edx] == [*b"XenV", *b"MMXe", *b"nVMM"].map(u32::from_le_bytes)
}

/// Takes no interrupt from now on.
pub(crate) fn deafen() {
    // SAFETY: what would come is of no use to this guest.
    unsafe { asm!("cli", options(nomem, nostack)) };
}

/// Computes for ever.
pub(crate) fn spin() -> ! {
    deafen();
    loop {
        std::hint::black_box(0);
    }
}

/// For ever, and no interrupt wakes it.
pub(crate) fn halt() -> ! {
    deafen();
    loop {
        // SAFETY: this guest is to stand still.
        unsafe { asm!("hlt", options(nomem, nostack)) };
    }
}

/// Takes the table of exceptions away, and has one.
pub(crate) fn triple() -> ! {
    let nowhere = [0_u16; 5];
    // SAFETY: this guest is to end by it.
    unsafe { asm!("lidt [{}]", "ud2", in(reg) nowhere.as_ptr(), options(noreturn)) };
}
