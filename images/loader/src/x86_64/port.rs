//! I/O ports.

use core::arch::asm;

/// Writes a byte.
pub(crate) fn write_u8(port: u16, value: u8) {
    // SAFETY: the ports that this crate names (serial port, exit device) touch no memory.
    unsafe { asm!("out dx, al", in("dx") port, in("al") value, options(nomem, nostack, preserves_flags)) }
}

/// Writes 32 bits.
pub(crate) fn write_u32(port: u16, value: u32) {
    // SAFETY: as above.
    unsafe { asm!("out dx, eax", in("dx") port, in("eax") value, options(nomem, nostack, preserves_flags)) }
}

/// Reads a byte.
pub(crate) fn read_u8(port: u16) -> u8 {
    let value;
    // SAFETY: as above.
    unsafe { asm!("in al, dx", in("dx") port, out("al") value, options(nomem, nostack, preserves_flags)) }
    value
}

/// Stops the processor for good.
pub(crate) fn halt() -> ! {
    loop {
        // SAFETY: with interrupts off this waits for ever; nothing is left to be done.
        unsafe { asm!("cli", "hlt", options(nomem, nostack)) }
    }
}
