//! What a client asks.

use crate::reply::{ReplyError, joined, permissions, strings};
use crate::{DomainId, Kind, Message, Path, Permissions, Token, TooLong, reply};
use alloc::string::ToString;
use alloc::vec::Vec;
use core::fmt;

/// A request. Its reply has the same kind; how to read it stands beside each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Names of a node's children: [`reply::names`].
    Directory {
        /// The node.
        path: Path,
    },
    /// A node's value: the reply's payload, any bytes.
    Read {
        /// The node.
        path: Path,
    },
    /// Who may do what: [`reply::permissions`].
    GetPermissions {
        /// The node.
        path: Path,
    },
    /// Asks for events: [`reply::done`], and [`crate::WatchEvent`]s, perhaps before the reply.
    Watch {
        /// The node, with all under it.
        path: Path,
        /// What the events shall be called by.
        token: Token,
    },
    /// Takes a watch back: [`reply::done`]. Events may still be on the way.
    Unwatch {
        /// The node.
        path: Path,
        /// The watch.
        token: Token,
    },
    /// Begins a transaction: [`reply::transaction`].
    TransactionStart,
    /// Ends the transaction that the message belongs to: [`reply::done`], or [`crate::ErrorName::Again`].
    TransactionEnd {
        /// Whether what it did shall stay.
        commit: bool,
    },
    /// Where a domain's own nodes are: [`reply::path`].
    GetDomainPath {
        /// The domain.
        domain: DomainId,
    },
    /// Sets a value: [`reply::done`].
    Write {
        /// The node.
        path: Path,
        /// Any bytes, as long as they fit in a message together with the path and a NUL.
        value: Vec<u8>,
    },
    /// Makes a node: [`reply::done`].
    MakeDirectory {
        /// The node.
        path: Path,
    },
    /// Removes a node and all under it: [`reply::done`].
    Remove {
        /// The node.
        path: Path,
    },
    /// Changes who may do what: [`reply::done`].
    SetPermissions {
        /// The node.
        path: Path,
        /// All of its permissions.
        permissions: Permissions,
    },
    /// Takes all watches of the connection back: [`reply::done`].
    ResetWatches,
}

