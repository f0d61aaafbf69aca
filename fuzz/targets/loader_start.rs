//! A hypervisor that hands over anything: what is read lies in the memory that there is.
#![no_main]

use fades_loader_core::Span;
use fades_loader_core::start_info::{MAX_COMMAND_LINE, PhysicalMemory, StartInfo};
use libfuzzer_sys::fuzz_target;

/// Where the input lies.
const FIRST: u64 = 0x1000;

struct Memory<'a>(&'a [u8]);

impl PhysicalMemory for Memory<'_> {
    fn read(&self, span: Span) -> Option<&[u8]> {
        let start = usize::try_from(span.start().checked_sub(FIRST)?).ok()?;
        self.0.get(start..start.checked_add(usize::try_from(span.len()).ok()?)?)
    }
}

fuzz_target!(|input: &[u8]| {
    let memory = Memory(input);
    let Ok(info) = fades_fuzz::parse(|| StartInfo::read(&memory, FIRST)) else { return };
    assert!(!info.ram.spans().is_empty() && info.module.len() > 0);
    assert!(info.command_line.len() <= MAX_COMMAND_LINE && !info.command_line.contains('\0'));
    let mut tree = vec![0; 16 << 10];
    let _ =
        fades_fuzz::parse(|| fades_loader_core::fdt::write(&mut tree.clone(), &info.ram, info.command_line));
    if let Ok(len) = fades_loader_core::fdt::write(&mut tree, &info.ram, info.command_line) {
        assert!(len <= tree.len());
    }
});
