//! What runs guests: the trait that every backend implements, and the words it answers with.
//!
//! Order of calls: [`Backend::end_orphans`] once before the first start; [`Backend::start`] per guest; on the guest
//! [`Guest::wait`] from one supervising thread, everything else from any thread at any time. Dropping the last `Arc` of a
//! running guest ends it.

use std::fmt;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use fades_api::codes::{self, Code};
use fades_wire::address::{Control, Neighbour};
use fades_wire::exit::{END_MARK, ExitCode};

use crate::ids::Role;
use crate::network::PortId;

/// Which machinery runs guests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BackendKind {
    /// QEMU with its own code generator: runs anywhere, slowly.
    QemuTcg,
    /// QEMU on hardware virtualisation.
    QemuKvm,
    /// Domains of a Xen host.
    Xen,
}

impl BackendKind {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::QemuTcg, Self::QemuKvm, Self::Xen];

    /// The one of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// The word used in configuration, `status` and receipts.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::QemuTcg => "qemu-tcg",
            Self::QemuKvm => "qemu-kvm",
            Self::Xen => "xen",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The processors that guests are built for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// 64-bit x86.
    X86_64,
    /// 64-bit Arm.
    Aarch64,
}

impl Architecture {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::X86_64, Self::Aarch64];
    /// That of the machines that nodes run on.
    pub const NATIVE: Self = Self::X86_64;

    /// The one of this word.
    #[must_use]
    pub fn named(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|architecture| architecture.word() == word)
    }

    /// The word used in configuration, manifests of images and `status`.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::X86_64 => "x86_64",
            Self::Aarch64 => "aarch64",
        }
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// Everything needed to start one guest. Files are handed over open, never by name, so that what was checked is what boots.
#[derive(Debug)]
pub struct GuestSpec {
    /// Short name for logs and the process title: letters, digits and dashes only.
    pub name: String,
    /// What the guest is for.
    pub role: Role,
    /// SHA-256 of the manifest of the image that loader and application are of: the same for the same of both.
    pub image: [u8; 32],
    /// The processor that the image is for: one of [`Backend::architectures`].
    pub architecture: Architecture,
    /// Guest memory in MiB.
    pub memory_mib: u32,
    /// Kernel command line (boot parameters of `fades_wire::boot`).
    pub command_line: String,
    /// Sealed memfd with the loader.
    pub loader: OwnedFd,
    /// Sealed memfd with the application.
    pub application: OwnedFd,
    /// The guest's port of the virtual network, under which its control connection is known.
    pub port: PortId,
    /// Random bytes and the node's clock for a guest that does not read its command line, as it was started before; in the
    /// command line as well.
    pub seed: [u8; 32],
    /// Microseconds since 1970, UTC.
    pub time_unix_us: u64,
    /// How the guest reaches the orchestrator; by its own means, a backend that has them gives it no network device either
    /// unless it is a broker, whose sources are there.
    pub control: Control,
    /// One end of a stream socket pair: frames, each behind its length as u32 big-endian.
    pub link: OwnedFd,
    /// Address of the guest's network device.
    pub mac: [u8; 6],
    /// The monitor ends the guest by itself after this long (a second line behind the engine's deadlines); `None`: never.
    pub time_limit: Option<Duration>,
}

/// Starts guests.
pub trait Backend: Send + Sync {
    /// Which machinery this is.
    fn kind(&self) -> BackendKind;

    /// The processors whose images this runs: the machine's own, and those that it emulates.
    fn architectures(&self) -> Vec<Architecture> {
        vec![Architecture::NATIVE]
    }

    /// Starts a guest and returns once its process, or its domain with its devices, exists; the guest is not yet ready then. A
    /// domain may take long to build, and cannot be ended before this has returned.
    ///
    /// # Errors
    /// When nothing was started; nothing is left behind in that case.
    fn start(&self, spec: GuestSpec) -> Result<Arc<dyn Guest>, BackendError>;

    /// Finds and ends guests that an earlier daemon of the same node left behind. Called once, before any start.
    ///
    /// # Errors
    /// When looking failed; what was found and could not be ended is an error too.
    fn end_orphans(&self) -> Result<Vec<Orphan>, BackendError>;
}

/// One running or ended guest.
pub trait Guest: Send + Sync {
    /// Blocks until the guest has ended and tells why. Called once, from one supervising thread; a second call returns the
    /// same answer at once. When it returns, the process is reaped and its files are gone.
    fn wait(&self) -> GuestExit;

    /// Ends the guest now. Does not wait; may be called at any time, any number of times, also after the end.
    fn kill(&self);

    /// The last part of what the guest wrote to its console, bounded (backends keep at least 16 KiB).
    fn console(&self) -> String;

    /// How a broker knows the guest where both share memory.
    fn neighbour(&self) -> Option<Neighbour> {
        None
    }

    /// The process that runs the guest, where there is one.
    fn pid(&self) -> Option<u32>;

    /// Resident memory of the process that runs the guest, in bytes.
    fn resident_bytes(&self) -> Option<u64>;
}

/// A guest of a dead daemon that was found and ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orphan {
    /// Its name, as far as it could be told.
    pub name: String,
    /// The process that ran it, where there was one.
    pub pid: Option<u32>,
}

/// How a guest ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestExit {
    /// Why.
    pub cause: ExitCause,
    /// The last part of its console, bounded.
    pub console_tail: String,
}

