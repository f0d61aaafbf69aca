//! Physical memory as slices, and the static memory that outlives the loader.

use core::cell::UnsafeCell;
use core::ptr;

use fades_loader_core::Span;
use fades_loader_core::page::{ENTRIES, fill_directory, table_entry};
use fades_loader_core::start_info::PhysicalMemory;

unsafe extern "C" {
    static loader_start: u8;
    static loader_end: u8;
}

/// What the boot tables map one to one.
const MAPPED: u64 = 4 << 30;
/// Room for the device tree: the longest command line, 16 ranges of memory, and the rest.
const TREE_LEN: usize = 8 << 10;
/// What kernel 0.11 takes for its first stack.
const KERNEL_STACK_LEN: usize = 32 << 10;

/// The loader's own memory, from its first byte to the end of its bss.
pub(crate) fn loader() -> Span {
    let end = (&raw const loader_end) as u64;
    Span::between((&raw const loader_start) as u64, end)
        .unwrap_or(Span::between(end, end).expect("equal ends"))
}

/// The first 4 GiB, readable.
pub(crate) struct Mapped;

impl PhysicalMemory for Mapped {
    fn read(&self, span: Span) -> Option<&[u8]> {
        if span.start() == 0 || span.end() > MAPPED {
            return None;
        }
        let len = usize::try_from(span.len()).ok()?;
        // SAFETY: the boot tables map all of it; reading addresses without memory gives all ones, and no Rust object
        // lies where a hypervisor puts its structures. Nothing writes there while the slice lives: the image's place is
        // chosen so that it does not overlap the module, and everything else was read before.
        Some(unsafe { core::slice::from_raw_parts(ptr::with_exposed_provenance(span.start() as usize), len) })
    }
}

/// Memory for the image, as chosen by `place::base_for`.
///
/// # Safety
/// `span` must be RAM below 1 GiB that nothing refers to: not the loader, not the module.
pub(crate) unsafe fn image(span: Span) -> &'static mut [u8] {
    let start = ptr::with_exposed_provenance_mut(span.start() as usize);
    // SAFETY: by the caller's promise this is the only reference to mapped RAM.
    unsafe { core::slice::from_raw_parts_mut(start, span.len() as usize) }
}

/// What the kernel still reads after the jump. It lies in the loader's bss, below the image, which the kernel leaves alone.
#[repr(C, align(4096))]
pub(crate) struct Legacy {
    root: [u64; ENTRIES],
    pointers: [u64; ENTRIES],
    directory: [u64; ENTRIES],
    pub(crate) stack: [u8; KERNEL_STACK_LEN],
    pub(crate) tree: [u8; TREE_LEN],
    pub(crate) boot_info: [u8; fades_loader_core::boot_info::LEN],
}

impl Legacy {
    /// The tables for the kernel: `0..end` mapped one to one. Returns the root's physical address.
    pub(crate) fn map_until(&mut self, end: u64) -> u64 {
        fill_directory(&mut self.directory, end);
        self.pointers[0] = table_entry((&raw const self.directory) as u64);
        self.root[0] = table_entry((&raw const self.pointers) as u64);
        (&raw const self.root) as u64
    }
}

struct Once(UnsafeCell<Legacy>);

// SAFETY: there is one processor and no interrupt; see `legacy`.
unsafe impl Sync for Once {}

static LEGACY: Once = Once(UnsafeCell::new(Legacy {
    root: [0; ENTRIES],
    pointers: [0; ENTRIES],
    directory: [0; ENTRIES],
    stack: [0; KERNEL_STACK_LEN],
    tree: [0; TREE_LEN],
    boot_info: [0; fades_loader_core::boot_info::LEN],
}));

/// The memory that outlives the loader.
///
/// # Safety
/// To be called once.
pub(crate) unsafe fn legacy() -> &'static mut Legacy {
    // SAFETY: by the caller's promise there is no other reference.
    unsafe { &mut *LEGACY.0.get() }
}
