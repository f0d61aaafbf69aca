//! From the hypervisor's 32-bit entry to Rust in long mode, and from there into the kernel.
//!
//! The PVH ABI enters with paging off, flat 32-bit segments, interrupts off and the address of the start information in
//! `ebx`. The boot tables here map the first 4 GiB one to one, because the start information and the module may lie
//! anywhere in them; the kernel later gets tables of its own ([`super::memory`]).

use core::arch::{asm, global_asm};

global_asm!(
    // The note: name "Xen", type 18 (XEN_ELFNOTE_PHYS32_ENTRY), the entry's physical address.
    ".section .note.pvh, \"a\", @note",
    ".p2align 2",
    ".long 4, 4, 18",
    ".asciz \"Xen\"",
    ".long pvh_start",
    ".section .text.pvh, \"ax\", @progbits",
    ".code32",
    ".global pvh_start",
    "pvh_start:",
    "cld",
    "cli",
    "mov esi, ebx",
    // Neither QEMU nor Xen promises a zeroed bss.
    "mov edi, offset bss_start",
    "mov ecx, offset loader_end",
    "sub ecx, edi",
    "shr ecx, 2",
    "xor eax, eax",
    "rep stosd",
    "mov esp, offset boot_stack + {stack_len}",
    // Four page directories of 2 MiB pages: present, writable, large.
    "mov edi, offset boot_directories",
    "mov eax, 0x83",
    "2:",
    "mov [edi], eax",
    "add edi, 8",
    "add eax, 0x200000",
    "jnc 2b",
    "mov edi, offset boot_pointers",
    "mov eax, offset boot_directories + 3",
    "mov [edi], eax",
    "add eax, 0x1000",
    "mov [edi + 8], eax",
    "add eax, 0x1000",
    "mov [edi + 16], eax",
    "add eax, 0x1000",
    "mov [edi + 24], eax",
    "mov eax, offset boot_pointers + 3",
    "mov [boot_root], eax",
    // Physical address extension, the tables, long mode (EFER.LME), paging.
    "mov eax, cr4",
    "or eax, 0x20",
    "mov cr4, eax",
    "mov eax, offset boot_root",
    "mov cr3, eax",
    "mov ecx, 0xc0000080",
    "rdmsr",
    "or eax, 0x100",
    "wrmsr",
    "mov eax, cr0",
    "or eax, 0x80000001",
    "mov cr0, eax",
    "lgdt [gdt_pointer]",
    "ljmp 0x8, offset long_mode",
    ".code64",
    "long_mode:",
    "mov eax, 0x10",
    "mov ds, eax",
    "mov es, eax",
    "mov ss, eax",
    "xor eax, eax",
    "mov fs, eax",
    "mov gs, eax",
    "mov edi, esi",
    "xor ebp, ebp",
    "call {main}",
    "ud2",
    ".section .rodata.pvh, \"a\", @progbits",
    ".p2align 3",
    "gdt:",
    ".quad 0",
    ".quad 0x00af9b000000ffff", // 64-bit code
    ".quad 0x00cf93000000ffff", // data
    "gdt_pointer:",
    ".short 23",
    ".long gdt",
    ".section .bss.pvh, \"aw\", @nobits",
    ".p2align 12",
    "boot_root: .skip 0x1000",
    "boot_pointers: .skip 0x1000",
    "boot_directories: .skip 0x4000",
    "boot_stack: .skip {stack_len}",
    stack_len = const STACK_LEN,
    main = sym super::boot::main,
);

/// The loader's own stack.
const STACK_LEN: usize = 32 << 10;

/// Leaves the loader: page tables at `root`, `stack` as the lowest address of the kernel's first stack (its entry adds
/// the size itself), the boot information's address as first argument, processor 0 as second.
///
/// # Safety
/// `root` must be the physical address of tables that map this code, the stack and the image one to one; `entry` must be
/// the entry point of a loaded and relocated image; `boot_info` must point to its boot information.
pub(crate) unsafe fn jump(root: u64, stack: u64, boot_info: u64, entry: u64) -> ! {
    // SAFETY: by this function's contract nothing behind this point is needed any more but what the new tables map.
    unsafe {
        asm!(
            "mov cr3, {root}",
            "mov rsp, {stack}",
            "xor ebp, ebp",
            "jmp {entry}",
            root = in(reg) root,
            stack = in(reg) stack,
            entry = in(reg) entry,
            in("rdi") boot_info,
            in("rsi") 0_u64,
            options(noreturn, nostack),
        )
    }
}
