//! Images: files in the node's folder, verified when added and again before they boot, booted from sealed memory.
//!
//! What boots is what was verified: the parts are copied into memory files that are then sealed, and the guest's
//! monitor gets those, never a name. A sealed copy cannot change, so it serves every later boot of the same image, as
//! long as its signer is still trusted.

use std::collections::{BTreeSet, HashMap};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use fades_api::codes::{self, Code};
use fades_core::Role;
use fades_core::backend::Architecture;
use fades_envelope::{Digest, KeyId};
use fades_pack::{Image, ImageError, NotWanted, Wanted};
use rustix::fs::{MemfdFlags, SealFlags, fcntl_add_seals, memfd_create};

use crate::schema::Schema;
use crate::store::record::ImageRecord;
use crate::trust::Trust;

/// How files end that are being written.
const PARTIAL: &str = "partial";
/// How an image's file ends, behind its digest.
const EXTENSION: &str = "img";

/// Why an image is not added or not booted.
#[derive(Debug, thiserror::Error)]
pub enum ImageRefusal {
    /// The file itself.
    #[error("the image is refused: {}", chain(.0))]
    Image(#[from] ImageError),
    /// Its signer is not trusted.
    #[error("the image is signed by key {0}, which is not trusted for images")]
    Signer(KeyId),
    /// What it says of its parameters.
    #[error("the image's schema of its parameters is none: {0}")]
    Schema(String),
    /// No such image.
    #[error("no image {0} on this node")]
    Unknown(Digest),
    /// The system refused.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system says.
        source: std::io::Error,
    },
}

fn chain(error: &ImageError) -> String {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}

impl ImageRefusal {
    /// The code of the catalogue.
    #[must_use]
    pub fn code(&self) -> Code {
        match self {
            Self::Signer(_) => codes::IMAGE_SIGNER_UNKNOWN,
            Self::Unknown(_) => codes::IMAGE_UNKNOWN,
            Self::Schema(_) => codes::IMAGE_SCHEMA_REFUSED,
            Self::Io { doing: "seal", .. } => codes::MEMFD_UNAVAILABLE,
            Self::Io { .. } => codes::STORE_WRITE_FAILED,
            // what lies under a digest and is another image is as good as nothing
            Self::Image(ImageError::NotWanted(NotWanted::Digest { .. } | NotWanted::Name { .. })) => {
                codes::IMAGE_UNKNOWN
            }
            Self::Image(error) => error.code(),
        }
    }
}

/// What a guest boots from: open, read-only, sealed.
#[derive(Debug)]
pub struct Bootable {
    /// The processor that it is for.
    pub architecture: Architecture,
    /// The loader.
    pub loader: OwnedFd,
    /// The application.
    pub application: OwnedFd,
}

/// The images folder and the sealed copies.
pub struct Images {
    dir: PathBuf,
    /// What this node runs; its own first.
    architectures: Vec<Architecture>,
    sealed: Mutex<HashMap<[u8; 32], Arc<Sealed>>>,
    /// Files begun so far: two of one image at once must not write into each other.
    begun: AtomicU64,
}

struct Sealed {
    signer: KeyId,
    architecture: Architecture,
    loader: OwnedFd,
    application: OwnedFd,
}

impl Images {
    /// The images of a folder, which nobody else uses, for these processors. What a killed daemon has left half written is removed.
    #[must_use]
    pub fn new(dir: PathBuf, architectures: Vec<Architecture>) -> Self {
        for entry in std::fs::read_dir(&dir).into_iter().flatten().flatten() {
            if entry.path().extension().is_some_and(|extension| extension == PARTIAL)
                && let Err(error) = std::fs::remove_file(entry.path())
            {
                tracing::warn!(path = %entry.path().display(), %error, "half an image stays");
            }
        }
        Self { dir, architectures, sealed: Mutex::default(), begun: AtomicU64::new(0) }
    }

