//! Names of nodes.

use alloc::string::String;
use core::fmt;

/// Longest path from the root, in bytes (`XENSTORE_ABS_PATH_MAX`).
pub const ABSOLUTE_MAX: usize = 3072;
/// Longest path from the domain's own node, in bytes (`XENSTORE_REL_PATH_MAX`).
pub const RELATIVE_MAX: usize = 2048;

/// A node's name. It starts with `/`, or is relative to the client's own node, or starts with `@`: the names of
/// what is not a node, `@introduceDomain` and `@releaseDomain`, which can only be watched.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Path(String);

impl Path {
    /// Checks a path.
    ///
    /// # Errors
    /// It is empty, has other characters than `A-Za-z0-9-/_@`, a `//`, a `/` at its end, or is too long.
    pub fn new(path: &str) -> Result<Self, PathError> {
        check(path).map(|()| Self(path.into()))
    }

    /// A path that this crate put together from checked pieces.
    pub(crate) const fn of_checked(path: String) -> Self {
        Self(path)
    }

    /// Reads a path from a payload.
    ///
    /// # Errors
    /// As in [`Self::new`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PathError> {
        // A byte beyond ASCII is a foreign character, whatever it is part of.
        match core::str::from_utf8(bytes) {
            Ok(path) => Self::new(path),
            Err(error) => Err(PathError::Character { at: error.valid_up_to() }),
        }
    }

    /// The node `below` under this one.
    ///
    /// # Errors
    /// `below` is not a relative path, or together they are too long.
    pub fn join(&self, below: &str) -> Result<Self, PathError> {
        if below.starts_with(['/', '@']) {
            return Err(PathError::Character { at: 0 });
        }
        check(below)?;
        let slash = if self.0.ends_with('/') { "" } else { "/" };
        let joined = alloc::format!("{}{slash}{below}", self.0);
        check(&joined).map(|()| Self(joined))
    }

    /// As the wire has it, without the NUL.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether it starts at the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.0.starts_with('/')
    }
}

fn check(path: &str) -> Result<(), PathError> {
    let max = if path.starts_with('/') { ABSOLUTE_MAX } else { RELATIVE_MAX };
    if path.is_empty() {
        return Err(PathError::Empty);
    }
    if path.len() > max {
        return Err(PathError::Length { length: path.len(), max });
    }
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"-/_@".contains(&byte);
    if let Some(at) = path.bytes().position(|byte| !known(byte)) {
        return Err(PathError::Character { at });
    }
    if path.contains("//") || (path.len() > 1 && path.ends_with('/')) {
        return Err(PathError::EmptyName);
    }
    Ok(())
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Why text is not a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PathError {
    /// There is nothing.
    Empty,
    /// Longer than a path may be.
    Length {
        /// Its length in bytes.
        length: usize,
        /// The longest of its kind.
        max: usize,
    },
    /// A character that paths do not have, or not there.
    Character {
        /// Where it is, in bytes.
        at: usize,
    },
    /// A name of no characters: `//`, or a `/` at the end.
    EmptyName,
}

impl fmt::Display for PathError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("path is empty"),
            Self::Length { length, max } => write!(f, "path of {length} bytes is over {max}"),
            Self::Character { at } => write!(f, "path has a foreign character at byte {at}"),
            Self::EmptyName => f.write_str("path has an empty name in it"),
        }
    }
}

impl core::error::Error for PathError {}
