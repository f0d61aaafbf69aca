//! Numbers of domains.

use crate::{Path, number};
use core::fmt;

/// The first number that no domain has (`DOMID_FIRST_RESERVED`).
const FIRST_RESERVED: u16 = 0x7ff0;

/// A domain's number. Numbers are used again after a domain is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DomainId(u16);

impl DomainId {
    /// The domain in which the toolstack runs.
    pub const ZERO: Self = Self(0);

    /// A domain's number.
    ///
    /// # Errors
    /// Xen keeps the number for itself.
    pub const fn new(number: u16) -> Result<Self, DomainError> {
        if number < FIRST_RESERVED { Ok(Self(number)) } else { Err(DomainError) }
    }

    /// Reads a number as the store writes it: decimal digits and nothing else, none of them a leading zero.
    ///
    /// # Errors
    /// It is not that, or not a domain's.
    pub fn parse(text: &str) -> Result<Self, DomainError> {
        number::parse(text).map_or(Err(DomainError), Self::new)
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }

    /// Where the domain's own nodes are: `/local/domain/N`.
    #[must_use]
    pub fn home(self) -> Path {
        Path::of_checked(alloc::format!("/local/domain/{self}"))
    }
}

impl fmt::Display for DomainId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Not the number of a domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DomainError;

impl fmt::Display for DomainError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a domain's number is decimal and below {FIRST_RESERVED}")
    }
}

impl core::error::Error for DomainError {}
