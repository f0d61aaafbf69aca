//! One file of several images: a tar, so that anybody can look into it.
//!
//! ```text
//! signers/KEY_ID.json       who signed the images: name and public key, one per signer
//! images/DIGEST.img         the image files, by the digests of their manifests
//! ```
//!
//! No name in it becomes a path: an entry is one of these two or the whole file is refused. The same images and signers give
//! the same bytes.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use fades_envelope::{Digest, KeyId};
use fades_pack::MAX_IMAGE;
use tar::{Archive, Builder, EntryType, Header};

use crate::DepotError;

/// Most images and signers of a file.
pub const MAX_ENTRIES: usize = 256;
/// Most bytes of the images of a file, which are held in memory at once.
pub const MAX_BYTES: usize = 256 * 1024 * 1024;
/// Most bytes of a signer's document.
pub const MAX_SIGNER: usize = 4096;

/// What a file of images holds. Nothing in it is to be believed yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bundle {
    /// Documents of signers by the ids that they are filed under.
    pub signers: BTreeMap<KeyId, Vec<u8>>,
    /// Image files by the digests that they are filed under.
    pub images: BTreeMap<Digest, Vec<u8>>,
}

impl Bundle {
    /// Writes the file.
    ///
    /// # Errors
    /// When it would be refused on reading, or cannot be written.
    pub fn write(&self, out: impl Write) -> Result<(), DepotError> {
        let bytes: usize = self.images.values().map(Vec::len).sum();
        if self.signers.len() + self.images.len() > MAX_ENTRIES || bytes > MAX_BYTES {
            let (images, most) = (self.images.len(), MAX_BYTES >> 20);
            let why =
                format!("{images} images are too many for one file: {MAX_ENTRIES} at most, of {most} MiB");
            return Err(DepotError::Bundle(why));
        }
        let signers = self.signers.iter().map(|(id, bytes)| (format!("signers/{id}.json"), bytes));
        let images = self.images.iter().map(|(digest, bytes)| (format!("images/{digest}.img"), bytes));
        let mut tar = Builder::new(out);
        let mut append = |name: &str, bytes: &[u8]| {
            let mut header = Header::new_ustar();
            header.set_entry_type(EntryType::Regular);
            header.set_mode(0o644);
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, name, bytes)
        };
        for (name, bytes) in signers.chain(images) {
            append(&name, bytes).map_err(unwritten)?;
        }
        tar.into_inner().and_then(|mut out| out.flush()).map_err(unwritten)
    }

    /// Reads a file.
    ///
    /// # Errors
    /// When it is not one that [`write`](Self::write) could have made, or cannot be read.
    pub fn read(from: impl Read) -> Result<Self, DepotError> {
        let mut bundle = Self::default();
        // Headers and padding come on top; what follows the end of the tar is not looked at.
        let mut archive = Archive::new(from.take((MAX_BYTES + MAX_ENTRIES * 2048) as u64));
        let mut bytes = 0;
        // As they lie there: an entry that gives the next one another name or size is refused like any other.
        for (number, entry) in archive.entries().map_err(unread)?.raw(true).enumerate() {
            let mut entry = entry.map_err(unread)?;
            let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
            let refuse = |why: &str| DepotError::Bundle(format!("entry {name:?} {why}"));
            if number >= MAX_ENTRIES {
                return Err(refuse("is one too many"));
            }
            if entry.header().entry_type() != EntryType::Regular {
                return Err(refuse("is no plain file"));
            }
            let most = if name.starts_with("images/") { MAX_IMAGE } else { MAX_SIGNER };
            let size = usize::try_from(entry.size()).unwrap_or(usize::MAX);
            bytes += size.min(MAX_BYTES + 1);
            if size > most || bytes > MAX_BYTES {
                return Err(refuse("is too large"));
            }
            // Memory for what is there, not for what its header claims.
            let mut content = Vec::new();
            entry.read_to_end(&mut content).map_err(unread)?;
            if content.len() != size {
                return Err(refuse("is cut off"));
            }
            let is_new = if let Some(digest) = filed(&name, "images/", ".img") {
                bundle.images.insert(digest, content).is_none()
            } else if let Some(id) = filed(&name, "signers/", ".json") {
                bundle.signers.insert(id, content).is_none()
            } else {
                return Err(refuse("is neither images/DIGEST.img nor signers/KEY_ID.json"));
            };
            if !is_new {
                return Err(refuse("is there twice"));
            }
        }
        if bundle.images.is_empty() {
            Err(DepotError::Bundle("it holds no image".into()))
        } else {
            Ok(bundle)
        }
    }
}

/// What an entry of this kind is filed under.
fn filed<T: std::str::FromStr>(name: &str, folder: &str, ending: &str) -> Option<T> {
    let digits = name.strip_prefix(folder)?.strip_suffix(ending)?;
    let is_plain = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
    digits.bytes().all(is_plain).then(|| digits.parse().ok())?
}

fn unread(error: io::Error) -> DepotError {
    DepotError::Bundle(error.to_string())
}

