//! The serial console and the way out, for a boot that fails.

use core::arch::asm;
use core::fmt::{self, Write};

use fades_loader_core::LoadError;

/// The serial port of QEMU's `virt` (a PL011).
pub(crate) const PL011: u64 = 0x0900_0000;
/// Its register of flags, and the one that says that a byte has to wait.
const FLAGS: u64 = PL011 + 0x18;
const FULL: u32 = 1 << 5;
/// Looks at the flags before a byte is sent regardless.
const PATIENCE: u32 = 10_000;
/// Code for "the loader could not load", which no application has.
const EXIT_LOADER: u32 = 120;
/// The call by which a machine is ended (PSCI 0.2, SYSTEM_OFF).
const SYSTEM_OFF: u64 = 0x8400_0008;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            for _ in 0..PATIENCE {
                // SAFETY: the register of a device that the tables map as such.
                if unsafe { (FLAGS as *const u32).read_volatile() } & FULL == 0 {
                    break;
                }
            }
            // SAFETY: as above.
            unsafe { (PL011 as *mut u32).write_volatile(byte.into()) };
        }
        Ok(())
    }
}

/// Says why, in one line, and ends.
pub(crate) fn fail(error: &LoadError) -> ! {
    let _ = writeln!(Serial, "FADES-LOADER error E{}: {error}", error.code());
    end()
}

/// Tells the loader's exit code, as a kernel tells its own where there is no device for it, and ends the machine.
fn end() -> ! {
    let _ = writeln!(Serial, "FADES-EXIT {EXIT_LOADER}");
    loop {
        // SAFETY: nothing is left to be done.
        unsafe {
            asm!("hvc #0", "wfe", inout("x0") SYSTEM_OFF => _, options(nomem, nostack), clobber_abi("C"))
        }
    }
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "FADES-LOADER error E0: {}", info.message());
    end()
}