    /// Removes files of images that the store has no record of; how many. Whoever adds an image writes the file first and whoever
    /// removes one the file last, so a daemon that was killed in between has left a file alone. To be called before any
    /// image is added, with everything that the store holds, and never with less.
    pub fn sweep(&self, known: &BTreeSet<Digest>) -> usize {
        let mut swept = 0;
        for entry in std::fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            // What has another name is not ours.
            let digest = path.file_stem().and_then(|stem| stem.to_str()?.parse::<Digest>().ok());
            let is_image = path.extension().is_some_and(|extension| extension == EXTENSION);
            let Some(digest) = digest.filter(|digest| is_image && !known.contains(digest)) else { continue };
            match std::fs::remove_file(&path) {
                Ok(()) => {
                    tracing::info!(%digest, "removed the file of an image that was never added, or not wholly removed");
                    swept += 1;
                }
                Err(error) => tracing::warn!(%digest, %error, "the file of an image that is not there stays"),
            }
        }
        swept
    }

    /// Whether a record's architecture is the node's own.
    #[must_use]
    pub fn is_native(&self, word: &str) -> bool {
        self.architectures.first().is_some_and(|own| own.to_string() == word)
    }

    /// Verifies an image file and puts it into the folder; its digest and what to store of it.
    ///
    /// # Errors
    /// What is wrong with it; nothing was kept then.
    pub fn add(
        &self,
        bytes: &[u8],
        trust: &Trust,
        now_us: i64,
    ) -> Result<(Digest, ImageRecord), ImageRefusal> {
        let image = verify(bytes, trust)?;
        let manifest = image.manifest();
        self.admit(&image)?;
        if let Some(function) = &manifest.function {
            for schema in [&function.parameters, &function.result] {
                Schema::compile(schema).map_err(ImageRefusal::Schema)?;
            }
        }
        let digest = image.digest();
        let record = ImageRecord {
            name: manifest.name.to_string(),
            version: manifest.version.to_string(),
            role: manifest.role.to_string(),
            architecture: manifest.architecture.to_string(),
            minimum_memory_mib: manifest.minimum_memory_mib,
            size: bytes.len() as u64,
            signer: image.key_id().to_string(),
            added_us: now_us,
            parameters: manifest.function.as_ref().map(|function| function.parameters.clone()),
            together: manifest.function.as_ref().is_some_and(|function| function.together),
            result: manifest.function.as_ref().map(|function| function.result.clone()),
        };
        self.write(&self.path(digest), bytes)?;
        Ok((digest, record))
    }

    /// Removes an image's file and its sealed copy; guests that run from it go on.
    ///
    /// # Errors
    /// When the file is there and cannot be removed.
    pub fn remove(&self, digest: Digest) -> Result<(), ImageRefusal> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).remove(&digest.0);
        let path = self.path(digest);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
            other => other.map_err(|source| ImageRefusal::Io { doing: "remove", path, source }),
        }
    }

    /// An image's file, as it was added.
    ///
    /// # Errors
    /// When it is not there, or cannot be read.
    pub fn file(&self, digest: Digest) -> Result<Vec<u8>, ImageRefusal> {
        let path = self.path(digest);
        std::fs::read(&path).map_err(|source| match source.kind() {
            std::io::ErrorKind::NotFound => ImageRefusal::Unknown(digest),
            _ => ImageRefusal::Io { doing: "read", path, source },
        })
    }

    /// An image ready to boot: verified with a signer that is trusted now, in sealed memory. Blocks on the disk the
    /// first time.
    ///
    /// # Errors
    /// What speaks against booting it.
    pub fn bootable(&self, digest: Digest, trust: &Trust) -> Result<Bootable, ImageRefusal> {
        let sealed = match self.cached(digest) {
            Some(sealed) => sealed,
            None => self.seal(digest, trust)?,
        };
        if !trust.signers.contains_key(&sealed.signer) {
            return Err(ImageRefusal::Signer(sealed.signer));
        }
        let (loader, application) = (reopen(&sealed.loader)?, reopen(&sealed.application)?);
        Ok(Bootable { architecture: sealed.architecture, loader, application })
    }

    fn cached(&self, digest: Digest) -> Option<Arc<Sealed>> {
        self.sealed.lock().unwrap_or_else(PoisonError::into_inner).get(&digest.0).cloned()
    }

    fn seal(&self, digest: Digest, trust: &Trust) -> Result<Arc<Sealed>, ImageRefusal> {
        let bytes = self.file(digest)?;
        let image = verify(&bytes, trust)?;
        if image.digest() != digest {
            let refusal = NotWanted::Digest { wanted: digest, found: image.reference().to_string() };
            return Err(ImageError::from(refusal).into());
        }
        let sealed = Arc::new(Sealed {
            architecture: self.admit(&image)?,
            signer: image.key_id(),
            loader: sealed_memory("fades-loader", image.loader())?,
            application: sealed_memory("fades-application", image.application())?,
        });
        let mut cache = self.sealed.lock().unwrap_or_else(PoisonError::into_inner);
        cache.insert(digest.0, Arc::clone(&sealed));
        Ok(sealed)
    }

    /// Whether this node runs such an image; for which processor it is.
    fn admit(&self, image: &Image<'_>) -> Result<Architecture, ImageRefusal> {
        let manifest = image.manifest();
        let found = architecture(manifest.architecture);
        let runs = self.architectures.contains(&found);
        let wanted =
            if runs { found } else { self.architectures.first().copied().unwrap_or(Architecture::NATIVE) };
        let (role, architecture) = (manifest.role, packed(wanted));
        image
            .admit(&Wanted { role, architecture, reference: None, floor: None })
            .map_err(ImageError::from)?;
        Ok(found)
    }

    fn path(&self, digest: Digest) -> PathBuf {
        self.dir.join(format!("{digest}.{EXTENSION}"))
    }

    /// Whole or not at all, and on disk.
    fn write(&self, path: &Path, bytes: &[u8]) -> Result<(), ImageRefusal> {
        let number = self.begun.fetch_add(1, Ordering::Relaxed);
        let partial = path.with_extension(format!("{number}.{PARTIAL}"));
        let io = |source| ImageRefusal::Io { doing: "write", path: path.to_owned(), source };
        let mut file = File::options().write(true).create_new(true).mode(0o600).open(&partial).map_err(io)?;
        let written = file.write_all(bytes).and_then(|()| file.sync_all());
        if let Err(source) = written.and_then(|()| std::fs::rename(&partial, path)) {
            // A full disk, most likely: what is half there must not keep it full.
            drop(std::fs::remove_file(&partial));
            return Err(io(source));
        }
        File::open(&self.dir).and_then(|dir| dir.sync_all()).map_err(io)
    }
}

