//! THREATS B2, the image file's side: what is not a genuine image that is wanted here does not give out its parts.

use crate::common::*;
use fades_envelope::{Digest, EnvelopeError, Purpose, SigningKey, sign};
use fades_pack::{
    Architecture, ImageError, MAX_IMAGE, NotWanted, PartName, Reference, Role, Wanted, open, pack,
};

/// Name of the reason; for a manifest or an envelope, with the reason inside.
fn reason(error: &ImageError) -> String {
    let text = format!("{error:?}");
    let words: Vec<&str> = text.split(|c: char| !c.is_ascii_alphanumeric()).collect();
    match error {
        ImageError::Manifest(_) | ImageError::Envelope(_) | ImageError::NotWanted(_) => words[..2].join(" "),
        _ => words[0].to_owned(),
    }
}

fn refusal(bytes: &[u8]) -> ImageError {
    match open(bytes).and_then(|image| image.verify(&key().public())) {
        Ok(_) => panic!("accepted"),
        Err(error) => error,
    }
}

#[test]
fn b2_the_file_around_the_parts() {
    let good = image();
    let envelope = &sign(&key(), Purpose::Image, manifest_text().as_bytes())[..];
    let (loader, application) = (loader(), application());
    let parts = [&loader[..], &application];
    let patched = |at: usize, bytes: &[u8]| {
        let mut out = good.clone();
        out[at..at + bytes.len()].copy_from_slice(bytes);
        out
    };
    let word = |length: usize| u32::try_from(length).unwrap().to_le_bytes();
    let two = [&good[..], &good].concat();
    let stranger = SigningKey::from_seed(&[8; 32]);
    let text = manifest_text();
    let by_stranger = enclose(&sign(&stranger, Purpose::Image, text.as_bytes()), &parts);
    let as_task = enclose(&sign(&key(), Purpose::Task, text.as_bytes()), &parts);
    let flipped = enclose(
        &{
            let mut bytes = envelope.to_vec();
            let last = bytes.len() - 1;
            bytes[last] ^= 1;
            bytes
        },
        &parts,
    );
    let untagged = enclose(&envelope[1..], &parts);
    let padded = enclose(&[envelope, &[0]].concat(), &parts);
    let table: &[(&str, Vec<u8>, &str)] = &[
        ("nothing", vec![], "Truncated"),
        ("an ELF", application.clone(), "Magic"),
        ("lower-case magic", patched(0, b"fadesimg"), "Magic"),
        ("format 0", patched(8, &0u32.to_le_bytes()), "Format"),
        ("format 2", patched(8, &2u32.to_le_bytes()), "Format"),
        ("format 1 the other way round", patched(8, &1u32.to_be_bytes()), "Format"),
        ("envelope of 4 GiB", patched(12, &[0xff; 4]), "Truncated"),
        ("envelope longer than the file", patched(12, &word(good.len())), "Truncated"),
        ("envelope over all the file", patched(12, &word(good.len() - 16)), "Envelope Trailing"),
        ("envelope of 0", patched(12, &[0; 4]), "Envelope Truncated"),
        ("envelope a byte short", patched(12, &word(envelope.len() - 1)), "Envelope Truncated"),
        ("envelope a byte long", patched(12, &word(envelope.len() + 1)), "Envelope Trailing"),
        ("envelope of 64 KiB and 1", enclose(&vec![0xd2; 65_537], &parts), "Envelope TooLarge"),
        ("untagged", untagged, "Envelope Shape"),
        ("a byte in the envelope's end", padded, "Envelope Trailing"),
        ("signed by a stranger", by_stranger, "Envelope WrongKey"),
        ("signed as a task", as_task, "Envelope Purpose"),
        ("signature flipped", flipped, "Envelope Signature"),
        ("a byte after the end", [&good[..], &[0]].concat(), "Trailing"),
        ("two images", two, "Trailing"),
        ("parts swapped", enclose(envelope, &[&application, &loader]), "PartDigest"),
        ("loader twice", enclose(envelope, &[&loader, &loader]), "Truncated"),
        ("no parts", enclose(envelope, &[]), "Truncated"),
        ("one byte too large", vec![0; MAX_IMAGE + 1], "TooLarge"),
    ];
    for (what, bytes, expected) in table {
        let error = refusal(bytes);
        assert_eq!(reason(&error), *expected, "{what}: {error:?}");
    }
}

#[test]
fn b2_truncated_anywhere() {
    let good = image();
    let header_and_envelope = good.len() - loader().len() - application().len();
    let sampled = (header_and_envelope..good.len()).step_by(97).chain([good.len() - 1]);
    for at in (0..header_and_envelope).chain(sampled) {
        let error = refusal(&good[..at]);
        assert_eq!(reason(&error), "Truncated", "at {at}: {error:?}");
    }
}

#[test]
fn b2_changed_anywhere() {
    let good = image();
    let parts = good.len() - loader().len() - application().len();
    let sampled = (parts..good.len()).step_by(41).chain([good.len() - 1]);
    for at in (0..parts).chain(sampled) {
        let mut changed = good.clone();
        changed[at] ^= 1 << (at % 8);
        let error = refusal(&changed);
        let expected_of_parts =
            if at < parts + loader().len() { PartName::Loader } else { PartName::Application };
        match error {
            ImageError::PartDigest { part, .. } => assert!(at >= parts && part == expected_of_parts, "{at}"),
            _ => assert!(at < parts, "{at}: {error:?}"),
        }
    }
}

