//! What can go wrong with a channel.

use core::fmt;

use crate::grant::GrantError;
use crate::hypercall::HypercallError;
use crate::page::PlaceError;
use fades_ring::BadIndex;

/// Why there is no channel, or no more of it.
#[derive(Debug, PartialEq, Eq)]
pub enum ChannelError {
    /// No pages left.
    Memory,
    /// A page could not be granted.
    Grant(GrantError),
    /// A page of the other side could not be mapped.
    Place(PlaceError),
    /// There is no event channel.
    Port(HypercallError),
    /// The other side's end page is of another version than ours: this number stands there.
    Version(u32),
    /// That many data pages there cannot be, a power of two up to [`PAGES_MAX`](super::PAGES_MAX), or they are more than we
    /// would take.
    Size(u32),
    /// The other side's index is impossible. The channel is broken.
    Index(BadIndex),
    /// The other side could not be told.
    Notify(HypercallError),
    /// The other side reads no more, or we have closed.
    Closed,
}

impl From<BadIndex> for ChannelError {
    fn from(error: BadIndex) -> Self {
        Self::Index(error)
    }
}

impl fmt::Display for ChannelError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Memory => "no pages for the channel",
            Self::Grant(_) => "no grant for the channel",
            Self::Place(_) => "the channel's other side could not be mapped",
            Self::Port(_) => "no event channel for the channel",
            Self::Version(version) => {
                return write!(formatter, "the channel's other side has version {version:#x}");
            }
            Self::Size(pages) => return write!(formatter, "a channel cannot have {pages} data pages"),
            Self::Index(_) => "the channel's other side broke it",
            Self::Notify(_) => "the channel's other side was not told",
            Self::Closed => "the channel is closed",
        })
    }
}

impl core::error::Error for ChannelError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Grant(cause) => Some(cause),
            Self::Place(cause) => Some(cause),
            Self::Port(cause) | Self::Notify(cause) => Some(cause),
            Self::Index(cause) => Some(cause),
            Self::Memory | Self::Version(_) | Self::Size(_) | Self::Closed => None,
        }
    }
}
