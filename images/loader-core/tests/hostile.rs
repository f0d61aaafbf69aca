//! Hostile applications: whatever the file says, parsing and loading end with an error or an image, never with a panic.

mod common;

use common::{Sample, TEXT};
use fades_loader_core::elf::{Elf, MAX_IMAGE};
use fades_loader_core::{LoadError, Machine};
use proptest::prelude::*;

/// Parses, and loads what could be parsed, into memory of the size that the image asks for.
fn run(file: &[u8]) -> Result<(), LoadError> {
    let elf = Elf::parse(file, Machine::X86_64)?;
    let len = usize::try_from(elf.image_len()).unwrap_or(usize::MAX);
    // What a guest has; a larger image is refused by the placement.
    if len <= 64 << 20 {
        elf.load(&mut vec![0xaa; len], 0x20_0000)?;
    }
    Ok(())
}

fn why(sample: &Sample) -> &'static str {
    match run(&sample.file()).expect_err("a hostile file") {
        LoadError::Segment { why, .. } => why,
        LoadError::OutsideFile { what, .. } => what,
        LoadError::NotHermit { what, .. } => what,
        LoadError::Entry { .. } => "entry",
        LoadError::Relocation { .. } => "relocation",
        other => panic!("{other}"),
    }
}

#[test]
fn a_good_one_is_loaded_with_its_relocations_applied_and_the_rest_zeroed() {
    let file = Sample::default().file();
    let elf = Elf::parse(&file, Machine::X86_64).unwrap();
    let base = 0x60_0000u64;
    let mut memory = vec![0xaa; usize::try_from(elf.image_len()).unwrap()];
    let loaded = elf.load(&mut memory, base).unwrap();
    assert_eq!(loaded.entry, base + TEXT.address);
    assert_eq!((loaded.image.start(), loaded.image.end()), (base, base + elf.image_len()));
    let word = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
    assert_eq!(word(0x2000), base + 0x1234, "relative");
    assert_eq!(word(0x2008), base + 0x40 + 8, "symbol");
    assert_eq!(word(0x2010), 0, "weak and undefined");
    assert!(memory[0x2100..].iter().all(|&byte| byte == 0), "bss");
    assert_eq!(loaded.tls.map(|tls| tls.start), Some(base + 0x2000));
}

#[test]
fn each_processor_has_relocations_of_its_own_and_refuses_the_others_files() {
    let mut sample = Sample::default();
    for (relocation, kind) in sample.relocations.iter_mut().zip([1027, 257, 1025]) {
        relocation.1 = relocation.1 >> 32 << 32 | kind;
    }
    let mut file = sample.file();
    let refusal = |file: &[u8], machine| Elf::parse(file, machine).unwrap_err();
    let wrong = |value| LoadError::NotHermit { what: "the machine", value };
    assert_eq!(refusal(&file, Machine::Aarch64), wrong(62));
    file[18] = 183;
    assert_eq!(refusal(&file, Machine::X86_64), wrong(183));
    let elf = Elf::parse(&file, Machine::Aarch64).unwrap();
    let mut memory = vec![0xaa; usize::try_from(elf.image_len()).unwrap()];
    elf.load(&mut memory, 0x4020_0000).unwrap();
    let word = |at: usize| u64::from_le_bytes(memory[at..at + 8].try_into().unwrap());
    assert_eq!([word(0x2000), word(0x2008), word(0x2010)], [0x4020_1234, 0x4020_0048, 0]);
    let mut other = Sample::default().file();
    other[18] = 183;
    let refused = Elf::parse(&other, Machine::Aarch64).unwrap().load(&mut memory, 0x4020_0000);
    assert!(matches!(refused, Err(LoadError::Relocation { kind: 8, .. })), "{refused:?}");
}

#[test]
fn b2_what_is_wrong_is_named() {
    let mut sample = Sample::default();
    sample.data.memory_len = MAX_IMAGE + 1;
    assert_eq!(why(&sample), "it ends beyond the largest image");

    sample = Sample::default();
    sample.data.memory_len = u64::MAX;
    assert_eq!(why(&sample), "it wraps around");

    sample = Sample::default();
    sample.data.address = 0x1000;
    assert_eq!(why(&sample), "it overlaps the one before it, or comes out of order");

    sample = Sample::default();
    sample.data.memory_len = sample.data.file_len - 1;
    assert_eq!(why(&sample), "it is larger in the file");

    sample = Sample::default();
    sample.data.align = 3;
    assert_eq!(why(&sample), "it is misaligned");
    sample.data.align = 0x1000;
    sample.data.address += 8;
    assert_eq!(why(&sample), "it is misaligned");

    sample = Sample::default();
    sample.data.file_len = 1 << 40;
    sample.data.memory_len = 1 << 40;
    assert_eq!(why(&sample), "it ends beyond the largest image");
    sample.data.file_len = 0x9000;
    sample.data.memory_len = 0x9000;
    assert_eq!(why(&sample), "segment");

    sample = Sample::default();
    sample.entry = 0x2000;
    assert_eq!(why(&sample), "entry");
    sample.entry = u64::MAX;
    assert_eq!(why(&sample), "entry");

    sample = Sample { note: *b"HERMIX\0", ..Sample::default() };
    assert_eq!(why(&sample), "the note of its entry version");

    for (target, kind) in [(u64::MAX, 8), (u64::MAX - 7, 8), (0x3ff9, 8), (0x2000, 99)] {
        sample = Sample::default();
        sample.relocations[0] = (target, kind, 0);
        assert_eq!(why(&sample), "relocation", "{target:#x} {kind}");
    }
    sample = Sample::default();
    sample.relocations[0] = (0x2000, 1 | (u64::MAX << 32), 0);
    assert_eq!(why(&sample), "symbol");
}

#[test]
fn every_truncation_is_an_error() {
    let file = Sample::default().file();
    for len in 0..file.len() {
        assert!(run(&file[..len]).is_err(), "{len} of {} bytes", file.len());
    }
}

#[test]
fn every_flip_of_a_header_bit_ends_in_order() {
    let file = Sample::default().file();
    for bit in 0..0x300 * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let _ = run(&flipped);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_bytes_panic(bytes in proptest::collection::vec(any::<u8>(), 0..512)) {
        let _ = run(&bytes);
    }

    #[test]
    fn b2_no_change_of_a_good_file_panics(changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..12)) {
        let mut file = Sample::default().file();
        for (at, byte) in changes {
            let at = at.index(file.len().min(0x500));
            file[at] = byte;
        }
        let _ = run(&file);
    }

    #[test]
    fn b2_no_value_of_a_segment_panics(
        offset in edges(), address in edges(), file_len in edges(), memory_len in edges(), align in edges(), entry in edges(),
    ) {
        let mut sample = Sample::default();
        sample.data.offset = offset;
        sample.data.address = address;
        sample.data.file_len = file_len;
        sample.data.memory_len = memory_len;
        sample.data.align = align;
        sample.entry = entry;
        let _ = run(&sample.file());
    }
}

/// Numbers near where arithmetic goes wrong.
fn edges() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0u64..0x4000,
        Just(u64::MAX),
        (0u32..64, 0u64..4).prop_map(|(bit, near)| (1u64 << bit).wrapping_sub(2).wrapping_add(near)),
    ]
}
