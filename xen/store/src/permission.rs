//! Who may do what with a node.

use crate::DomainId;
use alloc::vec::Vec;
use core::fmt;

/// What a domain may do with a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// `n`: nothing.
    None,
    /// `r`: read.
    Read,
    /// `w`: write.
    Write,
    /// `b`: both.
    Both,
}

impl Access {
    /// The letter on the wire.
    #[must_use]
    pub const fn letter(self) -> u8 {
        match self {
            Self::None => b'n',
            Self::Read => b'r',
            Self::Write => b'w',
            Self::Both => b'b',
        }
    }

    fn of_letter(letter: u8) -> Option<Self> {
        [Self::None, Self::Read, Self::Write, Self::Both].into_iter().find(|access| access.letter() == letter)
    }
}

/// What one domain may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Permission {
    /// What it may do.
    pub access: Access,
    /// Which domain.
    pub domain: DomainId,
}

impl Permission {
    /// Reads a letter and a number.
    ///
    /// # Errors
    /// It is not that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, PermissionError> {
        let (letter, number) = bytes.split_first().ok_or(PermissionError)?;
        let number = core::str::from_utf8(number).map_or(Err(PermissionError), Ok)?;
        Ok(Self {
            access: Access::of_letter(*letter).ok_or(PermissionError)?,
            domain: DomainId::parse(number).map_or(Err(PermissionError), Ok)?,
        })
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", char::from(self.access.letter()), self.domain)
    }
}

/// A node's permissions. The owner, who may do everything, stands first; what is said with it is what every
/// domain may do that is not named after it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Permissions(Vec<Permission>);

impl Permissions {
    /// The node is `owner`'s; all others may do `others`.
    #[must_use]
    pub fn new(owner: DomainId, others: Access) -> Self {
        Self(alloc::vec![Permission { access: others, domain: owner }])
    }

    /// And `domain` may do `access`.
    #[must_use]
    pub fn with(mut self, domain: DomainId, access: Access) -> Self {
        self.0.push(Permission { access, domain });
        self
    }

    /// All of them, the owner's first.
    ///
    /// # Errors
    /// There are none.
    pub fn from_list(list: Vec<Permission>) -> Result<Self, PermissionError> {
        if list.is_empty() { Err(PermissionError) } else { Ok(Self(list)) }
    }

    /// All of them, the owner's first; never empty.
    #[must_use]
    pub fn list(&self) -> &[Permission] {
        &self.0
    }
}

/// Not a permission, or an empty list of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PermissionError;

impl fmt::Display for PermissionError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a permission is one of n, r, w, b and a domain's number, and a node has at least one")
    }
}

impl core::error::Error for PermissionError {}
