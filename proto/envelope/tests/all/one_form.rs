//! Of each signed object exactly one byte string is accepted: THREATS A2 and A3 for every purpose. And nothing that was made without the
//! key.
//!
//! `FADES_EDITS=255` tries so many other values of every byte; otherwise every flipped bit.

use fades_envelope::{Purpose, parse, sign};
use rand::rngs::StdRng;
use rand::{RngCore, SeedableRng};

use crate::common::{Forge, alg, bytes, content_type, head, key, key_id, protected, short, wrapper};

/// Forgeries that nobody's key was needed for.
const KEYLESS: u64 = 4_096;
/// The order of the group, little-endian (RFC 8032 §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];

fn accepted(envelope: &[u8], purpose: Purpose) -> bool {
    parse(envelope).is_ok_and(|parsed| parsed.verify(&key().public(), purpose).is_ok())
}

/// What is signed for a purpose: a whole wrapper, and of the others as much as makes no difference to an envelope.
fn payload(purpose: Purpose) -> Vec<u8> {
    match purpose {
        Purpose::Task => wrapper("01JD0000000000000000000000"),
        Purpose::Image => br#"{"schema":"fades.image.v1","name":"stats","version":"1.0.0"}"#.to_vec(),
        Purpose::Receipt => br#"{"_type":"https://in-toto.io/Statement/v1","subject":[]}"#.to_vec(),
        Purpose::Request => br#"{"method":"GET","path":"/v1/tasks"}"#.to_vec(),
    }
}

#[test]
fn no_single_byte_edit_is_accepted_for_any_purpose() {
    let values = std::env::var("FADES_EDITS").ok().map(|count| count.parse().unwrap());
    let tried: u64 = std::thread::scope(|scope| {
        let of = |purpose: Purpose| {
            let genuine = sign(&key(), purpose, &payload(purpose));
            assert!(accepted(&genuine, purpose));
            let mut tried = 0;
            let mut refuse = |edited: &[u8], what: &str, at: usize| {
                tried += 1;
                assert!(
                    edited == genuine || !accepted(edited, purpose),
                    "{purpose:?}: {what} at {at} is accepted"
                );
            };
            for at in 0..genuine.len() {
                let mut edited = genuine.clone();
                let others: Vec<u8> =
                    values.map_or_else(|| (0..8).map(|bit| 1 << bit).collect(), |most| (1..=most).collect());
                for difference in others {
                    edited[at] = genuine[at] ^ difference;
                    refuse(&edited, "another byte", at);
                }
                let (before, after) = genuine.split_at(at);
                refuse(&[before, &after[1..]].concat(), "a missing byte", at);
                for extra in [0x00, 0x40, 0x58, 0xa0, 0xd2, 0xf6, 0xff, after[0]] {
                    refuse(&[before, &[extra], after].concat(), "one more byte", at);
                }
            }
            refuse(&[&genuine[..], &[0]].concat(), "one more byte", genuine.len());
            tried
        };
        let threads: Vec<_> =
            Purpose::ALL.into_iter().map(|purpose| scope.spawn(move || of(purpose))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).sum()
    });
    eprintln!("tried: {tried} | edits of one byte of four signed objects");
}

