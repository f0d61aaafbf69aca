//! A cpio archive in the `newc` form that Linux unpacks as its first file system (Documentation/driver-api/early-userspace/
//! buffer-format.rst): per file a header of 110 characters, its name, its bytes, each filled up to four.

use std::collections::BTreeSet;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

const FOLDER: u32 = 0o040_755;
const LINK: u32 = 0o120_777;
const FILE: u32 = 0o100_000;

/// Writes an archive. Folders above what is put in are made.
pub(super) struct Archive<W> {
    out: W,
    written: u64,
    files: u32,
    folders: BTreeSet<PathBuf>,
}

impl<W: Write> Archive<W> {
    pub(super) fn new(out: W) -> Self {
        Self { out, written: 0, files: 0, folders: BTreeSet::new() }
    }

    pub(super) fn folder(&mut self, path: &Path) -> io::Result<()> {
        if path.parent().is_none() || self.folders.contains(path) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            self.folder(parent)?;
        }
        self.folders.insert(path.to_owned());
        self.put(path, FOLDER, &[])
    }

    /// A file with these permissions.
    pub(super) fn file(&mut self, path: &Path, permissions: u32, bytes: &[u8]) -> io::Result<()> {
        self.parent(path)?;
        self.put(path, FILE | permissions, bytes)
    }

    pub(super) fn link(&mut self, path: &Path, to: &str) -> io::Result<()> {
        self.parent(path)?;
        self.put(path, LINK, to.as_bytes())
    }

    pub(super) fn finish(mut self) -> io::Result<W> {
        self.put(Path::new("TRAILER!!!"), 0, &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parent(&mut self, path: &Path) -> io::Result<()> {
        path.parent().map_or(Ok(()), |parent| self.folder(parent))
    }

    fn put(&mut self, path: &Path, mode: u32, bytes: &[u8]) -> io::Result<()> {
        let name = path.strip_prefix("/").unwrap_or(path).as_os_str().as_encoded_bytes();
        let length = u32::try_from(bytes.len()).map_err(|_| io::Error::other("a file of 4 GiB or more"))?;
        self.files += 1;
        let name_length = u32::try_from(name.len() + 1).unwrap_or(u32::MAX);
        // inode, mode, owner, group, links, time, length, two devices of two numbers each, length of the name, checksum
        let fields = [self.files, mode, 0, 0, 1, 0, length, 0, 0, 0, 0, name_length, 0];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.write(header.as_bytes())?;
        self.write(name)?;
        self.write(&[0])?;
        self.fill()?;
        self.write(bytes)?;
        self.fill()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    fn fill(&mut self) -> io::Result<()> {
        let missing = (4 - self.written % 4) % 4;
        self.write(&[0; 3][..usize::try_from(missing).unwrap_or(0)])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_part_is_where_the_form_has_it() {
        let mut archive = Archive::new(Vec::new());
        archive.file(Path::new("/a/b"), 0o755, b"12345").unwrap();
        archive.file(Path::new("/a/c"), 0o644, b"").unwrap();
        archive.link(Path::new("/l"), "a/b").unwrap();
        let bytes = archive.finish().unwrap();
        let mut rest = &bytes[..];
        let mut found = Vec::new();
        loop {
            let field = |index: usize| {
                let start = 6 + 8 * index;
                usize::from_str_radix(std::str::from_utf8(&rest[start..start + 8]).unwrap(), 16).unwrap()
            };
            assert_eq!(&rest[..6], b"070701");
            let (mode, length, name_length) = (field(1), field(6), field(11));
            let name = String::from_utf8(rest[110..110 + name_length - 1].to_vec()).unwrap();
            if name == "TRAILER!!!" {
                break;
            }
            let data = (110 + name_length).next_multiple_of(4);
            found.push((name, mode, rest[data..data + length].to_vec()));
            rest = &rest[(data + length).next_multiple_of(4)..];
        }
        let expected: [(&str, usize, &[u8]); 4] = [
            ("a", 0o040_755, b""),
            ("a/b", 0o100_755, b"12345"),
            ("a/c", 0o100_644, b""),
            ("l", 0o120_777, b"a/b"),
        ];
        let found: Vec<_> =
            found.iter().map(|(name, mode, data)| (name.as_str(), *mode, &data[..])).collect();
        assert_eq!(found, expected);
    }
}
