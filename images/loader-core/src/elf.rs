//! A hostile-safe view of the application's ELF file, and its copy into memory.
//!
//! Only what Hermit applications are is accepted: 64-bit, little-endian, of our processor, position-independent, OS ABI byte 255,
//! linked to address 0, with a note that names the boot information's version. Whom this distrusts: whoever made the
//! file. Every offset is checked against the file, every address against the image, before it is used; nothing is
//! allocated and no address in the file is taken as an address in memory.

use crate::bytes::{slice, u16_at, u32_at, u64_at};
use crate::relocate::{Dynamic, apply};
use crate::span::align_up;
use crate::{LoadError, Machine, Span, boot_info};

const HEADER_LEN: u64 = 64;
const SEGMENT_LEN: usize = 56;
/// Program headers of any real application fit ten times over.
const MAX_SEGMENTS: u64 = 64;
/// An image larger than this cannot be placed below 1 GiB.
pub const MAX_IMAGE: u64 = 512 << 20;
/// Segments are aligned to a page, or less.
const MAX_ALIGN: u64 = 2 << 20;

const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_NOTE: u32 = 4;
const PT_TLS: u32 = 7;
const EXECUTABLE: u32 = 1;
const NT_ENTRY_VERSION: u32 = 0x5a00;

/// One program header.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Segment {
    kind: u32,
    flags: u32,
    pub(crate) offset: u64,
    pub(crate) address: u64,
    pub(crate) file_len: u64,
    memory_len: u64,
    align: u64,
}

impl Segment {
    fn memory(&self) -> Option<Span> {
        Span::new(self.address, self.memory_len)
    }

    fn impossible(&self, why: &'static str) -> LoadError {
        LoadError::Segment { address: self.address, len: self.memory_len, why }
    }
}

/// Where the template of thread-local storage lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tls {
    /// Its address: in the image as parsed, absolute as loaded.
    pub start: u64,
    /// Bytes that are initialised.
    pub file_len: u64,
    /// Bytes in all.
    pub memory_len: u64,
    /// Alignment, a power of two.
    pub align: u64,
}

/// A checked application.
#[derive(Debug, Clone, Copy)]
pub struct Elf<'a> {
    pub(crate) machine: Machine,
    file: &'a [u8],
    table: &'a [u8],
    image_len: u64,
    entry: u64,
    tls: Option<Tls>,
}

/// What [`Elf::load`] leaves behind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Where the image lies.
    pub image: Span,
    /// Absolute address of the first instruction.
    pub entry: u64,
    /// Thread-local storage, in absolute addresses.
    pub tls: Option<Tls>,
}

impl<'a> Elf<'a> {
    /// Checks everything but the relocations. What is for another processor than `machine` is refused.
    ///
    /// # Errors
    /// [`LoadError::NotHermit`], [`LoadError::OutsideFile`], [`LoadError::Segment`] or [`LoadError::Entry`].
    pub fn parse(file: &'a [u8], machine: Machine) -> Result<Self, LoadError> {
        let table = header(file, machine)?;
        let entry = u64_at(file, 24).unwrap_or(0);
        let mut elf = Self { machine, file, table, image_len: 0, entry, tls: None };
        let mut entry_found = false;
        let mut version = None;
        for segment in elf.segments() {
            match segment.kind {
                PT_LOAD => {
                    let memory = check_load(file, &segment, elf.image_len)?;
                    entry_found |= segment.flags & EXECUTABLE != 0
                        && (memory.start()..memory.end()).contains(&elf.entry);
                    elf.image_len = memory.end();
                }
                PT_NOTE => version = version.or(entry_version(contents(file, &segment, "note")?)),
                PT_TLS => elf.tls = Some(check_tls(&segment)?),
                _ => {}
            }
        }
        match version {
            Some(boot_info::ENTRY_VERSION) => {}
            other => return Err(not_hermit("the note of its entry version", u64::from(other.unwrap_or(0)))),
        }
        if !entry_found {
            return Err(LoadError::Entry { entry: elf.entry });
        }
        if let Some(tls) = elf.tls
            && Span::new(tls.start, tls.memory_len).is_none_or(|span| span.end() > elf.tls_limit())
        {
            return Err(LoadError::Segment {
                address: tls.start,
                len: tls.memory_len,
                why: "TLS outside the image",
            });
        }
        Ok(elf)
    }