/// Every way to write the same envelope otherwise; those of the header are signed as they are written, as its signer could.
fn written_otherwise(purpose: Purpose) -> Vec<Vec<u8>> {
    let header = || protected(&[alg(), content_type(purpose.content_type()), key_id()]);
    let good =
        || Forge { protected: header(), payload: payload(purpose), aad: purpose.aad(), ..Forge::good() };
    let string = |content: &[u8], width| [head(2, content.len() as u64, width), content.to_vec()].concat();
    let open = |content: &[u8]| [&[0x5f][..], &bytes(content), &[0xff]].concat();
    let mut forms = Vec::new();
    for tag in
        [vec![], vec![0xd8, 18], vec![0xd9, 0, 18], vec![0xda, 0, 0, 0, 18], vec![0xd2, 0xd2], vec![0xd1]]
    {
        forms.push(Forge { tag, ..good() });
    }
    forms.push(Forge { tag: vec![0xd9, 0xd9, 0xf7, 0xd2], ..good() });
    for array in [vec![0x98, 4], vec![0x99, 0, 4], vec![0x9a, 0, 0, 0, 4]] {
        forms.push(Forge { array, ..good() });
    }
    forms.push(Forge { array: vec![0x9f], after: vec![0xff], ..good() });
    forms.push(Forge { array: vec![0x85], after: vec![0xf6], ..good() });
    for unprotected in
        [vec![0xb8, 0], vec![0xb9, 0, 0], vec![0xbf, 0xff], vec![0xa1, 0x01, 0x27], vec![0x80], vec![0xf6]]
    {
        forms.push(Forge { unprotected, ..good() });
    }
    let (body, signature) = (payload(purpose), good().sign());
    // The shortest head of each is shorter.
    for width in [4, 8] {
        forms.push(Forge { payload_encoded: Some(string(&body, width)), ..good() });
        forms.push(Forge { signature: Some(string(&signature, width)), ..good() });
        forms.push(Forge { protected_head: Some(head(2, header().len() as u64, width)), ..good() });
    }
    forms.push(Forge { payload_encoded: Some(open(&body)), ..good() });
    forms.push(Forge { signature: Some(open(&signature)), ..good() });
    for after in [vec![0x00], vec![0xf6], vec![0xff]] {
        forms.push(Forge { after, ..good() });
    }
    // Other headers of the same meaning.
    let entries = [alg(), content_type(purpose.content_type()), key_id()];
    for order in [[0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]] {
        let protected = protected(&order.map(|at| entries[at].clone()));
        forms.push(Forge { protected, ..good() });
    }
    let long_map = [vec![0xb8, 3], entries.concat()].concat();
    let open_map = [vec![0xbf], entries.concat(), vec![0xff]].concat();
    let long_alg = [vec![0xa3, 0x01, 0x38, 0x07], entries[1].clone(), entries[2].clone()].concat();
    let long_label = [vec![0xa3, 0x18, 0x01, 0x27], entries[1].clone(), entries[2].clone()].concat();
    let twice = [short(5, 4), entries.concat(), alg()].concat();
    for protected in [long_map, open_map, long_alg, long_label, twice] {
        forms.push(Forge { protected, ..good() });
    }
    let genuine = good().build();
    assert!(accepted(&genuine, purpose), "{purpose:?}");
    assert_eq!(genuine, sign(&key(), purpose, &body));
    let mut forms: Vec<Vec<u8>> = forms.iter().map(Forge::build).collect();
    forms.push(bytes(&genuine));
    forms.push([&genuine[..], &genuine].concat());
    forms
}

#[test]
fn of_all_forms_of_one_object_one_is_accepted() {
    for purpose in Purpose::ALL {
        let forms = written_otherwise(purpose);
        assert!(forms.len() > 40, "{}", forms.len());
        for (number, form) in forms.iter().enumerate() {
            assert!(!accepted(form, purpose), "{purpose:?}: form {number} is accepted: {form:02x?}");
        }
    }
}

#[test]
fn no_forgery_without_a_key_is_accepted() {
    let mut random = StdRng::seed_from_u64(8);
    let mut small = [0; 32];
    small[0] = 1;
    let mut minus_one = [0xff; 32];
    (minus_one[0], minus_one[31]) = (0xec, 0x7f);
    let public = key().public().to_bytes();
    for number in 0..KEYLESS {
        let mut drawn = [0; 64];
        random.fill_bytes(&mut drawn);
        let (r, s) = drawn.split_at_mut(32);
        match number % 8 {
            0 => {}
            1 => r.copy_from_slice(&small),
            2 => r.copy_from_slice(&minus_one),
            3 => r.copy_from_slice(&public),
            4 => s.fill(0),
            5 => s.copy_from_slice(&ORDER),
            6 => s[31] &= 0x0f,
            _ => {
                r.fill(0);
                s.fill(0);
                s[0] = u8::try_from(number % 256).unwrap();
            }
        }
        for purpose in Purpose::ALL {
            let protected = protected(&[alg(), content_type(purpose.content_type()), key_id()]);
            let forged =
                Forge { protected, signature: Some(bytes(&drawn)), aad: purpose.aad(), ..Forge::good() };
            assert!(!accepted(&forged.build(), purpose), "forgery {number} is accepted: {drawn:02x?}");
        }
    }
}
