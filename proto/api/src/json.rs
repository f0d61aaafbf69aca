//! Strict reading of JSON and TOML into one tree, and canonical writing.
//!
//! `serde_json::Value` keeps the last of duplicate keys and reads to any size; this reader refuses duplicates at every level and
//! caps depth, number of values and length of strings while it reads, so that hostile bytes cost no memory and no stack.

mod read;
mod write;

pub(crate) use read::{read_document, read_toml};
pub(crate) use write::{object_to_string_sorted, serialize_object_sorted, to_bytes};

/// Levels of nesting, the document itself included.
pub(crate) const DEPTH: usize = 16;
/// Values in one document, keys not counted.
pub(crate) const VALUES: usize = 8192;
/// Bytes of any one string or key.
pub(crate) const STRING_BYTES: usize = 4096;
