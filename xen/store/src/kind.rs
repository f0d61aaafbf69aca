//! Numbers of message kinds: Xen's, explicit, pinned in `tests/numbers.rs`.

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal,)*) => {
        /// What a message is. A reply has its request's kind, or is an [`Kind::Error`].
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
            /// A number that is not known here; kept, so that it can be logged and answered.
            Unknown(u32),
        }

        impl Kind {
            /// Every known kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl From<Kind> for u32 {
            fn from(kind: Kind) -> Self {
                match kind {
                    $(Kind::$variant => $number,)*
                    Kind::Unknown(number) => number,
                }
            }
        }

        impl From<u32> for Kind {
            fn from(number: u32) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }
    };
}

kinds! {
    /// To the store itself; for debugging.
    Control = 0,
    /// Names of a node's children.
    Directory = 1,
    /// A node's value.
    Read = 2,
    /// Who may do what with a node.
    GetPermissions = 3,
    /// Asks for events of a node and what is under it.
    Watch = 4,
    /// Takes a watch back.
    Unwatch = 5,
    /// Begins a transaction.
    TransactionStart = 6,
    /// Ends a transaction, by keeping or dropping what it did.
    TransactionEnd = 7,
    /// Tells the store of a domain; the toolstack's.
    Introduce = 8,
    /// Takes that back; the toolstack's.
    Release = 9,
    /// The path under which a domain's own nodes are.
    GetDomainPath = 10,
    /// Sets a value, making the node and those above it as needed.
    Write = 11,
    /// Makes a node with an empty value, if there is none.
    MakeDirectory = 12,
    /// Removes a node and all under it.
    Remove = 13,
    /// Changes who may do what with a node.
    SetPermissions = 14,
    /// An event, from the store, unasked.
    WatchEvent = 15,
    /// A reply: the request failed.
    Error = 16,
    /// Whether the store knows a domain; the toolstack's.
    IsDomainIntroduced = 17,
    /// After a resume; the toolstack's.
    Resume = 18,
    /// Gives one domain another's rights; the toolstack's.
    SetTarget = 19,
    /// Takes all watches of this connection back. 20 was a kind once and is not used.
    ResetWatches = 21,
    /// A piece of a list of children that is too long for one message.
    DirectoryPart = 22,
}
