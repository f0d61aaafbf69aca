//! What is inside an ELF: its machine, and its sections by size. The files are not trusted.

use crate::{Architecture, ImageError, PartName};
use object::{BinaryFormat, File, Object as _, ObjectSection as _};
use serde::Serialize;

/// Most sections that are listed; ours have about 20, and a hostile file must not fill the screen.
pub(crate) const MAX_SECTIONS: usize = 256;

/// One section of an ELF.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Section {
    /// Its name, shortened and with control characters replaced.
    pub name: String,
    /// Its size in memory or, for sections that are not loaded, in the file; in bytes.
    pub size: u64,
    /// Bytes that it takes in the file: 0 for `.bss`.
    pub file_size: u64,
}

/// Where a flat image of Linux for aarch64 has its magic number, and the number (Documentation/arm64/booting.rst).
const ARM_MAGIC: (usize, &[u8; 4]) = (56, b"ARM\x64");

/// Checks that `bytes` are an ELF for `architecture`.
///
/// The loader of x86-64 may be a 32-bit ELF as well: PVH enters in 32-bit protected mode. That of aarch64 is no ELF but a flat image as
/// Linux has it, which is what hypervisors hand a device tree and a second file to there.
pub(crate) fn check_machine(
    part: PartName,
    bytes: &[u8],
    architecture: Architecture,
) -> Result<(), ImageError> {
    let refuse = |found: String| ImageError::Elf { part, architecture, found };
    if part == PartName::Loader && architecture == Architecture::Aarch64 {
        let (at, magic) = ARM_MAGIC;
        return match bytes.get(at..).and_then(<[u8]>::first_chunk) {
            Some(found) if found == magic => Ok(()),
            _ => Err(refuse("it is to be a flat image, and has not the magic number of one".to_owned())),
        };
    }
    let file = parse(bytes).map_err(refuse)?;
    let machine = file.architecture();
    let fits = match architecture {
        Architecture::X86_64 => {
            machine == object::Architecture::X86_64
                || (part == PartName::Loader && machine == object::Architecture::I386)
        }
        Architecture::Aarch64 => machine == object::Architecture::Aarch64,
    };
    if fits { Ok(()) } else { Err(refuse(format!("it is for {machine:?}"))) }
}

/// Sections of an ELF, largest first. `Err` says in words why it cannot be read.
pub fn sections(bytes: &[u8]) -> Result<Vec<Section>, String> {
    let file = parse(bytes)?;
    let mut list: Vec<Section> = file
        .sections()
        .take(MAX_SECTIONS)
        .map(|section| Section {
            name: printable(section.name_bytes().unwrap_or(b"?")),
            size: section.size(),
            file_size: section.file_range().map_or(0, |(_, size)| size),
        })
        .collect();
    list.sort_by(|a, b| b.size.cmp(&a.size).then_with(|| a.name.cmp(&b.name)));
    Ok(list)
}

/// The build id of an ELF, in hexadecimal: a hash by which a file with what only a debugger reads is known to be of the same build.
pub fn build_id(bytes: &[u8]) -> Option<String> {
    /// GNU's is a SHA-1 of 20 bytes; others may be longer, and none needs to fill the screen.
    const LONGEST: usize = 64;
    let file = parse(bytes).ok()?;
    let id = file.build_id().ok()??;
    Some(id.iter().take(LONGEST).map(|byte| format!("{byte:02x}")).collect())
}

fn parse(bytes: &[u8]) -> Result<File<'_>, String> {
    let file = File::parse(bytes).map_err(|error| error.to_string())?;
    if file.format() == BinaryFormat::Elf { Ok(file) } else { Err(format!("it is {:?}", file.format())) }
}

fn printable(name: &[u8]) -> String {
    String::from_utf8_lossy(name)
        .chars()
        .take(64)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect()
}
