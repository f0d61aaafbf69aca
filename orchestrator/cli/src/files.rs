//! Files that people hand to commands: read with a cap, written without overwriting.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use base64ct::{Base64UrlUnpadded, Encoding};
use fades_api::codes;
use fades_envelope::{Enrolment, MAX_ENVELOPE, PublicKey, check_proof};

use crate::exit::Exit;
use crate::failure::{Failure, Result};

/// First byte of a COSE_Sign1 envelope: CBOR tag 18.
const TAG_18: u8 = 0xd2;

/// Reads a file of at most `most` bytes.
pub(crate) fn read(path: &Path, most: usize) -> Result<Vec<u8>> {
    let failed = |error: std::io::Error| Failure::system(path.display(), &error);
    // as for key files: whoever typed the name can mend it
    let unopened = |error| Failure { exit: Exit::Usage, ..failed(error) };
    let file = File::open(path).map_err(unopened)?;
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        return Err(Failure::usage(format!("{} has more than {most} bytes", path.display())));
    }
    Ok(bytes)
}

/// Reads a file of text.
pub(crate) fn read_text(path: &Path, most: usize) -> Result<String> {
    String::from_utf8(read(path, most)?)
        .map_err(|error| Failure::new(codes::NOT_UTF8, format!("{}: {error}", path.display())))
}

/// Whether bytes may be an envelope, judged by their first one; no text of ours begins so.
pub(crate) fn is_envelope(bytes: &[u8]) -> bool {
    bytes.first() == Some(&TAG_18)
}

/// The envelope in a file: as it is, or as one line of base64url.
pub(crate) fn read_envelope(path: &Path) -> Result<Vec<u8>> {
    // four characters for three bytes, and the end of the line
    let bytes = read(path, MAX_ENVELOPE / 3 * 4 + 8)?;
    if is_envelope(&bytes) {
        return Ok(bytes);
    }
    let text = std::str::from_utf8(&bytes).map(str::trim).unwrap_or_default();
    match Base64UrlUnpadded::decode_vec(text) {
        Ok(envelope) if is_envelope(&envelope) => Ok(envelope),
        _ => Err(Failure::new(
            codes::CBOR_MALFORMED,
            format!("{} is no envelope, neither as bytes nor as base64url", path.display()),
        )),
    }
}

/// A checked proof of possession, with its bytes.
pub(crate) fn read_proof(path: &Path) -> Result<(Vec<u8>, Enrolment)> {
    let envelope = read_envelope(path)?;
    let enrolment = check_proof(&envelope)?;
    Ok((envelope, enrolment))
}

/// A public key as 64 digits, or the file of a proof that holds one.
pub(crate) fn public_key(text: &str) -> Result<PublicKey> {
    if text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return Ok(text.parse()?);
    }
    Ok(read_proof(Path::new(text))?.1.key)
}

/// The file beside a key that holds its proof: `FILE.pub`.
pub(crate) fn proof_path(key: &Path) -> PathBuf {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    PathBuf::from(name)
}

/// Writes a new file with this mode and waits until it is on disk. A file that is there is left alone.
pub(crate) fn create(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let failed = |error: std::io::Error| Failure::system(path.display(), &error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(bytes).and_then(|()| file.sync_all()).map_err(failed)
}

#[cfg(test)]
mod tests {
    use fades_envelope::{SigningKey, prove};

    use super::*;

    #[test]
    fn proofs_are_read_as_bytes_and_as_text() {
        let folder = tempfile::tempdir().unwrap();
        let key = SigningKey::from_seed(&[3; 32]);
        let proof = prove(&key, "a.example").unwrap();
        let (raw, text) = (folder.path().join("raw"), folder.path().join("text"));
        create(&raw, &proof, 0o644).unwrap();
        create(&text, format!("{}\n", Base64UrlUnpadded::encode_string(&proof)).as_bytes(), 0o644).unwrap();
        for path in [&raw, &text] {
            let (bytes, enrolment) = read_proof(path).unwrap();
            assert_eq!((bytes, enrolment.name.as_str()), (proof.clone(), "a.example"));
            assert_eq!(public_key(path.to_str().unwrap()).unwrap(), key.public());
        }
        assert_eq!(public_key(&key.public().to_string()).unwrap(), key.public());
        assert_eq!(create(&raw, b"x", 0o644).unwrap_err().exit, Exit::Failed);
        assert_eq!(read(&raw, 3).unwrap_err().exit, Exit::Usage);
        assert_eq!(read(&folder.path().join("none"), 3).unwrap_err().exit, Exit::Usage);
    }

    #[test]
    fn other_files_are_no_envelopes() {
        let file = tempfile::NamedTempFile::new().unwrap();
        for bytes in [&b""[..], b"hello", b"\xff\xff", b"aGVsbG8"] {
            std::fs::write(file.path(), bytes).unwrap();
            assert_eq!(read_envelope(file.path()).unwrap_err().code, Some(codes::CBOR_MALFORMED));
        }
    }
}
