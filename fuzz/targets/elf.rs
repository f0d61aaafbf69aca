//! Any bytes as an application: it is refused or placed, on either processor, and nothing is written beside it.
#![no_main]

use fades_loader_core::Machine;
use fades_loader_core::elf::Elf;
use libfuzzer_sys::fuzz_target;

/// A larger one is refused by whoever looks for a place.
const LARGEST: u64 = 1 << 20;

fuzz_target!(|file: &[u8]| {
    for machine in [Machine::X86_64, Machine::Aarch64] {
        let Ok(elf) = fades_fuzz::parse(|| Elf::parse(file, machine)) else { continue };
        if elf.image_len() <= LARGEST {
            let base = 0x20_0000;
            let mut memory = vec![0xaa; elf.image_len() as usize];
            if let Ok(loaded) = elf.load(&mut memory, base) {
                assert!(loaded.entry >= base && loaded.entry < base + elf.image_len());
                assert_eq!((loaded.image.start(), loaded.image.end()), (base, base + elf.image_len()));
            }
        }
    }
});
