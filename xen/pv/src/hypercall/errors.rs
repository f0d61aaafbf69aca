//! What Xen answers when it does not do what it was asked.

use core::fmt;

/// Why a hypercall failed: Xen's negated error number, by name where this crate or its users act on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HypercallError {
    /// EPERM (1) or EACCES (13): not for this domain.
    Permission,
    /// ENOENT (2) or ESRCH (3): what it was about does not exist.
    Missing,
    /// EAGAIN (11): the same may work later.
    Again,
    /// ENOMEM (12): Xen has no memory, or the domain may have no more.
    NoMemory,
    /// EFAULT (14): the argument is not where Xen looked.
    Fault,
    /// EBUSY (16): something is still in use.
    Busy,
    /// EINVAL (22): the arguments make no sense to Xen.
    Invalid,
    /// ENOSPC (28): all ports or entries are taken.
    NoSpace,
    /// ENOSYS (38) or EOPNOTSUPP (95): this Xen cannot do it.
    Unsupported,
    /// No error was told, but it was not done.
    Refused,
    /// Another error number, not negated any more.
    Other(i64),
}

impl HypercallError {
    /// RAX as a result: what is not negative is a value.
    pub(super) fn check(result: i64) -> Result<u64, Self> {
        u64::try_from(result).map_err(|_| match result.wrapping_neg() {
            1 | 13 => Self::Permission,
            2 | 3 => Self::Missing,
            11 => Self::Again,
            12 => Self::NoMemory,
            14 => Self::Fault,
            16 => Self::Busy,
            22 => Self::Invalid,
            28 => Self::NoSpace,
            38 | 95 => Self::Unsupported,
            other => Self::Other(other),
        })
    }
}

impl fmt::Display for HypercallError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Permission => "xen does not permit it",
            Self::Missing => "xen knows no such thing",
            Self::Again => "xen could not do it now",
            Self::NoMemory => "xen has no memory for it",
            Self::Fault => "xen did not find the argument",
            Self::Busy => "it is still in use",
            Self::Invalid => "xen finds the arguments invalid",
            Self::NoSpace => "xen has no room for one more",
            Self::Unsupported => "this xen cannot do it",
            Self::Refused => "xen did not do it",
            Self::Other(number) => return write!(formatter, "xen failed with error {number}"),
        })
    }
}

impl core::error::Error for HypercallError {}

/// Why an operation on grants failed: the status that Xen leaves in its structure (`grant_table.h`, `GNTST_*`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GrantStatus {
    /// -2: no such domain.
    Domain,
    /// -3: no such grant, or not for us.
    Reference,
    /// -4: no such mapping.
    Handle,
    /// -5: not a place to map it at.
    Address,
    /// -8: not allowed.
    Permission,
    /// -9: not a page that can be used so.
    Page,
    /// -12: the same may work later.
    Again,
    /// -13: no room for one more mapping.
    NoSpace,
    /// Another status.
    Other(i16),
    /// The hypercall itself failed.
    Call(HypercallError),
}

impl GrantStatus {
    pub(super) fn check(status: i16) -> Result<(), Self> {
        Err(match status {
            0 => return Ok(()),
            -2 => Self::Domain,
            -3 => Self::Reference,
            -4 => Self::Handle,
            -5 => Self::Address,
            -8 => Self::Permission,
            -9 => Self::Page,
            -12 => Self::Again,
            -13 => Self::NoSpace,
            other => Self::Other(other),
        })
    }
}

impl From<HypercallError> for GrantStatus {
    fn from(cause: HypercallError) -> Self {
        Self::Call(cause)
    }
}

impl fmt::Display for GrantStatus {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Domain => "xen knows no such domain",
            Self::Reference => "there is no such grant for this domain",
            Self::Handle => "there is no such mapping",
            Self::Address => "a grant cannot be mapped there",
            Self::Permission => "the grant does not permit it",
            Self::Page => "the granted page cannot be used so",
            Self::Again => "the grant could not be used now",
            Self::NoSpace => "xen has no room for one more mapping",
            Self::Other(number) => return write!(formatter, "the grant failed with status {number}"),
            Self::Call(_) => "the hypercall for a grant failed",
        })
    }
}

impl core::error::Error for GrantStatus {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Call(cause) => Some(cause),
            _ => None,
        }
    }
}
