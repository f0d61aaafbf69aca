//! Small ELF files, and image files that are signed properly over whatever they hold.

use fades_envelope::{Purpose, SigningKey, sign};
use fades_pack::{Architecture, Description, Role, pack};

pub(crate) const EM_386: u16 = 3;
pub(crate) const EM_X86_64: u16 = 62;
pub(crate) const EM_AARCH64: u16 = 183;

pub(crate) fn key() -> SigningKey {
    SigningKey::from_seed(&[7; 32])
}

pub(crate) fn description() -> Description {
    Description {
        name: "stats".parse().unwrap(),
        version: "0.2.1".parse().unwrap(),
        role: Role::Dmf,
        architecture: Architecture::X86_64,
        minimum_memory_mib: 32,
        function: None,
    }
}

/// A 64-bit ELF for `machine` with these sections (name, type, size); `.bss` (type 8) takes no bytes in the file.
pub(crate) fn elf64(machine: u16, sections: &[(&str, u32, usize)]) -> Vec<u8> {
    let mut names = vec![0u8];
    let mut body = Vec::new();
    let mut headers = vec![0u8; 64];
    let mut header = |name: usize, kind: u32, offset: usize, size: usize| {
        headers.extend(u32::try_from(name).unwrap().to_le_bytes());
        headers.extend(kind.to_le_bytes());
        headers.extend([0; 16]);
        headers.extend((offset as u64).to_le_bytes());
        headers.extend((size as u64).to_le_bytes());
        headers.extend([0; 8]);
        headers.extend(1u64.to_le_bytes());
        headers.extend([0; 8]);
    };
    for (name, kind, size) in sections {
        header(names.len(), *kind, 64 + body.len(), *size);
        names.extend(name.bytes().chain([0]));
        if *kind != 8 {
            body.resize(body.len() + size, 0x90);
        }
    }
    let name = names.len();
    names.extend(b".shstrtab\0");
    header(name, 3, 64 + body.len(), names.len());
    body.extend(&names);
    let mut out = vec![0x7f, b'E', b'L', b'F', 2, 1, 1, 255, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(2u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend([0; 16]);
    out.extend((64 + body.len() as u64).to_le_bytes());
    out.extend([0; 4]);
    let count = u16::try_from(sections.len() + 2).unwrap();
    for half in [64, 56, 0, 64, count, count - 1] {
        out.extend(half.to_le_bytes());
    }
    assert_eq!(out.len(), 64);
    out.extend(body);
    out.extend(headers);
    out
}

/// A 32-bit ELF header for `machine`, without sections.
pub(crate) fn elf32(machine: u16) -> Vec<u8> {
    let mut out = vec![0x7f, b'E', b'L', b'F', 1, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    out.extend(2u16.to_le_bytes());
    out.extend(machine.to_le_bytes());
    out.extend(1u32.to_le_bytes());
    out.extend([0; 16]);
    for half in [52u16, 32, 0, 40, 0, 0] {
        out.extend(half.to_le_bytes());
    }
    assert_eq!(out.len(), 52);
    out
}

pub(crate) fn loader() -> Vec<u8> {
    elf64(EM_X86_64, &[(".text", 1, 300), (".note.Xen", 7, 20), (".bss", 8, 5000)])
}

pub(crate) fn application() -> Vec<u8> {
    elf64(EM_X86_64, &[(".text", 1, 2000), (".rodata", 1, 700), (".data", 1, 90), (".bss", 8, 100_000)])
}

pub(crate) fn image() -> Vec<u8> {
    pack(&description(), &loader(), &application(), &key()).unwrap()
}

/// An image file around any manifest, properly signed, with any parts behind it.
pub(crate) fn forge(manifest: &str, parts: &[&[u8]]) -> Vec<u8> {
    enclose(&sign(&key(), Purpose::Image, manifest.as_bytes()), parts)
}

/// An image file around any envelope.
pub(crate) fn enclose(envelope: &[u8], parts: &[&[u8]]) -> Vec<u8> {
    let length = u32::try_from(envelope.len()).unwrap();
    [b"FADESIMG", &1u32.to_le_bytes()[..], &length.to_le_bytes(), envelope, &parts.concat()].concat()
}

/// The manifest of [`image`] as text.
pub(crate) fn manifest_text() -> String {
    let image = image();
    let image = fades_pack::open(&image).unwrap().verify(&key().public()).unwrap();
    String::from_utf8(image.manifest().to_payload().unwrap()).unwrap()
}
