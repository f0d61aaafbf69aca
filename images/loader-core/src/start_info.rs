//! What a PVH hypervisor hands over: `hvm_start_info`, versions 0 and 1 (Xen's public/arch-x86/hvm/start_info.h).

use crate::bytes::{slice, u32_at, u64_at};
use crate::{LoadError, Span};

/// "xEn3" with the top bit of the first letter set.
const MAGIC: u32 = 0x336e_c578;
/// Bytes of version 0; version 1 adds the memory map.
const LEN_V0: u64 = 40;
const LEN_V1: u64 = 56;
const MODULE_LEN: u64 = 32;
const MAP_ENTRY_LEN: u64 = 24;
const TYPE_RAM: u32 = 1;
/// More entries than any hypervisor gives; further ones are not RAM that we need.
pub const MAX_RAM: usize = 16;
/// Longest command line, the same as QEMU accepts for a Linux kernel twice over.
pub const MAX_COMMAND_LINE: usize = 4096;

/// Physical memory as the loader may read it. Returns nothing for what is not mapped.
pub trait PhysicalMemory {
    /// The bytes of `span`, if all of it can be read.
    fn read(&self, span: Span) -> Option<&[u8]>;
}

/// Usable RAM, ascending as given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ram {
    spans: [Span; MAX_RAM],
    len: usize,
}

impl Ram {
    /// Nothing yet.
    pub const fn new() -> Self {
        const NONE: Span = match Span::between(0, 0) {
            Some(span) => span,
            None => unreachable!(),
        };
        Self { spans: [NONE; MAX_RAM], len: 0 }
    }

    /// Adds a range; beyond [`MAX_RAM`] it is dropped, which only makes the guest smaller.
    pub fn push(&mut self, span: Span) {
        if let Some(slot) = self.spans.get_mut(self.len) {
            *slot = span;
            self.len += 1;
        }
    }

    /// The ranges.
    pub fn spans(&self) -> &[Span] {
        self.spans.get(..self.len).unwrap_or_default()
    }
}

impl Default for Ram {
    fn default() -> Self {
        Self::new()
    }
}

/// The parts of the start information that a boot needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StartInfo<'a> {
    /// Usable RAM.
    pub ram: Ram,
    /// Where the application's ELF lies.
    pub module: Span,
    /// The command line, without its NUL.
    pub command_line: &'a str,
}

impl<'a> StartInfo<'a> {
    /// Reads the start information at `address` out of `memory`.
    ///
    /// # Errors
    /// [`LoadError::StartInfo`], [`LoadError::NoModule`], [`LoadError::MemoryMap`] or [`LoadError::CommandLine`].
    pub fn read(memory: &'a impl PhysicalMemory, address: u64) -> Result<Self, LoadError> {
        let unreadable = |magic| LoadError::StartInfo { address, magic };
        let head = read(memory, address, LEN_V0).ok_or(unreadable(0))?;
        let magic = u32_at(head, 0).unwrap_or(0);
        if magic != MAGIC {
            return Err(unreadable(magic));
        }
        let field = |offset| u32_at(head, offset).ok_or(unreadable(magic));
        let wide = |offset| u64_at(head, offset).ok_or(unreadable(magic));
        let version = field(4)?;

        let modules = field(12)?;
        let module = first_module(memory, modules, wide(16)?).ok_or(LoadError::NoModule { modules })?;
        let command_line = command_line(memory, wide(24)?)?;

        let (map, entries) = if version == 0 {
            (0, 0)
        } else {
            let body = read(memory, address, LEN_V1).ok_or(unreadable(magic))?;
            (u64_at(body, 40).unwrap_or(0), u32_at(body, 48).unwrap_or(0))
        };
        let ram = ram(memory, map, entries).ok_or(LoadError::MemoryMap { entries, version })?;
        Ok(Self { ram, module, command_line })
    }
}

fn read(memory: &impl PhysicalMemory, address: u64, len: u64) -> Option<&[u8]> {
    if address == 0 {
        return None;
    }
    memory.read(Span::new(address, len)?)
}

/// The first module is the application; an empty one counts as none.
fn first_module(memory: &impl PhysicalMemory, modules: u32, list: u64) -> Option<Span> {
    if modules == 0 {
        return None;
    }
    let entry = read(memory, list, MODULE_LEN)?;
    let span = Span::new(u64_at(entry, 0)?, u64_at(entry, 8)?)?;
    (span.len() > 0).then_some(span)
}

fn ram(memory: &impl PhysicalMemory, map: u64, entries: u32) -> Option<Ram> {
    let table = read(memory, map, MAP_ENTRY_LEN.checked_mul(u64::from(entries))?)?;
    let mut ram = Ram::new();
    for index in 0..u64::from(entries) {
        let entry = slice(table, index * MAP_ENTRY_LEN, MAP_ENTRY_LEN)?;
        let span = Span::new(u64_at(entry, 0)?, u64_at(entry, 8)?);
        // A range that wraps is no RAM; the others may still do.
        if let (Some(span), Some(TYPE_RAM)) = (span, u32_at(entry, 16)) {
            ram.push(span);
        }
    }
    (!ram.spans().is_empty()).then_some(ram)
}

/// No command line is an empty one. It ends at its first NUL, which must come within the limit.
fn command_line(memory: &impl PhysicalMemory, address: u64) -> Result<&str, LoadError> {
    if address == 0 {
        return Ok("");
    }
    let wrong = LoadError::CommandLine { address, limit: MAX_COMMAND_LINE };
    let mut len = 0;
    while *read(memory, address, len + 1).and_then(<[u8]>::last).ok_or(wrong)? != 0 {
        len += 1;
        if len > MAX_COMMAND_LINE as u64 {
            return Err(wrong);
        }
    }
    let bytes = if len == 0 { &[] } else { read(memory, address, len).ok_or(wrong)? };
    core::str::from_utf8(bytes).ok().ok_or(wrong)
}
