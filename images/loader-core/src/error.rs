//! Why a guest could not be loaded, as one small enum with stable numbers.

/// Everything that stops a boot before the application's first instruction.
///
/// The numbers ([`LoadError::code`]) appear on the console as `E<code>`; they are never reused for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum LoadError {
    /// The start information has another magic number, or lies where nothing can be read.
    #[error("start information at {address:#x} is not readable as PVH version 0 or 1 (magic {magic:#x})")]
    StartInfo {
        /// Where it should be.
        address: u64,
        /// What stands there, 0 if unreadable.
        magic: u32,
    },
    /// No memory map (version 0), or none of it is usable RAM.
    #[error("memory map has no usable RAM ({entries} entries, start information version {version})")]
    MemoryMap {
        /// Entries announced.
        entries: u32,
        /// Version of the start information.
        version: u32,
    },
    /// There is no module, so there is no application.
    #[error("no application was given: {modules} modules")]
    NoModule {
        /// Modules announced.
        modules: u32,
    },
    /// The command line is unreadable, too long or not UTF-8.
    #[error("command line at {address:#x} is unreadable, not UTF-8 or longer than {limit} bytes")]
    CommandLine {
        /// Where it should be.
        address: u64,
        /// The limit.
        limit: usize,
    },
    /// The module is not a 64-bit little-endian position-independent ELF of Hermit's for this processor.
    #[error("application is not a Hermit ELF: {what} is {value:#x}")]
    NotHermit {
        /// The field that says so.
        what: &'static str,
        /// Its value.
        value: u64,
    },
    /// A table or segment points outside the file.
    #[error("application is truncated or its {what} at {offset:#x} with {len:#x} bytes leaves the file")]
    OutsideFile {
        /// What was looked for.
        what: &'static str,
        /// Its offset.
        offset: u64,
        /// Its length.
        len: u64,
    },
    /// A segment is impossible: overlapping, wrapping, misaligned, or larger than its limit.
    #[error("segment at {address:#x} with {len:#x} bytes in memory is impossible: {why}")]
    Segment {
        /// Its address in the image.
        address: u64,
        /// Its size in memory.
        len: u64,
        /// What is wrong.
        why: &'static str,
    },
    /// The entry point lies in no executable segment.
    #[error("entry point {entry:#x} lies in no executable segment")]
    Entry {
        /// The entry point, relative to the image.
        entry: u64,
    },
    /// A relocation is of a kind we do not apply, or hits something outside the image.
    #[error("relocation {index} of kind {kind} at {address:#x} cannot be applied")]
    Relocation {
        /// Its place in the table.
        index: u64,
        /// Its kind in the processor's ABI.
        kind: u32,
        /// What it would change.
        address: u64,
    },
    /// No place in RAM for the image that touches nothing that is still needed.
    #[error("no room for an image of {need:#x} bytes: RAM that can be mapped ends at {ram_end:#x}")]
    NoRoom {
        /// Bytes needed, with what the kernel needs behind it.
        need: u64,
        /// End of the last usable range that the loader's tables reach.
        ram_end: u64,
    },
    /// The hypervisor's device tree cannot be read, or has not what a boot needs.
    #[error("device tree of the hypervisor is not readable: {what}")]
    Tree {
        /// What is wrong, or what is missing.
        what: &'static str,
    },
    /// The device tree does not fit its buffer.
    #[error("device tree does not fit into {capacity} bytes")]
    DeviceTree {
        /// The buffer's size.
        capacity: usize,
    },
}

impl LoadError {
    /// The number that appears on the console.
    pub const fn code(&self) -> u8 {
        match self {
            Self::StartInfo { .. } => 1,
            Self::MemoryMap { .. } => 2,
            Self::NoModule { .. } => 3,
            Self::CommandLine { .. } => 4,
            Self::Tree { .. } => 5,
            Self::NotHermit { .. } => 10,
            Self::OutsideFile { .. } => 11,
            Self::Segment { .. } => 12,
            Self::Entry { .. } => 13,
            Self::Relocation { .. } => 14,
            Self::NoRoom { .. } => 20,
            Self::DeviceTree { .. } => 21,
        }
    }
}
