//! The node's folder: what `fades init DIR` makes and `fadesd DIR` runs on.
//!
//! | file | made by | what |
//! |---|---|---|
//! | `fades.toml` | `fades init` | settings, see [`crate::config`]; one line (`node = "edge-1"`) is enough |
//! | `node.key` | `fades init` | the node's Ed25519 key, PKCS#8 PEM, 0600; signs receipts |
//! | `store.redb` | `fadesd` | tasks, results, replay state, events, and whom the node trusts: issuers, sources, image signers |
//! | `store.witness` | `fadesd` | 8 bytes that show whether `store.redb` is an older copy, see [`crate::store`] |
//! | `store.revoked` | `fadesd` | keys that were revoked, which an older copy of the store does not know of |
//! | `images/<digest>.img` | `fadesd` | image files by the digest of their manifest |
//! | `fadesd.sock` | `fadesd` | the local socket, 0600 |
//! | `fadesd.lock` | `fadesd` | held while a daemon runs; holds its process id |
//!
//! The folder must be 0700. Only the daemon writes to it: issuers, sources, signers and images are changed through the
//! local socket (`/v1/admin/…`), so that there is one writer and a revocation cannot be undone by an older file.
//!
//! To back a node up: stop it and copy the folder. To restore: put it back *without* `store.witness`, so that the
//! node takes a new epoch and wrappers captured in between cannot run again, and leave the `store.revoked` that is there.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use fades_envelope::{KeyFileError, SigningKey};
use rustix::fs::{FlockOperation, flock};

use crate::config::{Config, ConfigError};

/// An opened and locked node folder.
#[derive(Debug)]
pub struct NodeDir {
    path: PathBuf,
    _lock: File,
}

/// Why a folder cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NodeDirError {
    /// There is no `fades.toml`.
    #[error("{} is not a node's folder: it has no fades.toml", path.display())]
    NotOne {
        /// The folder.
        path: PathBuf,
    },
    /// Group or others may look into it.
    #[error("{} has mode {mode:04o}, others can look into it", path.display())]
    Open {
        /// The folder.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another daemon holds it.
    #[error("another fadesd (process {holder}) runs in {}", path.display())]
    Taken {
        /// The folder.
        path: PathBuf,
        /// What the lock file says.
        holder: String,
    },
    /// The system refused.
    #[error("cannot use {}", path.display())]
    Io {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: std::io::Error,
    },
    /// The settings.
    #[error("the node's settings cannot be used")]
    Config(#[from] ConfigError),
    /// The node's key.
    #[error("the node's key cannot be used")]
    Key(#[from] KeyFileError),
}

impl NodeDir {
    /// Opens a folder for one daemon, the only one while the value lives.
    ///
    /// # Errors
    /// When it is not a node's folder, is open to others, or taken.
    pub fn open(path: &Path) -> Result<Self, NodeDirError> {
        let io = |path: PathBuf| move |source| NodeDirError::Io { path, source };
        if !path.join("fades.toml").is_file() {
            return Err(NodeDirError::NotOne { path: path.to_owned() });
        }
        let mode = std::fs::metadata(path).map_err(io(path.to_owned()))?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(NodeDirError::Open { path: path.to_owned(), mode });
        }
        let lock = lock(path)?;
        let images = path.join("images");
        std::fs::DirBuilder::new().recursive(true).mode(0o700).create(&images).map_err(io(images.clone()))?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// The settings.
    ///
    /// # Errors
    /// When they cannot be read or make no sense.
    pub fn config(&self) -> Result<Config, NodeDirError> {
        Ok(Config::read(&self.path.join("fades.toml"))?)
    }

    /// The node's key.
    ///
    /// # Errors
    /// When it is missing, malformed, or open to others.
    pub fn key(&self) -> Result<SigningKey, NodeDirError> {
        Ok(SigningKey::read(&self.path.join("node.key"))?)
    }

    /// The folder itself.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where images lie.
    #[must_use]
    pub fn images(&self) -> PathBuf {
        self.path.join("images")
    }

    /// The local socket.
    #[must_use]
    pub fn socket(&self) -> PathBuf {
        self.path.join("fadesd.sock")
    }
}

/// How long the lock is waited for. Of a daemon that was killed while it began a monitor, that process holds it until it has come
/// to be the monitor or has seen that its daemon is gone.
const LEAVING: Duration = Duration::from_secs(1);

/// Takes the lock; it goes with the process, however that ends.
fn lock(dir: &Path) -> Result<File, NodeDirError> {
    let path = dir.join("fadesd.lock");
    let io = |source| NodeDirError::Io { path: path.clone(), source };
    let mut file = File::options()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(io)?;
    let until = Instant::now() + LEAVING;
    loop {
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => break,
            Err(rustix::io::Errno::WOULDBLOCK) if Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(10));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let holder = std::fs::read_to_string(&path).map_err(io)?.trim().to_owned();
                return Err(NodeDirError::Taken { path: dir.to_owned(), holder });
            }
            Err(error) => return Err(io(error.into())),
        }
    }
    file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id())).map_err(io)?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn b5_a_folder_has_one_daemon_and_no_onlookers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path();
        assert!(matches!(NodeDir::open(path), Err(NodeDirError::NotOne { .. })));
        std::fs::write(path.join("fades.toml"), "node = \"edge-1\"").unwrap();
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
        assert!(matches!(NodeDir::open(path), Err(NodeDirError::Open { mode: 0o755, .. })));
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o700)).unwrap();
        let first = NodeDir::open(path).unwrap();
        match NodeDir::open(path) {
            Err(NodeDirError::Taken { holder, .. }) => assert_eq!(holder, std::process::id().to_string()),
            other => panic!("{other:?}"),
        }
        assert_eq!(first.config().unwrap().node, "edge-1");
        assert!(first.key().is_err());
        drop(first);
        NodeDir::open(path).unwrap();
    }

    /// What the daemon had begun when it was killed still has what it had open, for a moment.
    #[test]
    fn a_lock_that_is_about_to_go_is_waited_for() {
        let dir = tempfile::tempdir().unwrap();
        let held = lock(dir.path()).unwrap();
        let leaving = std::thread::spawn(move || {
            std::thread::sleep(LEAVING / 4);
            drop(held);
        });
        lock(dir.path()).unwrap();
        leaving.join().unwrap();
    }
}
