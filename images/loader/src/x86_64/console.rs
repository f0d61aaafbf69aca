//! The serial console and the way out, for a boot that fails.

use core::fmt::{self, Write};

use fades_loader_core::LoadError;
use fades_loader_core::boot_info::COM1;

use super::port;

/// QEMU's `isa-debug-exit`: the process ends with `value * 2 + 1`.
const EXIT_PORT: u16 = 0xf4;
/// Value for "the loader could not load": QEMU ends with 241, which no application's code becomes.
const EXIT_LOADER: u32 = 120;
/// Looks at the line status register before a byte is sent regardless. Xen PVH has no serial port and reads 0 there.
const PATIENCE: u32 = 10_000;

struct Serial;

impl Write for Serial {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            for _ in 0..PATIENCE {
                if port::read_u8(COM1 + 5) & 0x20 != 0 {
                    break;
                }
            }
            port::write_u8(COM1, byte);
            // Xen's debug console, which `xl dmesg` shows; ignored elsewhere.
            port::write_u8(0xe9, byte);
        }
        Ok(())
    }
}

/// Says why, in one line, and ends.
pub(crate) fn fail(error: &LoadError) -> ! {
    let _ = writeln!(Serial, "FADES-LOADER error E{}: {error}", error.code());
    end()
}

/// Ends with the loader's exit code; halts where there is no exit device.
fn end() -> ! {
    port::write_u32(EXIT_PORT, EXIT_LOADER);
    port::halt()
}

#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    let _ = writeln!(Serial, "FADES-LOADER error E0: {}", info.message());
    end()
}