    /// Bytes of memory that the image takes, from its first address (0) to its last.
    pub fn image_len(&self) -> u64 {
        self.image_len
    }

    /// Copies the segments into `memory`, which is to be `image_len` bytes at physical address `base`, zeroes the rest
    /// of it and applies the relocations.
    ///
    /// # Errors
    /// [`LoadError::NoRoom`] if `memory` has another size, [`LoadError::Relocation`], [`LoadError::OutsideFile`].
    pub fn load(&self, memory: &mut [u8], base: u64) -> Result<Loaded, LoadError> {
        let no_room = LoadError::NoRoom { need: self.image_len, ram_end: base };
        let image = Span::new(base, self.image_len).ok_or(no_room)?;
        if memory.len() as u64 != self.image_len {
            return Err(no_room);
        }
        let mut done = 0;
        for segment in self.segments().filter(|segment| segment.kind == PT_LOAD) {
            let data = contents(self.file, &segment, "segment")?;
            let start = usize::try_from(segment.address).ok().ok_or(no_room)?;
            let end = start.checked_add(data.len()).ok_or(no_room)?;
            memory.get_mut(done..start).ok_or(no_room)?.fill(0);
            memory.get_mut(start..end).ok_or(no_room)?.copy_from_slice(data);
            done = end;
        }
        memory.get_mut(done..).ok_or(no_room)?.fill(0);

        if let Some(dynamic) = self.segments().find(|segment| segment.kind == PT_DYNAMIC) {
            let dynamic = Dynamic::read(contents(self.file, &dynamic, "dynamic section")?)?;
            apply(self, &dynamic, memory, base)?;
        }
        let tls = self.tls.map(|tls| Tls { start: tls.start.saturating_add(base), ..tls });
        Ok(Loaded { image, entry: self.entry.saturating_add(base), tls })
    }

    /// The file's bytes behind `len` bytes of the image at `address`, if one segment holds them all.
    pub(crate) fn at_address(
        &self,
        what: &'static str,
        address: u64,
        len: u64,
    ) -> Result<&'a [u8], LoadError> {
        let outside = LoadError::OutsideFile { what, offset: address, len };
        let wanted = Span::new(address, len).ok_or(outside)?;
        self.segments()
            .filter(|segment| segment.kind == PT_LOAD)
            .find_map(|segment| {
                let held = Span::new(segment.address, segment.file_len)?;
                let offset = segment.offset.checked_add(wanted.start().checked_sub(held.start())?)?;
                held.contains(wanted).then(|| slice(self.file, offset, len))?
            })
            .ok_or(outside)
    }

    fn segments(&self) -> impl Iterator<Item = Segment> + use<'a> {
        self.table.chunks_exact(SEGMENT_LEN).filter_map(|entry| {
            Some(Segment {
                kind: u32_at(entry, 0)?,
                flags: u32_at(entry, 4)?,
                offset: u64_at(entry, 8)?,
                address: u64_at(entry, 16)?,
                file_len: u64_at(entry, 32)?,
                memory_len: u64_at(entry, 40)?,
                align: u64_at(entry, 48)?,
            })
        })
    }

    /// Uninitialised thread-local storage may reach past the image's end: the kernel reserves it elsewhere.
    fn tls_limit(&self) -> u64 {
        self.image_len.saturating_add(MAX_ALIGN)
    }
}

fn not_hermit(what: &'static str, value: u64) -> LoadError {
    LoadError::NotHermit { what, value }
}

