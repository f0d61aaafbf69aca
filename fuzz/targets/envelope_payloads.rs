//! Any bytes as a payload that a known key signed: proofs and receipts are read without a panic, and in one form.

#![no_main]

use fades_envelope::{Purpose, SigningKey, check_proof, open_receipt, sign};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|payload: &[u8]| {
    let key = SigningKey::from_seed(&[7; 32]);
    let proof = sign(&key, Purpose::Request, payload);
    let _ = fades_fuzz::parse(|| check_proof(&proof));
    let envelope = sign(&key, Purpose::Receipt, payload);
    if let Ok(receipt) = fades_fuzz::parse(|| open_receipt(&envelope, &key.public())) {
        assert_eq!(receipt.sign(&key).ok(), Some(envelope));
    }
});