impl Request {
    /// Its kind, and its reply's.
    #[must_use]
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Directory { .. } => Kind::Directory,
            Self::Read { .. } => Kind::Read,
            Self::GetPermissions { .. } => Kind::GetPermissions,
            Self::Watch { .. } => Kind::Watch,
            Self::Unwatch { .. } => Kind::Unwatch,
            Self::TransactionStart => Kind::TransactionStart,
            Self::TransactionEnd { .. } => Kind::TransactionEnd,
            Self::GetDomainPath { .. } => Kind::GetDomainPath,
            Self::Write { .. } => Kind::Write,
            Self::MakeDirectory { .. } => Kind::MakeDirectory,
            Self::Remove { .. } => Kind::Remove,
            Self::SetPermissions { .. } => Kind::SetPermissions,
            Self::ResetWatches => Kind::ResetWatches,
        }
    }

    /// The message that asks it, under the number `request`, inside `transaction` or outside of any (0).
    ///
    /// # Errors
    /// A value or a list of permissions is too long for a message.
    pub fn message(&self, request: u32, transaction: u32) -> Result<Message, TooLong> {
        Message::new(self.kind(), request, transaction, self.payload())
    }

    fn payload(&self) -> Vec<u8> {
        match self {
            Self::Directory { path }
            | Self::Read { path }
            | Self::GetPermissions { path }
            | Self::MakeDirectory { path }
            | Self::Remove { path } => joined([path.as_str().as_bytes()]),
            Self::Watch { path, token } | Self::Unwatch { path, token } => {
                joined([path.as_str().as_bytes(), token.as_str().as_bytes()])
            }
            Self::TransactionStart | Self::ResetWatches => joined([&b""[..]]),
            Self::TransactionEnd { commit } => joined([&b"FT"[usize::from(*commit)..][..1]]),
            Self::GetDomainPath { domain } => joined([domain.to_string().as_bytes()]),
            Self::Write { path, value } => {
                let mut payload = joined([path.as_str().as_bytes()]);
                payload.extend_from_slice(value);
                payload
            }
            Self::SetPermissions { path, permissions } => {
                let mut payload = joined([path.as_str().as_bytes()]);
                for permission in permissions.list() {
                    payload.extend_from_slice(permission.to_string().as_bytes());
                    payload.push(0);
                }
                payload
            }
        }
    }

    /// Reads a request, as a store does.
    ///
    /// # Errors
    /// It is of a kind that is not asked by clients, or its payload has another form.
    pub fn decode(message: &Message) -> Result<Self, RequestError> {
        let (kind, payload) = (message.kind(), message.payload());
        let form = |error| RequestError::Form { kind, error };
        let missing = |what| form(ReplyError::Form { what });
        let path = |bytes| Path::from_bytes(bytes).map_err(ReplyError::Path).map_err(form);
        // Path or nothing, and what comes behind it.
        let split = || {
            let end = payload.iter().position(|byte| *byte == 0).ok_or_else(|| missing("NUL at the end"))?;
            Ok::<_, RequestError>((&payload[..end], &payload[end + 1..]))
        };
        let only = || match split()? {
            (first, []) => Ok(first),
            _ => Err(missing("single string")),
        };
        let watched = || {
            let mut fields = strings(payload).map_err(form)?;
            match (fields.next(), fields.next(), fields.next()) {
                (Some(name), Some(token), None) => {
                    Ok((path(name)?, Token::from_bytes(token).map_err(ReplyError::Token).map_err(form)?))
                }
                _ => Err(missing("path and token")),
            }
        };
        Ok(match kind {
            Kind::Directory => Self::Directory { path: path(only()?)? },
            Kind::Read => Self::Read { path: path(only()?)? },
            Kind::GetPermissions => Self::GetPermissions { path: path(only()?)? },
            Kind::MakeDirectory => Self::MakeDirectory { path: path(only()?)? },
            Kind::Remove => Self::Remove { path: path(only()?)? },
            Kind::Watch => watched().map(|(path, token)| Self::Watch { path, token })?,
            Kind::Unwatch => watched().map(|(path, token)| Self::Unwatch { path, token })?,
            Kind::TransactionStart if payload == b"\0" => Self::TransactionStart,
            Kind::ResetWatches if payload == b"\0" => Self::ResetWatches,
            Kind::TransactionStart | Kind::ResetWatches => return Err(missing("single NUL")),
            Kind::TransactionEnd => match only()? {
                b"T" => Self::TransactionEnd { commit: true },
                b"F" => Self::TransactionEnd { commit: false },
                _ => return Err(missing("T or F")),
            },
            Kind::GetDomainPath => Self::GetDomainPath { domain: reply::domain(only()?).map_err(form)? },
            Kind::Write => {
                let (name, value) = split()?;
                Self::Write { path: path(name)?, value: value.to_vec() }
            }
            Kind::SetPermissions => {
                let (name, rest) = split()?;
                Self::SetPermissions { path: path(name)?, permissions: permissions(rest).map_err(form)? }
            }
            other => return Err(RequestError::Kind(other)),
        })
    }
}

/// Why a message is not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RequestError {
    /// Nothing that is asked here.
    Kind(Kind),
    /// The payload has another form.
    Form {
        /// The request's kind.
        kind: Kind,
        /// What is wrong with it.
        error: ReplyError,
    },
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Kind(kind) => write!(f, "messages of kind {kind:?} are no requests here"),
            Self::Form { kind, .. } => write!(f, "request of kind {kind:?} has a malformed payload"),
        }
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Kind(_) => None,
            Self::Form { error, .. } => Some(error),
        }
    }
}
