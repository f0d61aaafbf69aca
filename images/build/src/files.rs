//! Folders and files: copies, lists, hashes.

use std::fs;
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::error::BuildError;

/// Copies the folder `from` to `to`, which is made.
pub(crate) fn copy_folder(from: &Path, to: &Path) -> Result<(), BuildError> {
    fs::create_dir_all(to).map_err(BuildError::file("make", to))?;
    for entry in entries(from)? {
        let target = to.join(entry.file_name().unwrap_or_default());
        if entry.is_dir() {
            copy_folder(&entry, &target)?;
        } else {
            let bytes = read(&entry)?;
            write(&target, &bytes)?;
        }
    }
    Ok(())
}

/// The entries of a folder, sorted by name.
pub(crate) fn entries(folder: &Path) -> Result<Vec<PathBuf>, BuildError> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder).map_err(BuildError::file("list", folder))? {
        all.push(entry.map_err(BuildError::file("list", folder))?.path());
    }
    all.sort();
    Ok(all)
}

/// Adds the files of a folder, with their paths in it, to a key. An empty folder is nothing, as to git.
pub(crate) fn add_folder(key: &mut Key, folder: &Path) -> Result<(), BuildError> {
    add_below(key, folder, folder)
}

fn add_below(key: &mut Key, root: &Path, folder: &Path) -> Result<(), BuildError> {
    for entry in entries(folder)? {
        if entry.is_dir() {
            add_below(key, root, &entry)?;
        } else {
            key.add(entry.strip_prefix(root).unwrap_or(&entry).as_os_str().as_encoded_bytes());
            key.add(&read(&entry)?);
        }
    }
    Ok(())
}

/// All of a file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>, BuildError> {
    fs::read(path).map_err(BuildError::file("read", path))
}

/// Replaces a file.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), BuildError> {
    fs::write(path, bytes).map_err(BuildError::file("write", path))
}

/// Replaces a file by another in one step, so that nobody ever sees half of it.
pub(crate) fn publish(from: &Path, to: &Path) -> Result<(), BuildError> {
    fs::rename(from, to).map_err(BuildError::file("replace", to))
}

/// Makes `link` a symbolic link to the folder `to`, if it is none yet.
pub(crate) fn link(to: &Path, link: &Path) -> Result<(), BuildError> {
    if fs::read_link(link).ok().as_deref() != Some(to) {
        let _ = fs::remove_file(link);
        std::os::unix::fs::symlink(to, link).map_err(BuildError::file("link", link))?;
    }
    Ok(())
}

/// Waits until nobody else holds the lock `path`, and holds it until the value is dropped, or the process ends.
pub(crate) fn lock(path: &Path) -> Result<fs::File, BuildError> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder).map_err(BuildError::file("make", folder))?;
    }
    let file = fs::File::create(path).map_err(BuildError::file("make", path))?;
    file.lock().map_err(BuildError::file("lock", path))?;
    Ok(file)
}

/// Removes a file, if it is there.
pub(crate) fn remove(path: &Path) -> Result<(), BuildError> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(BuildError::file("remove", path)(error))
        }
        _ => Ok(()),
    }
}

/// Removes a folder, if it is there.
pub(crate) fn remove_folder(path: &Path) -> Result<(), BuildError> {
    if path.exists() { fs::remove_dir_all(path).map_err(BuildError::file("remove", path)) } else { Ok(()) }
}

/// A key out of parts, each with its length, so that no two lists of parts give the same key.
#[derive(Default)]
pub(crate) struct Key(Sha256);

impl Key {
    pub(crate) fn add(&mut self, part: &[u8]) {
        self.0.update((part.len() as u64).to_le_bytes());
        self.0.update(part);
    }

    /// 16 hexadecimal digits: enough to tell apart the kernels that one machine ever builds.
    pub(crate) fn finish(self) -> String {
        self.0.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_do_not_run_into_each_other() {
        let key = |parts: &[&str]| {
            let mut key = Key::default();
            parts.iter().for_each(|part| key.add(part.as_bytes()));
            key.finish()
        };
        assert_ne!(key(&["ab", "c"]), key(&["a", "bc"]));
        assert_eq!(key(&["ab", "c"]).len(), 16);
    }
}
