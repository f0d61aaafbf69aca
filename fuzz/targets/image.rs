//! Any bytes as an image file, as a properly signed manifest with parts behind it, and as an ELF: no panic anywhere.

#![no_main]

use fades_envelope::{Purpose, SigningKey, sign};
use fades_pack::{Manifest, inspect, open, sections};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    let key = SigningKey::from_seed(&[7; 32]);
    let _ = fades_fuzz::parse(|| inspect(input, |_| None));
    if let Ok(list) = fades_fuzz::parse(|| sections(input)) {
        assert!(list.len() <= 256);
    }
    let end = input.iter().position(|byte| *byte == b'\n').unwrap_or(input.len());
    let (payload, parts) = (&input[..end], &input[(end + 1).min(input.len())..]);
    if let Ok(manifest) = fades_fuzz::parse(|| Manifest::parse(payload)) {
        assert_eq!(manifest.to_payload().ok().as_deref(), Some(payload));
    }
    let envelope = sign(&key, Purpose::Image, payload);
    let Ok(length) = u32::try_from(envelope.len()) else { return };
    let file = [b"FADESIMG", &1u32.to_le_bytes()[..], &length.to_le_bytes(), &envelope, parts].concat();
    if let Ok(image) = open(&file).and_then(|packed| packed.verify(&key.public())) {
        assert_eq!([image.loader(), image.application()].concat(), parts);
    }
});
