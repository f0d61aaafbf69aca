//! The boot, from start to end: read, check, place, load, tell the kernel, jump.

use fades_loader_core::boot_info::BootInfo;
use fades_loader_core::elf::Elf;
use fades_loader_core::page::arm;
use fades_loader_core::place::base_for;
use fades_loader_core::start_info::PhysicalMemory;
use fades_loader_core::tree::Tree;
use fades_loader_core::{LoadError, Machine, Span};

use super::{console, entry, memory};

/// Entered once by [`super::entry`], with the physical address of the device tree.
pub(crate) extern "C" fn main(tree: u64) -> ! {
    match load(tree) {
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

fn load(tree: u64) -> Result<Jump, LoadError> {
    let tree = Tree::read(&memory::Mapped, tree)?;
    let told = tree.told()?;
    // SAFETY: `load` runs once.
    let legacy = unsafe { memory::legacy() };

    let module = told.module;
    let file = memory::Mapped.read(module).ok_or(LoadError::NoModule { modules: 1 })?;
    let elf = Elf::parse(file, Machine::Aarch64)?;
    let base = base_for(&told.ram, memory::loader(), module, elf.image_len(), 2 * arm::RAM)?;
    let no_room = LoadError::NoRoom { need: elf.image_len(), ram_end: base };
    let image = Span::new(base, elf.image_len()).ok_or(no_room)?;
    // The tree may lie in the image's place, and what the kernel takes for free begins behind that.
    tree.copy_to(&mut legacy.tree)?;

    // SAFETY: `base_for` chose RAM below 2 GiB that overlaps neither loader nor module; `tree` is not looked at any more.
    let loaded = elf.load(unsafe { memory::image(image) }, base)?;

    let memory = told.ram.spans().iter().copied().find(|span| span.contains(image)).ok_or(no_room)?;
    let device_tree = (&raw const legacy.tree) as u64;
    let serial = console::PL011;
    legacy.boot_info.0 =
        BootInfo { memory, serial, device_tree, image: loaded.image, tls: loaded.tls }.encode();
    Ok(Jump {
        root: legacy.map_until(loaded.image.end()),
        stack: (&raw const legacy.stack) as u64,
        boot_info: (&raw const legacy.boot_info) as u64,
        entry: loaded.entry,
    })
}
