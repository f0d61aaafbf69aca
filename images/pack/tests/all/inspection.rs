//! What `fades image inspect` shows.

use crate::common::*;
use fades_envelope::{Digest, SigningKey};
use fades_pack::{ImageError, Section, Signature, inspect, pack, sections};

#[test]
fn everything_is_shown() {
    let bytes = image();
    let shown = inspect(&bytes, |id| (id == key().public().id()).then(|| key().public())).unwrap();
    assert_eq!(shown.signature, Signature::Verified);
    assert_eq!(shown.key_id, key().public().id());
    assert_eq!((shown.file_sha256, shown.file_size), (Digest::of(&bytes), bytes.len() as u64));
    assert_eq!(shown.reference, format!("stats@sha256:{}", shown.digest));
    assert_eq!(shown.digest, Digest::of(manifest_text().as_bytes()));
    let of = |list: &[Section]| -> Vec<(String, u64, u64)> {
        list.iter().map(|s| (s.name.clone(), s.size, s.file_size)).collect()
    };
    let section = |name: &str, size, file| (name.to_owned(), size, file);
    assert_eq!(
        of(&shown.application_sections),
        [
            section(".bss", 100_000, 0),
            section(".text", 2000, 2000),
            section(".rodata", 700, 700),
            section(".data", 90, 90),
            section(".shstrtab", 36, 36),
        ]
    );
    assert_eq!(of(&shown.loader_sections)[1], section(".text", 300, 300));
    let json = serde_json::to_value(&shown).unwrap();
    assert_eq!(json["signature"], "verified");
    assert_eq!(json["manifest"]["name"], "stats");
    assert_eq!(json["application_sections"][0]["size"], 100_000);
}

#[test]
fn without_the_key_it_says_so_and_with_a_wrong_one_it_refuses() {
    let bytes = image();
    let shown = inspect(&bytes, |_| None).unwrap();
    assert_eq!(shown.signature, Signature::NotChecked);
    assert_eq!(shown.manifest.name.as_str(), "stats");
    let stranger = SigningKey::from_seed(&[8; 32]).public();
    assert!(matches!(inspect(&bytes, |_| Some(stranger)), Err(ImageError::Envelope(_))));
    let mut changed = bytes;
    let last = changed.len() - 1;
    changed[last] ^= 1;
    assert!(
        matches!(inspect(&changed, |_| None), Err(ImageError::PartDigest { .. })),
        "consistency is shown too"
    );
}

#[test]
fn hostile_section_tables_are_bounded_and_plain() {
    let odd = elf64(EM_X86_64, &[("\u{1b}[2J\n.evil", 1, 10), (&"n".repeat(500), 1, 10)]);
    let list = sections(&odd).unwrap();
    assert!(
        list.iter().all(|s| s.name.chars().count() <= 64 && !s.name.contains(char::is_control)),
        "{list:?}"
    );
    let many: Vec<(&str, u32, usize)> = (0..2000).map(|_| (".x", 1, 0)).collect();
    assert_eq!(sections(&elf64(EM_X86_64, &many)).unwrap().len(), 256);
    // A section that claims to reach beyond the file, and to be of 2^63 bytes.
    let mut lying = elf64(EM_X86_64, &[(".text", 1, 10)]);
    let table = lying.len() - 3 * 64;
    lying[table + 64 + 32..table + 64 + 40].copy_from_slice(&(1u64 << 63).to_le_bytes());
    assert_eq!(sections(&lying).unwrap()[0].size, 1 << 63);
    assert!(
        pack(&description(), &loader(), &lying, &key()).is_ok(),
        "whether it loads is the loader's to say"
    );
    assert!(sections(b"MZ not an ELF").is_err());
}

#[test]
fn a_real_program_shows_its_sections() {
    let program = std::fs::read(std::env::current_exe().unwrap()).unwrap();
    let list = sections(&program).unwrap();
    let text = list.iter().find(|s| s.name == ".text").unwrap();
    assert!(text.size > 10_000 && text.size == text.file_size);
    assert!(list.iter().any(|s| s.name == ".bss" && s.file_size == 0));
    assert!(list.is_sorted_by(|a, b| a.size >= b.size));
}
