//! The good path: what is packed is what is opened.

use crate::common::*;
use fades_envelope::Digest;
use fades_pack::{
    Architecture, Description, ImageError, MAX_IMAGE, PackError, PartName, Role, Wanted, open, pack,
};

#[test]
fn an_image_opens_as_it_was_packed() {
    let bytes = image();
    let packed = open(&bytes).unwrap();
    assert_eq!(packed.key_id(), key().public().id());
    let image = packed.verify(&key().public()).unwrap();
    assert_eq!((image.loader(), image.application()), (&loader()[..], &application()[..]));
    assert_eq!(image.key_id(), key().public().id());
    let manifest = image.manifest();
    assert_eq!((manifest.name.as_str(), manifest.version.to_string()), ("stats", "0.2.1".into()));
    assert_eq!((manifest.role, manifest.architecture), (Role::Dmf, Architecture::X86_64));
    assert_eq!(manifest.minimum_memory_mib, 32);
    assert_eq!(manifest.size, (loader().len() + application().len()) as u64);
    assert_eq!(manifest.digest, Digest::of(&[loader(), application()].concat()));
    assert_eq!(manifest.parts[0].sha256, Digest::of(&loader()));
    let wanted = Wanted {
        role: Role::Dmf,
        architecture: Architecture::X86_64,
        reference: Some(image.reference()),
        floor: Some("0.2.1".parse().unwrap()),
    };
    assert_eq!(image.admit(&wanted), Ok(()));
}

#[test]
fn the_digest_is_that_of_the_signed_manifest_and_packing_is_reproducible() {
    let text = manifest_text();
    let bytes = image();
    let image = open(&bytes).unwrap().verify(&key().public()).unwrap();
    assert_eq!(image.digest(), Digest::of(text.as_bytes()));
    assert_eq!(image.reference().to_string(), format!("stats@sha256:{}", Digest::of(text.as_bytes())));
    assert_eq!(bytes, crate::common::image());
    assert_eq!(bytes, forge(&text, &[&loader(), &application()]));
}

#[test]
fn the_manifest_is_pinned() {
    let (loader_digest, application_digest) = (Digest::of(&loader()), Digest::of(&application()));
    let (loader_size, application_size) = (loader().len(), application().len());
    let digest = Digest::of(&[loader(), application()].concat());
    let size = loader_size + application_size;
    assert_eq!(
        manifest_text(),
        format!(
            r#"{{"schema":"fades.image.v1","name":"stats","version":"0.2.1","role":"dmf","architecture":"x86_64","minimum_memory_mib":32,"parts":[{{"name":"loader","sha256":"{loader_digest}","size":{loader_size}}},{{"name":"application","sha256":"{application_digest}","size":{application_size}}}],"digest":"{digest}","size":{size}}}"#
        )
    );
}

#[test]
fn a_loader_may_be_of_32_bits_on_x86_and_an_application_may_not() {
    let small = elf32(EM_386);
    assert!(pack(&description(), &small, &application(), &key()).is_ok());
    match pack(&description(), &loader(), &small, &key()) {
        Err(PackError::Refused(ImageError::Elf { part: PartName::Application, .. })) => {}
        outcome => panic!("{:?}", outcome.map(|bytes| bytes.len())),
    }
}

#[test]
fn what_would_be_refused_is_not_packed() {
    let refused = |description: &_, loader: &[u8], application: &[u8]| match pack(
        description,
        loader,
        application,
        &key(),
    ) {
        Err(PackError::Refused(error)) => error,
        outcome => panic!("{:?}", outcome.map(|bytes| bytes.len())),
    };
    for junk in [&b""[..], b"\x7fELF", b"#!/bin/sh\n", &[0; 64]] {
        let error = refused(&description(), junk, &application());
        assert!(matches!(error, ImageError::Elf { part: PartName::Loader, .. }), "{error}");
        let error = refused(&description(), &loader(), junk);
        assert!(matches!(error, ImageError::Elf { part: PartName::Application, .. }), "{error}");
    }
    let arm = elf64(EM_AARCH64, &[]);
    // The loader of aarch64 is a flat image of Linux' form, and that of x86-64 is not.
    let mut flat = vec![0; 64];
    flat[56..60].copy_from_slice(b"ARM\x64");
    let for_arm = Description { architecture: Architecture::Aarch64, ..description() };
    assert!(pack(&for_arm, &flat, &arm, &key()).is_ok());
    for (description, loader, application) in [
        (&for_arm, &loader(), &arm),
        (&for_arm, &flat[..59].to_vec(), &arm),
        (&for_arm, &flat, &application()),
        (&description(), &flat, &application()),
    ] {
        let error = refused(description, loader, application);
        assert!(matches!(error, ImageError::Elf { .. }), "{error}");
    }
    let error = refused(&description(), &loader(), &arm);
    assert!(error.to_string().contains("Aarch64"), "{error}");
    for memory in [0, 7, 64 * 1024 + 1, u32::MAX] {
        let mut description = description();
        description.minimum_memory_mib = memory;
        let error = refused(&description, &loader(), &application());
        assert!(matches!(error, ImageError::Manifest(_)), "{error}");
    }
    let large = elf64(EM_X86_64, &[(".data", 1, MAX_IMAGE)]);
    assert!(matches!(refused(&description(), &loader(), &large), ImageError::TooLarge { .. }));
}
