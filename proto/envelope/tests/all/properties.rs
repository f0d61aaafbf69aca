//! For all bytes: reading never panics, and what is read is written in no other way.

use crate::common::{Forge, bytes, content_type, key};
use fades_envelope::{KeyId, PublicKey, Purpose, check_proof, parse, sign};
use proptest::prelude::*;

fn purpose() -> impl Strategy<Value = Purpose> {
    proptest::sample::select(Purpose::ALL.to_vec())
}

/// Writes an envelope anew from what was read of it.
fn written(purpose: Purpose, key_id: KeyId, payload: &[u8], signature: &[u8]) -> Vec<u8> {
    let kid = [vec![0x04], bytes(&key_id.0)].concat();
    Forge {
        payload: payload.to_vec(),
        signature: Some(bytes(signature)),
        ..Forge::with_header(&[crate::common::alg(), content_type(purpose.content_type()), kid])
    }
    .build()
}

proptest! {
    #[test]
    fn parse_never_panics(input in proptest::collection::vec(any::<u8>(), 0..512)) {
        prop_assert!(parse(&input).is_err());
        prop_assert!(check_proof(&input).is_err());
    }

    #[test]
    fn parse_never_panics_behind_a_good_beginning(
        keep in 0usize..160,
        tail in proptest::collection::vec(any::<u8>(), 0..256),
    ) {
        let good = Forge::good().build();
        let input = [&good[..keep], &tail].concat();
        if let Ok(read) = parse(&input) {
            let again = written(read.purpose(), read.key_id(), read.unverified_payload(), &input[input.len() - 64..]);
            prop_assert_eq!(again, input);
        }
    }

    #[test]
    fn what_is_read_has_one_form(
        purpose in purpose(),
        kid in any::<[u8; 32]>(),
        payload in proptest::collection::vec(any::<u8>(), 0..600),
        signature in proptest::collection::vec(any::<u8>(), 64),
        at in any::<proptest::sample::Index>(),
        byte in any::<u8>(),
    ) {
        let envelope = written(purpose, KeyId(kid), &payload, &signature);
        let read = parse(&envelope).unwrap();
        prop_assert_eq!((read.purpose(), read.key_id(), read.unverified_payload()), (purpose, KeyId(kid), &payload[..]));
        let mut other = envelope.clone();
        other[at.index(envelope.len())] = byte;
        if let Ok(read) = parse(&other) {
            let again = written(read.purpose(), read.key_id(), read.unverified_payload(), &other[other.len() - 64..]);
            prop_assert_eq!(again, other);
        }
    }

    #[test]
    fn what_is_signed_verifies(purpose in purpose(), payload in proptest::collection::vec(any::<u8>(), 0..2000)) {
        let envelope = sign(&key(), purpose, &payload);
        let verified = parse(&envelope).unwrap().verify(&key().public(), purpose).unwrap();
        prop_assert_eq!(verified.payload(), &payload[..]);
        prop_assert_eq!((verified.key_id(), verified.purpose()), (key().public().id(), purpose));
    }

    #[test]
    fn an_admitted_key_is_canonical_and_of_the_prime_order(raw in any::<[u8; 32]>()) {
        if let Ok(key) = PublicKey::admit(&raw) {
            prop_assert_eq!(key.to_bytes(), raw);
            let point = curve25519_dalek::edwards::CompressedEdwardsY(raw).decompress().unwrap();
            prop_assert!(point.is_torsion_free() && !point.is_small_order());
        }
    }
}
