//! Any bytes as a file of images: no panic, and what is read is written so that it is read again.

#![no_main]

use fades_depot::bundle::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let Ok(bundle) = fades_fuzz::parse(|| Bundle::read(input)) else { return };
    let mut written = Vec::new();
    bundle.write(&mut written).expect("what was read can be written");
    assert!(Bundle::read(&written[..]).is_ok_and(|again| again == bundle));
});
