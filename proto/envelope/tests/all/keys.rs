//! THREATS A4: keys that must not be admitted, and signatures that a looser check would accept.

use crate::common::{Forge, SEED, accept, bytes, key, reason};
use curve25519_dalek::{
    constants::{ED25519_BASEPOINT_POINT, EIGHT_TORSION},
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
    traits::IsIdentity as _,
};
use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
use fades_envelope::{KeyRefusal, PublicKey, SigningKey};
use sha2::{Digest as _, Sha512};

/// The group's order, little-endian (RFC 8032 §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

/// p = 2^255 - 19, plus `more` below 19, with the sign bit as wanted: the encodings that are not reduced.
fn unreduced(more: u8, sign: bool) -> [u8; 32] {
    let mut out = [0xff; 32];
    out[0] = 0xed + more;
    out[31] = if sign { 0xff } else { 0x7f };
    out
}

fn challenge(r: &CompressedEdwardsY, a: &[u8; 32], message: &[u8]) -> Scalar {
    let hash = Sha512::new().chain_update(r.as_bytes()).chain_update(a).chain_update(message);
    Scalar::from_bytes_mod_order_wide(&hash.finalize().into())
}

fn secret_scalar() -> Scalar {
    ed25519_dalek::SigningKey::from_bytes(&SEED).to_scalar()
}

#[test]
fn good_keys_are_admitted() {
    for seed in 0..64 {
        let key = SigningKey::from_seed(&[seed; 32]).public();
        assert_eq!(PublicKey::admit(&key.to_bytes()), Ok(key));
        assert_eq!(key.to_string().parse(), Ok(key));
    }
}

#[test]
fn a4_the_eight_points_of_small_order_are_refused() {
    for point in EIGHT_TORSION {
        assert!((point * Scalar::from(8u8)).is_identity());
        assert_eq!(PublicKey::admit(point.compress().as_bytes()), Err(KeyRefusal::SmallOrder));
    }
}

#[test]
fn why_small_order_keys_matter() {
    // With the identity as key anyone can sign anything: S·B = R + k·0.
    let s = Scalar::from(12345u64);
    let r = (ED25519_BASEPOINT_POINT * s).compress();
    let signature = Signature::from_components(r.to_bytes(), s.to_bytes());
    let mut identity = [0; 32];
    identity[0] = 1;
    let loose = VerifyingKey::from_bytes(&identity).unwrap();
    assert!(loose.verify(b"never signed by anyone", &signature).is_ok());
    assert_eq!(PublicKey::admit(&identity), Err(KeyRefusal::SmallOrder));
}

#[test]
fn a4_other_encodings_of_a_point_are_refused() {
    let mut decoded = 0;
    let mut of_large_order = 0;
    let mut encodings: Vec<[u8; 32]> =
        (0..19).flat_map(|more| [unreduced(more, false), unreduced(more, true)]).collect();
    // x = 0 with a sign: "minus zero" on y = 1 and y = -1.
    let mut minus_zero = [0; 32];
    (minus_zero[0], minus_zero[31]) = (1, 0x80);
    encodings.push(minus_zero);
    let mut minus_one = unreduced(0, true);
    minus_one[0] -= 1;
    encodings.push(minus_one);
    for encoding in encodings {
        let refusal = PublicKey::admit(&encoding).unwrap_err();
        match CompressedEdwardsY(encoding).decompress() {
            None => assert_eq!(refusal, KeyRefusal::NotAPoint),
            Some(point) => {
                decoded += 1;
                of_large_order += usize::from(!point.is_small_order());
                assert!(VerifyingKey::from_bytes(&encoding).is_ok(), "a looser check loads it");
                assert_eq!(refusal, KeyRefusal::NotCanonical, "{encoding:02x?}");
            }
        }
    }
    assert!(decoded >= 20 && of_large_order >= 10, "{decoded} decoded, {of_large_order} of large order");
}

#[test]
fn a4_keys_with_a_torsion_component_are_refused() {
    for seed in 0..8 {
        let point =
            CompressedEdwardsY(SigningKey::from_seed(&[seed; 32]).public().to_bytes()).decompress().unwrap();
        for torsion in &EIGHT_TORSION[1..] {
            let mixed = (point + torsion).compress();
            assert!(VerifyingKey::from_bytes(mixed.as_bytes()).is_ok(), "a looser check loads it");
            assert_eq!(PublicKey::admit(mixed.as_bytes()), Err(KeyRefusal::MixedOrder));
        }
    }
}

