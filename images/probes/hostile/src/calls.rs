//! Hypercalls, as the processors of both makers have them.

use core::arch::{asm, global_asm};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::Random;

// Where there is nobody to be called, the instruction, which has three bytes, is none: on to the next.
global_asm!(".global hostile_no_instruction", "hostile_no_instruction:", "add qword ptr [rsp], 3", "iretq",);

unsafe extern "C" {
    fn hostile_no_instruction();
}

/// The exception of an instruction that is none.
const NO_INSTRUCTION: usize = 6;
/// A gate for interrupts that is present.
const GATE: u64 = 0x8e00;

/// Two words for each.
static GATES: [AtomicU64; 512] = [const { AtomicU64::new(0) }; 512];

/// The processor's table of exceptions and interrupts, as it reads and writes it.
#[repr(C, packed)]
struct Table {
    limit: u16,
    gates: *const AtomicU64,
}

/// Goes on behind instructions that are none; for all else the kernel's gates stay.
pub(crate) fn take_exceptions() {
    let (segment, mut kernels) = (segment(), Table { limit: 0, gates: GATES.as_ptr() });
    // SAFETY: writes what it is told to, and nothing else.
    unsafe { asm!("sidt [{}]", in(reg) &raw mut kernels, options(nostack, preserves_flags)) };
    let words = (usize::from(kernels.limit) + 1) / size_of::<u64>();
    for (number, gate) in GATES.iter().enumerate().take(words) {
        // SAFETY: the kernel's table lives as long as this machine, and has so many words.
        let word = unsafe { &*kernels.gates.add(number) };
        gate.store(word.load(Ordering::SeqCst), Ordering::SeqCst);
    }
    let at = hostile_no_instruction as *const () as u64;
    let low = at & 0xffff | u64::from(segment) << 16 | GATE << 32 | (at >> 16 & 0xffff) << 48;
    GATES[2 * NO_INSTRUCTION].store(low, Ordering::SeqCst);
    GATES[2 * NO_INSTRUCTION + 1].store(at >> 32, Ordering::SeqCst);
    let ours = Table { limit: kernels.limit, gates: GATES.as_ptr() };
    // SAFETY: the table lives as long as the program, and has what the kernel's has.
    unsafe { asm!("lidt [{}]", in(reg) &raw const ours, options(nostack, readonly)) };
}

fn segment() -> u16 {
    let segment: u16;
    // SAFETY: reads a register.
    unsafe { asm!("mov {:x}, cs", out(reg) segment, options(nomem, nostack)) };
    segment
}

/// A call of any number with any arguments.
pub(crate) fn any_call(random: &mut Random) {
    let mut argument = || if random.below(4) == 0 { random.below(64) } else { random.any() };
    let (number, b, c, d, s) = (argument(), argument(), argument(), argument(), argument());
    let (i, eighth, ninth, tenth) = (argument(), argument(), argument(), argument());
    let intel = random.below(2) == 0;
    // SAFETY: whoever is called may write to this guest's memory, which is there to be harmed. The register that the compiler keeps is put
    // back. The stack is used by the exception.
    unsafe {
        if intel {
            asm!("xchg rbx, {b}", "vmcall", "xchg rbx, {b}", b = inout(reg) b => _, inout("rax") number => _,
                inout("rcx") c => _, inout("rdx") d => _, inout("rsi") s => _, inout("rdi") i => _,
                inout("r8") eighth => _, inout("r9") ninth => _, inout("r10") tenth => _, out("r11") _);
        } else {
            asm!("xchg rbx, {b}", "vmmcall", "xchg rbx, {b}", b = inout(reg) b => _, inout("rax") number => _,
                inout("rcx") c => _, inout("rdx") d => _, inout("rsi") s => _, inout("rdi") i => _,
                inout("r8") eighth => _, inout("r9") ninth => _, inout("r10") tenth => _, out("r11") _);
        }
    }
}
