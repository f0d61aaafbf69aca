//! Reading what the store answers. Each function takes a reply's payload; [`payload`] gives it.

use crate::{
    DomainId, ErrorName, Kind, Message, Path, PathError, Permission, PermissionError, Permissions, TokenError,
};
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;

/// The payload of the reply to a request of kind `asked`.
///
/// # Errors
/// The store refused, or this is not a reply to such a request.
pub fn payload(asked: Kind, message: &Message) -> Result<&[u8], ReplyError> {
    match message.kind() {
        kind if kind == asked => Ok(message.payload()),
        Kind::Error => {
            let payload = message.payload();
            Err(ReplyError::Refused(ErrorName::of_bytes(payload.strip_suffix(b"\0").unwrap_or(payload))))
        }
        found => Err(ReplyError::Kind { asked, found }),
    }
}

/// The answer to requests that only do something.
///
/// # Errors
/// It is not `OK`.
pub fn done(payload: &[u8]) -> Result<(), ReplyError> {
    if payload == b"OK\0" { Ok(()) } else { Err(ReplyError::Form { what: "OK" }) }
}

/// Names of children, each a single name.
///
/// # Errors
/// There is something else among them.
pub fn names(payload: &[u8]) -> Result<Vec<String>, ReplyError> {
    strings(payload)?
        .map(|name| {
            let name = Path::from_bytes(name).map_err(ReplyError::Path)?;
            if name.as_str().contains('/') {
                return Err(ReplyError::Form { what: "names" });
            }
            Ok(name.as_str().into())
        })
        .collect()
}

/// A node's permissions.
///
/// # Errors
/// It is no list of permissions.
pub fn permissions(payload: &[u8]) -> Result<Permissions, ReplyError> {
    let list = strings(payload)?.map(Permission::from_bytes).collect::<Result<Vec<_>, _>>();
    list.and_then(Permissions::from_list).map_err(ReplyError::Permission)
}

/// A transaction's number, never 0.
///
/// # Errors
/// It is no such number.
pub fn transaction(payload: &[u8]) -> Result<u32, ReplyError> {
    let number = single(payload)?;
    if number.is_empty() || !number.iter().all(u8::is_ascii_digit) {
        return Err(ReplyError::Form { what: "transaction" });
    }
    match core::str::from_utf8(number).map(str::parse) {
        Ok(Ok(number @ 1..)) => Ok(number),
        _ => Err(ReplyError::Form { what: "transaction" }),
    }
}

/// A domain's path.
///
/// # Errors
/// It is not a path from the root.
pub fn path(payload: &[u8]) -> Result<Path, ReplyError> {
    let path = Path::from_bytes(single(payload)?).map_err(ReplyError::Path)?;
    if path.is_absolute() { Ok(path) } else { Err(ReplyError::Form { what: "absolute path" }) }
}

/// A value that is a domain's number, as in the node `domid`.
///
/// # Errors
/// It is no such number.
pub fn domain(value: &[u8]) -> Result<DomainId, ReplyError> {
    match core::str::from_utf8(value).map(DomainId::parse) {
        Ok(Ok(domain)) => Ok(domain),
        _ => Err(ReplyError::Form { what: "domain" }),
    }
}

/// Strings with a NUL behind each, as the protocol has lists.
pub(crate) fn strings(payload: &[u8]) -> Result<impl Iterator<Item = &[u8]>, ReplyError> {
    let inner = match payload {
        [] => None,
        [inner @ .., 0] => Some(inner),
        _ => return Err(ReplyError::Form { what: "NUL at the end" }),
    };
    Ok(inner.into_iter().flat_map(|inner| inner.split(|byte| *byte == 0)))
}

/// The one string that there is.
fn single(payload: &[u8]) -> Result<&[u8], ReplyError> {
    let mut strings = strings(payload)?;
    match (strings.next(), strings.next()) {
        (Some(one), None) => Ok(one),
        _ => Err(ReplyError::Form { what: "single string" }),
    }
}

/// Fields with a NUL behind each.
pub(crate) fn joined<'a>(fields: impl IntoIterator<Item = &'a [u8]>) -> Vec<u8> {
    let mut bytes = Vec::new();
    for field in fields {
        bytes.extend_from_slice(field);
        bytes.push(0);
    }
    bytes
}

/// Why there is no answer in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ReplyError {
    /// The store did not do it.
    Refused(ErrorName),
    /// A message of another kind than the request's.
    Kind {
        /// The request's kind.
        asked: Kind,
        /// The message's.
        found: Kind,
    },
    /// The payload does not hold what it should.
    Form {
        /// What it should hold.
        what: &'static str,
    },
    /// A path in it is none.
    Path(PathError),
    /// A permission in it is none.
    Permission(PermissionError),
    /// A token in it is none.
    Token(TokenError),
}

impl fmt::Display for ReplyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(name) => write!(f, "store refused with {name}"),
            Self::Kind { asked, found } => {
                write!(f, "reply of kind {found:?} to a request of kind {asked:?}")
            }
            Self::Form { what } => write!(f, "message without its {what}"),
            Self::Path(_) => f.write_str("message with a malformed path"),
            Self::Permission(_) => f.write_str("message with a malformed permission"),
            Self::Token(_) => f.write_str("message with a malformed token"),
        }
    }
}

impl core::error::Error for ReplyError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Path(error) => Some(error),
            Self::Permission(error) => Some(error),
            Self::Token(error) => Some(error),
            Self::Refused(_) | Self::Kind { .. } | Self::Form { .. } => None,
        }
    }
}
