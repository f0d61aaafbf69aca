//! The boot information as we write it is the boot information as the kernel's own crate lays it out.

use std::mem::size_of;
use std::num::{NonZeroU16, NonZeroU64};

use fades_loader_core::boot_info::{BootInfo, COM1, LEN};
use fades_loader_core::{Span, elf::Tls};
use hermit_entry::boot_info as theirs;

#[test]
fn the_kernel_reads_back_what_was_written() {
    let ours = BootInfo {
        memory: Span::between(0, 64 << 20).unwrap(),
        serial: u64::from(COM1),
        device_tree: 0x12_3000,
        image: Span::between(2 << 20, 5 << 20).unwrap(),
        tls: Some(Tls { start: 0x21_0000, file_len: 0x20, memory_len: 0x80, align: 16 }),
    };
    assert_eq!(size_of::<theirs::RawBootInfo>(), LEN);
    let bytes = ours.encode();
    // SAFETY: the sizes are equal, the type is `repr(C)`, and `encode` writes a valid tag and valid integers for it.
    let raw: theirs::RawBootInfo = unsafe { std::mem::transmute(bytes) };
    let read = theirs::BootInfo::from(raw);
    let hardware = read.hardware_info;
    assert_eq!(hardware.phys_addr_range, 0..ours.memory.end());
    assert_eq!(hardware.serial_port_base, NonZeroU16::new(COM1));
    assert_eq!(hardware.device_tree, NonZeroU64::new(ours.device_tree));
    assert_eq!(read.load_info.kernel_image_addr_range, ours.image.start()..ours.image.end());
    let tls = read.load_info.tls_info.unwrap();
    assert_eq!((tls.start, tls.filesz, tls.memsz, tls.align), (0x21_0000, 0x20, 0x80, 16));
    assert!(matches!(read.platform_info, theirs::PlatformInfo::Fdt));
}