/// Checks the file header and returns the table of program headers.
fn header(file: &[u8], machine: Machine) -> Result<&[u8], LoadError> {
    let outside = |what, offset, len| LoadError::OutsideFile { what, offset, len };
    let head = slice(file, 0, HEADER_LEN).ok_or(outside("header", 0, HEADER_LEN))?;
    let half = |offset| u16_at(head, offset).unwrap_or(0);
    let byte = |offset: usize| head.get(offset).copied().unwrap_or(0);
    let expected: [(&'static str, u64, u64); 9] = [
        (
            "the magic number",
            u64::from(u32_at(head, 0).unwrap_or(0)),
            u64::from(u32::from_le_bytes(*b"\x7fELF")),
        ),
        ("the class", u64::from(byte(4)), 2),
        ("the byte order", u64::from(byte(5)), 1),
        ("the ELF version", u64::from(byte(6)), 1),
        ("the OS ABI", u64::from(byte(7)), 255),
        ("the type", u64::from(half(16)), 3),
        ("the machine", u64::from(half(18)), machine.number()),
        ("the size of a program header", u64::from(half(54)), SEGMENT_LEN as u64),
        ("the ELF version again", u64::from(u32_at(head, 20).unwrap_or(0)), 1),
    ];
    for (what, value, wanted) in expected {
        if value != wanted {
            return Err(not_hermit(what, value));
        }
    }
    let count = u64::from(half(56));
    if count == 0 || count > MAX_SEGMENTS {
        return Err(not_hermit("the number of program headers", count));
    }
    let (offset, len) = (u64_at(head, 32).unwrap_or(0), count * SEGMENT_LEN as u64);
    slice(file, offset, len).ok_or(outside("table of program headers", offset, len))
}

fn contents<'a>(file: &'a [u8], segment: &Segment, what: &'static str) -> Result<&'a [u8], LoadError> {
    let (offset, len) = (segment.offset, segment.file_len);
    slice(file, offset, len).ok_or(LoadError::OutsideFile { what, offset, len })
}

/// One loadable segment, given where the one before it ended.
fn check_load(file: &[u8], segment: &Segment, previous_end: u64) -> Result<Span, LoadError> {
    let memory = segment.memory().ok_or(segment.impossible("it wraps around"))?;
    if memory.end() > MAX_IMAGE {
        return Err(segment.impossible("it ends beyond the largest image"));
    }
    if memory.start() < previous_end {
        return Err(segment.impossible("it overlaps the one before it, or comes out of order"));
    }
    if segment.file_len > segment.memory_len {
        return Err(segment.impossible("it is larger in the file"));
    }
    let align = segment.align.max(1);
    if !align.is_power_of_two() || align > MAX_ALIGN || segment.address % align != segment.offset % align {
        return Err(segment.impossible("it is misaligned"));
    }
    contents(file, segment, "segment")?;
    Ok(memory)
}

fn check_tls(segment: &Segment) -> Result<Tls, LoadError> {
    let align = segment.align.max(1);
    if segment.memory().is_none() || segment.file_len > segment.memory_len {
        return Err(segment.impossible("TLS wraps around or is larger in the file"));
    }
    if !align.is_power_of_two() || align > MAX_ALIGN {
        return Err(segment.impossible("TLS is misaligned"));
    }
    Ok(Tls { start: segment.address, file_len: segment.file_len, memory_len: segment.memory_len, align })
}

/// The first byte of the note (`HERMIT`, 0x5a00), if it is there. Notes are laid out in steps of 4 bytes.
fn entry_version(mut notes: &[u8]) -> Option<u8> {
    loop {
        let name_len = u64::from(u32_at(notes, 0)?);
        let text_len = u64::from(u32_at(notes, 4)?);
        let kind = u32_at(notes, 8)?;
        let text_at = 12 + align_up(name_len, 4)?;
        if kind == NT_ENTRY_VERSION && slice(notes, 12, name_len)? == b"HERMIT\0" {
            return slice(notes, text_at, text_len)?.first().copied();
        }
        let next = usize::try_from(text_at.checked_add(align_up(text_len, 4)?)?).ok()?;
        notes = notes.get(next..)?;
    }
}
