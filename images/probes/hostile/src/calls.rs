//! Hypercalls, as the processors of both makers have them.

use core::arch::{asm, global_asm};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::machine::Random;

// Where there is nobody to be called, the instruction, which has three bytes, is none: on to the next. Any other exception ends the machine.
global_asm!(
    ".global hostile_no_instruction",
    "hostile_no_instruction:",
    "add qword ptr [rsp], 3",
    "iretq",
    ".global hostile_exception",
    "hostile_exception:",
    "mov dx, 0xf4",
    "mov al, 0x20",
    "out dx, al",
    "2:",
    "hlt",
    "jmp 2b",
);

unsafe extern "C" {
    fn hostile_no_instruction();
    fn hostile_exception();
}

/// The exception of an instruction that is none.
const NO_INSTRUCTION: usize = 6;
/// A gate for interrupts that is present.
const GATE: u64 = 0x8e00;

/// Two words for each.
static GATES: [AtomicU64; 64] = [const { AtomicU64::new(0) }; 64];

/// Has exceptions end at ours.
pub(crate) fn take_exceptions() {
    let segment: u16;
    // SAFETY: reads a register.
    unsafe { asm!("mov {:x}, cs", out(reg) segment, options(nomem, nostack)) };
    for (number, gate) in GATES.chunks_exact(2).enumerate() {
        let handler = if number == NO_INSTRUCTION { hostile_no_instruction } else { hostile_exception };
        let at = handler as *const () as u64;
        let low = at & 0xffff | u64::from(segment) << 16 | GATE << 32 | (at >> 16 & 0xffff) << 48;
        gate[0].store(low, Ordering::SeqCst);
        gate[1].store(at >> 32, Ordering::SeqCst);
    }
    let [a, b, c, d, e, f, g, h] = (GATES.as_ptr() as u64).to_le_bytes();
    let [low, high] = u16::try_from(size_of_val(&GATES) - 1).unwrap_or(u16::MAX).to_le_bytes();
    let table = [low, high, a, b, c, d, e, f, g, h];
    // SAFETY: the table lives as long as the program, and no interrupt comes: what is not in it is never needed.
    unsafe { asm!("lidt [{}]", in(reg) table.as_ptr(), options(nostack, readonly)) };
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
