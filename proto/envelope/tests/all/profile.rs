//! THREATS A1, A3, A6 and the envelope's side of A9: each thing that is not the profile, with its reason.
//!
//! Everything here is signed properly over its own bytes: only the profile stands against it.

use crate::common::*;
use fades_envelope::{EnvelopeError, MAX_ENVELOPE, Purpose, SigningKey, parse, sign};

/// The table's rows: what, envelope, reason.
type Row = (&'static str, Vec<u8>, &'static str);

#[test]
fn the_forge_makes_what_we_make() {
    let good = Forge::good();
    assert_eq!(good.build(), sign(&key(), Purpose::Task, &good.payload));
    assert_eq!(accept(&good.build()), Ok(good.payload));
}

#[track_caller]
fn refuse_all(rows: Vec<Row>) {
    for (what, envelope, expected) in rows {
        match accept(&envelope) {
            Ok(_) => panic!("{what}: accepted"),
            Err(error) => assert_eq!(reason(&error), expected, "{what}: {error}"),
        }
    }
}

#[test]
fn a1_signatures_keys_and_algorithms() {
    let good = Forge::good;
    let alg_of = |encoded: &[u8]| {
        let entry = [&[0x01], encoded].concat();
        Forge::with_header(&[entry, task_type(), key_id()]).build()
    };
    let stranger = SigningKey::from_seed(&[8; 32]);
    let mut wrong_key = good();
    wrong_key.signature = Some({
        let bytes = sign(&stranger, Purpose::Task, &wrong_key.payload);
        crate::common::bytes(&bytes[bytes.len() - 64..])
    });
    refuse_all(vec![
        ("no signature", Forge { signature: Some(vec![]), ..good() }.build(), "Truncated"),
        ("null signature", Forge { signature: Some(vec![0xf6]), ..good() }.build(), "Shape"),
        ("empty signature", Forge { signature: Some(vec![0x40]), ..good() }.build(), "Count"),
        ("63 bytes", Forge { signature: Some(bytes(&[0; 63])), ..good() }.build(), "Count"),
        ("65 bytes", Forge { signature: Some(bytes(&[0; 65])), ..good() }.build(), "Count"),
        ("zero signature", Forge { signature: Some(bytes(&[0; 64])), ..good() }.build(), "Signature"),
        ("unknown key id", sign(&stranger, Purpose::Task, b"{}"), "WrongKey"),
        ("right key id, signed by another", wrong_key.build(), "Signature"),
        ("ES256", alg_of(&[0x26]), "Algorithm"),
        ("Ed25519 of RFC 9864 (-19)", alg_of(&[0x32]), "Algorithm"),
        ("HMAC 256/256 (5)", alg_of(&[0x05]), "Algorithm"),
        ("none (0)", alg_of(&[0x00]), "Algorithm"),
        ("algorithm 8 instead of -8", alg_of(&[0x08]), "Algorithm"),
        ("algorithm as text", alg_of(&text(b"EdDSA")), "Shape"),
        ("algorithm null", alg_of(&[0xf6]), "Shape"),
        (
            "algorithm unprotected as well",
            Forge { unprotected: [vec![0xa1], alg()].concat(), ..good() }.build(),
            "Unprotected",
        ),
        (
            "algorithm unprotected only",
            Forge {
                unprotected: [vec![0xa1], alg()].concat(),
                ..Forge::with_header(&[task_type(), key_id()])
            }
            .build(),
            "Count",
        ),
        (
            "key id unprotected as well",
            Forge { unprotected: [vec![0xa1], key_id()].concat(), ..good() }.build(),
            "Unprotected",
        ),
        (
            "key id unprotected only",
            Forge {
                unprotected: [vec![0xa1], key_id()].concat(),
                ..Forge::with_header(&[alg(), task_type()])
            }
            .build(),
            "Count",
        ),
    ]);
}