impl GuestExit {
    /// Why the guest ended, in words; with its own last words, when it wrote a [`END_MARK`] line on its console.
    #[must_use]
    pub fn words(&self) -> String {
        let last = self.console_tail.lines().rev().find_map(|line| line.trim_end().strip_prefix(END_MARK));
        let json = last.and_then(|json| serde_json::from_str::<serde_json::Value>(json).ok());
        match json.as_ref().and_then(|json| json.get("message")?.as_str()) {
            Some(message) => format!("{}: {message}", self.cause),
            None => self.cause.to_string(),
        }
    }
}

/// Why a guest ended, as precisely as its backend can tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExitCause {
    /// The guest ended by itself with this code; 0 is a clean end.
    Code(i32),
    /// The guest panicked and said so on its console.
    Panicked {
        /// The panic's message.
        message: String,
        /// `file:line`, empty when not known.
        location: String,
    },
    /// An allocation failed inside the guest and it said so on its console.
    OutOfMemory {
        /// Size of the allocation that failed, in bytes, where known.
        requested: Option<u64>,
        /// What the guest said besides.
        detail: String,
    },
    /// The loader refused to start the application.
    LoaderError {
        /// The loader's own code.
        code: u32,
        /// Its words.
        message: String,
    },
    /// Its domain ended otherwise than by powering off.
    Died {
        /// The domain's name.
        domain: String,
        /// Why, as its host knows.
        reason: String,
    },
    /// The monitor died by this signal, not sent by us.
    Signal(i32),
    /// Ended by [`Guest::kill`] or its time limit.
    Killed,
}

impl fmt::Display for ExitCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Code(code) => match ExitCode::from_number(*code) {
                Some(known) => write!(f, "ended with code {code} ({})", known.name()),
                None => write!(f, "ended with code {code}"),
            },
            Self::Panicked { message, location } if location.is_empty() => write!(f, "panicked: {message}"),
            Self::Panicked { message, location } => write!(f, "panicked at {location}: {message}"),
            Self::OutOfMemory { requested: Some(bytes), detail } => {
                write!(f, "ran out of memory asking for {bytes} bytes{}", behind(detail))
            }
            Self::OutOfMemory { requested: None, detail } => write!(f, "ran out of memory{}", behind(detail)),
            Self::LoaderError { code, message } => write!(f, "could not be loaded (code {code}): {message}"),
            Self::Died { domain, reason } => write!(f, "died with its domain {domain}: {reason}"),
            Self::Signal(signal) => write!(f, "its monitor died by signal {signal}"),
            Self::Killed => f.write_str("was ended"),
        }
    }
}

/// A detail behind a colon, or nothing.
fn behind(detail: &str) -> String {
    if detail.is_empty() { String::new() } else { format!(": {detail}") }
}

/// Why a guest could not be started, or orphans not be ended.
#[derive(Debug, thiserror::Error)]
pub enum BackendError {
    /// This machine cannot run this backend.
    #[error("{kind} cannot be used: {reason}")]
    Unusable {
        /// Which backend.
        kind: BackendKind,
        /// What it is for want of.
        lack: Lack,
        /// What was found.
        reason: String,
    },
    /// The specification makes no sense to this backend.
    #[error("guest {name}: {reason}")]
    Spec {
        /// The guest's name.
        name: String,
        /// What is wrong.
        reason: String,
    },
    /// The host has no memory left for the guest.
    #[error("guest {name}: {reason}")]
    Memory {
        /// The guest's name.
        name: String,
        /// What it wants, and what there is.
        reason: String,
    },
    /// The operating system refused something.
    #[error("could not {action}")]
    Io {
        /// What was tried, with the value that matters.
        action: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// What a machine has not that a backend needs, as far as somebody would do something else about each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// Something that only the words tell.
    Other,
    /// This is not Xen's control domain.
    Dom0,
    /// Xen's toolstack.
    Toolstack,
    /// A Xen that is new enough.
    Version,
    /// A monitor without a known hole.
    Mended,
}

impl Lack {
    /// The catalogue's code.
    #[must_use]
    pub const fn code(self) -> Code {
        match self {
            Self::Other => codes::BACKEND_NONE,
            Self::Dom0 => codes::XEN_NOT_DOM0,
            Self::Toolstack => codes::XEN_TOOLSTACK_MISSING,
            Self::Version => codes::XEN_TOO_OLD,
            Self::Mended => codes::MONITOR_HAS_HOLE,
        }
    }
}

impl BackendError {
    /// The catalogue's code for a guest that was not started.
    #[must_use]
    pub const fn code(&self) -> Code {
        match self {
            Self::Unusable { lack, .. } => lack.code(),
            Self::Memory { .. } => codes::DOMAIN_MEMORY,
            Self::Spec { .. } | Self::Io { .. } => codes::GUEST_START_FAILED,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guests_last_words_are_told() {
        let words = |code, console: &str| {
            GuestExit { cause: ExitCause::Code(code), console_tail: console.into() }.words()
        };
        let said =
            "booting\r\nFADES-END {\"message\":\"no address given\",\"code\":12,\"name\":\"boot\"}\r\n";
        assert_eq!(words(12, said), "ended with code 12 (boot): no address given");
        assert_eq!(words(14, ""), "ended with code 14 (control-lost)");
        assert_eq!(words(77, "FADES-END {broken"), "ended with code 77");
        let died = ExitCause::Died { domain: "fades-0f-dmf-7-2a".into(), reason: "it crashed".into() };
        assert_eq!(died.to_string(), "died with its domain fades-0f-dmf-7-2a: it crashed");
    }
}