#[test]
fn why_mixed_order_keys_matter() {
    // Whoever knows `a` signs for A + T as well, where k is a multiple of eight; strict verification lets it through.
    let (a, torsion) = (secret_scalar(), EIGHT_TORSION[1]);
    let mixed = (EdwardsPoint::mul_base(&a) + torsion).compress().to_bytes();
    let loose = VerifyingKey::from_bytes(&mixed).unwrap();
    let accepted = (0u32..1000).any(|nonce| {
        let message = nonce.to_le_bytes();
        let r = Scalar::from(987_654_321u64 + u64::from(nonce));
        let point = EdwardsPoint::mul_base(&r).compress();
        let s = r + challenge(&point, &mixed, &message) * a;
        let signature = Signature::from_components(point.to_bytes(), s.to_bytes());
        loose.verify_strict(&message, &signature).is_ok()
    });
    assert!(accepted, "verify_strict alone admits a mixed-order key");
    assert_eq!(PublicKey::admit(&mixed), Err(KeyRefusal::MixedOrder));
}

#[test]
fn what_is_not_a_point_or_not_hex_is_refused() {
    let not_points = (0..=255u8).filter(|byte| {
        let mut encoding = [0; 32];
        encoding[0] = *byte;
        PublicKey::admit(&encoding) == Err(KeyRefusal::NotAPoint)
    });
    assert!(not_points.count() > 50);
    let text = key().public().to_string();
    for bad in [&text[1..], &text.to_uppercase(), &format!("{text} "), &format!("0x{}", &text[2..])] {
        assert!(matches!(bad.parse::<PublicKey>(), Err(KeyRefusal::Hex(_))), "{bad:?}");
    }
}

#[test]
fn a4_s_plus_the_order_is_refused() {
    let genuine = Forge::good();
    let signature = genuine.sign();
    for times in 1..=15 {
        let mut malleated = signature;
        for _ in 0..times {
            let mut carry = 0u16;
            for (byte, order) in malleated[32..].iter_mut().zip(ORDER) {
                let sum = u16::from(*byte) + u16::from(order) + carry;
                (*byte, carry) = (sum.to_le_bytes()[0], sum >> 8);
            }
            assert_eq!(carry, 0, "S + {times} L still fits");
        }
        // The same S modulo the order: only the range check tells.
        let s: [u8; 32] = malleated[32..].try_into().unwrap();
        assert_eq!(Scalar::from_bytes_mod_order(s).as_bytes(), &signature[32..]);
        let forged = Forge { signature: Some(bytes(&malleated)), ..genuine.clone() }.build();
        assert_eq!(reason(&accept(&forged).unwrap_err()), "Signature", "S + {times} L");
    }
}

#[test]
fn a4_r_of_small_order_is_refused() {
    // R the identity, S = k·a: the equation holds, plain verification accepts, and no nonce was ever used.
    let forge = Forge::good();
    let (public, message) = (key().public().to_bytes(), forge.to_be_signed());
    let loose = VerifyingKey::from_bytes(&public).unwrap();
    let mut accepted_loosely = 0;
    for r in EIGHT_TORSION {
        let r = r.compress();
        let s = challenge(&r, &public, &message) * secret_scalar();
        let signature = Signature::from_components(r.to_bytes(), s.to_bytes());
        accepted_loosely += usize::from(loose.verify(&message, &signature).is_ok());
        let forged = Forge { signature: Some(bytes(&signature.to_bytes())), ..forge.clone() }.build();
        assert_eq!(reason(&accept(&forged).unwrap_err()), "Signature");
    }
    assert!(accepted_loosely > 0, "plain verification accepts at least the identity");
}

#[test]
fn a4_r_in_another_encoding_is_refused() {
    // R = identity written as y = p + 1 and as minus zero: the point is the same, the bytes are not.
    let forge = Forge::good();
    let (public, message) = (key().public().to_bytes(), forge.to_be_signed());
    let mut minus_zero = [0; 32];
    (minus_zero[0], minus_zero[31]) = (1, 0x80);
    for r in [unreduced(1, false), unreduced(1, true), minus_zero] {
        let s = challenge(&CompressedEdwardsY(r), &public, &message) * secret_scalar();
        let signature = [r, s.to_bytes()].concat();
        let forged = Forge { signature: Some(bytes(&signature)), ..forge.clone() }.build();
        assert_eq!(reason(&accept(&forged).unwrap_err()), "Signature");
    }
}