#[test]
fn a3_other_encodings_of_the_same() {
    let good = Forge::good;
    let genuine = good().build();
    let header = good().protected;
    let payload = good().payload;
    let signature = good().sign();
    let chunked = |major: u8, content: &[u8]| {
        [vec![major << 5 | 31], short(major, content.len() as u64), content.to_vec(), vec![0xff]].concat()
    };
    let kid = key().public().id().0;
    let long = |width| head(2, payload.len() as u64, width);
    refuse_all(vec![
        ("untagged", genuine[1..].to_vec(), "Shape"),
        ("tag 98, COSE_Sign", Forge { tag: vec![0xd8, 98], ..good() }.build(), "Count"),
        ("tag 17", Forge { tag: vec![0xd1], ..good() }.build(), "Count"),
        ("tagged twice", Forge { tag: vec![0xd2, 0xd2], ..good() }.build(), "Shape"),
        ("self-described", Forge { tag: vec![0xd9, 0xd9, 0xf7, 0xd2], ..good() }.build(), "Count"),
        ("long tag", Forge { tag: vec![0xd8, 18], ..good() }.build(), "NotMinimal"),
        ("long array", Forge { array: vec![0x98, 4], ..good() }.build(), "NotMinimal"),
        ("array of 3", Forge { array: vec![0x83], ..good() }.build(), "Count"),
        ("array of 5", Forge { array: vec![0x85], after: vec![0xf6], ..good() }.build(), "Count"),
        ("open array", Forge { array: vec![0x9f], after: vec![0xff], ..good() }.build(), "Indefinite"),
        ("reserved length 28", Forge { array: vec![0x9c], ..good() }.build(), "Shape"),
        (
            "long header length",
            Forge { protected_head: Some(head(2, header.len() as u64, 2)), ..good() }.build(),
            "NotMinimal",
        ),
        (
            "open header string",
            Forge { protected_head: Some(vec![0x5f, 0x58, 0x4c]), ..good() }.build(),
            "Indefinite",
        ),
        ("header as a bare map", Forge { protected_head: Some(vec![]), ..good() }.build(), "Shape"),
        ("empty header", Forge { protected: vec![], ..good() }.build(), "Truncated"),
        ("header of an empty map", Forge::with_header(&[]).build(), "Count"),
        (
            "open map in the header",
            Forge { protected: [&[0xbf], &header[1..], &[0xff]].concat(), ..good() }.build(),
            "Indefinite",
        ),
        (
            "bytes after the header's map",
            Forge { protected: [&header[..], &[0]].concat(), ..good() }.build(),
            "Trailing",
        ),
        (
            "long label",
            Forge::with_header(&[vec![0x18, 1, 0x27], task_type(), key_id()]).build(),
            "NotMinimal",
        ),
        (
            "long algorithm",
            Forge::with_header(&[vec![0x01, 0x38, 7], task_type(), key_id()]).build(),
            "NotMinimal",
        ),
        (
            "long content type",
            Forge::with_header(&[
                alg(),
                [vec![3], head(3, 34, 2), Purpose::Task.content_type().into()].concat(),
                key_id(),
            ])
            .build(),
            "NotMinimal",
        ),
        (
            "content type in chunks",
            Forge::with_header(&[
                alg(),
                [vec![3], chunked(3, Purpose::Task.content_type().as_bytes())].concat(),
                key_id(),
            ])
            .build(),
            "Indefinite",
        ),
        (
            "long key id",
            Forge::with_header(&[alg(), task_type(), [vec![4], head(2, 32, 4), kid.to_vec()].concat()])
                .build(),
            "NotMinimal",
        ),
        (
            "key id of 31",
            Forge::with_header(&[alg(), task_type(), [vec![4], bytes(&kid[1..])].concat()]).build(),
            "Count",
        ),
        (
            "key id of 33",
            Forge::with_header(&[alg(), task_type(), [vec![4], bytes(&[0; 33])].concat()]).build(),
            "Count",
        ),
        ("key id first", Forge::with_header(&[key_id(), alg(), task_type()]).build(), "Label"),
        ("content type last", Forge::with_header(&[alg(), key_id(), task_type()]).build(), "Label"),
        ("algorithm twice, no key id", Forge::with_header(&[alg(), alg(), task_type()]).build(), "Label"),
        ("key id twice", Forge::with_header(&[alg(), task_type(), key_id(), key_id()]).build(), "Count"),
        (
            "critical labels",
            Forge::with_header(&[alg(), vec![2, 0x81, 1], task_type(), key_id()]).build(),
            "Count",
        ),
        (
            "an unknown label instead",
            Forge::with_header(&[alg(), task_type(), vec![0x18, 99, 0]]).build(),
            "Label",
        ),
        (
            "a text label",
            Forge::with_header(&[[text(b"alg"), vec![0x27]].concat(), task_type(), key_id()]).build(),
            "Shape",
        ),
        ("unprotected as bytes", Forge { unprotected: vec![0x40], ..good() }.build(), "Shape"),
        ("long unprotected map", Forge { unprotected: vec![0xb8, 0], ..good() }.build(), "NotMinimal"),
        ("open unprotected map", Forge { unprotected: vec![0xbf, 0xff], ..good() }.build(), "Indefinite"),
        ("detached payload", Forge { payload_encoded: Some(vec![0xf6]), ..good() }.build(), "Shape"),
        ("payload as text", Forge { payload_encoded: Some(text(&payload)), ..good() }.build(), "Shape"),
        (
            "payload length in 4",
            Forge { payload_encoded: Some([long(4), payload.clone()].concat()), ..good() }.build(),
            "NotMinimal",
        ),
        (
            "payload length in 8",
            Forge { payload_encoded: Some([long(8), payload.clone()].concat()), ..good() }.build(),
            "NotMinimal",
        ),
        (
            "payload in chunks",
            Forge { payload_encoded: Some(chunked(2, &payload)), ..good() }.build(),
            "Indefinite",
        ),
        (
            "signature length in 2",
            Forge { signature: Some([head(2, 64, 2), signature.to_vec()].concat()), ..good() }.build(),
            "NotMinimal",
        ),
        (
            "signature in chunks",
            Forge { signature: Some(chunked(2, &signature)), ..good() }.build(),
            "Indefinite",
        ),
        ("one byte after", Forge { after: vec![0], ..good() }.build(), "Trailing"),
        ("a line end after", Forge { after: vec![b'\n'], ..good() }.build(), "Trailing"),
        ("two envelopes", Forge { after: genuine.clone(), ..good() }.build(), "Trailing"),
        ("one byte before", [&[0], &genuine[..]].concat(), "Shape"),
    ]);
}

