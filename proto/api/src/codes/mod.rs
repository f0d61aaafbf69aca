//! The catalogue of every reason that a node or a tool of the project can give: `E1203` and its kin.
//!
//! | range | whose reason |
//! |---|---|
//! | E10xx | transport and HTTP |
//! | E11xx | envelopes and keys |
//! | E12xx | credentials: replay, epoch, audience, time, state of a key |
//! | E13xx | contents of a task wrapper |
//! | E14xx | policy of an issuer |
//! | E15xx | images |
//! | E20xx | resources of the node |
//! | E30xx | guests |
//! | E40xx | sources |
//! | E50xx | results |
//! | E60xx | host not ready |
//! | E70xx | store |
//! | E80xx | writing functions |
//!
//! To add one: write it into its range's file. The constant and its entry are one line of one table, so neither exists
//! without the other. A number, once released, keeps its meaning and is never given to another reason.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The number of a reason, shown as `E` and four digits. A code that this version has no entry for survives reading.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Code(u16);

impl Code {
    /// The code with this number (1000 to 9999), or `None` outside of that.
    pub const fn from_number(number: u16) -> Option<Self> {
        if number >= 1000 && number <= 9999 { Some(Self(number)) } else { None }
    }

    /// The number, without the letter.
    pub const fn number(self) -> u16 {
        self.0
    }

    /// What the catalogue says of it, or `None` for a code of another version.
    pub fn entry(self) -> Option<&'static Entry> {
        entries().find(|entry| entry.code == self)
    }

    /// HTTP status to answer with; 500 for a code without an entry.
    pub fn status(self) -> u16 {
        self.entry().map_or(500, |entry| entry.status)
    }

    /// The short name of the reason; `unknown reason` for a code without an entry.
    pub fn title(self) -> &'static str {
        self.entry().map_or("unknown reason", |entry| entry.title)
    }

    /// One sentence that says what to do; empty for a code without an entry.
    pub fn hint(self) -> &'static str {
        self.entry().map_or("", |entry| entry.hint)
    }
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "E{:04}", self.0)
    }
}

impl fmt::Debug for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// Text that is not `E` and four digits.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a code: {0:?} (a code is E and four digits, such as E1203)")]
pub struct NotACode(pub String);

impl FromStr for Code {
    type Err = NotACode;

    /// Reads `E1203`, and `e1203` or `1203` as people type them.
    fn from_str(text: &str) -> Result<Self, NotACode> {
        let digits = text.strip_prefix(['E', 'e']).unwrap_or(text);
        let well_formed = digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
        let number = if well_formed { digits.parse().ok() } else { None };
        number.and_then(Self::from_number).ok_or_else(|| NotACode(text.to_owned()))
    }
}

impl Serialize for Code {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Code {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Code {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Code".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^E[1-9][0-9]{3}$", "description": "Reason code; `fades explain CODE` tells more." })
    }
}

/// What is known of one code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The code.
    pub code: Code,
    /// Name of its constant, stable, for logs and metrics: `TASK_ID_REUSED`.
    pub name: &'static str,
    /// HTTP status that a node answers with where this is the answer to a request. Codes that only end a task, or that only a
    /// tool says, carry the status that comes nearest.
    pub status: u16,
    /// A few lower-case words.
    pub title: &'static str,
    /// One sentence that says what to do.
    pub hint: &'static str,
    /// What happened and why it is refused, for `fades explain`.
    pub explanation: &'static str,
}

/// Declares the constants of one range and their entries, in one table.
macro_rules! catalogue {
    ($($name:ident = $number:literal, $status:literal, $title:literal, $hint:literal, $explanation:literal;)+) => {
        $(#[doc = concat!("E", $number, ": ", $title, ".")]
        pub const $name: $crate::codes::Code = $crate::codes::Code::declared($number);)+
        pub(super) const ENTRIES: &[$crate::codes::Entry] = &[$($crate::codes::Entry {
            code: $name,
            name: stringify!($name),
            status: $status,
            title: $title,
            hint: $hint,
            explanation: $explanation,
        },)+];
    };
}

impl Code {
    /// For the catalogue: a number outside the range stops the build.
    const fn declared(number: u16) -> Self {
        assert!(number >= 1000 && number <= 9999, "a code has four digits");
        Self(number)
    }
}

mod credentials;
mod envelope;
mod functions;
mod guests;
mod host;
mod images;
mod policy;
mod resources;
mod results;
mod sources;
mod store;
mod transport;
mod wrapper;

pub use credentials::*;
pub use envelope::*;
pub use functions::*;
pub use guests::*;
pub use host::*;
pub use images::*;
pub use policy::*;
pub use resources::*;
pub use results::*;
pub use sources::*;
pub use store::*;
pub use transport::*;
pub use wrapper::*;

const RANGES: [&[Entry]; 13] = [
    transport::ENTRIES,
    envelope::ENTRIES,
    credentials::ENTRIES,
    wrapper::ENTRIES,
    policy::ENTRIES,
    images::ENTRIES,
    resources::ENTRIES,
    guests::ENTRIES,
    sources::ENTRIES,
    results::ENTRIES,
    host::ENTRIES,
    store::ENTRIES,
    functions::ENTRIES,
];

/// Every entry, in the order of the numbers.
pub fn entries() -> impl Iterator<Item = &'static Entry> {
    RANGES.into_iter().flatten()
}

/// The entry for a code as people type it (`E1203`, `e1203`, `1203`).
pub fn lookup(text: &str) -> Option<&'static Entry> {
    text.trim().parse::<Code>().ok().and_then(Code::entry)
}

#[cfg(test)]
mod tests;