#[test]
fn b2_a_manifest_that_lies_about_its_parts() {
    let (loader, application) = (loader(), application());
    let text = manifest_text();
    let (parts, other) = (loader.len() + application.len(), Digest::of(b"other").to_string());
    let lie = |from: &str, to: &str, parts: &[&[u8]]| {
        assert!(text.contains(from), "{from}");
        reason(&refusal(&forge(&text.replacen(from, to, 1), parts)))
    };
    let both = [&loader[..], &application];
    let size = |size: u64| format!(r#""size":{size}"#);
    assert_eq!(lie(&Digest::of(&loader).to_string(), &other, &both), "PartDigest");
    assert_eq!(lie(&Digest::of(&application).to_string(), &other, &both), "PartDigest");
    assert_eq!(lie(&Digest::of(&both.concat()).to_string(), &other, &both), "Digest");
    assert_eq!(lie(&size(parts as u64), &size(parts as u64 + 1), &both), "Manifest Size");
    assert_eq!(lie(&size(loader.len() as u64), &size(u64::MAX), &both), "Manifest Size");
    assert_eq!(lie(&size(loader.len() as u64), &size(0), &both), "Manifest Size");
    // All sizes agree with each other, and not with the file.
    let huge = text.replacen(&size(application.len() as u64), &size(1 << 40), 1).replacen(
        &size(parts as u64),
        &size((1 << 40) + loader.len() as u64),
        1,
    );
    assert_eq!(reason(&refusal(&forge(&huge, &both))), "Truncated");
    // The boundary between the parts moved by one.
    let moved = text.replacen(&size(loader.len() as u64), &size(loader.len() as u64 + 1), 1).replacen(
        &size(application.len() as u64),
        &size(application.len() as u64 - 1),
        1,
    );
    assert_eq!(reason(&refusal(&forge(&moved, &both))), "PartDigest");
    // Every digest right, and the parts are not what the manifest says they are for.
    let arm = text.replacen("x86_64", "aarch64", 1);
    assert_eq!(reason(&refusal(&forge(&arm, &both))), "Elf");
}

#[test]
fn b2_a_genuine_image_that_is_not_wanted() {
    let bytes = image();
    let image = open(&bytes).unwrap().verify(&key().public()).unwrap();
    let good = Wanted {
        role: Role::Dmf,
        architecture: Architecture::X86_64,
        reference: Some(image.reference()),
        floor: Some("0.2.0".parse().unwrap()),
    };
    assert_eq!(image.admit(&good), Ok(()));
    let any = Wanted { reference: None, floor: None, ..good.clone() };
    assert_eq!(image.admit(&any), Ok(()));
    let other = Digest::of(b"other");
    let digest = Some(Reference { digest: other, ..image.reference() });
    assert_eq!(
        image.admit(&Wanted { reference: digest, ..good.clone() }),
        Err(NotWanted::Digest { wanted: other, found: image.reference().to_string() })
    );
    let name = Some(Reference { name: "window".parse().unwrap(), ..image.reference() });
    assert_eq!(
        image.admit(&Wanted { reference: name, ..good.clone() }),
        Err(NotWanted::Name { wanted: "window".into(), found: "stats".into() })
    );
    assert_eq!(
        image.admit(&Wanted { role: Role::Drb, ..good.clone() }),
        Err(NotWanted::Role { wanted: Role::Drb, found: Role::Dmf })
    );
    assert_eq!(
        image.admit(&Wanted { architecture: Architecture::Aarch64, ..good.clone() }),
        Err(NotWanted::Architecture { wanted: Architecture::Aarch64, found: Architecture::X86_64 })
    );
    for floor in ["0.2.2", "0.3.0", "1.0.0", "0.10.0"] {
        let (floor, found) = (floor.parse().unwrap(), "0.2.1".parse().unwrap());
        assert_eq!(
            image.admit(&Wanted { floor: Some(floor), ..good.clone() }),
            Err(NotWanted::BelowFloor { floor, found })
        );
    }
}

#[test]
fn the_same_parts_under_another_manifest_are_another_image() {
    let digest = |version: &str| {
        let mut description = description();
        description.version = version.parse().unwrap();
        let bytes = pack(&description, &loader(), &application(), &key()).unwrap();
        let image = open(&bytes).unwrap().verify(&key().public()).unwrap();
        (image.digest(), image.manifest().digest)
    };
    let (old, new) = (digest("0.1.0"), digest("0.2.0"));
    assert_ne!(old.0, new.0);
    assert_eq!(old.1, new.1);
}

#[test]
fn reasons_are_sentences() {
    let bytes = image();
    let error = refusal(&bytes[..10]);
    assert_eq!(error.to_string(), "the image ends at byte 10, its header reaches to byte 16");
    let stranger = SigningKey::from_seed(&[8; 32]).public();
    let error = open(&bytes).unwrap().verify(&stranger).unwrap_err();
    assert!(matches!(error, ImageError::Envelope(EnvelopeError::WrongKey { .. })));
    let arm = elf64(EM_AARCH64, &[]);
    let error = pack(&description(), &loader(), &arm, &key()).unwrap_err();
    let source = std::error::Error::source(&error).unwrap().to_string();
    assert_eq!(source, "the application is not an ELF for x86_64: it is for Aarch64");
}