#[test]
fn a6_no_signature_serves_another_purpose() {
    let key = key();
    for made in Purpose::ALL {
        let envelope = sign(&key, made, b"{}");
        for wanted in Purpose::ALL {
            let outcome = parse(&envelope).unwrap().verify(&key.public(), wanted).map(|_| ());
            let expected =
                if made == wanted { Ok(()) } else { Err(EnvelopeError::Purpose { wanted, found: made }) };
            assert_eq!(outcome, expected, "{made:?} as {wanted:?}");
        }
    }
}

#[test]
fn a6_the_purpose_is_signed_and_not_only_said() {
    // The content type says one thing, the signature was made for another: only the aad tells.
    for said in Purpose::ALL {
        for made in Purpose::ALL.into_iter().filter(|made| *made != said) {
            let header = [alg(), content_type(said.content_type()), key_id()];
            let forged = Forge { aad: made.aad(), ..Forge::with_header(&header) }.build();
            let outcome = parse(&forged).unwrap().verify(&key().public(), said).map(|_| ());
            let key = key().public().id();
            assert_eq!(outcome, Err(EnvelopeError::Signature { key }), "{made:?} said to be {said:?}");
        }
    }
    refuse_all(vec![("no aad", Forge { aad: "", ..Forge::good() }.build(), "Signature")]);
}

#[test]
fn a6_other_versions_and_types_are_unknown() {
    let typed = |name: &[u8]| Forge::with_header(&[alg(), [vec![3], text(name)].concat(), key_id()]).build();
    refuse_all(vec![
        ("version 2", typed(b"application/vnd.fades.task.v2+json"), "ContentType"),
        ("upper case", typed(b"Application/vnd.fades.task.v1+json"), "ContentType"),
        ("longer", typed(b"application/vnd.fades.task.v1+json "), "ContentType"),
        ("empty", typed(b""), "ContentType"),
        ("not UTF-8", typed(&[0xff, 0xfe, 0xc0, 0x80]), "ContentType"),
        ("a CoAP number", Forge::with_header(&[alg(), vec![3, 0x18, 50], key_id()]).build(), "Shape"),
    ]);
}

