//! From the hypervisor's entry to Rust with memory mapped and cached, and from there into the kernel.
//!
//! Linux' boot protocol (Documentation/arm64/booting.rst) enters at the first byte, at exception level 1, with the memory
//! management unit off, interrupts masked and the address of the device tree in `x0`. Memory is device memory then, where much that
//! a compiler writes is not allowed, and not cached. So the first thing are tables that map the first 4 GiB one to one: devices
//! below 1 GiB, RAM above. The kernel later gets tables of its own ([`super::memory`]).

use core::arch::{asm, global_asm};

use fades_loader_core::page::arm;

global_asm!(
    // Linux' header: two instructions, where to put us behind the beginning of RAM, our size, flags (little-endian, 4 KiB pages).
    ".section .text.head, \"ax\", @progbits",
    ".global arm_start",
    "arm_start:",
    "b 2f",
    ".long 0",
    ".quad {text_offset}",
    ".quad loader_len",
    ".quad 2",
    ".quad 0, 0, 0",
    ".ascii \"ARM\\x64\"",
    ".long 0",
    "2:",
    "mov x19, x0",
    // The bss is no part of the file.
    "adrp x1, bss_start",
    "add x1, x1, :lo12:bss_start",
    "adrp x2, loader_end",
    "add x2, x2, :lo12:loader_end",
    "3:",
    "cmp x1, x2",
    "b.hs 4f",
    "stp xzr, xzr, [x1], #16",
    "b 3b",
    "4:",
    "adrp x1, boot_stack",
    "add x1, x1, :lo12:boot_stack",
    "add sp, x1, #{stack_len}",
    "ldr x1, ={attributes}",
    "msr mair_el1, x1",
    // 48 bits of address, pages of 4 KiB, tables cached and shareable; no second half. As many physical bits as there are.
    "ldr x1, ={translation}",
    "mrs x2, id_aa64mmfr0_el1",
    "and x2, x2, #7",
    "orr x1, x1, x2, lsl #32",
    "msr tcr_el1, x1",
    "adrp x1, boot_root",
    "msr ttbr0_el1, x1",
    "msr ttbr1_el1, xzr",
    // Floating point is the application's: no trap.
    "mov x1, #0x300000",
    "msr cpacr_el1, x1",
    "tlbi vmalle1",
    "ic iallu",
    "dsb sy",
    "isb",
    // Mapped, cached, both for data and instructions; no complaint about alignment.
    "mrs x1, sctlr_el1",
    "mov x2, #0x1005",
    "orr x1, x1, x2",
    "bic x1, x1, #2",
    "msr sctlr_el1, x1",
    "isb",
    "mov x0, x19",
    "mov x29, xzr",
    "mov x30, xzr",
    "bl {main}",
    "5: wfe",
    "b 5b",
    ".ltorg",
    ".section .data.boot, \"aw\", @progbits",
    ".p2align 12",
    "boot_root:",
    ".quad boot_pointers + 3",
    ".skip 0xff8",
    "boot_pointers:",
    ".quad {devices}",
    ".quad {ram} + 0x40000000",
    ".quad {ram} + 0x80000000",
    ".quad {ram} + 0xc0000000",
    ".skip 0xfe0",
    ".section .bss.boot, \"aw\", @nobits",
    ".p2align 4",
    "boot_stack: .skip {stack_len}",
    text_offset = const super::memory::TEXT_OFFSET,
    stack_len = const STACK_LEN,
    attributes = const arm::ATTRIBUTES,
    translation = const TRANSLATION,
    devices = const arm::device_entry(0),
    ram = const arm::ram_entry(0),
    main = sym super::boot::main,
);

/// The loader's own stack.
const STACK_LEN: usize = 32 << 10;
/// T0SZ 16, walks inner and outer write-back cached and inner shareable, no walks by TTBR1 (EPD1).
const TRANSLATION: u64 = 16 | 1 << 8 | 1 << 10 | 3 << 12 | 16 << 16 | 1 << 23;

/// Leaves the loader: page tables at `root`, `stack` as the lowest address of the kernel's first stack (its entry adds
/// the size itself), the boot information's address as first argument, processor 0 as second.
///
/// # Safety
/// `root` must be the physical address of tables that map this code, the stack and the image one to one; `entry` must be
/// the entry point of a loaded and relocated image; `boot_info` must point to its boot information.
pub(crate) unsafe fn jump(root: u64, stack: u64, boot_info: u64, entry: u64) -> ! {
    // SAFETY: by this function's contract nothing behind this point is needed any more but what the new tables map. What was
    // written as data becomes instructions: the caches are told.
    unsafe {
        asm!(
            "dsb sy",
            "ic iallu",
            "msr ttbr0_el1, {root}",
            "isb",
            "tlbi vmalle1",
            "dsb sy",
            "isb",
            "msr spsel, #1",
            "mov sp, {stack}",
            "mov x29, xzr",
            "mov x30, xzr",
            "br {entry}",
            root = in(reg) root,
            stack = in(reg) stack,
            entry = in(reg) entry,
            in("x0") boot_info,
            in("x1") 0,
            options(noreturn, nostack),
        )
    }
}
