//! Keys that were revoked, beside the store: whoever puts an older copy of it back puts back none of them.
//!
//! One line each, `KEY_ID MICROSECONDS revoked`, written and synced before the store has it. A key that stands here is revoked whatever the store
//! says, and one that the store alone knows is noted when it opens. As with [`super::witness`], a copy of the whole folder is not noticed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use super::{StoreError, sync_folder};

/// Their ids and when that was, µs of Unix time.
#[derive(Debug)]
pub(super) struct Revoked {
    path: PathBuf,
    known: Mutex<BTreeMap<String, i64>>,
}

impl Revoked {
    /// Reads the list; none is an empty one.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let text = match std::fs::read_to_string(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => String::new(),
            text => text.map_err(|source| failed(path, source))?,
        };
        // A line that a power cut has torn lacks its last word, and was of a revocation that nobody was told of.
        let line = |line: &str| {
            let (id, at) = line.strip_suffix(" revoked")?.split_once(' ')?;
            (id.len() == 64).then_some((id.to_owned(), at.parse().ok()?))
        };
        let known = text.lines().filter_map(line).collect();
        Ok(Self { path: path.to_owned(), known: Mutex::new(known) })
    }

    /// When this key was revoked.
    pub(super) fn at(&self, key_id: &str) -> Option<i64> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner).get(key_id).copied()
    }

    /// Notes these keys, on disk when it returns.
    pub(super) fn note(&self, keys: &[(String, i64)]) -> Result<(), StoreError> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let new: Vec<_> = keys.iter().filter(|(id, _)| !known.contains_key(id)).cloned().collect();
        if new.is_empty() {
            return Ok(());
        }
        let is_new = !self.path.exists();
        let lines: String = new.iter().map(|(id, at)| format!("\n{id} {at} revoked\n")).collect();
        let file = File::options().append(true).create(true).mode(0o600).open(&self.path);
        let written =
            file.and_then(|mut file| file.write_all(lines.as_bytes()).and_then(|()| file.sync_all()));
        written.map_err(|source| failed(&self.path, source))?;
        if is_new && let Some(folder) = self.path.parent() {
            sync_folder(folder)?;
        }
        known.extend(new);
        Ok(())
    }
}

fn failed(path: &Path, source: std::io::Error) -> StoreError {
    StoreError::File { path: path.to_owned(), source: Arc::new(source) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_noted_is_there_and_a_torn_line_takes_nothing_with_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.revoked");
        let key = |digit: char| digit.to_string().repeat(64);
        let list = Revoked::open(&path).unwrap();
        list.note(&[]).unwrap();
        assert!(!path.exists(), "nothing is written for nothing");
        list.note(&[(key('a'), 1), (key('b'), 2)]).unwrap();
        list.note(&[(key('a'), 9)]).unwrap();
        let again = Revoked::open(&path).unwrap();
        assert_eq!([again.at(&key('a')), again.at(&key('b')), again.at(&key('c'))], [Some(1), Some(2), None]);

        let whole = std::fs::read(&path).unwrap();
        for length in 0..whole.len() - 1 {
            std::fs::write(&path, &whole[..length]).unwrap();
            let torn = Revoked::open(&path).unwrap();
            assert!(torn.at(&key('b')).is_none(), "{length}");
            torn.note(&[(key('c'), 3)]).unwrap();
            let mended = Revoked::open(&path).unwrap();
            assert_eq!(
                (mended.at(&key('a')), mended.at(&key('c'))),
                (torn.at(&key('a')), Some(3)),
                "{length}"
            );
        }
    }
}
