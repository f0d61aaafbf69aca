//! For all bytes: nothing panics, and no change of an image file is accepted.

use crate::common::*;
use fades_pack::{Manifest, Reference, Version, inspect, open, sections};
use proptest::prelude::*;

proptest! {
    #[test]
    fn reading_never_panics(input in proptest::collection::vec(any::<u8>(), 0..400)) {
        prop_assert!(open(&input).is_err());
        prop_assert!(Manifest::parse(&input).is_err());
        prop_assert!(inspect(&[b"FADESIMG\x01\0\0\0", &input[..]].concat(), |_| None).is_err());
        let _ = sections(&input);
    }

    #[test]
    fn a_damaged_elf_never_panics(at in any::<proptest::sample::Index>(), bytes in proptest::collection::vec(any::<u8>(), 1..12)) {
        let mut elf = loader();
        let at = at.index(elf.len() - bytes.len());
        elf[at..at + bytes.len()].copy_from_slice(&bytes);
        if let Ok(list) = sections(&elf) {
            prop_assert!(list.len() <= 256);
        }
        // Every digest is right, only the ELF is odd: packing either refuses it or makes what opens.
        if let Ok(image) = fades_pack::pack(&description(), &elf, &application(), &key()) {
            prop_assert!(open(&image).unwrap().verify(&key().public()).is_ok());
            prop_assert!(inspect(&image, |_| None).is_ok());
        }
    }

    #[test]
    fn b2_no_change_of_an_image_is_accepted(
        at in any::<proptest::sample::Index>(),
        cut in 0usize..20,
        insert in proptest::collection::vec(any::<u8>(), 0..20),
    ) {
        let good = image();
        let at = at.index(good.len());
        let mut changed = good.clone();
        changed.splice(at..(at + cut).min(good.len()), insert);
        if changed != good {
            prop_assert!(open(&changed).and_then(|image| image.verify(&key().public()).map(|_| ())).is_err());
        }
    }

    #[test]
    fn texts_read_back(text in "[ -~]{0,40}", numbers in any::<(u32, u32, u32)>()) {
        if let Ok(version) = text.parse::<Version>() {
            prop_assert_eq!(version.to_string(), text.clone());
        }
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string(), text);
        }
        let version = Version { major: numbers.0, minor: numbers.1, patch: numbers.2 };
        prop_assert_eq!(version.to_string().parse(), Ok(version));
    }
}
