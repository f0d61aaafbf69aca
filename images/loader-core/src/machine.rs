//! What differs between the processors that applications are for.

/// A processor's architecture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Machine {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

/// Kinds of relocations: the base with the addend, and (64 bits, global data, jump slot) a symbol with both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) relative: u32,
    pub(crate) symbolic: [u32; 3],
}

impl Machine {
    /// Its number in ELF files.
    pub(crate) const fn number(self) -> u64 {
        match self {
            Self::X86_64 => 62,
            Self::Aarch64 => 183,
        }
    }

    pub(crate) const fn relocations(self) -> Kinds {
        match self {
            Self::X86_64 => Kinds { relative: 8, symbolic: [1, 6, 7] },
            Self::Aarch64 => Kinds { relative: 1027, symbolic: [257, 1025, 1026] },
        }
    }
}
