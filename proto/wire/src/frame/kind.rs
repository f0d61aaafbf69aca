//! Numbers of frame kinds: explicit, never reused, pinned in `tests/numbers.rs`.

macro_rules! kinds {
    ($($(#[$doc:meta])* $variant:ident = $number:literal,)*) => {
        /// What a frame's body is. 0x01xx: guest to orchestrator; 0x02xx: orchestrator to guest; 0x03xx:
        /// function to broker; 0x04xx: broker to function.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum Kind {
            $($(#[$doc])* $variant,)*
            /// A number that this version does not know; kept, so that it can be logged and answered.
            Unknown(u16),
        }

        impl Kind {
            /// Every known kind.
            pub const ALL: &[Self] = &[$(Self::$variant),*];
        }

        impl From<Kind> for u16 {
            fn from(kind: Kind) -> Self {
                match kind {
                    $(Kind::$variant => $number,)*
                    Kind::Unknown(number) => number,
                }
            }
        }

        impl From<u16> for Kind {
            fn from(number: u16) -> Self {
                match number {
                    $($number => Self::$variant,)*
                    other => Self::Unknown(other),
                }
            }
        }
    };
}

kinds! {
    /// [`crate::control::Hello`]
    Hello = 0x0101,
    /// [`crate::control::Heartbeat`]
    Heartbeat = 0x0102,
    /// [`crate::control::Log`]
    Log = 0x0103,
    /// [`crate::control::OperationProgress`]
    OperationProgress = 0x0110,
    /// [`crate::control::OperationEnded`]
    OperationEnded = 0x0111,
    /// [`crate::control::OperationFailed`]
    OperationFailed = 0x0112,
    /// [`crate::control::Started`]
    Started = 0x0120,
    /// [`crate::control::Progress`]
    Progress = 0x0121,
    /// [`crate::control::ResultPart`]
    ResultPart = 0x0122,
    /// [`crate::control::Finished`]
    Finished = 0x0123,
    /// [`crate::control::Failed`]
    Failed = 0x0124,
    /// [`crate::control::Keep`]
    Keep = 0x0125,
    /// [`crate::control::Welcome`]
    Welcome = 0x0201,
    /// [`crate::control::Ping`]
    Ping = 0x0202,
    /// [`crate::control::Shutdown`]
    Shutdown = 0x0203,
    /// [`crate::control::Retrieve`]
    Retrieve = 0x0210,
    /// [`crate::control::Abandon`]
    Abandon = 0x0211,
    /// [`crate::control::Run`]
    Run = 0x0220,
    /// [`crate::control::Recall`]
    Recall = 0x0221,
    /// [`crate::data::Open`]
    Open = 0x0301,
    /// [`crate::data::Credit`]
    Credit = 0x0302,
    /// [`crate::data::Series`]
    Series = 0x0401,
    /// [`crate::batch::Batch`]
    Chunk = 0x0402,
    /// [`crate::data::End`]
    End = 0x0403,
    /// [`crate::data::Abort`]
    Abort = 0x0404,
}
