//! Names of errors: the store tells them by text, so that both sides may number them as they like.

use alloc::string::String;
use core::fmt;

/// Longest name that is kept; Xen's have at most nine letters.
const NAME_MAX: usize = 32;

macro_rules! names {
    ($($(#[$doc:meta])* $variant:ident = $name:literal,)*) => {
        /// Why the store refused a request.
        #[derive(Clone, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorName {
            $($(#[$doc])* $variant,)*
            /// A name that is not known here: its first 32 characters, with `?` for what cannot be printed.
            Other(String),
        }

        impl ErrorName {
            /// Every known name.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// As the wire has it, without the NUL.
            #[must_use]
            pub fn name(&self) -> &str {
                match self {
                    $(Self::$variant => $name,)*
                    Self::Other(name) => name,
                }
            }

            /// Reads a name; any bytes are one.
            #[must_use]
            pub fn of_bytes(bytes: &[u8]) -> Self {
                $(if bytes == $name.as_bytes() {
                    return Self::$variant;
                })*
                let printable = |&byte: &u8| if byte.is_ascii_graphic() { char::from(byte) } else { '?' };
                Self::Other(bytes.iter().take(NAME_MAX).map(printable).collect())
            }
        }
    };
}

names! {
    /// The request makes no sense.
    Invalid = "EINVAL",
    /// This client may not.
    Access = "EACCES",
    /// It is there already.
    Exists = "EEXIST",
    /// A directory where none may be.
    IsDirectory = "EISDIR",
    /// There is no such node.
    NotFound = "ENOENT",
    /// The store has no memory left.
    NoMemory = "ENOMEM",
    /// This client has as many nodes, watches or transactions as it may.
    NoSpace = "ENOSPC",
    /// The store could not.
    InputOutput = "EIO",
    /// There are nodes under it.
    NotEmpty = "ENOTEMPTY",
    /// The store does not know this request.
    NotSupported = "ENOSYS",
    /// The store takes no writes.
    ReadOnly = "EROFS",
    /// Something else goes on.
    Busy = "EBUSY",
    /// Another client changed what this transaction saw: do it again.
    Again = "EAGAIN",
    /// Connected already.
    Connected = "EISCONN",
    /// The answer does not fit in a message.
    TooBig = "E2BIG",
    /// Not permitted.
    NotPermitted = "EPERM",
    /// Over this client's quota (the OCaml store's word for `ENOSPC`).
    Quota = "EQUOTA",
}

impl fmt::Display for ErrorName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
