//! The boot, from start to end: read, check, place, load, tell the kernel, jump.

use fades_loader_core::boot_info::{BootInfo, COM1};
use fades_loader_core::elf::Elf;
use fades_loader_core::page::DIRECTORY_SPAN;
use fades_loader_core::place::{base_for, ram_for_kernel};
use fades_loader_core::start_info::{PhysicalMemory, StartInfo};
use fades_loader_core::{LoadError, Machine, Span, fdt};

use super::{console, entry, memory};

/// Entered once by [`super::entry`], with the physical address of the start information.
pub(crate) extern "C" fn main(start_info: u64) -> ! {
    match load(start_info) {
        Ok(jump) => {
            // SAFETY: `load` made the tables, loaded the image and wrote the boot information.
            unsafe { entry::jump(jump.root, jump.stack, jump.boot_info, jump.entry) }
        }
        Err(error) => console::fail(&error),
    }
}

struct Jump {
    root: u64,
    stack: u64,
    boot_info: u64,
    entry: u64,
}

fn load(start_info: u64) -> Result<Jump, LoadError> {
    let start = StartInfo::read(&memory::Mapped, start_info)?;
    // SAFETY: `load` runs once.
    let legacy = unsafe { memory::legacy() };

    let module = start.module;
    let file = memory::Mapped.read(module).ok_or(LoadError::NoModule { modules: 1 })?;
    let elf = Elf::parse(file, Machine::X86_64)?;
    let base = base_for(&start.ram, memory::loader(), module, elf.image_len(), DIRECTORY_SPAN)?;
    let image =
        Span::new(base, elf.image_len()).ok_or(LoadError::NoRoom { need: elf.image_len(), ram_end: base })?;

    // The start information and its command line may lie in the image's place: the device tree, which copies what is
    // needed of them, comes first.
    let told = ram_for_kernel(&start.ram, base);
    fdt::write(&mut legacy.tree, &told, start.command_line)?;
    let memory_end = told.spans().iter().map(|span| span.end()).max().unwrap_or(image.end());
    let memory = Span::between(0, memory_end)
        .ok_or(LoadError::NoRoom { need: elf.image_len(), ram_end: memory_end })?;

    // SAFETY: `base_for` chose RAM below 1 GiB that overlaps neither loader nor module.
    let loaded = elf.load(unsafe { memory::image(image) }, base)?;

    let device_tree = (&raw const legacy.tree) as u64;
    let serial = u64::from(COM1);
    legacy.boot_info =
        BootInfo { memory, serial, device_tree, image: loaded.image, tls: loaded.tls }.encode();
    Ok(Jump {
        root: legacy.map_until(loaded.image.end()),
        stack: (&raw const legacy.stack) as u64,
        boot_info: (&raw const legacy.boot_info) as u64,
        entry: loaded.entry,
    })
}
