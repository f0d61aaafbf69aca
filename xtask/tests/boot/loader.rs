//! What the loader refuses: damaged applications, and machines that are too small.

use std::fs;

use xtask::images::probe;

use crate::Scratch;
use crate::machine::{PATIENCE, USUAL, boot};

/// The loader's exit code, 120, as QEMU gives it: `code << 1 | 1`.
const LOADER_FAILED: i32 = 241;

fn number<const N: usize>(file: &[u8], at: usize) -> usize {
    let mut bytes = [0; 8];
    bytes[..N].copy_from_slice(&file[at..at + N]);
    usize::try_from(u64::from_le_bytes(bytes)).unwrap()
}

/// Where the program header of this kind stands, the first one from `skip` on.
fn segment(file: &[u8], kind: usize, skip: usize) -> usize {
    let (table, count) = (number::<8>(file, 32), number::<2>(file, 56));
    let all = (0..count).map(|index| table + index * 56);
    all.filter(|at| number::<4>(file, *at) == kind).nth(skip).unwrap()
}

/// Where the first relocation stands in the file.
fn relocation(file: &[u8]) -> usize {
    const DT_RELA: usize = 7;
    let dynamic = number::<8>(file, segment(file, 2, 0) + 8);
    let mut entries = (dynamic..).step_by(16);
    let address = number::<8>(file, entries.find(|at| number::<8>(file, *at) == DT_RELA).unwrap() + 8);
    for index in 0.. {
        let load = segment(file, 1, index);
        let (offset, start, len) =
            (number::<8>(file, load + 8), number::<8>(file, load + 16), number::<8>(file, load + 32));
        if (start..start + len).contains(&address) {
            return offset + address - start;
        }
    }
    unreachable!("`segment` panics when there are no more")
}

/// What is done to a good application, and the loader's number for it.
type Damage = (&'static str, u8, fn(&mut Vec<u8>));

const DAMAGES: &[Damage] = &[
    ("cut inside the header", 11, |file| file.truncate(40)),
    ("cut inside the table of segments", 11, |file| file.truncate(100)),
    ("cut in the middle", 11, |file| file.truncate(file.len() / 2)),
    ("another file", 10, |file| file[..4].copy_from_slice(b"MZ\0\0")),
    ("a Linux program", 10, |file| file[7] = 0),
    ("another machine's", 10, |file| file[18] = 183),
    ("a segment of half the address space", 12, |file| {
        let at = segment(file, 1, 0) + 40;
        file[at..at + 8].copy_from_slice(&(1_u64 << 63).to_le_bytes());
    }),
    ("two segments in one place", 12, |file| {
        let (first, second) = (segment(file, 1, 0) + 16, segment(file, 1, 1) + 16);
        let address: [u8; 8] = file[first..first + 8].try_into().unwrap();
        file[second..second + 8].copy_from_slice(&address);
    }),
    ("a segment from behind the file's end", 11, |file| {
        let at = segment(file, 1, 0) + 8;
        file[at..at + 8].copy_from_slice(&(1_u64 << 40).to_le_bytes());
    }),
    ("an entry point outside", 13, |file| {
        file[24..32].copy_from_slice(&u64::MAX.to_le_bytes());
    }),
    ("a relocation that writes over the loader", 14, |file| {
        let at = relocation(file);
        file[at..at + 8].copy_from_slice(&0x4000_0000_u64.to_le_bytes());
    }),
    ("a relocation of an unknown kind", 14, |file| {
        let at = relocation(file) + 8;
        file[at..at + 4].copy_from_slice(&250_u32.to_le_bytes());
    }),
];

#[test]
fn the_loader_refuses_what_it_cannot_load_with_a_number_and_words() {
    let (_, hello) = probe("hello").unwrap();
    let good = fs::read(&hello).unwrap();
    for (what, code, damage) in DAMAGES {
        let mut file = good.clone();
        damage(&mut file);
        let scratch = Scratch::new("damaged.elf", &file);
        let ended = boot(USUAL, 64, &scratch.0, "", PATIENCE);
        assert_eq!(ended.status, Some(LOADER_FAILED), "{what}: {ended:?}");
        let words = ended.line(&format!("FADES-LOADER error E{code}: "));
        assert!(words.len() > 20 && words.is_ascii(), "{what}: {words:?}");
        assert!(!ended.console.contains("SUCCESS"), "{what}: {ended:?}");
    }
}

#[test]
fn the_loader_says_when_memory_does_not_suffice() {
    let (_, hello) = probe("hello").unwrap();
    let mut file = fs::read(&hello).unwrap();
    // Uninitialised memory beyond what the machine has.
    let last = (0..).map_while(|n| (n < count_of_loads(&file)).then(|| segment(&file, 1, n))).last().unwrap();
    file[last + 40..last + 48].copy_from_slice(&(200_u64 << 20).to_le_bytes());
    let scratch = Scratch::new("large.elf", &file);
    let ended = boot(USUAL, 64, &scratch.0, "", PATIENCE);
    assert_eq!(ended.status, Some(LOADER_FAILED), "{ended:?}");
    ended.line("FADES-LOADER error E20: ");
}

fn count_of_loads(file: &[u8]) -> usize {
    let (table, count) = (number::<8>(file, 32), number::<2>(file, 56));
    (0..count).filter(|index| number::<4>(file, table + index * 56) == 1).count()
}
