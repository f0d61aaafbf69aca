//! What can go wrong with the store. Cloneable, because all that shared a transaction are told of its failure.

use std::path::PathBuf;
use std::sync::Arc;

/// A failure of the store itself, never a refusal by rule.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// The database refused or its disk did.
    #[error("could not {doing} the store")]
    Redb {
        /// What was tried, as a verb.
        doing: &'static str,
        /// What redb says.
        #[source]
        source: Arc<redb::Error>,
    },
    /// A stored value does not have the form that this version reads.
    #[error("stored {table} entry does not have the expected form")]
    Record {
        /// The table it is in.
        table: &'static str,
        /// What the decoder says.
        #[source]
        source: Arc<serde_json::Error>,
    },
    /// A file beside the database.
    #[error("could not use {path}")]
    File {
        /// Which file.
        path: PathBuf,
        /// What the system says.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The file was written by a newer program.
    #[error("store has schema {found}, this program knows up to {known}")]
    TooNew {
        /// The number in the file.
        found: u64,
        /// The newest that is known here.
        known: u64,
    },
    /// A value in the table of facts has the wrong length.
    #[error("stored fact {name} has an impossible length")]
    Meta {
        /// The name of the fact.
        name: &'static str,
    },
    /// No entropy for a new epoch.
    #[error("no random bytes for a new epoch: {0}")]
    Entropy(getrandom::Error),
    /// The writer thread has ended, after an earlier failure or a shutdown.
    #[error("the store is closed")]
    Closed,
}

impl StoreError {
    /// Wraps any of redb's errors.
    pub(crate) fn redb(doing: &'static str, error: impl Into<redb::Error>) -> Self {
        Self::Redb { doing, source: Arc::new(error.into()) }
    }
}

macro_rules! from_redb {
    ($($error:ty => $doing:literal),+ $(,)?) => {
        $(impl From<$error> for StoreError {
            fn from(error: $error) -> Self {
                Self::redb($doing, error)
            }
        })+
    };
}

from_redb! {
    redb::StorageError => "read or write",
    redb::TableError => "open a table of",
    redb::TransactionError => "begin a transaction of",
    redb::CommitError => "commit to",
}
