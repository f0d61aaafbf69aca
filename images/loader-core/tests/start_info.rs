//! Start information as QEMU and Xen write it, and as nobody should.

use fades_loader_core::start_info::{MAX_COMMAND_LINE, PhysicalMemory, StartInfo};
use fades_loader_core::{LoadError, Span};
use proptest::prelude::*;

/// Memory from address `at` on; nothing else can be read.
struct Memory {
    at: u64,
    bytes: Vec<u8>,
}

impl PhysicalMemory for Memory {
    fn read(&self, span: Span) -> Option<&[u8]> {
        let start = usize::try_from(span.start().checked_sub(self.at)?).ok()?;
        self.bytes.get(start..)?.get(..usize::try_from(span.len()).ok()?)
    }
}

const AT: u64 = 0x1000;

/// Start information at 0x1000, module list at 0x1040, memory map at 0x1080, command line at 0x1100.
fn sample(version: u32) -> Memory {
    let mut bytes = vec![0; 0x3000];
    let mut put = |at: usize, word: u64| bytes[at..at + 8].copy_from_slice(&word.to_le_bytes());
    put(0, u64::from(version) << 32 | 0x336e_c578);
    put(8, 1 << 32);
    put(16, AT + 0x40);
    put(24, AT + 0x100);
    put(40, AT + 0x80);
    put(48, 3);
    put(0x40, 0x300_0000);
    put(0x48, 0x10_0000);
    for (index, (start, len, kind)) in
        [(0, 0x9fc00, 1), (0x9fc00, 0x400, 2), (0x10_0000, 0x3f0_0000, 1)].iter().enumerate()
    {
        put(0x80 + index * 24, *start);
        put(0x88 + index * 24, *len);
        put(0x90 + index * 24, *kind);
    }
    bytes[0x100..0x10d].copy_from_slice("-freq 2400 \u{e9}".as_bytes());
    Memory { at: AT, bytes }
}

#[test]
fn what_a_hypervisor_says_is_read() {
    let memory = sample(1);
    let info = StartInfo::read(&memory, AT).unwrap();
    assert_eq!((info.module.start(), info.module.len()), (0x300_0000, 0x10_0000));
    let ram: Vec<_> = info.ram.spans().iter().map(|span| (span.start(), span.end())).collect();
    assert_eq!(ram, [(0, 0x9fc00), (0x10_0000, 0x400_0000)], "only RAM");
    assert!(info.command_line.starts_with("-freq 2400"));
}

#[test]
fn each_thing_that_is_missing_has_its_own_error() {
    let read = |memory: &Memory| StartInfo::read(memory, AT).map(|_| ()).unwrap_err().code();
    assert_eq!(read(&sample(0)), 2, "version 0 has no memory map");
    let mut memory = sample(1);
    memory.bytes[0] = 0;
    assert_eq!(read(&memory), 1);
    memory = sample(1);
    memory.bytes[12] = 0;
    assert_eq!(read(&memory), 3, "no module");
    memory = sample(1);
    memory.bytes[0x48..0x50].fill(0);
    assert_eq!(read(&memory), 3, "empty module");
    memory = sample(1);
    memory.bytes[0x10c] = 0xff;
    assert_eq!(read(&memory), 4, "not UTF-8");
    memory = sample(1);
    memory.bytes[0x100..0x100 + MAX_COMMAND_LINE + 1].fill(b'a');
    assert_eq!(read(&memory), 4, "too long");
    assert!(matches!(StartInfo::read(&memory, u64::MAX), Err(LoadError::StartInfo { .. })));
    assert!(matches!(StartInfo::read(&memory, 0), Err(LoadError::StartInfo { .. })));
}

#[test]
fn no_command_line_is_an_empty_one() {
    let mut memory = sample(1);
    memory.bytes[24..32].fill(0);
    assert_eq!(StartInfo::read(&memory, AT).unwrap().command_line, "");
}

proptest! {
    #[test]
    fn no_bytes_panic(changes in proptest::collection::vec((0usize..0x110, any::<u8>()), 0..16), address in any::<u64>()) {
        let mut memory = sample(1);
        for (at, byte) in changes {
            memory.bytes[at] = byte;
        }
        let _ = StartInfo::read(&memory, AT);
        let _ = StartInfo::read(&memory, address);
    }
}