fn unwritten(error: io::Error) -> DepotError {
    DepotError::Bundle(format!("it cannot be written: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> Bundle {
        Bundle {
            signers: BTreeMap::from([(KeyId([1; 32]), b"{}".to_vec())]),
            images: BTreeMap::from([(Digest([2; 32]), vec![7; 1500]), (Digest([3; 32]), vec![8; 512])]),
        }
    }

    fn written(bundle: &Bundle) -> Vec<u8> {
        let mut bytes = Vec::new();
        bundle.write(&mut bytes).unwrap();
        bytes
    }

    /// A tar of these entries: name, type, what the header says of the size, bytes.
    fn tar(entries: &[(&str, EntryType, Option<u64>, &[u8])]) -> Vec<u8> {
        let mut bytes = Vec::new();
        for (name, kind, size, content) in entries {
            let mut header = Header::new_ustar();
            header.as_mut_bytes()[..name.len()].copy_from_slice(name.as_bytes());
            header.set_entry_type(*kind);
            header.set_size(size.unwrap_or(content.len() as u64));
            header.set_mode(0o644);
            header.set_cksum();
            bytes.extend_from_slice(header.as_bytes());
            bytes.extend_from_slice(content);
            bytes.resize(bytes.len().next_multiple_of(512), 0);
        }
        bytes.resize(bytes.len() + 1024, 0);
        bytes
    }

    #[test]
    fn what_is_written_is_read_and_the_same_every_time() {
        let bytes = written(&bundle());
        assert_eq!(Bundle::read(&bytes[..]).unwrap(), bundle());
        assert_eq!(written(&Bundle::read(&bytes[..]).unwrap()), bytes);
        let image = format!("images/{}.img", "0".repeat(64));
        assert!(Bundle::read(&tar(&[(&image, EntryType::Regular, None, b"x")])[..]).is_ok());
    }

    #[test]
    fn other_names_and_kinds_are_refused() {
        let (digest, upper) = ("0".repeat(64), "A".repeat(64));
        let image = format!("images/{digest}.img");
        let said = |entries: &[(&str, EntryType, Option<u64>, &[u8])]| {
            Bundle::read(&tar(entries)[..]).unwrap_err().to_string()
        };
        for name in [
            "../../etc/passwd",
            "/etc/passwd",
            "images/../x.img",
            "images/x.img",
            &format!("images/{upper}.img"),
            &format!("images/{digest}"),
            &format!("./images/{digest}.img"),
            &format!("images/{}.img", &digest[1..]),
            &format!("signers/{digest}.img"),
            "fades-images.json",
            "",
        ] {
            assert!(said(&[(name, EntryType::Regular, None, b"x")]).contains("neither"), "{name}");
        }
        for kind in [
            EntryType::Symlink,
            EntryType::Link,
            EntryType::Directory,
            EntryType::Fifo,
            EntryType::Char,
            EntryType::GNULongName,
            EntryType::GNUSparse,
            EntryType::XHeader,
            EntryType::XGlobalHeader,
        ] {
            assert!(said(&[(&image, kind, None, b"x")]).contains("no plain file"), "{kind:?}");
        }
        let one = (image.as_str(), EntryType::Regular, None, &b"x"[..]);
        assert!(said(&[one, one]).contains("twice"));
        assert!(said(&[]).contains("no image"));
    }

    #[test]
    fn sizes_are_bounded_before_they_are_believed() {
        let said = |name: &str, size: u64, content: &[u8]| {
            let bytes = tar(&[(name, EntryType::Regular, Some(size), content)]);
            Bundle::read(&bytes[..]).unwrap_err().to_string()
        };
        let (image, signer) =
            (format!("images/{}.img", "0".repeat(64)), format!("signers/{}.json", "0".repeat(64)));
        assert!(said(&image, MAX_IMAGE as u64 + 1, b"x").contains("too large"));
        assert!(said(&signer, MAX_SIGNER as u64 + 1, b"x").contains("too large"));
        // the header of a ustar holds 33 bits of size; a larger one in another form is one still
        assert!(said(&image, u64::MAX / 2, b"x").contains("too large"));
        assert!(said(&image, 5000, b"x").contains("cut off"));
        let names: Vec<String> =
            (0..=MAX_ENTRIES).map(|number| format!("images/{number:064x}.img")).collect();
        let many: Vec<_> =
            names.iter().map(|name| (name.as_str(), EntryType::Regular, None, &b"x"[..])).collect();
        assert!(Bundle::read(&tar(&many)[..]).unwrap_err().to_string().contains("too many"));
        assert!(Bundle::read(&tar(&many[1..])[..]).is_ok());
    }

    #[test]
    fn no_change_of_the_file_panics() {
        let bytes = written(&bundle());
        for end in (0..bytes.len()).step_by(97) {
            assert!(Bundle::read(&bytes[..end]).map_or(true, |read| read.images.len() < 3));
        }
        for at in (0..bytes.len()).step_by(13) {
            let mut changed = bytes.clone();
            changed[at] ^= 0x41;
            let _read = Bundle::read(&changed[..]);
        }
        assert!(Bundle::read(&[0xff; 4096][..]).is_err());
    }
}
