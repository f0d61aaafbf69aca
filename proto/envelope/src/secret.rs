//! Secret keys and the files that hold them: PKCS#8 PEM (RFC 8410), readable by their owner alone.

use crate::key::PublicKey;
use ed25519_dalek::{
    Signer as _,
    pkcs8::{DecodePrivateKey as _, EncodePrivateKey as _, KeypairBytes, spki::der::pem::LineEnding},
};
use std::{
    fmt,
    fs::{File, OpenOptions},
    io::{Read as _, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};
use zeroize::{Zeroize as _, Zeroizing};

/// Largest key file that is read, in bytes. A PKCS#8 Ed25519 key takes about 120, or 180 with its public half.
const MAX_KEY_FILE: usize = 4096;

/// An Ed25519 secret key. Wiped on drop, never shown.
pub struct SigningKey(ed25519_dalek::SigningKey);

/// Why a key file could not be read or made.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// The system refused; for a new key, also when the file is already there.
    #[error("cannot {action} key file {}", path.display())]
    Io {
        /// What was tried: `open`, `read`, `create`, `write`.
        action: &'static str,
        /// The key file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others than the owner may read or change the file.
    #[error(
        "key file {} has mode {mode:04o}: others than its owner may use it; run `chmod 600` on it, and make a new key if it may have been read",
        path.display()
    )]
    Exposed {
        /// The key file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A folder, a device, a pipe, or larger than any key.
    #[error("{} is not a key file: not a regular file of at most {MAX_KEY_FILE} bytes", path.display())]
    NotAKeyFile {
        /// What was to be read.
        path: PathBuf,
    },
    /// Not an Ed25519 private key in PKCS#8 PEM.
    #[error("{} does not hold an Ed25519 private key in PKCS#8 PEM", path.display())]
    Format {
        /// The key file.
        path: PathBuf,
        /// What the reader of the format said.
        source: ed25519_dalek::pkcs8::Error,
    },
    /// No random bytes from the system.
    #[error("the system gave no random bytes for a new key")]
    Random(#[source] getrandom::Error),
}

impl SigningKey {
    /// A new key from the system's random bytes.
    pub fn generate() -> Result<SigningKey, KeyFileError> {
        let mut seed = Zeroizing::new([0; 32]);
        getrandom::fill(seed.as_mut()).map_err(KeyFileError::Random)?;
        Ok(SigningKey::from_seed(&seed))
    }

    /// The key of a 32-byte seed (RFC 8032 §5.1.5), for tests and vectors.
    pub fn from_seed(seed: &[u8; 32]) -> SigningKey {
        SigningKey(ed25519_dalek::SigningKey::from_bytes(seed))
    }

    /// Reads a key file. Refuses one that group or others may read or write; permissions and content come from the
    /// same open file.
    pub fn read(path: &Path) -> Result<SigningKey, KeyFileError> {
        let io = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        let file = File::open(path).map_err(io("open"))?;
        let metadata = file.metadata().map_err(io("read"))?;
        if !metadata.is_file() || metadata.len() > MAX_KEY_FILE as u64 {
            return Err(KeyFileError::NotAKeyFile { path: path.to_owned() });
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::Exposed { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        let mut pem = Zeroizing::new(String::with_capacity(MAX_KEY_FILE));
        file.take(MAX_KEY_FILE as u64).read_to_string(&mut pem).map_err(io("read"))?;
        ed25519_dalek::SigningKey::from_pkcs8_pem(&pem)
            .map(SigningKey)
            .map_err(|source| KeyFileError::Format { path: path.to_owned(), source })
    }

    /// Writes the key to a new file of mode 0600 and waits until it is on disk. A file that exists is left alone.
    pub fn create(&self, path: &Path) -> Result<(), KeyFileError> {
        let io = |action| move |source| KeyFileError::Io { action, path: path.to_owned(), source };
        let pem = self.to_pem().map_err(|source| KeyFileError::Format { path: path.to_owned(), source })?;
        let mut file =
            OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(io("create"))?;
        file.write_all(pem.as_bytes()).and_then(|()| file.sync_all()).map_err(io("write"))
    }

    /// PKCS#8 version 1, without the public half: OpenSSL 3.0 and older Python readers refuse version 2.
    fn to_pem(&self) -> Result<Zeroizing<String>, ed25519_dalek::pkcs8::Error> {
        let mut pair = KeypairBytes { secret_key: self.0.to_bytes(), public_key: None };
        let pem = pair.to_pkcs8_pem(LineEnding::LF);
        pair.secret_key.zeroize();
        pem
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey::of_secret(self.0.verifying_key())
    }

    /// Plain Ed25519 over `message`.
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        self.0.sign(message).to_bytes()
    }
}

/// Shows the key id only.
impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SigningKey(of {})", self.public().id())
    }
}
