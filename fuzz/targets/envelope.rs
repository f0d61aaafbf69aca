//! Any bytes: parsing never panics, and whatever is read was written in the one form: as long as its pieces say.

#![no_main]

use fades_envelope::{PublicKey, Purpose, SigningKey, parse, sign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| {
    if let Some(raw) = input.first_chunk::<32>() {
        if let Ok(key) = PublicKey::admit(raw) {
            assert_eq!(&key.to_bytes(), raw);
        }
    }
    let Ok(read) = fades_fuzz::parse(|| parse(input)) else { return };
    // Our own envelope of the same purpose and payload has the same bytes but for key id and signature.
    let key = SigningKey::from_seed(&[7; 32]);
    let mut again = sign(&key, read.purpose(), read.unverified_payload());
    // d2 84 58 .., then a3 01 27 03 78 .., the content type, 04 58 20.
    let at = 4 + 6 + read.content_type().len() + 3;
    again[at..at + 32].copy_from_slice(&read.key_id().0);
    let signature = again.len() - 64;
    again[signature..].copy_from_slice(&input[input.len() - 64..]);
    assert_eq!(again, input);
    for purpose in Purpose::ALL {
        assert!(
            read.verify(&key.public(), purpose).is_err()
                || sign(&key, purpose, read.unverified_payload()) == input
        );
    }
});
