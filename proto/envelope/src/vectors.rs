//! Signatures of others: what they say is good is good here, and what they say is none is none.
//!
//! Verification here is stricter than RFC 8032 asks for: small-order points are none, and there is no cofactor. No vector asks for less.

use crate::{KeyRefusal, PublicKey, SigningKey};

const RFC_8032: &str = include_str!("../tests/data/rfc8032.txt");
const WYCHEPROOF: &str = include_str!("../tests/data/wycheproof-ed25519.txt");

fn lines<const COLUMNS: usize>(text: &str) -> Vec<[&str; COLUMNS]> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    lines.map(|line| line.split(' ').collect::<Vec<_>>().try_into().expect("so many columns")).collect()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = if hex == "-" { "" } else { hex };
    let byte = |at: usize| u8::from_str_radix(&digits[at..at + 2], 16).expect("digits");
    (0..digits.len()).step_by(2).map(byte).collect()
}

fn key(hex: &str) -> Result<PublicKey, KeyRefusal> {
    PublicKey::admit(&bytes(hex).try_into().expect("32 bytes"))
}

#[test]
fn the_vectors_of_rfc_8032_hold() {
    assert_eq!(lines::<4>(RFC_8032).len(), 4);
    for [secret, public, message, signature] in lines(RFC_8032) {
        let signing = SigningKey::from_seed(&bytes(secret).try_into().expect("32 bytes"));
        assert_eq!(signing.public().to_string(), public);
        let signed = signing.sign(&bytes(message));
        assert_eq!(signed.to_vec(), bytes(signature), "{message}");
        assert!(key(public).expect("a key").verifies(&bytes(message), &signed));
    }
}

#[test]
fn the_vectors_of_wycheproof_hold() {
    let (mut valid, mut invalid) = (0, 0);
    for [number, result, public, message, signature] in lines(WYCHEPROOF) {
        // An envelope has room for 64 bytes and nothing else.
        let signature: Result<[u8; 64], _> = bytes(signature).try_into();
        let verifies = match (key(public), signature) {
            (Ok(key), Ok(signature)) => key.verifies(&bytes(message), &signature),
            _ => false,
        };
        assert_eq!(verifies, result == "valid", "vector {number}");
        *(if verifies { &mut valid } else { &mut invalid }) += 1;
    }
    assert!(valid > 50 && invalid > 50, "{valid} and {invalid}");
}