/// Verifies with the signer that the file names, if that one is trusted.
fn verify<'a>(bytes: &'a [u8], trust: &Trust) -> Result<Image<'a>, ImageRefusal> {
    let packed = fades_pack::open(bytes)?;
    let signer = packed.key_id();
    let key = trust.signers.get(&signer).ok_or(ImageRefusal::Signer(signer))?;
    Ok(packed.verify(key)?)
}

/// The engine's word for a manifest's.
const fn architecture(packed: fades_pack::Architecture) -> Architecture {
    match packed {
        fades_pack::Architecture::X86_64 => Architecture::X86_64,
        fades_pack::Architecture::Aarch64 => Architecture::Aarch64,
    }
}

/// The reverse of [`architecture`].
const fn packed(architecture: Architecture) -> fades_pack::Architecture {
    match architecture {
        Architecture::X86_64 => fades_pack::Architecture::X86_64,
        Architecture::Aarch64 => fades_pack::Architecture::Aarch64,
    }
}

/// The engine's role for the word in a manifest.
#[must_use]
pub fn role(word: &str) -> Option<Role> {
    [Role::Broker, Role::Function].into_iter().find(|role| role.word() == word)
}

fn sealed_memory(name: &'static str, bytes: &[u8]) -> Result<OwnedFd, ImageRefusal> {
    let io = |source: std::io::Error| ImageRefusal::Io { doing: "seal", path: name.into(), source };
    let fd = memfd_create(name, MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING).map_err(|e| io(e.into()))?;
    let mut file = File::from(fd);
    file.write_all(bytes).map_err(io)?;
    let seals = SealFlags::WRITE | SealFlags::GROW | SealFlags::SHRINK | SealFlags::SEAL;
    fcntl_add_seals(&file, seals).map_err(|e| io(e.into()))?;
    Ok(file.into())
}

/// A description of its own, read-only and at the beginning: guests must not share a position.
fn reopen(fd: &OwnedFd) -> Result<OwnedFd, ImageRefusal> {
    let path = PathBuf::from(format!("/proc/self/fd/{}", fd.as_raw_fd()));
    let io = |source| ImageRefusal::Io { doing: "open", path: path.clone(), source };
    File::open(&path).map(OwnedFd::from).map_err(io)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_image_added_many_times_at_once_is_whole() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("left.7.partial"), b"half").unwrap();
        let images = Images::new(dir.path().to_owned(), vec![Architecture::NATIVE]);
        let path = images.path(Digest([7; 32]));
        let bytes = vec![3; 1 << 20];
        for _ in 0..5 {
            std::thread::scope(|scope| {
                let writers: Vec<_> = (0..8).map(|_| scope.spawn(|| images.write(&path, &bytes))).collect();
                for writer in writers {
                    writer.join().unwrap().unwrap();
                }
            });
            assert!(std::fs::read(&path).unwrap() == bytes);
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn files_that_the_store_does_not_know_are_swept() {
        let dir = tempfile::tempdir().unwrap();
        let images = Images::new(dir.path().to_owned(), vec![Architecture::NATIVE]);
        let (known, left) = (Digest([1; 32]), Digest([2; 32]));
        let others = ["notes.img".to_owned(), format!("{left}.txt"), format!("{left}0.img")];
        for name in [format!("{known}.img"), format!("{left}.img")].iter().chain(&others) {
            std::fs::write(dir.path().join(name), b"x").unwrap();
        }
        assert_eq!(images.sweep(&BTreeSet::from([known])), 1);
        assert!(images.path(known).exists() && !images.path(left).exists());
        assert!(others.iter().all(|name| dir.path().join(name).exists()));
        assert_eq!(images.sweep(&BTreeSet::from([known])), 0);
    }
}
