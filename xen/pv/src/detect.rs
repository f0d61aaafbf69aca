//! Whether this is a Xen domain, and how its hypervisor is called.

use core::fmt;

/// `XenVMMXenVMM`, as the registers EBX, ECX and EDX carry it.
const SIGNATURE: [u32; 3] = [0x566e_6558, 0x6558_4d4d, 0x4d4d_566e];
/// Where hypervisors begin their leaves. Another one's may stand first (Viridian's, for instance).
const FIRST: u32 = 0x4000_0000;
const STEP: u32 = 0x100;
const LAST: u32 = 0x4001_0000;
/// In ECX of leaf 1: there is a hypervisor.
const HYPERVISOR: u32 = 1 << 31;

/// The instruction that traps into the hypervisor.
///
/// Xen also offers a page of code to call through. We do not use it: it is a page that must be executable, written
/// by the hypervisor, and (since a `call` pushes) foreign code on our stack, only to choose between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Instruction {
    /// Intel's.
    Vmcall,
    /// AMD's, and Hygon's.
    Vmmcall,
}

/// The hypervisor that was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Xen {
    /// Its first CPUID leaf.
    pub base: u32,
    /// 4 of 4.17.
    pub major: u16,
    /// 17 of 4.17.
    pub minor: u16,
    /// How to call it here.
    pub instruction: Instruction,
}

impl fmt::Display for Xen {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "xen {}.{}", self.major, self.minor)
    }
}

/// Looks for Xen with `cpuid`, which gives EAX, EBX, ECX and EDX of a leaf.
pub fn find(cpuid: impl Fn(u32) -> [u32; 4]) -> Option<Xen> {
    // Each look leaves the guest, so it ends where there is no hypervisor's interface any more.
    let present = cpuid(1)[2] & HYPERVISOR != 0;
    let mut interfaces = (FIRST..LAST)
        .step_by(STEP as usize)
        .map(|base| (base, cpuid(base)))
        .take_while(|(base, [last, ..])| present && (*base..base + STEP).contains(last));
    let (base, _) =
        interfaces.find(|(base, [last, signature @ ..])| *signature == SIGNATURE && *last >= base + 2)?;
    let [version, ..] = cpuid(base + 1);
    let (major, minor) = ((version >> 16) as u16, (version & 0xffff) as u16);
    Some(Xen { base, major, minor, instruction: instruction(cpuid(0)) })
}

/// By the vendor, which leaf 0 spells in EBX, EDX, ECX. Only AMD and those who build after it have `vmmcall`.
fn instruction([_, b, c, d]: [u32; 4]) -> Instruction {
    let mut vendor = [0; 12];
    for (place, register) in vendor.as_chunks_mut::<4>().0.iter_mut().zip([b, d, c]) {
        *place = register.to_le_bytes();
    }
    match &vendor {
        b"AuthenticAMD" | b"HygonGenuine" => Instruction::Vmmcall,
        _ => Instruction::Vmcall,
    }
}

/// Looks for Xen on this processor.
#[cfg(target_arch = "x86_64")]
pub fn here() -> Option<Xen> {
    find(|leaf| {
        #[allow(unused_unsafe, reason = "a safe function in newer compilers")]
        // SAFETY: every 64-bit processor has this instruction.
        let registers = unsafe { core::arch::x86_64::__cpuid(leaf) };
        [registers.eax, registers.ebx, registers.ecx, registers.edx]
    })
}

/// Xen's interface on other processors is another one, which nothing here drives.
#[cfg(not(target_arch = "x86_64"))]
pub fn here() -> Option<Xen> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn register(text: &[u8; 4]) -> u32 {
        u32::from_le_bytes(*text)
    }

    fn processor(vendor: [&[u8; 4]; 3], xen_at: u32) -> impl Fn(u32) -> [u32; 4] {
        let vendor = vendor.map(register);
        move |leaf| match leaf {
            0 => [0xd, vendor[0], vendor[2], vendor[1]],
            1 => [0, 0, HYPERVISOR, 0],
            // Another hypervisor's, before it.
            leaf if (FIRST..xen_at).contains(&leaf) => [(leaf & !0xff) + 1, 1, 2, 3],
            leaf if leaf == xen_at => [xen_at + 5, register(b"XenV"), register(b"MMXe"), register(b"nVMM")],
            leaf if leaf == xen_at + 1 => [4 << 16 | 17, 0, 0, 0],
            _ => [0; 4],
        }
    }

    #[test]
    fn xen_is_found_with_its_version_and_its_instruction() {
        let amd = find(processor([b"Auth", b"enti", b"cAMD"], FIRST));
        let expected = Xen { base: FIRST, major: 4, minor: 17, instruction: Instruction::Vmmcall };
        assert_eq!(amd, Some(expected));
        let hygon = find(processor([b"Hygo", b"nGen", b"uine"], FIRST));
        assert_eq!(hygon, Some(expected));
        let intel = find(processor([b"Genu", b"ineI", b"ntel"], FIRST));
        assert_eq!(intel, Some(Xen { instruction: Instruction::Vmcall, ..expected }));
        assert_eq!(std::format!("{expected}"), "xen 4.17");
    }

    #[test]
    fn xen_is_found_behind_another_interface() {
        let found = find(processor([b"Auth", b"enti", b"cAMD"], FIRST + 0x100));
        assert_eq!(found.map(|xen| xen.base), Some(FIRST + 0x100));
        assert_eq!(found.map(|xen| xen.minor), Some(17));
    }

    #[test]
    fn elsewhere_there_is_none() {
        assert_eq!(find(processor([b"Auth", b"enti", b"cAMD"], 0x1000_0000)), None);
        // What QEMU answers above its own: the highest leaf that it has.
        let bare = |leaf| if leaf == 1 { [0, 0, HYPERVISOR, 0] } else { [0xd, 1, 2, 3] };
        assert_eq!(find(bare), None);
        // A signature without the leaves that must follow.
        let cut = |leaf| {
            let [last, rest @ ..] = processor([b"Auth", b"enti", b"cAMD"], FIRST)(leaf);
            [if leaf == FIRST { FIRST } else { last }, rest[0], rest[1], rest[2]]
        };
        assert_eq!(find(cut), None);
    }
}
