//! Names, labels, digests and ids: strings that are safe to hand on because they cannot exist otherwise.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use ulid::Ulid;

use crate::codes::{self, Code};

/// Longest [`Name`], bytes; a key id in hexadecimal just fits.
const NAME_BYTES: usize = 64;
/// Longest [`Label`], bytes.
const LABEL_BYTES: usize = 128;

/// Why a string is not what it should be; the value is in the message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Refused {
    /// Reason of the E13xx range.
    pub code: Code,
    /// What is wrong, with the value.
    pub message: String,
}

fn refuse<T>(code: Code, message: String) -> Result<T, Refused> {
    Err(Refused { code, message })
}

/// A value for a message: quoted, escaped, cut at 80 characters.
pub(crate) fn quoted(text: &str) -> String {
    let mut chars = text.chars();
    let head: String = chars.by_ref().take(80).collect();
    if chars.next().is_some() { format!("{head:?}... ({} bytes)", text.len()) } else { format!("{head:?}") }
}

/// Serialises as text, reads through `FromStr`, and shows a pattern in the schema.
macro_rules! text_type {
    ($type:ident, $name:literal, $pattern:expr, $description:literal) => {
        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
            }
        }
        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}({})", $name, self)
            }
        }
        impl JsonSchema for $type {
            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern, "description": $description })
            }
        }
    };
}

/// Name of an issuer, a node, a source, an operation, an image or a sink: 1 to 64 of `A-Z a-z 0-9 . _ -`, beginning
/// with a letter or digit, without `..`. Safe in file names, options and lists.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(String);

text_type!(Name, "Name", "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$", "A safe name, without `..`.");

impl Name {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Name {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Name {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text.len() > NAME_BYTES {
            return refuse(
                codes::STRING_TOO_LONG,
                format!("{} is longer than {NAME_BYTES} bytes", quoted(text)),
            );
        }
        if text.is_empty() {
            return refuse(codes::NAME_REFUSED, "a name is empty".to_owned());
        }
        if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-')))
        {
            return refuse(codes::NAME_REFUSED, format!("{} has {bad:?} in it", quoted(text)));
        }
        if !text.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return refuse(
                codes::NAME_REFUSED,
                format!("{} does not begin with a letter or digit", quoted(text)),
            );
        }
        if text.contains("..") {
            return refuse(codes::NAME_REFUSED, format!("{} has \"..\" in it", quoted(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// A measurement, field, tag or tag value: 1 to 128 bytes of letters and digits of any script, inner spaces, and
/// `. _ - : + % # @ ( ) ° = &`; no leading dash, no `..`. What a source's language needs escaped (quotes, backslash, slash,
/// comma, control characters) cannot be in it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Label(String);

text_type!(
    Label,
    "Label",
    r"^[^ \-\x00-\x1f\x7f,/\\'\x22`;*?<>|$!~^{}\[\]][^\x00-\x1f\x7f,/\\'\x22`;*?<>|$!~^{}\[\]]{0,127}$",
    "A safe label: no leading dash, no space at either end, no `..`, 128 bytes at most."
);

impl Label {
    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Label {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl AsRef<str> for Label {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl FromStr for Label {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        if text.len() > LABEL_BYTES {
            return refuse(
                codes::STRING_TOO_LONG,
                format!("{} is longer than {LABEL_BYTES} bytes", quoted(text)),
            );
        }
        if text.is_empty() {
            return refuse(codes::NAME_REFUSED, "a label is empty".to_owned());
        }
        let sign = |c| {
            matches!(c, ' ' | '.' | '_' | '-' | ':' | '+' | '%' | '#' | '@' | '(' | ')' | '°' | '=' | '&')
        };
        if let Some(bad) = text.chars().find(|&c| !(c.is_alphanumeric() || sign(c))) {
            return refuse(codes::NAME_REFUSED, format!("{} has {bad:?} in it", quoted(text)));
        }
        if text.starts_with('-') {
            return refuse(codes::NAME_REFUSED, format!("{} begins with a dash", quoted(text)));
        }
        if text.starts_with(' ') || text.ends_with(' ') {
            return refuse(codes::NAME_REFUSED, format!("{} begins or ends with a space", quoted(text)));
        }
        if text.contains("..") {
            return refuse(codes::NAME_REFUSED, format!("{} has \"..\" in it", quoted(text)));
        }
        Ok(Self(text.to_owned()))
    }
}

/// Id of a task: a ULID in its one form of 26 upper-case characters.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TaskId(pub Ulid);

text_type!(TaskId, "TaskId", "^[0-7][0-9A-HJKMNP-TV-Z]{25}$", "A ULID.");

impl TaskId {
    /// The 16 bytes, most significant first.
    pub fn to_bytes(self) -> [u8; 16] {
        self.0.to_bytes()
    }

    /// The id of 16 bytes, most significant first.
    pub fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(Ulid::from_bytes(bytes))
    }
}

impl fmt::Display for TaskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl FromStr for TaskId {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match Ulid::from_string(text) {
            // equal to its own form: lower case, and values that wrap around, are other spellings of the same id
            Ok(id) if id.to_string() == text => Ok(Self(id)),
            _ => refuse(
                codes::TASK_ID_MALFORMED,
                format!("{} is not a ULID in its upper-case form", quoted(text)),
            ),
        }
    }
}

/// The value that a node renews whenever its replay state was lost: 16 bytes, shown as 32 lower-case digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct NodeEpoch(pub [u8; 16]);

text_type!(NodeEpoch, "NodeEpoch", "^[0-9a-f]{32}$", "16 bytes in hexadecimal.");

impl fmt::Display for NodeEpoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for NodeEpoch {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        match hex(text) {
            Some(bytes) => Ok(Self(bytes)),
            None => refuse(
                codes::EPOCH_MALFORMED,
                format!("{} is not 32 lower-case hexadecimal digits", quoted(text)),
            ),
        }
    }
}

/// An image, by name and by the digest that decides.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ImageReference {
    /// Name of the image, for people.
    pub name: Name,
    /// SHA-256 of the image's manifest payload.
    pub digest: [u8; 32],
}

text_type!(
    ImageReference,
    "ImageReference",
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}@sha256:[0-9a-f]{64}$",
    "An image as NAME@sha256:DIGEST."
);

impl ImageReference {
    /// The digest as 64 lower-case hexadecimal digits.
    pub fn digest_hex(&self) -> String {
        self.digest.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl fmt::Display for ImageReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@sha256:", self.name)?;
        self.digest.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for ImageReference {
    type Err = Refused;

    fn from_str(text: &str) -> Result<Self, Refused> {
        let Some((name, digest)) = text.split_once('@') else {
            return refuse(codes::IMAGE_REFERENCE_MALFORMED, format!("{} has no \"@sha256:\"", quoted(text)));
        };
        let name = name.parse()?;
        match digest.strip_prefix("sha256:").and_then(hex) {
            Some(digest) => Ok(Self { name, digest }),
            None => {
                let message =
                    format!("{} is not sha256: and 64 lower-case hexadecimal digits", quoted(digest));
                refuse(codes::IMAGE_REFERENCE_MALFORMED, message)
            }
        }
    }
}

/// Exactly `N` bytes from lower-case hexadecimal, or `None`.
pub(crate) fn hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |c: u8| match c {
        b'0'..=b'9' => Some(c - b'0'),
        b'a'..=b'f' => Some(c - b'a' + 10),
        _ => None,
    };
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != N || !rest.is_empty() {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, [high, low]) in bytes.iter_mut().zip(pairs) {
        *byte = digit(*high)? << 4 | digit(*low)?;
    }
    Some(bytes)
}