#[test]
fn a9_lying_lengths_depth_and_odd_values() {
    let good = Forge::good;
    let lie = 1 << 40;
    let deep = |byte: u8| vec![byte; MAX_ENVELOPE];
    let with_alg =
        |encoded: Vec<u8>| Forge::with_header(&[[vec![1], encoded].concat(), task_type(), key_id()]).build();
    refuse_all(vec![
        ("nothing", vec![], "Truncated"),
        ("array of 2^40", Forge { array: head(4, lie, 8), ..good() }.build(), "Count"),
        ("array of 2^64-1", Forge { array: head(4, u64::MAX, 8), ..good() }.build(), "Count"),
        ("header of 2^40", Forge { protected_head: Some(head(2, lie, 8)), ..good() }.build(), "Truncated"),
        ("map of 2^40 in the header", Forge { protected: head(5, lie, 8), ..good() }.build(), "Count"),
        ("unprotected map of 2^40", Forge { unprotected: head(5, lie, 8), ..good() }.build(), "Unprotected"),
        ("payload of 2^40", Forge { payload_encoded: Some(head(2, lie, 8)), ..good() }.build(), "Truncated"),
        (
            "payload of 2^64-1",
            Forge { payload_encoded: Some(head(2, u64::MAX, 8)), ..good() }.build(),
            "Truncated",
        ),
        ("signature of 2^40", Forge { signature: Some(head(2, lie, 8)), ..good() }.build(), "Truncated"),
        (
            "content type of 2^40",
            Forge::with_header(&[alg(), [vec![3], head(3, lie, 8)].concat(), key_id()]).build(),
            "Truncated",
        ),
        ("arrays in arrays", deep(0x81), "Shape"),
        ("open arrays in arrays", deep(0x9f), "Shape"),
        ("tags on tags", deep(0xd2), "Shape"),
        ("maps in maps", deep(0xa1), "Shape"),
        ("a million deep", vec![0x81; 1_000_000], "TooLarge"),
        ("arrays in the header", Forge { protected: vec![0x81; 60_000], ..good() }.build(), "Shape"),
        ("arrays as the algorithm", with_alg(vec![0x81; 60_000]), "Shape"),
        (
            "arrays as unprotected map",
            Forge { unprotected: vec![0xa1; 60_000], ..good() }.build(),
            "Unprotected",
        ),
        ("algorithm NaN", with_alg(vec![0xf9, 0x7e, 0]), "Shape"),
        ("algorithm -8.0", with_alg(vec![0xf9, 0xc8, 0]), "Shape"),
        ("algorithm infinite", with_alg(vec![0xfb, 0x7f, 0xf0, 0, 0, 0, 0, 0, 0]), "Shape"),
        ("algorithm 2^64-1", with_alg(head(0, u64::MAX, 8)), "Algorithm"),
        ("algorithm -2^64", with_alg(head(1, u64::MAX, 8)), "Algorithm"),
        ("algorithm as big number", with_alg(vec![0xc3, 0x41, 7]), "Shape"),
        (
            "label -2^64",
            Forge::with_header(&[[head(1, u64::MAX, 8), vec![0x27]].concat(), task_type(), key_id()]).build(),
            "Label",
        ),
        ("one byte too large", sign(&key(), Purpose::Task, &vec![b' '; MAX_ENVELOPE - 148]), "TooLarge"),
    ]);
    let largest = sign(&key(), Purpose::Task, &vec![b' '; MAX_ENVELOPE - 149]);
    assert_eq!(largest.len(), MAX_ENVELOPE);
    assert!(accept(&largest).is_ok());
}

#[test]
fn reasons_name_the_place() {
    let truncated = parse(&Forge::good().build()[..100]).unwrap_err();
    assert_eq!(truncated.to_string(), "623 bytes are announced at byte 83, 17 are left");
    let two = Forge { after: vec![0, 0], ..Forge::good() }.build();
    assert_eq!(
        parse(&two).unwrap_err().to_string(),
        format!("2 bytes follow the end at byte {}", two.len() - 2)
    );
}
