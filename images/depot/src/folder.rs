//! A folder of this machine. Others may write to it as well, so nothing in it is reached through a link: what a link leads to
//! is not in the folder, and would be read, or written, with our rights. The folder itself may be one.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use fades_pack::{Architecture, MAX_IMAGE};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags, flock, mkdirat, openat, renameat, unlinkat};
use rustix::io::Errno;

use crate::index::{Entry, FILE, Index, MAX_INDEX};
use crate::{DepotError, IMAGES, Selector, file_of, path_of};

/// Held by who changes the index.
const LOCK: &str = "fades-images.lock";

pub(crate) fn fetch(
    root: &Path,
    wanted: Option<&Selector>,
    architecture: Architecture,
) -> Result<Vec<u8>, DepotError> {
    let place = root.display().to_string();
    let none = || DepotError::Answer {
        place: place.clone(),
        what: format!("there is no {FILE}, so it is no folder of images"),
    };
    let folder = Folder::open(root)?.ok_or_else(none)?;
    let index = Index::read(&folder.read(FILE, MAX_INDEX)?.ok_or_else(none)?, &place)?;
    let entry = index.choose(wanted, architecture, &place)?;
    let bytes = match folder.below(IMAGES)? {
        Some(images) => images.read(&file_of(entry), MAX_IMAGE)?,
        None => None,
    };
    bytes.ok_or_else(|| DepotError::NotThere { place, wanted: path_of(entry), has: None })
}

pub(crate) fn push(root: &Path, image: &[u8], entry: &Entry) -> Result<String, DepotError> {
    let io = |doing| move |source| DepotError::Io { doing, path: root.to_owned(), source };
    fs::create_dir_all(root).map_err(io("make"))?;
    let gone = || io("open")(Errno::NOENT.into());
    let folder = Folder::open(root)?.ok_or_else(gone)?;
    let images = folder.make(IMAGES)?;
    let held = folder.file(LOCK, OFlags::CREATE | OFlags::WRONLY).map_err(folder.failed("open", LOCK))?;
    // Free again when the file is closed, however this ends.
    flock(&held, FlockOperation::LockExclusive).map_err(|errno| folder.failed("lock", LOCK)(errno.into()))?;
    let place = root.display().to_string();
    let mut index = match folder.read(FILE, MAX_INDEX)? {
        Some(bytes) => Index::read(&bytes, &place)?,
        None => Index::default(),
    };
    let is_changed = index.add(entry, &place)?;
    // The image first: what the index names is there.
    images.replace(&file_of(entry), image)?;
    if is_changed {
        folder.replace(FILE, &index.write())?;
    }
    Ok(root.join(path_of(entry)).display().to_string())
}

/// An open folder, whose files are named from it: what its path leads to meanwhile does not matter.
struct Folder {
    fd: OwnedFd,
    path: PathBuf,
}

const FOLDER: OFlags = OFlags::DIRECTORY.union(OFlags::RDONLY).union(OFlags::CLOEXEC);

