//! Any bytes as the index of a place: no panic, and what is read is written so that it is read again.

#![no_main]

use fades_depot::index::Index;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(index) = fades_fuzz::parse(|| Index::read(input, "here")) else { return };
    let written = index.write();
    assert_eq!(Index::read(&written, "here").expect("what was written is read"), index);
});
