//! The boot information that the kernel's entry point takes, as bytes.
//!
//! The layout is `hermit_entry::boot_info::RawBootInfo` for entry version 4, on x86-64 and aarch64 alike. It is written out here because
//! the crate's loader feature needs an allocator and an ELF library that has no place in a loader; a test holds the two
//! against each other.

use crate::Span;
use crate::elf::Tls;

/// Size of the structure.
pub const LEN: usize = 128;
/// Entry version that this layout belongs to; the application's note must name it.
pub const ENTRY_VERSION: u8 = 4;
/// First serial port of a PC.
pub const COM1: u16 = 0x3f8;
/// Tag of "the device tree says it all".
const PLATFORM_FDT: u64 = 3;

/// Everything the kernel is told by this structure.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BootInfo {
    /// Physical memory, from its first address to its last.
    pub memory: Span,
    /// Port, or address, of the serial port.
    pub serial: u64,
    /// Address of the device tree.
    pub device_tree: u64,
    /// Where the image lies.
    pub image: Span,
    /// Thread-local storage's template, in absolute addresses.
    pub tls: Option<Tls>,
}

impl BootInfo {
    /// The structure's bytes, to be placed at an address that is a multiple of 8.
    pub fn encode(&self) -> [u8; LEN] {
        let tls = self.tls.unwrap_or(Tls { start: 0, file_len: 0, memory_len: 0, align: 0 });
        let words = [
            self.memory.start(),
            self.memory.end(),
            self.serial,
            self.device_tree,
            self.image.start(),
            self.image.end(),
            tls.start,
            tls.file_len,
            tls.memory_len,
            tls.align,
            PLATFORM_FDT,
        ];
        let mut bytes = [0; LEN];
        for (field, word) in bytes.chunks_exact_mut(8).zip(words) {
            field.copy_from_slice(&word.to_le_bytes());
        }
        bytes
    }
}
