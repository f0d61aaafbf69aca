//! Physical memory as slices, and the static memory that outlives the loader.

use core::cell::UnsafeCell;
use core::ptr;

use fades_loader_core::Span;
use fades_loader_core::page::{ENTRIES, arm};
use fades_loader_core::start_info::PhysicalMemory;

use super::console::PL011;

unsafe extern "C" {
    static loader_start: u8;
    static loader_end: u8;
}

/// Where the loader lies behind the beginning of RAM, in whose first page QEMU has instructions of its own. The linker's script has
/// the sum of both.
pub(crate) const TEXT_OFFSET: u64 = 0x8_0000;
/// What the boot tables map one to one.
const MAPPED: u64 = 4 << 30;
/// Room for the device tree: the longest command line, and of QEMU's machine what the kernel looks at.
const TREE_LEN: usize = 12 << 10;
/// What kernel 0.11 takes for its first stack.
const KERNEL_STACK_LEN: usize = 32 << 10;

/// The loader's own memory, from its first byte to the end of its bss.
pub(crate) fn loader() -> Span {
    let end = (&raw const loader_end) as u64;
    Span::between((&raw const loader_start) as u64, end)
        .unwrap_or(Span::between(end, end).expect("equal ends"))
}

/// RAM below 4 GiB, readable.
pub(crate) struct Mapped;

impl PhysicalMemory for Mapped {
    fn read(&self, span: Span) -> Option<&[u8]> {
        if span.start() < arm::RAM || span.end() > MAPPED {
            return None;
        }
        let len = usize::try_from(span.len()).ok()?;
        // SAFETY: the boot tables map all of it, and no Rust object lies where a hypervisor puts its structures. Nothing writes
        // there while the slice lives: the image's place is chosen so that it does not overlap the module, and everything
        // else was read before. An address without memory ends in an exception, and with it the boot.
        Some(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(span.start() as usize), len) })
    }
}

/// Memory for the image, as chosen by `place::base_for`.
///
/// # Safety
/// `span` must be RAM below 2 GiB that nothing refers to: not the loader, not the module.
pub(crate) unsafe fn image(span: Span) -> &'static mut [u8] {
    let start = ptr::with_exposed_provenance_mut(span.start() as usize);
    // SAFETY: by the caller's promise this is the only reference to mapped RAM.
    unsafe { core::slice::from_raw_parts_mut(start, span.len() as usize) }
}

/// The boot information holds numbers of 16 bytes for hypervisors that are not ours.
#[repr(C, align(16))]
pub(crate) struct Aligned(pub(crate) [u8; fades_loader_core::boot_info::LEN]);

/// What the kernel still reads after the jump. It lies in the loader's bss, below the image, which the kernel leaves alone.
#[repr(C, align(4096))]
pub(crate) struct Legacy {
    root: [u64; ENTRIES],
    pointers: [u64; ENTRIES],
    devices: [u64; ENTRIES],
    directory: [u64; ENTRIES],
    pub(crate) stack: [u8; KERNEL_STACK_LEN],
    pub(crate) tree: [u8; TREE_LEN],
    pub(crate) boot_info: Aligned,
}

impl Legacy {
    /// The tables for the kernel: RAM from its beginning to `end` mapped one to one, and the console; the root's last entry is the
    /// root itself, through which the kernel sees all of its tables. Returns the root's physical address.
    pub(crate) fn map_until(&mut self, end: u64) -> u64 {
        arm::fill_directory(&mut self.directory, end);
        arm::fill_devices(&mut self.devices, PL011);
        let root = (&raw const self.root) as u64;
        self.pointers[0] = arm::table_entry((&raw const self.devices) as u64);
        self.pointers[1] = arm::table_entry((&raw const self.directory) as u64);
        self.root[0] = arm::table_entry((&raw const self.pointers) as u64);
        self.root[ENTRIES - 1] = arm::table_entry(root);
        root
    }
}

struct Once(UnsafeCell<Legacy>);

// SAFETY: there is one processor and no interrupt; see `legacy`.
unsafe impl Sync for Once {}

static LEGACY: Once = Once(UnsafeCell::new(Legacy {
    root: [0; ENTRIES],
    pointers: [0; ENTRIES],
    devices: [0; ENTRIES],
    directory: [0; ENTRIES],
    stack: [0; KERNEL_STACK_LEN],
    tree: [0; TREE_LEN],
    boot_info: Aligned([0; fades_loader_core::boot_info::LEN]),
}));

/// The memory that outlives the loader.
///
/// # Safety
/// To be called once.
pub(crate) unsafe fn legacy() -> &'static mut Legacy {
    // SAFETY: by the caller's promise there is no other reference.
    unsafe { &mut *LEGACY.0.get() }
}
