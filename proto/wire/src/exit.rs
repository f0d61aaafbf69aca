//! How a guest ends: exit codes, and the console lines in which it says why.
//!
//! Codes stay under 100: QEMU's exit device carries seven bits, and higher numbers mean what the
//! kernel, the loader or QEMU itself says.

/// Starts the console line of a panic; a JSON object `{"message", "file", "line"}` follows.
pub const PANIC_MARK: &str = "FADES-PANIC ";
/// Starts the console line after a panic's, which says how it came there; a JSON object `{"frames", "chunk"}` follows: return
/// addresses from the innermost on, in hexadecimal and counted from the image's first byte, and what the application says of the
/// data that it was at, or `null`.
pub const TRACE_MARK: &str = "FADES-TRACE ";
/// Starts the console line of a failed allocation; a JSON object `{"message", "requested"}` follows.
pub const OOM_MARK: &str = "FADES-OOM ";
/// Starts the console line of any other end but success; a JSON object `{"message", "code", "name"}` follows.
pub const END_MARK: &str = "FADES-END ";

macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $number:literal $name:literal,)*) => {
        /// Exit code of a guest whose application ended by itself.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum ExitCode {
            $($(#[$doc])* $variant = $number,)*
        }

        impl ExitCode {
            /// Every code.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// Short name in words with dashes.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }
        }
    };
}

codes! {
    /// It did what it was told, or was told to end.
    Ok = 0 "ok",
    /// It failed, with the reason told over the control channel or on the console.
    Failed = 1 "failed",
    /// It panicked.
    Panic = 10 "panic",
    /// An allocation failed.
    OutOfMemory = 11 "out-of-memory",
    /// Its boot parameters are missing, meaningless, or those of another role.
    Boot = 12 "boot",
    /// The orchestrator could not be reached.
    Unreachable = 13 "unreachable",
    /// The control connection was lost or fell silent.
    ControlLost = 14 "control-lost",
    /// The orchestrator broke the protocol.
    Protocol = 15 "protocol",
}

impl ExitCode {
    /// The code of this number.
    #[must_use]
    pub fn from_number(number: i32) -> Option<Self> {
        Self::ALL.iter().copied().find(|code| i32::from(*code as u8) == number)
    }
}