impl Folder {
    /// A folder by its path; none where there is none.
    fn open(path: &Path) -> Result<Option<Self>, DepotError> {
        let failed =
            |errno: Errno| DepotError::Io { doing: "open", path: path.to_owned(), source: errno.into() };
        match rustix::fs::open(path, FOLDER, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: path.to_owned() })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(failed(errno)),
        }
    }

    /// A folder in this one; none where there is none.
    fn below(&self, name: &str) -> Result<Option<Self>, DepotError> {
        match openat(&self.fd, name, FOLDER | OFlags::NOFOLLOW, Mode::empty()) {
            Ok(fd) => Ok(Some(Self { fd, path: self.path.join(name) })),
            Err(Errno::NOENT) => Ok(None),
            Err(errno) => Err(self.failed("open", name)(errno.into())),
        }
    }

    /// The same, made where there is none.
    fn make(&self, name: &str) -> Result<Self, DepotError> {
        let made = mkdirat(&self.fd, name, Mode::from_raw_mode(0o777));
        match (made, self.below(name)?) {
            (Ok(()) | Err(Errno::EXIST), Some(folder)) => Ok(folder),
            (Ok(()), None) => Err(self.failed("open", name)(Errno::NOENT.into())),
            (Err(errno), _) => Err(self.failed("make", name)(errno.into())),
        }
    }

    fn failed(&self, doing: &'static str, name: &str) -> impl Fn(io::Error) -> DepotError + use<> {
        let path = self.path.join(name);
        move |source| DepotError::Io { doing, path: path.clone(), source }
    }

    /// Opens a plain file. Does not wait for who writes into a pipe.
    fn file(&self, name: &str, how: OFlags) -> io::Result<File> {
        let how = how | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = File::from(openat(&self.fd, name, how, Mode::from_raw_mode(0o666))?);
        if file.metadata()?.is_file() { Ok(file) } else { Err(io::Error::other("it is no plain file")) }
    }

    /// A file of at most `most` bytes; none where there is none.
    fn read(&self, name: &str, most: usize) -> Result<Option<Vec<u8>>, DepotError> {
        let failed = self.failed("read", name);
        let file = match self.file(name, OFlags::RDONLY) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            opened => opened.map_err(&failed)?,
        };
        let mut bytes = Vec::new();
        file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(&failed)?;
        if bytes.len() > most {
            return Err(failed(io::Error::other(format!("it has more than {most} bytes"))));
        }
        Ok(Some(bytes))
    }

    /// Writes a file whole or not at all; a file that is the same already is left alone. The lock is held.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), DepotError> {
        if self.read(name, bytes.len()).is_ok_and(|there| there.as_deref() == Some(bytes)) {
            return Ok(());
        }
        let partial = format!("{name}.partial");
        // What a killed program has left there, or a link that somebody has put: the name goes, not what it leads to.
        self.remove(&partial);
        let write = || {
            let mut file = self.file(&partial, OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY)?;
            file.write_all(bytes)?;
            file.sync_all()?;
            // As is a link that has this name.
            Ok(renameat(&self.fd, &partial, &self.fd, name)?)
        };
        write().map_err(|error| {
            self.remove(&partial);
            self.failed("write", name)(error)
        })
    }

    /// Where it does not go, what comes next says why.
    fn remove(&self, name: &str) {
        let _told = unlinkat(&self.fd, name, AtFlags::empty());
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use fades_envelope::{Digest, KeyId};
    use fades_pack::Role;

    use super::*;

    fn entry() -> Entry {
        Entry {
            name: "stats".parse().unwrap(),
            version: "1.0.0".parse().unwrap(),
            role: Role::Dmf,
            architecture: Architecture::X86_64,
            digest: Digest([1; 32]),
            size: 5,
            signer: KeyId([0; 32]),
        }
    }

    fn fetched(root: &Path) -> Result<Vec<u8>, DepotError> {
        fetch(root, None, Architecture::X86_64)
    }

    #[test]
    fn nothing_is_read_through_a_link() {
        let work = tempfile::tempdir().unwrap();
        let (root, secret) = (work.path().join("shelf"), work.path().join("secret"));
        push(&root, b"image", &entry()).unwrap();
        assert_eq!(fetched(&root).unwrap(), b"image");
        fs::write(&secret, "secret").unwrap();
        let (image, index, kept) = (root.join(path_of(&entry())), root.join(FILE), root.join("kept"));
        // the image, the index and their folder are links; the folder as a whole may be one
        for file in [&image, &index] {
            fs::rename(file, &kept).unwrap();
            symlink(&secret, file).unwrap();
            assert!(matches!(fetched(&root), Err(DepotError::Io { doing: "read", .. })), "{file:?}");
            fs::rename(&kept, file).unwrap();
        }
        symlink(&root, work.path().join("other")).unwrap();
        assert_eq!(fetched(&work.path().join("other")).unwrap(), b"image");
        let images = root.join("images");
        fs::rename(&images, work.path().join("elsewhere")).unwrap();
        symlink(work.path().join("elsewhere"), &images).unwrap();
        assert!(matches!(fetched(&root), Err(DepotError::Io { doing: "open", .. })));
        assert!(matches!(push(&root, b"image", &entry()), Err(DepotError::Io { doing: "open", .. })));
    }

    #[test]
    fn nothing_is_written_through_a_link() {
        let work = tempfile::tempdir().unwrap();
        let (root, secret) = (work.path().join("shelf"), work.path().join("secret"));
        fs::write(&secret, "secret").unwrap();
        fs::create_dir_all(root.join("images")).unwrap();
        let image = root.join(path_of(&entry()));
        for name in [image.clone(), format!("{}.partial", image.display()).into()] {
            symlink(&secret, name).unwrap();
        }
        symlink(&secret, root.join(LOCK)).unwrap();
        assert!(matches!(push(&root, b"image", &entry()), Err(DepotError::Io { doing: "open", .. })));
        fs::remove_file(root.join(LOCK)).unwrap();
        push(&root, b"image", &entry()).unwrap();
        assert_eq!(
            (fs::read(&secret).unwrap(), fetched(&root).unwrap()),
            (b"secret".to_vec(), b"image".to_vec())
        );
        assert!(!fs::symlink_metadata(&image).unwrap().is_symlink());
    }

    #[test]
    fn what_is_no_plain_file_is_not_read() {
        let work = tempfile::tempdir().unwrap();
        push(work.path(), b"image", &entry()).unwrap();
        let image = work.path().join(path_of(&entry()));
        fs::remove_file(&image).unwrap();
        // nobody writes into it: whoever waited for that would wait for ever
        rustix::fs::mkfifoat(rustix::fs::CWD, &image, Mode::from_raw_mode(0o600)).unwrap();
        let failure = fetched(work.path()).unwrap_err();
        assert!(matches!(failure, DepotError::Io { doing: "read", .. }), "{failure}");
        fs::remove_file(&image).unwrap();
        assert!(matches!(fetched(work.path()), Err(DepotError::NotThere { .. })));
    }
}
