//! Why a file is no fixture.

use std::path::PathBuf;

/// Why a file is no fixture.
#[derive(Debug, thiserror::Error)]
pub enum FixtureError {
    /// It cannot be read.
    #[error("{path} cannot be read", path = path.display())]
    Read {
        /// Which file.
        path: PathBuf,
        /// How reading failed.
        source: std::io::Error,
    },
    /// Its name does not say what it is.
    #[error("{path} ends in none of .lp (line protocol), .csv, .fpt (recorded)", path = path.display())]
    Kind {
        /// Which file.
        path: PathBuf,
    },
    /// Something in it is wrong.
    #[error("{path}: {fault}", path = path.display())]
    Content {
        /// Which file.
        path: PathBuf,
        /// What, and where.
        fault: Fault,
    },
}

/// What is wrong in the text of a fixture.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A line that does not keep to its format.
    #[error("line {line}: {words}")]
    Line {
        /// Counted from 1.
        line: u64,
        /// What, with the value at fault.
        words: String,
    },
    /// A recorded file that is damaged, or of another version.
    #[error("{0}")]
    Recorded(String),
}

impl Fault {
    pub(crate) fn line(line: u64, words: impl Into<String>) -> Self {
        Self::Line { line, words: words.into() }
    }
}
