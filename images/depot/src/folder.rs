//! A folder of this machine.

use std::fs::{self, File};
use std::io::{ErrorKind, Read, Write};
use std::path::{Path, PathBuf};

use fades_pack::{Architecture, MAX_IMAGE};
use rustix::fs::{FlockOperation, flock};

use crate::index::{Entry, FILE, Index, MAX_INDEX};
use crate::{DepotError, Selector, path_of};

/// Held by who changes the index.
const LOCK: &str = "fades-images.lock";

pub(crate) fn fetch(
    root: &Path,
    wanted: Option<&Selector>,
    architecture: Architecture,
) -> Result<Vec<u8>, DepotError> {
    let place = root.display().to_string();
    let Some(bytes) = read(&root.join(FILE), MAX_INDEX)? else {
        let what = format!("there is no {FILE}, so it is no folder of images");
        return Err(DepotError::Answer { place, what });
    };
    let index = Index::read(&bytes, &place)?;
    let entry = index.choose(wanted, architecture, &place)?;
    read(&root.join(path_of(entry)), MAX_IMAGE)?.ok_or_else(|| DepotError::NotThere {
        place,
        wanted: path_of(entry),
        has: None,
    })
}

pub(crate) fn push(root: &Path, image: &[u8], entry: &Entry) -> Result<String, DepotError> {
    let io = |doing, path: &Path| {
        let path = path.to_owned();
        move |source| DepotError::Io { doing, path, source }
    };
    let images = root.join("images");
    fs::create_dir_all(&images).map_err(io("make", &images))?;
    let lock = root.join(LOCK);
    let held =
        File::options().create(true).truncate(false).write(true).open(&lock).map_err(io("open", &lock))?;
    // Free again when the file is closed, however this ends.
    flock(&held, FlockOperation::LockExclusive).map_err(|errno| io("lock", &lock)(errno.into()))?;
    let (place, index_path) = (root.display().to_string(), root.join(FILE));
    let mut index = match read(&index_path, MAX_INDEX)? {
        Some(bytes) => Index::read(&bytes, &place)?,
        None => Index::default(),
    };
    let is_changed = index.add(entry, &place)?;
    let path = root.join(path_of(entry));
    // The image first: what the index names is there.
    replace(&path, image)?;
    if is_changed {
        replace(&index_path, &index.write())?;
    }
    Ok(path.display().to_string())
}

/// A file of at most `most` bytes; none where there is none.
fn read(path: &Path, most: usize) -> Result<Option<Vec<u8>>, DepotError> {
    let failed = |source| DepotError::Io { doing: "read", path: path.to_owned(), source };
    let file = match File::open(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed)?,
    };
    let mut bytes = Vec::new();
    file.take(most as u64 + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() > most {
        return Err(failed(std::io::Error::other(format!("it has more than {most} bytes"))));
    }
    Ok(Some(bytes))
}

/// Writes a file whole or not at all; a file that is the same already is left alone. The lock is held.
fn replace(path: &Path, bytes: &[u8]) -> Result<(), DepotError> {
    let failed = |source| DepotError::Io { doing: "write", path: path.to_owned(), source };
    if fs::metadata(path).is_ok_and(|there| there.len() == bytes.len() as u64)
        && fs::read(path).is_ok_and(|there| there == bytes)
    {
        return Ok(());
    }
    let partial = PathBuf::from(format!("{}.partial", path.display()));
    let written = File::create(&partial).and_then(|mut file| {
        file.write_all(bytes)?;
        file.sync_all()
    });
    written.and_then(|()| fs::rename(&partial, path)).map_err(|error| {
        drop(fs::remove_file(&partial));
        failed(error)
    })
}
